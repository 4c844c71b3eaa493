{{/*
What a pod must be that names the Secret of the register step, or one with the address of a database (steps.sources), as
terms of CEL: the pod that Argo and KFP make of Sluice's own step, and nothing of its author's. Whatever else could run in it, be read by what runs there, or be sent elsewhere with the
keys is left out by listing what is there. Lists of words come from files/guarded-steps.json (sluice.cluster.guarded_steps).
In the terms, s is a pod's spec, c a container, e a variable, m a mount.
*/}}

{{- define "sluice.guarded.file" -}}{{ .Files.Get "files/guarded-steps.json" }}{{- end }}

{{/* Secrets of databases by variable, and their keys; those that the administrator lists for all are guarded no more. */}}
{{- define "sluice.guarded.sources" -}}
{{- $found := dict -}}
{{- range $name, $source := .Values.steps.sources }}{{ $found = set $found (printf "SLUICE_SOURCE_%s" $name) $source.secretName }}{{ end -}}
{{ $found | toJson }}
{{- end }}
{{- define "sluice.guarded.sourceKeys" -}}
{{- $found := dict -}}
{{- range $name, $source := .Values.steps.sources }}{{ $found = set $found (printf "SLUICE_SOURCE_%s" $name) $source.key }}{{ end -}}
{{ $found | toJson }}
{{- end }}
{{- define "sluice.guarded.databases" -}}
{{- $found := list -}}
{{- range .Values.steps.sources }}{{ if not (has .secretName $.Values.admission.secrets) }}{{ $found = append $found .secretName }}{{ end }}{{ end -}}
{{ $found | uniq | sortAlpha | toJson }}
{{- end }}
{{- define "sluice.guarded.secrets" -}}
{{ prepend (include "sluice.guarded.databases" . | fromJsonArray) "sluice-register" | toJson }}
{{- end }}

{{/* Whether a container, c, names one of a list of Secrets in a variable. Call: include "sluice.guarded.names" "[...]" */}}
{{- define "sluice.guarded.names" -}}
c.?env.orValue([]).exists(e, has(e.valueFrom) && has(e.valueFrom.secretKeyRef) && e.valueFrom.secretKeyRef.?name.orValue("") in {{ . }})
{{- end }}

{{/* What main runs: an image, with a command line of Sluice's or one that the administrator lists. */}}
{{- define "sluice.guarded.run" -}}
{{- $file := include "sluice.guarded.file" . | fromJson -}}
{{- $own := list (include "sluice.image" (list . .Values.images.tabular)) (include "sluice.image" (list . .Values.images.torch)) | uniq | toJson -}}
(!{{ include "sluice.guarded.names" `["sluice-register"]` }}
|| (c.image in {{ $own }} && c.?args.orValue([]) in {{ $file.registers | toJson }})
{{- range .Values.admission.registering }}
|| (c.image == {{ .image | quote }} && c.?args.orValue([]) in {{ if .args }}{{ list .args | toJson }}{{ else }}{{ $file.registers | toJson }}{{ end }})
{{- end }})
&& (!{{ include "sluice.guarded.names" (include "sluice.guarded.databases" .) }}
|| (c.image in {{ $own }} && c.?args.orValue([]) in {{ $file.ingests | toJson }}))
{{- end }}

{{/* Main's command: Argo's emissary, which starts KFP's launcher, which starts the step. Kubernetes puts variables' values
where a word says so, and Go takes each flag's last word: so each flag is known, and each has its words. */}}
{{- define "sluice.guarded.command" -}}
{{- $text := "[^\\n]*" -}}
{{- $flags := list
  (printf "(pipeline_name|run_id|executor_input|component_spec|pod_name|pod_uid)\\n%s" $text)
  (printf "(mlmd_server|ml_pipeline_server)_(address|port)\\n%s" $text)
  "(execution_id|log_level)\\n[0-9]+"
  "publish_logs\\n(true|false)"
  "executor_type\\ncontainer"
  "ca_cert_path\\n(/kfp/certs/[a-z.]+)?"
  "(cache_disabled|ml_pipeline_tls_enabled|metadata_tls_enabled)(=(true|false))?" -}}
{{- $emissary := "/var/run/argo/argoexec\\nemissary\\n(--(loglevel|log-format|gloglevel)\\n[a-z0-9]+\\n)*--\\n" -}}
{{- $own := list "$(KFP_POD_NAME)" "$(KFP_POD_UID)" "$(METADATA_GRPC_SERVICE_HOST)" "$(METADATA_GRPC_SERVICE_PORT)" -}}
c.?command.orValue([]).all(w, !w.contains("\n") && (!w.contains("$(") || w in {{ $own | toJson }}))
&& c.?command.orValue([]).join("\n").matches(r'^{{ $emissary }}/kfp-launcher/launch\n(--({{ join "|" $flags }})\n)*--$')
{{- end }}

