{{/*
What the owner of a cluster adds to the chart's pods and accounts: `pods` for all of them, `<part>.pod` for one, by the
same names everywhere (values.schema.yaml, $defs/pod). It is laid over the finished object, here and nowhere else; what
would take the place of something that the chart sets is refused by name. Pods of steps are Argo's to make: `steps.pod`,
at the end of this file.
*/}}

{{/* The section of the values that an account's pods belong to. Call: include "sluice.partOf" "ml-pipeline" */}}
{{- define "sluice.partOf" -}}
{{- $parts := dict
  "minio" "minio" "mysql" "mysql" "postgresql" "postgresql" "mlflow" "mlflow"
  "workflow-controller" "argo.controller" "run-gateway" "objectStore.gateway" "login" "auth.oidc"
  "ml-pipeline" "kfp.apiServer" "ml-pipeline-ui" "kfp.ui" "ml-pipeline-persistenceagent" "kfp.persistenceAgent"
  "ml-pipeline-scheduledworkflow" "kfp.scheduledWorkflow" "metadata-grpc" "kfp.metadata" "metadata-envoy" "kfp.metadata.gateway"
  "trainer-controller" "trainer" "jobset-controller" "jobset" "sluice-setup" "setup" "sluice-check" "setup"
  "sluice-operator" "operator" "model-server" "modelServerDefaults" "model-monitor" "modelServerDefaults" "model-canary" "modelServerDefaults" -}}
{{- if has . (list (include "sluice.accounts.step" .) (include "sluice.accounts.training" .) (include "sluice.accounts.driver" .) (include "sluice.accounts.worker" .)) -}}
steps
{{- else -}}
{{ get $parts . }}
{{- end -}}
{{- end }}

{{/* What stands at a part's `pod`, as YAML. Call: include "sluice.partPod" (list $ "kfp.apiServer") */}}
{{- define "sluice.partPod" -}}
{{- $at := (index . 0).Values -}}
{{- range splitList "." (index . 1) }}{{ $at = get ($at | default dict) . | default dict }}{{ end -}}
{{ get $at "pod" | default dict | toYaml }}
{{- end }}

{{/* Labels and annotations that a part's account has besides. Call: include "sluice.accountExtras" (list $ "ml-pipeline" "labels") */}}
{{- define "sluice.accountExtras" -}}
{{- with include "sluice.partOf" (index . 1) -}}
{{- $own := (include "sluice.partPod" (list (index $ 0) .) | fromYaml).serviceAccount | default dict -}}
{{- with get $own (index $ 2) }}{{ toYaml . }}{{ end -}}
{{- end -}}
{{- end }}

{{/* All that a part's pods get besides, as YAML; `{}` where that is nothing. Same call as sluice.partPod. */}}
{{- define "sluice.extras" -}}
{{- $root := index . 0 -}}
{{- $own := include "sluice.partPod" . | fromYaml -}}
{{- $all := merge (dict) ($root.Values.pods | default dict) (pick $root.Values.scheduling "affinity" "topologySpreadConstraints") -}}
{{- $found := dict -}}
{{- range $name := list "annotations" "labels" "nodeSelector" -}}
{{- $whole := merge (dict) (get $own $name | default dict) (get $all $name | default dict) -}}
{{- if $whole }}{{ $_ := set $found $name $whole }}{{ end -}}
{{- end -}}
{{- range $name := list "env" "envFrom" "volumes" "volumeMounts" "tolerations" "topologySpreadConstraints" "imagePullSecrets" -}}
{{- $whole := concat (get $all $name | default list) (get $own $name | default list) -}}
{{- if $whole }}{{ $_ := set $found $name $whole }}{{ end -}}
{{- end -}}
{{- range $name := list "affinity" "priorityClassName" "runtimeClassName" -}}
{{- with get $own $name | default (get $all $name) }}{{ $_ := set $found $name . }}{{ end -}}
{{- end -}}
{{ toYaml $found }}
{{- end }}

