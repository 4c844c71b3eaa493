{{/*
Every helper that more than one workload uses. Names of objects are Kubeflow Pipelines' own (ml-pipeline,
minio-service, ...), since its programs look for each other under them: so one release to a namespace.
*/}}

{{/* Labels of an object. Call: include "sluice.labels" (list $ "ml-pipeline" "pipelines") - name, then component. */}}
{{- define "sluice.labels" -}}
{{- $root := index . 0 -}}
{{ include "sluice.selector" . }}
app.kubernetes.io/component: {{ index . 2 }}
app.kubernetes.io/part-of: sluice
app.kubernetes.io/version: {{ $root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ $root.Release.Service }}
helm.sh/chart: {{ $root.Chart.Name }}-{{ $root.Chart.Version }}
{{- end }}

{{/* The labels that a Service or a NetworkPolicy finds a workload by; they never change. Same call. */}}
{{- define "sluice.selector" -}}
app.kubernetes.io/name: {{ index . 1 }}
app.kubernetes.io/instance: {{ (index . 0).Release.Name }}
{{- end }}

{{/*
The reference of an image. Call: include "sluice.image" (list $ .Values.minio.image).
images.registry, where set, stands before every repository (a mirror); a digest wins over a tag.
*/}}
{{- define "sluice.image" -}}
{{- $root := index . 0 -}}{{- $image := index . 1 -}}
{{- $repository := $image.repository -}}
{{- with $root.Values.images.registry }}{{ $repository = printf "%s/%s" (trimSuffix "/" .) $repository }}{{ end -}}
{{- if $image.digest -}}
{{ $repository }}@{{ $image.digest }}
{{- else -}}
{{ $repository }}:{{ $image.tag | default $root.Values.images.tag | default $root.Chart.AppVersion }}
{{- end -}}
{{- end }}

{{- define "sluice.imagePullSecrets" -}}
{{- with .Values.images.pullSecrets }}
imagePullSecrets:
{{ toYaml . }}
{{- end }}
{{- end }}

{{/* Pod Security "restricted", of a pod. Call: include "sluice.podSecurityContext" 65532 - the numeric user. */}}
{{- define "sluice.podSecurityContext" -}}
runAsNonRoot: true
runAsUser: {{ . }}
runAsGroup: {{ . }}
fsGroup: {{ . }}
fsGroupChangePolicy: OnRootMismatch
seccompProfile:
  type: RuntimeDefault
{{- end }}