{{/* What the launcher is told of inputs and outputs, j: it writes artifacts where their addresses say, and publishes each
output from the file that it is said to be in. Nothing may hide behind an escape. */}}
{{- define "sluice.guarded.input" -}}
{{- $address := printf "^\\s*:\\s*\"(minio|s3)://%s/" (regexQuoteMeta .Values.objectStore.buckets.pipelines) -}}
c.?command.orValue([]).join("\n").split("\n--executor_input\n").size() == 2
&& [c.command.join("\n").split("\n--executor_input\n")[1].split("\n")[0]].all(j,
!j.contains("\\u") && !j.contains("..") && !j.contains('"customPath"') && !j.contains('"custom_path"')
&& !j.contains('"output_file"') && j.split('"outputFile"').size() > 1 && j.split('"outputFile"').size() ==
j.split('"outputFile"').filter(u, u.matches(r'^\s*:\s*"/tmp/kfp(_outputs/output_metadata.json|/outputs/[A-Za-z0-9_-]+)"')).size() + 1
&& j.split('"uri"').size() == j.split('"uri"').filter(u, u.matches(r'{{ $address }}')).size() + 1)
{{- end }}

{{/* Variables of main, e: from the Secret, the chart's ConfigMap, the pod, or with a value that is known. */}}
{{- define "sluice.guarded.variable" -}}
{{- $file := include "sluice.guarded.file" . | fromJson -}}
{{- $fields := merge (dict "KFP_POD_NAME" "metadata.name" "KFP_POD_UID" "metadata.uid") $file.fields -}}
{{- $constants := merge (dict "HOME" "/tmp" "ARGO_CONTAINER_NAME" "main" "ARGO_PROGRESS_FILE" "/var/run/argo/progress") $file.constants -}}
{{- /* What the chart itself lays over main (templates/argo/configmap.yaml). */ -}}
{{- range concat (include "sluice.tls.stepEnv" . | fromYamlArray) (include "sluice.runs.env" . | fromYamlArray) (include "sluice.stepExtras" (list . "env") | fromYamlArray) -}}
{{- $constants = set $constants .name .value -}}
{{- end -}}
{{- $argo := list "ARGO_NODE_ID" "ARGO_INCLUDE_SCRIPT_OUTPUT" "ARGO_DEADLINE" "ARGO_PROGRESS_PATCH_TICK_DURATION" "ARGO_PROGRESS_FILE_TICK_DURATION" "ARGO_TERMINATION_GRACE_PERIOD_SECONDS" "KFP_RETRY_INDEX" -}}
{{- $key := `e.valueFrom.%s.?key.orValue("") == e.name && e.name in %s` -}}
(has(e.valueFrom)
? (has(e.valueFrom.secretKeyRef) && ((e.valueFrom.secretKeyRef.name in ["sluice-register", "sluice-steps"]
&& {{ printf $key "secretKeyRef" ($file.secret | toJson) }})
|| ({{ include "sluice.guarded.sources" . }}[?e.name].orValue("") == e.valueFrom.secretKeyRef.name
&& {{ include "sluice.guarded.sourceKeys" . }}[?e.name].orValue("") == e.valueFrom.secretKeyRef.key)
{{- if include "sluice.mlflowPlugin" . }}
|| (e.valueFrom.secretKeyRef.name == "kfp-mlflow-credentials" && e.name in ["MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD"])
{{- end }}))
|| (has(e.valueFrom.configMapKeyRef) && e.valueFrom.configMapKeyRef.name == "sluice-steps"
&& {{ printf $key "configMapKeyRef" ($file.config | toJson) }})
|| (has(e.valueFrom.fieldRef) && {{ $fields | toJson }}[?e.name].orValue("") == e.valueFrom.fieldRef.fieldPath)
: (e.name in {{ $constants | toJson }} && {{ $constants | toJson }}[e.name] == e.?value.orValue(""))
|| (e.name == {{ $file.image | quote }} && e.?value.orValue("") == c.image)
|| (e.name == {{ $file.pipeline | quote }} && e.?value.orValue("").matches("^[A-Za-z0-9_-]+$"))
|| (e.name in {{ $argo | toJson }} && !e.?value.orValue("").contains("$("))
{{- with include "sluice.identity.variables" . }}
|| (e.name in {{ . }} && {{ . }}[e.name] == e.?value.orValue(""))
{{- end }}
{{- if include "sluice.mlflowPlugin" . }}
|| (e.name == "KFP_MLFLOW_CONFIG" && !e.?value.orValue("").contains("\\u") && !e.?value.orValue("").contains("$(")
&& e.?value.orValue("").lowerAscii().split('"endpoint"').size() == 2
&& e.?value.orValue("").contains({{ printf "%q:%q" "endpoint" (include "sluice.runTracking.url" .) | squote }}))
{{- end }})
{{- end }}