{{/*
A template's objects, those that start pods with what is added to them.
Call: include "sluice.withExtras" (list $ (include "sluice.file.minio" $)) - the rendered text. Where nothing is added it
comes out as it went in.
*/}}
{{- define "sluice.withExtras" -}}
{{- $root := index . 0 -}}
{{- range $number, $text := regexSplit "(?m)^---$" (index . 1) -1 -}}
{{- if $number }}
---
{{- end -}}
{{- $account := regexFind "(?m)^ +serviceAccountName: [a-z-]+$" $text | trim | trimPrefix "serviceAccountName: " -}}
{{- $extras := dict -}}
{{- if and $account (regexMatch "(?m)^kind: (Deployment|StatefulSet|DaemonSet|Job|CronJob)$" $text) -}}
{{- $extras = include "sluice.extras" (list $root (include "sluice.partOf" $account)) | fromYaml -}}
{{- end -}}
{{- if $extras }}
{{ include "sluice.workloadWith" (list (include "sluice.partOf" $account) (fromYaml $text) $extras) }}
{{ else -}}
{{ $text }}
{{- end -}}
{{- end -}}
{{- end }}

{{/* An object that starts pods, with extras. Call: include "sluice.workloadWith" (list "minio" $object $extras) */}}
{{- define "sluice.workloadWith" -}}
{{- $part := index . 0 -}}{{- $object := index . 1 -}}{{- $extras := index . 2 -}}
{{- $template := ($object.spec.jobTemplate | default $object).spec.template -}}{{- $pod := $template.spec -}}
{{- $said := printf "%s.pod (or pods)" $part -}}
{{- range $kind := list "labels" "annotations" -}}
  {{- $present := get $template.metadata $kind | default dict -}}
  {{- range $key, $value := get $extras $kind | default dict -}}
    {{- if hasKey $present $key }}{{ include "sluice.refuseExtra" (printf "%s: the %s %q is the chart's own; leave it out" $said (trimSuffix "s" $kind) $key) }}{{ end -}}
    {{- if and (eq $kind "labels") (regexMatch "^(sluice\\.dev|app\\.kubernetes\\.io|helm\\.sh)/" $key) }}{{ include "sluice.refuseExtra" (printf "%s: the label %q would open the platform's NetworkPolicies, or lead its Services elsewhere; take another name" $said $key) }}{{ end -}}
    {{- $present = set $present $key $value -}}
  {{- end -}}
  {{- if $present }}{{ $_ := set $template.metadata $kind $present }}{{ end -}}
{{- end -}}
{{- $volumes := $pod.volumes | default list -}}
{{- $names := list -}}{{- range $volumes }}{{ $names = append $names .name }}{{ end -}}
{{- range $extras.volumes -}}
  {{- include "sluice.checkVolume" (list $said . $names (list "configMap" "csi" "downwardAPI" "emptyDir" "ephemeral" "persistentVolumeClaim" "projected" "secret")) -}}
  {{- $names = append $names .name -}}{{- $volumes = append $volumes . -}}
{{- end -}}
{{- if $volumes }}{{ $_ := set $pod "volumes" $volumes }}{{ end -}}
{{- range $container := concat ($pod.initContainers | default list) $pod.containers -}}
  {{- $env := $container.env | default list -}}
  {{- $names := list -}}{{- range $env }}{{ $names = append $names .name }}{{ end -}}
  {{- range $extras.env -}}
    {{- if has .name $names }}{{ include "sluice.refuseExtra" (printf "%s: the variable %s of container %s is set already; another section of the values says what it is" $said .name $container.name) }}{{ end -}}
    {{- $names = append $names .name -}}{{- $env = append $env . -}}
  {{- end -}}
  {{- if $env }}{{ $_ := set $container "env" $env }}{{ end -}}
  {{- with $extras.envFrom }}{{ $_ := set $container "envFrom" (concat . ($container.envFrom | default list)) }}{{ end -}}
  {{- $mounts := $container.volumeMounts | default list -}}
  {{- $paths := list -}}{{- range $mounts }}{{ $paths = append $paths .mountPath }}{{ end -}}
  {{- range $extras.volumeMounts -}}
    {{- if has (trimSuffix "/" .mountPath) $paths }}{{ include "sluice.refuseExtra" (printf "%s: container %s has something at %s already; mount it elsewhere" $said $container.name .mountPath) }}{{ end -}}
    {{- $paths = append $paths (trimSuffix "/" .mountPath) -}}{{- $mounts = append $mounts . -}}
  {{- end -}}
  {{- if $mounts }}{{ $_ := set $container "volumeMounts" $mounts }}{{ end -}}
{{- end -}}
{{- with $extras.nodeSelector }}{{ $_ := set $pod "nodeSelector" (merge (dict) . ($pod.nodeSelector | default dict)) }}{{ end -}}
{{- range $name := list "tolerations" "imagePullSecrets" -}}
{{- with get $extras $name }}{{ $_ := set $pod $name (concat (get $pod $name | default list) .) }}{{ end -}}
{{- end -}}
{{- range $name := list "affinity" "priorityClassName" "runtimeClassName" -}}
{{- with get $extras $name }}{{ $_ := set $pod $name . }}{{ end -}}
{{- end -}}
{{- with $extras.topologySpreadConstraints -}}
  {{- /* Without a labelSelector they are about the part's own pods. */ -}}
  {{- $own := dict "matchLabels" (pick $template.metadata.labels "app.kubernetes.io/name" "app.kubernetes.io/instance") -}}
  {{- $whole := list -}}
  {{- range . }}{{ $whole = append $whole (merge (dict) . (dict "labelSelector" $own "maxSkew" 1)) }}{{ end -}}
  {{- $_ := set $pod "topologySpreadConstraints" $whole -}}
{{- end -}}
{{ toYaml $object }}
{{- end }}

