{{/*
Values that contradict each other, each ended with one line. The schema refuses what is wrong by itself; here is what is
wrong together. Call: include "sluice.refuse" .
*/}}
{{- define "sluice.refuse" -}}
{{- $v := .Values -}}
{{- $bad := list -}}
{{- if and (not $v.minio.enabled) (not $v.objectStore.host) -}}
{{- $bad = append $bad "minio.enabled is false and objectStore.host is empty: name the S3 to use, such as s3.eu-central-1.amazonaws.com" -}}
{{- end -}}
{{- if and (not $v.minio.enabled) $v.objectStore.host (not $v.objectStore.existingSecret) (not $v.objectStore.identity) -}}
{{- $bad = append $bad "objectStore.host is set without objectStore.existingSecret: name a Secret with the keys accesskey and secretkey, or say objectStore.identity=aws where the accounts of pods have identities of their own" -}}
{{- end -}}
{{- if and $v.minio.enabled $v.objectStore.identity -}}
{{- $bad = append $bad "objectStore.identity with minio.enabled: the chart's MinIO knows keys alone; leave it empty" -}}
{{- end -}}
{{- if and $v.objectStore.identity $v.objectStore.existingSecret -}}
{{- $bad = append $bad "both objectStore.identity and objectStore.existingSecret are set: leave one of them empty" -}}
{{- end -}}
{{- if and $v.minio.enabled $v.objectStore.host -}}
{{- $bad = append $bad "both minio.enabled and objectStore.host are set: set minio.enabled=false to use the S3 of your own, or leave objectStore.host empty" -}}
{{- end -}}
{{- if regexMatch "://|/|:[0-9]" $v.objectStore.host -}}
{{- $bad = append $bad (printf "objectStore.host is %q: give the host name alone; objectStore.port and objectStore.secure say the rest" $v.objectStore.host) -}}
{{- end -}}
{{- range $prefix := $v.objectStore.scratch -}}
  {{- if has (first (splitList "/" $prefix)) (list "lakes" "datasets" "models" "code" "runs" "promotions") -}}
  {{- $bad = append $bad (printf "objectStore.scratch: %q holds what steps must not overwrite or delete; name another prefix" $prefix) -}}
  {{- end -}}
{{- end -}}
{{- if and (include "sluice.gateway.enabled" .) $v.mlflow.enabled $v.mlflow.directTransfers -}}
{{- $bad = append $bad "mlflow.directTransfers with objectStore.gateway.enabled: addresses would lead everybody to the gateway, which is for pods of runs alone; set one of them to false" -}}
{{- end -}}
{{- $b := $v.objectStore.buckets -}}
{{- if ne 3 (len (uniq (list $b.pipelines $b.sluice $b.mlflow))) -}}
{{- $bad = append $bad "objectStore.buckets: the three buckets need three names" -}}
{{- end -}}
{{- if $v.kfp.enabled -}}
  {{- if and (not $v.mysql.enabled) (not $v.mysql.host) -}}
  {{- $bad = append $bad "mysql.enabled is false and mysql.host is empty: KFP needs a MySQL or MariaDB" -}}
  {{- end -}}
  {{- if and (not $v.mysql.enabled) $v.mysql.host (not $v.mysql.existingSecret) -}}
  {{- $bad = append $bad "mysql.host is set without mysql.existingSecret: name a Secret with the keys username and password" -}}
  {{- end -}}
  {{- if and $v.mysql.enabled $v.mysql.host -}}
  {{- $bad = append $bad "both mysql.enabled and mysql.host are set: set mysql.enabled=false to use the server of your own, or leave mysql.host empty" -}}
  {{- end -}}
  {{- if eq $v.mysql.databases.pipelines $v.mysql.databases.metadata -}}
  {{- $bad = append $bad "mysql.databases: KFP and MLMD need two databases" -}}
  {{- end -}}
  {{- if $v.kfp.externalUrl -}}
  {{- $bad = append $bad "both kfp.enabled and kfp.externalUrl are set: set kfp.enabled=false to use the KFP of your own, or leave kfp.externalUrl empty" -}}
  {{- end -}}
  {{- if and $v.kfp.ui.enabled $v.kfp.metadata.enabled (not $v.kfp.metadata.gateway.enabled) -}}
  {{- $bad = append $bad "kfp.ui.enabled without kfp.metadata.gateway.enabled: the UI shows no graph, inputs, outputs or artifacts without it; switch it on, or the UI off" -}}
  {{- end -}}
  {{- $tags := uniq (list $v.kfp.apiServer.image.tag $v.kfp.persistenceAgent.image.tag $v.kfp.scheduledWorkflow.image.tag $v.kfp.driver.image.tag $v.kfp.launcher.image.tag) -}}
  {{- if ne 1 (len $tags) -}}
  {{- $bad = append $bad (printf "kfp: its programs have different image tags (%s): use one version of all" (join ", " $tags)) -}}
  {{- end -}}
  {{- if and $v.kfp.mlflowPlugin.enabled (hasPrefix "2.14" $v.kfp.apiServer.image.tag) -}}
  {{- $bad = append $bad (printf "kfp.mlflowPlugin.enabled with KFP %s, which has no such plugin: set it to false" $v.kfp.apiServer.image.tag) -}}
  {{- end -}}
  {{- if and (not $v.kfp.metadata.enabled) (regexMatch "^2\\.([0-9]|1[0-7])\\." $v.kfp.apiServer.image.tag) -}}
  {{- $bad = append $bad (printf "kfp.metadata.enabled is false with KFP %s, which cannot run a step without MLMD" $v.kfp.apiServer.image.tag) -}}
  {{- end -}}
  {{- if $v.kfp.driver.inAgent -}}
    {{- if not $v.argo.enabled -}}
    {{- $bad = append $bad "kfp.driver.inAgent without argo.enabled: the Argo of your own would need the plugin; set it to false" -}}
    {{- else if not (include "sluice.mutatingPolicyVersion" .) -}}
    {{- $bad = append $bad "kfp.driver.inAgent with a cluster that serves no MutatingAdmissionPolicy (Kubernetes 1.36, or 1.34 with its feature gate): set it to false" -}}
    {{- end -}}
  {{- end -}}
{{- else -}}
  {{- if $v.mysql.enabled -}}
  {{- $bad = append $bad "mysql.enabled without kfp.enabled: nothing would use it; set mysql.enabled=false" -}}
  {{- end -}}
  {{- if and $v.setup.enabled $v.setup.pipelines (not $v.kfp.externalUrl) -}}
  {{- $bad = append $bad "kfp.enabled is false and kfp.externalUrl is empty: name the KFP to upload pipelines to, or set setup.pipelines=false" -}}
  {{- end -}}
  {{- if $v.ingress.enabled -}}
  {{- $bad = append $bad "ingress.enabled without kfp.enabled: there are no pages to show" -}}
  {{- end -}}
{{- end -}}
{{- if and (include "sluice.kfp.exposed" .) (not $v.kfp.login) -}}
{{- $bad = append $bad "KFP's pages or API are opened to outside (ingress.enabled, or a Service of kfp with type NodePort or LoadBalancer), and they have no login: say who asks for one, kfp.login=oidc, kfp.login=proxy or kfp.login=annotations (docs/security.md), or kfp.login=none to open them to whoever comes" -}}
{{- end -}}
{{- if and $v.ingress.enabled (eq $v.kfp.login "proxy") (not $v.ingress.proxy.service) -}}
{{- $bad = append $bad "kfp.login=proxy without ingress.proxy.service: name the Service that asks for the login" -}}
{{- end -}}
{{- if and (eq $v.kfp.login "annotations") $v.ingress.enabled (not $v.ingress.annotations) -}}
{{- $bad = append $bad "kfp.login=annotations without ingress.annotations: give those by which your ingress controller asks for a login" -}}
{{- end -}}
{{- if and (include "sluice.login.between" .) (or (ne $v.kfp.apiServer.service.type "ClusterIP") (and $v.kfp.ui.enabled (ne $v.kfp.ui.service.type "ClusterIP"))) -}}
{{- $bad = append $bad (printf "kfp.login=%s with a Service of kfp that is no ClusterIP: people would go past the login" $v.kfp.login) -}}
{{- end -}}
{{- if $v.ingress.enabled -}}
  {{- if not $v.ingress.host -}}
  {{- $bad = append $bad "ingress.enabled without ingress.host: name the host" -}}
  {{- end -}}
  {{- if and $v.kfp.enabled (not $v.kfp.ui.enabled) (not (include "sluice.login.between" .)) -}}
  {{- $bad = append $bad "ingress.enabled with kfp.ui.enabled=false: there are no pages to show" -}}
  {{- end -}}
  {{- if and (not $v.ingress.tlsSecret) (not $v.ingress.allowHttp) -}}
  {{- $bad = append $bad "ingress.enabled without ingress.tlsSecret: name the host's TLS Secret, or set ingress.allowHttp=true where something else does TLS" -}}
  {{- end -}}
{{- end -}}
{{- range $name, $service := dict "minio" $v.minio.service "kfp.apiServer" $v.kfp.apiServer.service "kfp.ui" $v.kfp.ui.service -}}
  {{- if and (eq $service.type "ClusterIP") (gt (int $service.nodePort) 0) -}}
  {{- $bad = append $bad (printf "%s.service.nodePort is set with type ClusterIP: set %s.service.type=NodePort" $name $name) -}}
  {{- end -}}
{{- end -}}
{{- if and (not $v.kfp.enabled) $v.argo.enabled $v.kfp.externalUrl -}}
{{- $bad = append $bad "argo.enabled with kfp.externalUrl: the KFP of your own has an Argo of its own; set argo.enabled=false" -}}
{{- end -}}
{{- range $name, $_ := $v.modelServers -}}
  {{- $server := include "sluice.modelServer" (list $ $name) | fromYaml -}}
  {{- if not (include "sluice.mlflow.url" $) -}}
  {{- $bad = append $bad (printf "modelServers.%s without mlflow.enabled or mlflow.externalUrl: name the registry that has the model" $name) -}}
  {{- end -}}
  {{- if and (eq $server.autoscaling.by "keda") (not $server.autoscaling.prometheus) -}}
  {{- $bad = append $bad (printf "modelServers.%s.autoscaling.by=keda without autoscaling.prometheus: name the address that is asked" $name) -}}
  {{- end -}}
  {{- if gt (int $server.autoscaling.min) (int $server.autoscaling.max) -}}
  {{- $bad = append $bad (printf "modelServers.%s.autoscaling: min is above max" $name) -}}
  {{- end -}}
  {{- if and $server.route.enabled (not $server.route.parentRefs) -}}
  {{- $bad = append $bad (printf "modelServers.%s.route.enabled without route.parentRefs: name the gateway" $name) -}}
  {{- end -}}
  {{- if and $server.monitor.enabled (not $server.log.enabled) -}}
  {{- $bad = append $bad (printf "modelServers.%s.monitor.enabled without log.enabled: there is nothing to watch" $name) -}}
  {{- end -}}
  {{- if and (eq $server.service.type "ClusterIP") (gt (int $server.service.nodePort) 0) -}}
  {{- $bad = append $bad (printf "modelServers.%s.service.nodePort is set with type ClusterIP: set service.type=NodePort" $name) -}}
  {{- end -}}
{{- end -}}
{{- $bad = concat $bad (include "sluice.tls.refusals" . | fromYamlArray) -}}
{{- $bad = concat $bad (include "sluice.login.refusals" . | trim | splitList "\n" | compact) -}}
{{- $bad = concat $bad (include "sluice.runs.refusals" . | trim | splitList "\n" | compact) -}}
{{- $bad = concat $bad (include "sluice.stepPod.refusals" . | trim | splitList "\n" | compact) -}}
{{- if $bad }}{{ fail (printf "\n\nsluice: %s\n" (join "\nsluice: " $bad)) }}{{ end -}}
{{- end }}