{{/*
What a cloud's webhook puts into the pods of an account with an identity, as JSON: variables with their values, and where
its tokens are mounted. Nothing where steps have none. Who the identity is stands in steps.pod.serviceAccount: a pipeline's
author cannot name another. On GKE nothing is put there.
Source: aws/amazon-eks-pod-identity-webhook; Amazon EKS, "EKS Pod Identity"; Azure/azure-workload-identity, "Mutating
Admission Webhook".
*/}}
{{- define "sluice.identity.aws" -}}
{{- if or .Values.objectStore.identity (hasKey (include "sluice.identity.notes" . | fromYaml) "eks.amazonaws.com/role-arn") }}true{{ end -}}
{{- end }}
{{- define "sluice.identity.azure" -}}
{{- if eq (get ((include "sluice.stepPod" . | fromYaml).labels | default dict) "azure.workload.identity/use") "true" }}true{{ end -}}
{{- end }}
{{- define "sluice.identity.notes" -}}
{{ ((include "sluice.stepPod" . | fromYaml).serviceAccount | default dict).annotations | default dict | toYaml }}
{{- end }}
{{- define "sluice.identity.variables" -}}
{{- $notes := include "sluice.identity.notes" . | fromYaml -}}{{- $found := dict -}}
{{- if include "sluice.identity.aws" . -}}
{{- $found = merge $found (dict "AWS_ROLE_ARN" (get $notes "eks.amazonaws.com/role-arn" | default "")
  "AWS_WEB_IDENTITY_TOKEN_FILE" "/var/run/secrets/eks.amazonaws.com/serviceaccount/token"
  "AWS_STS_REGIONAL_ENDPOINTS" "regional" "AWS_DEFAULT_REGION" .Values.objectStore.region "AWS_REGION" .Values.objectStore.region
  "AWS_CONTAINER_CREDENTIALS_FULL_URI" "http://169.254.170.23/v1/credentials"
  "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE" "/var/run/secrets/pods.eks.amazonaws.com/serviceaccount/eks-pod-identity-token") -}}
{{- end -}}
{{- if include "sluice.identity.azure" . -}}
{{- $found = merge $found (dict "AZURE_CLIENT_ID" (get $notes "azure.workload.identity/client-id") "AZURE_TENANT_ID" (get $notes "azure.workload.identity/tenant-id")
  "AZURE_FEDERATED_TOKEN_FILE" "/var/run/secrets/azure/tokens/azure-identity-token" "AZURE_AUTHORITY_HOST" "https://login.microsoftonline.com/") -}}
{{- end -}}
{{- if $found }}{{ toJson $found }}{{ end -}}
{{- end }}
{{- define "sluice.identity.mounts" -}}
{{- $found := dict -}}
{{- if include "sluice.identity.aws" . -}}
{{- $found = merge $found (dict "aws-iam-token" "/var/run/secrets/eks.amazonaws.com/serviceaccount" "eks-pod-identity-token" "/var/run/secrets/pods.eks.amazonaws.com/serviceaccount") -}}
{{- end -}}
{{- if include "sluice.identity.azure" . }}{{ $found = merge $found (dict "azure-identity-token" "/var/run/secrets/azure/tokens") }}{{ end -}}
{{- if $found }}{{ toJson $found }}{{ end -}}
{{- end }}

{{/* Variables of Argo's and KFP's own containers, e. */}}
{{- define "sluice.guarded.ownVariable" -}}
((e.name.startsWith("ARGO_") || e.name in ["EXECUTOR_RETRY_BACKOFF_STEPS"]) && !(has(e.valueFrom) && !has(e.valueFrom.fieldRef)))
{{- with include "sluice.identity.variables" . }}
|| (e.name in {{ . }} && {{ . }}[e.name] == e.?value.orValue(""))
{{- end }}
{{- end }}

