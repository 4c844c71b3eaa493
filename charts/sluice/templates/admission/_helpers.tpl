{{/*
What the admission policies pin: which accounts, images, Secrets, labels and volumes pods of runs may have. Lists are
written as CEL's own, which JSON is, too.
*/}}

{{/* Accounts of runs' pods by what they do. They stand here once; templates/steps/rbac.yaml says what each may do. */}}
{{- define "sluice.accounts.step" -}}pipeline-runner{{- end }}
{{- define "sluice.accounts.training" -}}pipeline-trainer{{- end }}
{{- define "sluice.accounts.executor" -}}pipeline-executor{{- end }}
{{- define "sluice.accounts.driver" -}}kfp-driver-executor-plugin{{- end }}
{{- define "sluice.accounts.worker" -}}training-worker{{- end }}

{{/* The Secret that Argo looks for where it mounts an account's token. Call: include "sluice.tokenSecret" "pipeline-runner" */}}
{{- define "sluice.tokenSecret" -}}{{ . }}.service-account-token{{- end }}

{{/* The name of one of the policies, which belong to the whole cluster. Call: include "sluice.policyName" (list $ "pods") */}}
{{- define "sluice.policyName" -}}
{{ (index . 0).Release.Namespace }}-{{ (index . 0).Release.Name }}-runs-{{ index . 1 }}
{{- end }}

{{/* Head and binding of a policy. Call: include "sluice.policyBinding" (list $ "pods") */}}
{{- define "sluice.policyBinding" -}}
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicyBinding
metadata:
  name: {{ include "sluice.policyName" . }}
  labels:
    {{- include "sluice.labels" (list (index . 0) "admission" "steps") | nindent 4 }}
spec:
  policyName: {{ include "sluice.policyName" . }}
  validationActions: [Deny]
{{- end }}

{{/* What a policy looks at: the namespace of runs, and nothing else. */}}
{{- define "sluice.policyNamespace" -}}
namespaceSelector:
  matchLabels:
    kubernetes.io/metadata.name: {{ include "sluice.runs.namespace" . }}
{{- end }}

{{/* A condition: who may change the policy is not held by it. Call: include "sluice.heldUsers" (list $ "pods") */}}
{{- define "sluice.heldUsers" -}}
!authorizer.group("admissionregistration.k8s.io").resource("validatingadmissionpolicies")
.name("{{ include "sluice.policyName" . }}").check("update").allowed()
{{- end }}

{{/* The accounts that a workflow may name. */}}
{{- define "sluice.admission.accounts" -}}
{{ prepend .Values.admission.serviceAccounts (include "sluice.accounts.step" .) | toJson }}
{{- end }}

{{/* The accounts that its pods may have: templates/argo gives some of them another one. */}}
{{- define "sluice.admission.podAccounts" -}}
{{- $accounts := list (include "sluice.accounts.step" .) -}}
{{- if .Values.runtimes.enabled }}{{ $accounts = append $accounts (include "sluice.accounts.training" .) }}{{ end -}}
{{- if and .Values.kfp.enabled (not .Values.kfp.driver.inAgent) }}{{ $accounts = append $accounts (include "sluice.accounts.driver" .) }}{{ end -}}
{{ concat $accounts .Values.admission.serviceAccounts | toJson }}
{{- end }}

{{/* The Secrets that any pod of a run may name: the steps' keys, and what the administrator lists. */}}
{{- define "sluice.admission.secrets" -}}
{{ concat (list "sluice-steps") .Values.admission.secrets | toJson }}
{{- end }}

{{/* The Secrets that pods of workflows may name besides: what KFP and Argo put there themselves. */}}
{{- define "sluice.admission.workflowSecrets" -}}
{{- $secrets := list (include "sluice.objectStore.account" (list . "runs")) -}}
{{- if include "sluice.mlflowPlugin" . }}{{ $secrets = append $secrets "kfp-mlflow-credentials" }}{{ end -}}
{{- if include "sluice.tls.of" (list . "minio") }}{{ $secrets = append $secrets "sluice-ca" }}{{ end -}}
{{ compact $secrets | toJson }}
{{- end }}

{{/* The Secrets that any pod of a run may pull images with. */}}
{{- define "sluice.admission.pullSecrets" -}}
{{- $secrets := .Values.admission.secrets -}}
{{- range .Values.images.pullSecrets }}{{ $secrets = append $secrets .name }}{{ end -}}
{{ $secrets | uniq | toJson }}
{{- end }}

{{/* A regular expression for the images that runs may use: a repository as listed, with any tag and digest. An entry that
ends in /* is all repositories below; * alone is every image. */}}
{{- define "sluice.admission.images" -}}
{{- $root := . -}}{{- $v := .Values -}}
{{- $entries := list -}}
{{- $parts := list $v.images.tabular $v.images.torch $v.argo.executor.image -}}
{{- if $v.kfp.enabled }}{{ $parts = concat $parts (list $v.kfp.driver.image $v.kfp.launcher.image) }}{{ end -}}
{{- if include "sluice.driverInAgent" . }}{{ $parts = append $parts $v.kfp.driver.agent.image }}{{ end -}}
{{- if $v.runtimes.enabled -}}
{{- range list $v.runtimes.torchGpu.image $v.runtimes.jaxTpu.image }}{{ if .repository }}{{ $parts = append $parts . }}{{ end }}{{ end -}}
{{- end -}}
{{- range $parts -}}
{{- $entries = append $entries (include "sluice.image" (list $root (dict "repository" .repository "tag" "x" "digest" "")) | trimSuffix ":x") -}}
{{- end -}}
{{- $patterns := list -}}
{{- range concat $entries $v.admission.images | uniq -}}
{{- if eq . "*" }}{{ $patterns = append $patterns "[^\\s]+" -}}
{{- else if hasSuffix "/*" . }}{{ $patterns = append $patterns (printf "%s/[^\\s:@]+" (trimSuffix "/*" . | regexQuoteMeta)) -}}
{{- else }}{{ $patterns = append $patterns (regexQuoteMeta .) }}{{ end -}}
{{- end -}}
{{ printf "^(%s)(:[\\w][\\w.-]{0,127})?(@sha256:[0-9a-f]{64})?$" (join "|" $patterns) | toJson }}
{{- end }}

{{/* The volume claims of the platform. */}}
{{- define "sluice.admission.claims" -}}
{{ list "minio" "mysql" "postgresql" | toJson }}
{{- end }}

{{/* The user names of Kubernetes' own controllers that make pods. */}}
{{- define "sluice.admission.controllers" -}}
{{- $users := list "system:kube-controller-manager" -}}
{{- range list "replicaset" "statefulset" "daemon-set" "job" -}}
{{- $users = append $users (printf "system:serviceaccount:kube-system:%s-controller" .) -}}
{{- end -}}
{{ $users | toJson }}
{{- end }}

{{/* The user that makes workflows' pods. */}}
{{- define "sluice.admission.argo" -}}
system:serviceaccount:{{ .Release.Namespace }}:workflow-controller
{{- end }}
