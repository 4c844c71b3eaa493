{{/*
Servers of registered models. What is rendered here is what `sluice.cluster.model_server` builds from the same fields, for
an operator; tests/charts/test_model_servers.py holds one to the other.
*/}}

{{/* A server's fields, with what modelServerDefaults says of those that it leaves out, as YAML. Call: ... (list $ "late") */}}
{{- define "sluice.modelServer" -}}
{{- $root := index . 0 -}}
{{- $own := get $root.Values.modelServers (index . 1) | default dict | deepCopy -}}
{{- $all := omit $root.Values.modelServerDefaults "pod" | deepCopy -}}
{{ mergeOverwrite $all $own | toYaml }}
{{- end }}

{{/* Its threads: the limit of processors, rounded up. Call: include "sluice.modelServer.threads" $server.resources.limits.cpu */}}
{{- define "sluice.modelServer.threads" -}}
{{- $given := . | toString -}}
{{- if hasSuffix "m" $given }}{{ divf (trimSuffix "m" $given | float64) 1000 | ceil | int }}{{ else }}{{ $given | float64 | ceil | int }}{{ end -}}
{{- end }}

{{/* The document that it reads, as JSON. Call: include "sluice.modelServer.settings" $server */}}
{{- define "sluice.modelServer.settings" -}}
{{- $log := "" -}}
{{- if .log.enabled -}}
{{- $log = dict "spool" "/spool" "sampling" .log.sampling "seconds" .log.seconds "spool_bytes" (int64 .log.spoolBytes) "drain_seconds" 20 -}}
{{- end -}}
{{- $document := dict
  "model" .model "host" "0.0.0.0" "port" 8080 "metrics_port" 9090 "token_file" "/etc/model-server/tokens/tokens"
  "threads" (include "sluice.modelServer.threads" .resources.limits.cpu | int) "shadow" .shadow "slices" .slices
  "feedback" .feedback "drain" .drain "grace" .grace "limits" .limits -}}
{{- if .log.enabled }}{{ $_ := set $document "log" $log }}{{ end -}}
{{ $document | toJson }}
{{- end }}

{{/* Its Secret of tokens. Call: include "sluice.modelServer.tokens" (list "late" $server) */}}
{{- define "sluice.modelServer.tokens" -}}
{{ (index . 1).tokens.existingSecret | default (printf "model-%s-tokens" (index . 0)) }}
{{- end }}

{{/* Whether it may have more pods than one. */}}
{{- define "sluice.modelServer.several" -}}
{{- if or (ne .autoscaling.by "none") (gt (int .replicas) 1) }}true{{ end -}}
{{- end }}

{{/*
Where store and registry are, and whose accounts are used. Call: include "sluice.modelServer.env" (list $ "serving" "serving")
- the account of the store, that of MLflow.
*/}}
{{- define "sluice.modelServer.env" -}}
{{- $root := index . 0 -}}
- name: SLUICE_STORE
  value: sluice+s3://{{ $root.Values.objectStore.buckets.sluice }}
- name: AWS_ENDPOINT_URL
  value: {{ include "sluice.objectStore.url" $root }}
- name: AWS_REGION
  value: {{ $root.Values.objectStore.region | quote }}
{{- with include "sluice.objectStore.env" (list $root (index . 1)) | trim }}
{{ . }}
{{- end }}
- name: MLFLOW_TRACKING_URI
  value: {{ include "sluice.mlflow.url" $root | quote }}
{{- if include "sluice.mlflow.login" $root }}
{{- range $what := list "username" "password" }}
- name: MLFLOW_TRACKING_{{ upper $what }}
  valueFrom:
    secretKeyRef:
      name: {{ include "sluice.mlflow.secret" $root }}
      key: {{ include "sluice.mlflow.accountKey" (list $root (index $ 2) $what) }}
{{- end }}
{{- end }}
- name: HOME
  value: /tmp
{{- end }}