{{/* Volumes that containers mount, m, each at its own place; they begin empty. */}}
{{- define "sluice.guarded.mounts" -}}
{{- $mounts := dict "kfp-launcher" "/kfp-launcher" "gcs-scratch" "/gcs" "s3-scratch" "/s3" "minio-scratch" "/minio"
  "dot-local-scratch" "/.local" "dot-cache-scratch" "/.cache" "dot-config-scratch" "/.config"
  "sluice-tmp" "/tmp" "tmp-dir-argo" "/tmp" "var-run-argo" "/var/run/argo" "sluice-scratch" "/scratch" -}}
{{- range include "sluice.stepExtras" (list . "volumeMounts") | fromYamlArray }}{{ $mounts = set $mounts .name .mountPath }}{{ end -}}
{{ $mounts | toJson }}
{{- end }}
{{/* What a mounted volume, v, must be: empty, or the very one that the chart adds (steps.pod.volumes). */}}
{{- define "sluice.guarded.volume" -}}
{{- range include "sluice.stepExtras" (list . "volumes") | fromYamlArray -}}
v.name == {{ .name | quote }} ? {{ if .configMap }}has(v.configMap) && v.configMap.?name.orValue("") == {{ .configMap.name | quote }}{{ else if .persistentVolumeClaim }}has(v.persistentVolumeClaim) && v.persistentVolumeClaim.claimName == {{ .persistentVolumeClaim.claimName | quote }}{{ else }}has(v.emptyDir){{ end }} :{{ " " }}
{{- end -}}
v.name == "sluice-scratch" ? has(v.ephemeral) : has(v.emptyDir)
{{- end }}
{{- define "sluice.guarded.mount" -}}
{{- /* Argo's own containers have the keys of its log store, and the one that waits sees main's folders elsewhere. */ -}}
{{- $keys := include "sluice.objectStore.account" (list . "runs") -}}
m.all(k, k in ["name", "mountPath", "readOnly"] || (k == "subPath" && m.name == "tmp-dir-argo" && m.subPath.matches("^[0-9]+$")))
&& ({{ include "sluice.guarded.mounts" . }}[?m.name].orValue("") == m.mountPath
|| (c.name == "wait" && "/mainctrfs" + {{ include "sluice.guarded.mounts" . }}[?m.name].orValue("/") == m.mountPath)
|| (c.name in ["init", "wait"] && m.name in {{ ternary (list $keys "sluice-ca") (list $keys) (ne "" (include "sluice.tls.on" .)) | toJson }} && m.mountPath == "/argo/secret/" + m.name)
{{- if include "sluice.tls.on" . }}
|| (m.name == "sluice-trusted" && m.mountPath in ["/etc/sluice/ca", "/mainctrfs/etc/sluice/ca"])
{{- end }}
{{- with include "sluice.identity.mounts" . }}
|| {{ . }}[?m.name].orValue("") == m.mountPath
{{- end }}
|| (m.mountPath == "/var/run/secrets/kubernetes.io/serviceaccount"
&& (m.name.startsWith("kube-api-access-") || (m.name == "exec-sa-token" && c.name != "main"))))
{{- end }}

{{/* A volume, v, of the Secret itself. */}}
{{- define "sluice.guarded.volumeNames" -}}
(has(v.secret) && v.secret.?secretName.orValue("") in {{ include "sluice.guarded.secrets" . }})
|| v.?projected.?sources.orValue([]).exists(p, has(p.secret) && p.secret.?name.orValue("") in {{ include "sluice.guarded.secrets" . }})
{{- end }}

{{/* Programs beside main. */}}
{{- define "sluice.guarded.beside" -}}
{{- $log := "\\n--(cache_disabled(=(true|false))?|log_level\\n[0-9]+|publish_logs\\n(true|false))" -}}
s.?ephemeralContainers.orValue([]).size() == 0 && s.containers.size() == 2 && s.?initContainers.orValue([]).size() == 2
&& ["wait", "main"].all(n, s.containers.exists(c, c.name == n)) && ["init", "kfp-launcher"].all(n, s.initContainers.exists(c, c.name == n))
&& (s.containers + s.initContainers).all(c, c.name == "main" || (c.name == "kfp-launcher"
? c.image == {{ include "sluice.image" (list . .Values.kfp.launcher.image) | quote }} && c.?command.orValue([]) == ["launcher-v2"]
&& c.?args.orValue([]).join("\n").matches(r'^--copy\n/kfp-launcher/launch({{ $log }})*$')
: c.image == {{ include "sluice.image" (list . .Values.argo.executor.image) | quote }} && c.?args.orValue([]).size() == 0
&& c.?command.orValue([]).size() > 1 && c.command[0] == "argoexec" && c.command[1] == c.name))
{{- end }}