{{/* A volume that is added. Call: ... (list "minio.pod" $volume $names $kinds) - who says it, what names there are, what kinds may be. */}}
{{- define "sluice.checkVolume" -}}
{{- $said := index . 0 -}}{{- $volume := index . 1 -}}{{- $kinds := index . 3 -}}
{{- if has $volume.name (index . 2) }}{{ include "sluice.refuseExtra" (printf "%s: there is a volume %q already; take another name" $said $volume.name) }}{{ end -}}
{{- range keys (omit $volume "name") | sortAlpha -}}
{{- if not (has . $kinds) }}{{ include "sluice.refuseExtra" (printf "%s: the volume %q is of the kind %s, which reaches into the node or past admission: take %s" $said $volume.name . (join ", " $kinds)) }}{{ end -}}
{{- end -}}
{{- end }}

{{- define "sluice.refuseExtra" -}}{{- fail (printf "\n\nsluice: %s\n" .) -}}{{- end }}

{{/* What is added to the pods of steps: steps.pod, or nothing. */}}
{{- define "sluice.stepPod" -}}{{ include "sluice.partPod" (list . "steps") }}{{- end }}

{{/* Where the pods of steps run, as fields of a pod; what a pipeline says of the same goes before it. */}}
{{- define "sluice.stepPlaces" -}}
{{- with pick (include "sluice.stepPod" . | fromYaml) "nodeSelector" "tolerations" "affinity" "topologySpreadConstraints" "priorityClassName" "runtimeClassName" -}}
{{ toYaml . }}
{{- end -}}
{{- end }}

{{/* Variables, mounts and volumes of steps besides. Call: include "sluice.stepExtras" (list $ "env") - YAML's list, or nothing. */}}
{{- define "sluice.stepExtras" -}}
{{- with get (include "sluice.stepPod" (index . 0) | fromYaml) (index . 1) }}{{ toYaml . }}{{ end -}}
{{- end }}

