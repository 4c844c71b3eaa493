{{/* Whether pods of runs hold this release's own steps alone. A release of before keeps its values with --reuse-values. */}}
{{- define "sluice.ownStepsOnly" -}}{{ if eq (toString .Values.steps.projectCode) "false" }}true{{ end }}{{- end }}

{{/* What KFP's launcher asks the Kubernetes API for: its settings, and its keys to the object store. */}}
{{- define "sluice.launcherRules" -}}
- apiGroups: [""]
  resources: [configmaps]
  resourceNames: [kfp-launcher]
  verbs: [get]
{{- with include "sluice.objectStore.account" (list . "runs") }}
- apiGroups: [""]
  resources: [secrets]
  resourceNames: [{{ . }}]
  verbs: [get]
{{- end }}
{{- end }}

{{/*
A token without an end of a ServiceAccount, in a Secret. Argo mounts no other for its executor and its agents: by the
name of the account, into its own containers alone. Call: include "sluice.accountToken" (list $ "pipeline-runner" "steps")
*/}}
{{- define "sluice.accountToken" -}}
apiVersion: v1
kind: Secret
metadata:
  name: {{ include "sluice.tokenSecret" (index . 1) }}
  namespace: {{ include "sluice.runs.namespace" (index . 0) }}
  labels:
    {{- include "sluice.labels" . | nindent 4 }}
  annotations:
    kubernetes.io/service-account.name: {{ index . 1 }}
type: kubernetes.io/service-account-token
{{- end }}