{{/* Argo's own copy of the template, by which it brings artifacts into a pod, and files out of it. */}}
{{- define "sluice.guarded.template" -}}
s.initContainers.filter(c, c.name == "init").all(c, c.?env.orValue([]).filter(e, e.name == "ARGO_TEMPLATE").size() == 1
&& c.env.filter(e, e.name == "ARGO_TEMPLATE").all(e, !e.?value.orValue("").contains('"artifacts":')
&& e.?value.orValue("").contains('"outputs":{}') && e.value.split('"outputs":').size() == 2))
{{- end }}

{{- define "sluice.guarded.podFields" -}}
{{- list "activeDeadlineSeconds" "affinity" "automountServiceAccountToken" "containers" "dnsPolicy" "enableServiceLinks" "imagePullSecrets" "initContainers" "nodeName" "nodeSelector" "preemptionPolicy" "priority" "priorityClassName" "restartPolicy" "runtimeClassName" "overhead" "schedulerName" "securityContext" "serviceAccount" "serviceAccountName" "terminationGracePeriodSeconds" "tolerations" "topologySpreadConstraints" "volumes" | toJson -}}
{{- end }}
{{- define "sluice.guarded.containerFields" -}}
{{- list "args" "command" "env" "envFrom" "image" "imagePullPolicy" "name" "resources" "securityContext" "terminationMessagePath" "terminationMessagePolicy" "volumeMounts" | toJson -}}
{{- end }}

{{/* What is not as it must be, in words; empty where all is. */}}
{{- define "sluice.guarded.differs" -}}
{{- $main := `variables.guarded.all(s, s.containers.filter(c, c.name == "main").all(c, %s))` -}}
{{- $all := `variables.guarded.all(s, (s.containers + s.?initContainers.orValue([])).all(c, %s))` -}}
((variables.argo && !variables.training ? [] : ["who makes the pod"])
+ (variables.guarded.all(s, {{ include "sluice.guarded.beside" . }}) ? [] : ["the programs beside it"])
+ ({{ printf $main (include "sluice.guarded.run" .) }} ? [] : ["its image or command line"])
+ ({{ printf $main (include "sluice.guarded.command" .) }} ? [] : ["KFP's launcher"])
+ ({{ printf $main (include "sluice.guarded.input" .) }} ? [] : ["its inputs and outputs"])
+ (variables.guarded.all(s, {{ include "sluice.guarded.template" . }}) ? [] : ["what Argo brings in or out"])
+ variables.guarded.map(s, s.containers.filter(c, c.name == "main").map(c, c.?env.orValue([]).filter(e,
!({{ include "sluice.guarded.variable" . }})).map(e, e.name).join(", ")).filter(n, n != "")
.map(n, "the variable " + n).join(", ")).filter(n, n != "")
+ ({{ printf $main `c.?envFrom.orValue([]).all(f, has(f.configMapRef) && f.configMapRef.name == "metadata-grpc-configmap" && f.?prefix.orValue("") == "")` }} ? [] : ["envFrom"])
+ ({{ printf $all (printf `c.name == "main" || (c.?env.orValue([]).all(e, %s) && !has(c.envFrom))` (include "sluice.guarded.ownVariable" .)) }} ? [] : ["variables of the programs beside it"])
+ ({{ printf $all (printf `c.?volumeMounts.orValue([]).all(m, %s)` (include "sluice.guarded.mount" .)) }}
&& variables.guarded.all(s, s.?volumes.orValue([]).all(v, !(v.name in {{ include "sluice.guarded.mounts" . }}) || ({{ include "sluice.guarded.volume" . }})))
{{- if include "sluice.tls.on" . }}
&& variables.guarded.all(s, s.?volumes.orValue([]).all(v, v.name != "sluice-trusted"
|| (has(v.configMap) && v.configMap.name == {{ (include "sluice.tls.caVolume" . | fromYamlArray | first).configMap.name | quote }})))
{{- end }}
{{- with include "sluice.identity.mounts" . }}
&& variables.guarded.all(s, s.?volumes.orValue([]).all(v, !(v.name in {{ . }})
|| (has(v.projected) && v.projected.?sources.orValue([]).all(p, has(p.serviceAccountToken)))))
{{- end }}
&& !variables.guarded.exists(s, s.?volumes.orValue([]).exists(v, {{ include "sluice.guarded.volumeNames" . }})) ? [] : ["its volumes"])
+ variables.guarded.map(s, s.filter(k, !(k in {{ include "sluice.guarded.podFields" . }})).join(", ")).filter(n, n != "")
+ ({{ printf $all (printf `c.all(k, k in %s) && c.?terminationMessagePath.orValue("/dev/termination-log") == "/dev/termination-log"` (include "sluice.guarded.containerFields" .)) }} ? [] : ["hooks, probes, folders or other fields of its containers"])
+ (variables.guarded.all(s, s.?dnsPolicy.orValue("ClusterFirst") == "ClusterFirst") ? [] : ["dnsPolicy"])).join(", ")
{{- end }}