{{/* Values of steps.pod that would break what holds steps, one to a line. */}}
{{- define "sluice.stepPod.refusals" -}}
{{- $pod := include "sluice.stepPod" . | fromYaml -}}
{{- range $pod.env }}
{{- if regexMatch "^(SLUICE_|AWS_|AZURE_|GOOGLE_|MLFLOW_|KFP_|ARGO_|ML_PIPELINE_|METADATA_|PYTHON|LD_|GIT_|PG|SSL_|REQUESTS_|CURL_|(HOME|PATH|USER|TMPDIR|SHELL|BASH_ENV|ENV|IFS|OMP_NUM_THREADS|OPENBLAS_NUM_THREADS)$)" .name }}
steps.pod.env: {{ .name }} decides what a step runs, whom it trusts or whose keys it has; it is not set here
{{- end }}
{{- end }}
{{- $known := list "sluice-tmp" "sluice-trusted" "sluice-scratch" "sluice-ca" (include "sluice.objectStore.account" (list . "runs")) }}
{{- range $pod.volumes }}
{{- $kinds := keys (omit . "name") | sortAlpha }}
{{- if not (has (join "," $kinds) (list "configMap" "emptyDir" "persistentVolumeClaim")) }}
steps.pod.volumes: {{ .name }} is of the kind {{ join ", " $kinds | default "none" }}: steps mount configMap, emptyDir or persistentVolumeClaim (hostPath reaches into the node, and Secrets are for admission.secrets)
{{- end }}
{{- if or (has .name $known) (regexMatch "^(kube-api-access|exec-sa-token|var-run-argo|tmp-dir-argo|kfp-|.*-scratch$)" .name) }}
steps.pod.volumes: the name {{ .name }} is Argo's, KFP's or the chart's; take another
{{- end }}
{{- $known = append $known .name }}
{{- with .persistentVolumeClaim }}{{ if has .claimName (list "minio" "mysql" "postgresql") }}
steps.pod.volumes: the claim {{ .claimName }} is the platform's: no step mounts it
{{- end }}{{ end }}
{{- end }}
{{- range $pod.volumeMounts }}
{{- if regexMatch "^/*$|^/+(tmp|scratch|kfp-launcher|kfp|gcs|s3|minio|usr|bin|sbin|lib|lib64|opt|app|proc|sys|dev|var/run|run|[.]local|[.]cache|[.]config|etc/(sluice|passwd|ld[.]so.*|ssl))(/|$)|[.][.]|//" .mountPath }}
steps.pod.volumeMounts: {{ .mountPath }} would hide what steps run, or what KFP and Argo keep there; mount it elsewhere, such as /mnt/{{ .name }}
{{- end }}
{{- end }}
{{- range $key, $_ := $pod.labels }}
{{- if regexMatch "^(sluice\\.dev|app\\.kubernetes\\.io|helm\\.sh|pipelines\\.kubeflow\\.org|workflows\\.argoproj\\.io|pipeline|jobset\\.sigs\\.k8s\\.io|trainer\\.kubeflow\\.org)/" $key }}
steps.pod.labels: {{ $key }} says what a pod is and opens NetworkPolicies; take another name
{{- end }}
{{- end }}
{{- range $key, $_ := $pod.annotations }}
{{- if regexMatch "^(pipelines\\.kubeflow\\.org|workflows\\.argoproj\\.io)/" $key }}
steps.pod.annotations: {{ $key }} is Argo's or KFP's to write
{{- end }}
{{- end }}
{{- $notes := ($pod.serviceAccount | default dict).annotations | default dict }}
{{- if and (hasKey ($pod.labels | default dict) "azure.workload.identity/use") (not (and (hasKey $notes "azure.workload.identity/client-id") (hasKey $notes "azure.workload.identity/tenant-id"))) }}
steps.pod.labels: azure.workload.identity/use without the annotations azure.workload.identity/client-id and azure.workload.identity/tenant-id in steps.pod.serviceAccount: admission holds pods of steps to these
{{- end }}
{{- if hasPrefix "system-" ($pod.priorityClassName | default "") }}
steps.pod.priorityClassName: {{ $pod.priorityClassName }} is for the cluster's own pods
{{- end }}
{{- end }}