{{/* Pod Security "restricted", of a container, with a read-only root. */}}
{{- define "sluice.containerSecurityContext" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities:
  drop: [ALL]
{{- end }}

{{/*
A generated value in base64 that outlives upgrades.
Call: include "sluice.keptSecret" (list $ "mysql-credentials" "password") - of a Secret, a key; a fourth item is the
value to start with, else a random one is. The cluster's present value wins; where there is none it is made once in a
rendering, so that two Secrets can hold it.
*/}}
{{- define "sluice.keptSecret" -}}
{{- $root := index . 0 -}}{{- $name := index . 1 -}}{{- $key := index . 2 -}}
{{- $first := randAlphaNum 32 -}}
{{- if gt (len .) 3 }}{{ $first = index . 3 }}{{ end -}}
{{- $made := $root.Values.keptSecrets | default dict -}}
{{- $id := printf "%s/%s" $name $key -}}
{{- if not (hasKey $made $id) -}}
{{- $present := (lookup "v1" "Secret" $root.Release.Namespace $name).data | default dict -}}
{{- $made = set $made $id (get $present $key | default ($first | b64enc)) -}}
{{- $_ := set $root.Values "keptSecrets" $made -}}
{{- end -}}
{{ get $made $id }}
{{- end }}

{{/*
A value in base64 for a Secret that repeats another one's. Call:
include "sluice.copiedSecret" (list $ .Values.mysql.existingSecret "mysql.existingSecret" "mysql-credentials" "password")
- the user's Secret, the setting that names it, the Secret that the release makes where none is named, the key.
*/}}
{{- define "sluice.copiedSecret" -}}
{{- $root := index . 0 -}}{{- $existing := index . 1 -}}{{- $key := index . 4 -}}
{{- if not $existing -}}
{{ include "sluice.keptSecret" (list $root (index . 3) $key) }}
{{- else -}}
{{- $found := get ((lookup "v1" "Secret" $root.Release.Namespace $existing).data | default dict) $key -}}
{{- if not $found }}{{ include "sluice.refuse" $root }}{{ fail (printf "\n\n%s: no Secret %q with the key %q is seen in namespace %q: make it before the release (and let helm reach the cluster), or see steps.createSecret and kfp.metadata.existingConfigSecret\n" (index . 2) $existing $key $root.Release.Namespace) }}{{ end -}}
{{ $found }}
{{- end -}}
{{- end }}

{{/* The annotations of what outlives an uninstall: volumes, and the Secrets that open them. */}}
{{- define "sluice.keep" -}}
{{- if and .Values.persistence.enabled .Values.persistence.keep -}}
helm.sh/resource-policy: keep
{{- else -}}
{}
{{- end -}}
{{- end }}

{{/*
The volume claim of a workload. Call: include "sluice.claim" (list $ "mysql" "database" .Values.mysql.size)
*/}}
{{- define "sluice.claim" -}}
{{- $root := index . 0 -}}
apiVersion: v1
kind: PersistentVolumeClaim
metadata:
  name: {{ index . 1 }}
  namespace: {{ $root.Release.Namespace }}
  labels:
    {{- include "sluice.labels" (list $root (index . 1) (index . 2)) | nindent 4 }}
  annotations:
    {{- include "sluice.keep" $root | nindent 4 }}
spec:
  accessModes: [ReadWriteOnce]
  {{- with $root.Values.persistence.storageClass }}
  storageClassName: {{ . }}
  {{- end }}
  resources:
    requests:
      storage: {{ index . 3 }}
{{- end }}

{{/* The volume that the claim gives, or an emptyDir. Call: include "sluice.volume" (list $ "mysql") - named `data`. */}}
{{- define "sluice.volume" -}}
- name: data
  {{- if (index . 0).Values.persistence.enabled }}
  persistentVolumeClaim:
    claimName: {{ index . 1 }}
  {{- else }}
  emptyDir: {}
  {{- end }}
{{- end }}

{{/*
What every pod of the chart has. Call: include "sluice.pod" (list $ "ml-pipeline" 65532 true)
- its ServiceAccount, its numeric user, whether it talks to the Kubernetes API.
*/}}
{{- define "sluice.pod" -}}
{{- $root := index . 0 -}}
serviceAccountName: {{ index . 1 }}
automountServiceAccountToken: {{ index . 3 }}
enableServiceLinks: false
securityContext:
  {{- include "sluice.podSecurityContext" (index . 2) | nindent 2 }}
{{- include "sluice.imagePullSecrets" $root }}
{{- with $root.Values.scheduling.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- with $root.Values.scheduling.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $root.Values.scheduling.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{/* Several replicas on different nodes, where there are as many. Call: include "sluice.spread" (list $ "ml-pipeline") */}}
{{- define "sluice.spread" -}}
affinity:
  podAntiAffinity:
    preferredDuringSchedulingIgnoredDuringExecution:
      - weight: 100
        podAffinityTerm:
          topologyKey: kubernetes.io/hostname
          labelSelector:
            matchLabels:
              {{- include "sluice.selector" . | nindent 14 }}
{{- end }}

{{/* A ServiceAccount. Call: include "sluice.serviceAccount" (list $ "ml-pipeline" "pipelines"), then perhaps another namespace
than the release's. */}}
{{- define "sluice.serviceAccount" -}}
{{- $root := index . 0 -}}
{{- $namespace := $root.Release.Namespace -}}{{- if gt (len .) 3 }}{{ $namespace = index . 3 }}{{ end -}}
apiVersion: v1
kind: ServiceAccount
metadata:
  name: {{ index . 1 }}
  namespace: {{ $namespace }}
  labels:
    {{- include "sluice.labels" . | nindent 4 }}
    {{- with include "sluice.accountExtras" (list $root (index . 1) "labels") }}
    {{- . | nindent 4 }}
    {{- end }}
  {{- with include "sluice.accountExtras" (list $root (index . 1) "annotations") }}
  annotations:
    {{- . | nindent 4 }}
  {{- end }}
automountServiceAccountToken: false
{{- end }}

{{/* A RoleBinding that gives a ServiceAccount the Role of its name. Same call, then perhaps the account's namespace. */}}
{{- define "sluice.roleBinding" -}}
{{- $root := index . 0 -}}
{{- $namespace := $root.Release.Namespace -}}{{- if gt (len .) 3 }}{{ $namespace = index . 3 }}{{ end -}}
{{- $home := $root.Release.Namespace -}}{{- if gt (len .) 4 }}{{ $home = index . 4 }}{{ end -}}
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata:
  name: {{ index . 1 }}
  namespace: {{ $namespace }}
  labels:
    {{- include "sluice.labels" . | nindent 4 }}
roleRef:
  apiGroup: rbac.authorization.k8s.io
  kind: Role
  name: {{ index . 1 }}
subjects:
  - kind: ServiceAccount
    name: {{ index . 1 }}
    namespace: {{ $home }}
{{- end }}

{{/* A budget for what has several replicas. Call: include "sluice.disruptionBudget" (list $ "ml-pipeline" "pipelines") */}}
{{- define "sluice.disruptionBudget" -}}
{{- $root := index . 0 -}}
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata:
  name: {{ index . 1 }}
  namespace: {{ $root.Release.Namespace }}
  labels:
    {{- include "sluice.labels" . | nindent 4 }}
spec:
  maxUnavailable: 1
  selector:
    matchLabels:
      {{- include "sluice.selector" . | nindent 6 }}
{{- end }}

{{/* Type of a Service, and its node port. Call: include "sluice.nodePort" .Values.minio.service - within a port's map. */}}
{{- define "sluice.nodePort" -}}
{{- if and (ne .type "ClusterIP") (gt (int .nodePort) 0) }}
nodePort: {{ .nodePort }}
{{- end }}
{{- end }}

{{/*
Whom an exposed page or API answers (a NetworkPolicy's `from`). Call: include "sluice.entryPoints" (list $ $exposed)
Nothing where it is not exposed; else networkPolicy.entryPoints, and where those are empty anyone.
*/}}
{{- define "sluice.entryPoints" -}}
{{- $root := index . 0 -}}
{{- if index . 1 -}}
{{- with $root.Values.networkPolicy.entryPoints }}
{{ toYaml . }}
{{- else }}
- ipBlock:
    cidr: 0.0.0.0/0
- ipBlock:
    cidr: ::/0
{{- end }}
{{- end }}
{{- end }}

{{/* Where the object store answers: host:port, without a scheme. */}}
{{- define "sluice.objectStore.host" -}}
{{- if .Values.minio.enabled }}minio-service.{{ .Release.Namespace }}.svc.{{ .Values.clusterDomain }}{{ else }}{{ .Values.objectStore.host }}{{ end -}}
{{- end }}
{{- define "sluice.objectStore.port" -}}
{{- if .Values.minio.enabled }}9000{{ else }}{{ .Values.objectStore.port }}{{ end -}}
{{- end }}
{{- define "sluice.objectStore.secure" -}}
{{- if .Values.minio.enabled }}{{ eq (include "sluice.tls.on" .) "true" }}{{ else }}{{ .Values.objectStore.secure }}{{ end -}}
{{- end }}
{{- define "sluice.objectStore.url" -}}
{{- if eq (include "sluice.objectStore.secure" .) "true" }}https{{ else }}http{{ end }}://{{ include "sluice.objectStore.host" . }}:{{ include "sluice.objectStore.port" . }}
{{- end }}
{{- define "sluice.objectStore.secret" -}}
{{ .Values.objectStore.existingSecret | default (ternary "mlpipeline-minio-artifact" "" .Values.minio.enabled) }}
{{- end }}

{{/* MLflow's address for clients in the cluster. */}}
{{- define "sluice.mlflow.url" -}}
{{- if .Values.mlflow.enabled }}{{ ternary "https" "http" (eq (include "sluice.tls.on" .) "true") }}://mlflow.{{ .Release.Namespace }}.svc.{{ .Values.clusterDomain }}:5000{{ else }}{{ .Values.mlflow.externalUrl }}{{ end -}}
{{- end }}
{{- define "sluice.mlflow.secret" -}}
{{ .Values.mlflow.existingSecret | default "mlflow-credentials" }}
{{- end }}

{{/* KFP's API for clients in the cluster. */}}
{{- define "sluice.kfp.url" -}}
{{- if .Values.kfp.enabled }}http://ml-pipeline.{{ .Release.Namespace }}.svc.{{ .Values.clusterDomain }}:8888{{ else }}{{ .Values.kfp.externalUrl }}{{ end -}}
{{- end }}

{{/* KFP's MySQL. */}}
{{- define "sluice.mysql.host" -}}
{{- if .Values.mysql.enabled }}mysql.{{ .Release.Namespace }}.svc.{{ .Values.clusterDomain }}{{ else }}{{ .Values.mysql.host }}{{ end -}}
{{- end }}
{{- define "sluice.mysql.port" -}}
{{- if .Values.mysql.enabled }}3306{{ else }}{{ .Values.mysql.port }}{{ end -}}
{{- end }}
{{/* How KFP's API server takes TLS to it, in the words of Go's client. */}}
{{- define "sluice.mysql.tls" -}}
{{- if include "sluice.tls.of" (list . "mysql") }}true{{ else }}{{ .Values.mysql.tls }}{{ end -}}
{{- end }}
{{- define "sluice.mysql.secret" -}}
{{ .Values.mysql.existingSecret | default "mysql-credentials" }}
{{- end }}

{{/* Whether the chart runs MLMD, and its gateway for the UI. */}}
{{- define "sluice.metadata.enabled" -}}
{{- if and .Values.kfp.enabled .Values.kfp.metadata.enabled }}true{{ end -}}
{{- end }}
{{- define "sluice.metadata.gateway" -}}
{{- if and .Values.kfp.enabled .Values.kfp.metadata.enabled .Values.kfp.ui.enabled .Values.kfp.metadata.gateway.enabled }}true{{ end -}}
{{- end }}
{{- define "sluice.mlflowPlugin" -}}
{{- if and .Values.kfp.enabled .Values.kfp.mlflowPlugin.enabled (include "sluice.mlflow.url" .) }}true{{ end -}}
{{- end }}

{{/* Whether drivers run in workflows' agent pods. */}}
{{- define "sluice.driverInAgent" -}}
{{- if and .Values.kfp.enabled .Values.kfp.driver.inAgent }}true{{ end -}}
{{- end }}
{{/* The newest version of MutatingAdmissionPolicies, which see to it, that the cluster serves; nothing where it serves none. */}}
{{- define "sluice.mutatingPolicyVersion" -}}
{{- $served := list -}}
{{- range $version := list "admissionregistration.k8s.io/v1" "admissionregistration.k8s.io/v1beta1" -}}
{{- if $.Capabilities.APIVersions.Has (printf "%s/MutatingAdmissionPolicy" $version) }}{{ $served = append $served $version }}{{ end -}}
{{- end -}}
{{ first $served | default "" }}
{{- end }}

{{/* Whether the workflows that KFP makes are changed as they are made. */}}
{{- define "sluice.workflowPolicy" -}}
{{- $wanted := or (include "sluice.driverInAgent" .) (gt (int .Values.steps.retries) 0) -}}
{{- if and .Values.kfp.enabled $wanted (include "sluice.mutatingPolicyVersion" .) }}true{{ end -}}
{{- end }}

{{/* Argo's expression for a pod that ended with a service's outage. Three forms: gRPC's codes, as KFP's programs write
them; a nil execution, which KFP 2.14's launcher publishes where MLMD has not let it create one; and the launcher's own last
line where the object store takes or gives no artifact, after which nothing of the step's log comes. */}}
{{- define "sluice.serviceAway" -}}
{{- $codes := "rpc error: code = (Unavailable|Internal|Unknown|Aborted|DeadlineExceeded|ResourceExhausted)" -}}
{{- $nil := "[(][*]Client[)][.]PublishExecution" -}}
{{- $network := "connection refused|connection reset|i/o timeout|no route to host|no such host|unexpected EOF|ServiceUnavailable|SlowDown|InternalError" -}}
lastRetry.message matches '(?s){{ $codes }}|{{ $nil }}|failed to execute component: .*({{ $network }})' && not (lastRetry.message contains 'Created execution: ')
{{- end }}

{{/* Where pods' logs go in KFP's bucket: KFP 2.17's pages find a run's namespace by this form. */}}
{{- define "sluice.logKey" -}}
{{ `private-artifacts/{{workflow.namespace}}/{{workflow.name}}/{{workflow.creationTimestamp.Y}}/{{workflow.creationTimestamp.m}}/{{workflow.creationTimestamp.d}}/{{pod.name}}` }}
{{- end }}

{{/* The way out to the object store, as an item of a NetworkPolicy's `egress`. */}}
{{- define "sluice.objectStore.egress" -}}
{{- if .Values.minio.enabled -}}
- to:
    - podSelector:
        matchLabels:
          {{- include "sluice.selector" (list $ "minio") | nindent 10 }}
      {{- include "sluice.runs.platformPeer" . | nindent 6 }}
  ports:
    - port: 9000
{{- else -}}
# An S3 outside the chart: without networkPolicy.objectStoreCidrs, its addresses are not known here.
- ports:
    - port: {{ .Values.objectStore.port }}
  {{- with .Values.networkPolicy.objectStoreCidrs }}
  to:
    {{- range . }}
    - ipBlock:
        cidr: {{ . | quote }}
    {{- end }}
  {{- end }}
{{- if .Values.objectStore.identity }}
# EKS Pod Identity's agent, on each node.
- ports:
    - port: 80
  to:
    - ipBlock:
        cidr: 169.254.170.23/32
    - ipBlock:
        cidr: fd00:ec2::23/128
{{- end }}
{{- end }}
{{- end }}

{{/* The patch of every step's pod, with Argo's expression for KFP's init container. Argo ends an expression at the first
two closing braces: keep them apart. */}}
{{- define "sluice.stepPodPatch" -}}
{{- $own := printf "workflow.serviceAccountName == %q" (include "sluice.accounts.step" .) -}}
{{- $account := "serviceAccountName: %s\\nautomountServiceAccountToken: true" -}}
# {{ printf `{{= pod.name matches "system-(container|dag)-driver-[0-9]+$" && %s ? "driver\n%s" : "others" }}` $own (printf $account (include "sluice.accounts.driver" .)) }}
{{- if .Values.runtimes.enabled }}
# {{ printf `{{= pod.name matches "system-container-impl-[0-9]+$" && %s && inputs.parameters["pod-spec-patch"] contains "sluice.components.train_distributed" ? "training\n%s" : "others" }}` $own (printf $account (include "sluice.accounts.training" .)) }}
{{- end }}
{{- if .Values.steps.sources }}
# {{ printf `{{= pod.name matches "system-container-impl-[0-9]+$" && inputs.parameters["pod-spec-patch"] matches "sluice[.]components[.]ingest[.,]" ? "sources\n%s" : "others" }}` (include "sluice.sourceVariables" .) }}
{{- end }}
securityContext:
  {{- include "sluice.podSecurityContext" .Values.steps.runAsUser | nindent 2 }}
{{- include "sluice.imagePullSecrets" . }}
{{- with include "sluice.stepPlaces" . }}
{{ . }}
{{- end }}
volumes:
- name: sluice-tmp
  emptyDir: {sizeLimit: {{ .Values.steps.tmpSize }}}
{{- with include "sluice.stepExtras" (list . "volumes") }}
{{ . }}
{{- end }}
{{- with include "sluice.tls.caVolume" . }}
{{ . }}
{{- end }}
initContainers:
- name: init
  volumeMounts: [{name: sluice-tmp, mountPath: /tmp}]
{{ `# {{= pod.name matches "system-container-impl-[0-9]+$" ? "steps\n- {name: kfp-launcher, volumeMounts: [{name: sluice-tmp, mountPath: /tmp}], resources: {requests: {memory: 32Mi, ephemeral-storage: 64Mi}, limits: {ephemeral-storage: 256Mi} }, securityContext: {allowPrivilegeEscalation: false, readOnlyRootFilesystem: true, capabilities: {drop: [ALL]} } }" : "others" }}` }}
{{- end }}

{{/* Addresses of databases for steps that ingest, in a patch, as a word of an expression: no two braces close together. */}}
{{- define "sluice.sourceVariables" -}}
{{- $variables := list -}}
{{- range $name, $source := .Values.steps.sources -}}
{{- $variables = append $variables (printf "{name: SLUICE_SOURCE_%s, valueFrom: {secretKeyRef: {name: %s, key: %s, optional: true} } }" $name $source.secretName $source.key) -}}
{{- end -}}
containers:\n- {name: main, env: [{{ join ", " $variables }}]}
{{- end }}

{{/* The port of a URL. Call: include "sluice.urlPort" "https://mlflow.example.org" */}}
{{- define "sluice.urlPort" -}}
{{- $host := (urlParse .).host -}}
{{- if regexMatch ":[0-9]+$" $host }}{{ regexFind "[0-9]+$" $host }}{{ else }}{{ ternary 443 80 (hasPrefix "https:" .) }}{{ end -}}
{{- end }}

{{/* Whether clients of MLflow log in: ours asks for it, one outside the chart where a Secret is named. */}}
{{- define "sluice.mlflow.login" -}}
{{- if or .Values.mlflow.enabled (and .Values.mlflow.externalUrl .Values.mlflow.existingSecret) }}true{{ end -}}
{{- end }}

{{/* What the chart's jobs find in their environment, besides the objects sluice-steps. Call:
include "sluice.jobEnv" (list $ "http://...") - KFP's address, or nothing where they leave KFP alone. */}}
{{- define "sluice.jobEnv" -}}
{{- $root := index . 0 -}}
- name: POD_NAMESPACE
  valueFrom:
    fieldRef:
      fieldPath: metadata.namespace
- name: SLUICE_KFP
  value: {{ index . 1 | quote }}
# Where the steps' images are, for the pipelines that are compiled there; sluice-steps names each one whole.
- name: SLUICE_IMAGES
  value: {{ include "sluice.imagePrefix" $root }}
- name: SLUICE_IMAGE_TAG
  value: {{ $root.Values.images.tabular.tag | default $root.Values.images.tag | default $root.Chart.AppVersion | quote }}
# Not through the gateway of runs' pods, which sluice-steps names.
- name: AWS_ENDPOINT_URL
  value: {{ include "sluice.objectStore.url" $root }}
- name: MLFLOW_TRACKING_URI
  value: {{ include "sluice.mlflow.url" $root | quote }}
- name: HOME
  value: /tmp
{{- with include "sluice.tls.pythonEnv" $root }}
{{ . }}
{{- end }}
{{- end }}

{{/* What stands before the names of the steps' images. */}}
{{- define "sluice.imagePrefix" -}}
{{- $repository := .Values.images.tabular.repository -}}
{{- with .Values.images.registry }}{{ $repository = printf "%s/%s" (trimSuffix "/" .) $repository }}{{ end -}}
{{ dir $repository }}
{{- end }}