{{/*
Where steps.projectCode is false: every pod with one of Sluice's images, whatever its tag, is one of this release's own steps
as a guarded one is, and brings no code. The address of a project's archive, code/<sha256>.zip, is the parameter `code`
of a step; JSON may spell its letters as escapes, and an address has a slash, or an escape of one.
*/}}
{{- define "sluice.ownImages" -}}
{{- $root := . -}}{{- $patterns := list -}}
{{- range list .Values.images.tabular .Values.images.torch -}}
{{- $patterns = append $patterns (include "sluice.image" (list $root (dict "repository" .repository "tag" "x" "digest" "")) | trimSuffix ":x" | regexQuoteMeta) -}}
{{- end -}}
{{ printf "^(%s)(:.*)?(@.*)?$" (join "|" $patterns) | toJson }}
{{- end }}
{{- define "sluice.ownSteps.differs" -}}
{{- $file := include "sluice.guarded.file" . | fromJson -}}
{{- $images := list (include "sluice.image" (list . .Values.images.tabular)) (include "sluice.image" (list . .Values.images.torch)) | uniq | toJson -}}
{{- $code := `"(c|\\u0063)(o|\\u006[fF])(d|\\u0064)(e|\\u0065)"\s*:\s*"[^"]*[/\\]` -}}
{{ include "sluice.guarded.differs" . | replace "variables.guarded" "variables.ours" }}
+ (variables.ours.all(s, s.containers.filter(c, c.name == "main").all(c, c.image in {{ $images }}
&& c.?args.orValue([]) in {{ concat $file.registers $file.ingests $file.others | toJson }})) ? "" : "; what it runs is no step of this release")
+ (variables.ours.all(s, s.containers.filter(c, c.name == "main").all(c,
!c.?command.orValue([]).join("\n").matches(r'{{ $code }}'))) ? "" : "; it brings a project's code")
{{- end }}

{{/* What a step may take at most, as terms over main, c, and its pod's spec, s; in Kubernetes' own count. */}}
{{- define "sluice.maxResources.holds" -}}
{{- $max := .Values.steps.maxResources | default dict -}}
{{- $terms := list -}}
{{- range $name := list "cpu" "memory" -}}
{{- with get $max $name -}}
{{- $terms = append $terms (printf `(%q in c.?resources.?limits.orValue({}) && quantity(string(c.resources.limits[%q])).compareTo(quantity(%q)) <= 0)` $name $name (toString .)) -}}
{{- end -}}
{{- end -}}
{{- if hasKey $max "gpu" -}}
{{- $terms = append $terms (printf `c.?resources.?limits.orValue({}).all(k, !k.contains("/") || quantity(string(c.resources.limits[k])).compareTo(quantity(%q)) <= 0)` (toString $max.gpu)) -}}
{{- end -}}
{{- with $max.disk -}}
{{- $terms = append $terms (printf `s.?volumes.orValue([]).all(v, !has(v.ephemeral) || quantity(string(v.ephemeral.volumeClaimTemplate.spec.resources.requests.storage)).compareTo(quantity(%q)) <= 0)` (toString .)) -}}
{{- end -}}
{{ join " && " $terms }}
{{- end }}
{{- define "sluice.maxResources.words" -}}
{{- $words := list -}}
{{- range $name, $most := .Values.steps.maxResources }}{{ $words = append $words (printf "%s %v" $name $most) }}{{ end -}}
{{ join ", " $words }}
{{- end }}
