{{/*
The one way of runs' pods to the chart's MinIO, to its MLflow and to KFP's cache: an nginx that asks, of everything that
writes, a program beside it whose run's pod it comes from. platform/sluice/run_gateway says what a run may write at MinIO;
of MLflow its own server does, to which nginx says whose the request is (platform/sluice/mlflow_server/ownership.py).
*/}}

{{- define "sluice.gateway.enabled" -}}
{{- if and .Values.minio.enabled (.Values.objectStore.gateway | default dict).enabled }}true{{ end -}}
{{- end }}

{{/* Whether pods of runs ask KFP's cache; without MLMD nobody has seen what else they ask. */}}
{{- define "sluice.gateway.cache" -}}
{{- if and .Values.kfp.enabled (or .Values.kfp.apiServer.cache (not (include "sluice.metadata.enabled" .))) }}true{{ end -}}
{{- end }}

{{/* Whether pods of runs reach MLflow through it, too. */}}
{{- define "sluice.gateway.tracking" -}}
{{- if and (include "sluice.gateway.enabled" .) .Values.mlflow.enabled }}true{{ end -}}
{{- end }}

{{/* MLflow's address for pods of runs. KFP has one for its API server and for them, so that comes here, too. */}}
{{- define "sluice.runTracking.url" -}}
{{- if include "sluice.gateway.tracking" . }}{{ ternary "https" "http" (ne "" (include "sluice.tls.on" .)) }}://{{ include "sluice.runStore.host" . }}:5000{{ else }}{{ include "sluice.mlflow.url" . }}{{ end -}}
{{- end }}

{{/* The same as an item of a NetworkPolicy's `egress`; nothing without an MLflow. */}}
{{- define "sluice.runTracking.egress" -}}
{{- if .Values.mlflow.enabled -}}
- to:
    - podSelector:
        matchLabels:
          {{- include "sluice.selector" (list $ (ternary "run-gateway" "mlflow" (ne "" (include "sluice.gateway.tracking" .)))) | nindent 10 }}
      {{- include "sluice.runs.platformPeer" . | nindent 6 }}
  ports:
    - port: 5000
{{- else if .Values.mlflow.externalUrl -}}
- ports:
    - port: {{ include "sluice.urlPort" .Values.mlflow.externalUrl }}
{{- end }}
{{- end }}

{{/* The object store as pods of runs reach it: host, port, TLS, and all of it as a URL. */}}
{{- define "sluice.runStore.host" -}}
{{- if include "sluice.gateway.enabled" . }}run-gateway.{{ .Release.Namespace }}.svc.{{ .Values.clusterDomain }}{{ else }}{{ include "sluice.objectStore.host" . }}{{ end -}}
{{- end }}
{{- define "sluice.runStore.port" -}}
{{- if include "sluice.gateway.enabled" . }}9000{{ else }}{{ include "sluice.objectStore.port" . }}{{ end -}}
{{- end }}
{{- define "sluice.runStore.secure" -}}
{{- if include "sluice.gateway.enabled" . }}{{ ternary "true" "false" (ne "" (include "sluice.tls.on" .)) }}{{ else }}{{ include "sluice.objectStore.secure" . }}{{ end -}}
{{- end }}
{{- define "sluice.runStore.url" -}}
{{- if eq (include "sluice.runStore.secure" .) "true" }}https{{ else }}http{{ end }}://{{ include "sluice.runStore.host" . }}:{{ include "sluice.runStore.port" . }}
{{- end }}

{{/* The way out of runs' pods to the object store, as an item of a NetworkPolicy's `egress`. */}}
{{- define "sluice.runStore.egress" -}}
{{- if include "sluice.gateway.enabled" . -}}
- to:
    - podSelector:
        matchLabels:
          {{- include "sluice.selector" (list $ "run-gateway") | nindent 10 }}
      {{- include "sluice.runs.platformPeer" . | nindent 6 }}
  ports:
    - port: 9000
{{- else -}}
{{ include "sluice.objectStore.egress" . }}
{{- end }}
{{- end }}

{{/* The Service by which pods of runs find KFP's cache. */}}
{{- define "sluice.gateway.cacheService" -}}
{{- if and (include "sluice.gateway.enabled" .) (include "sluice.gateway.cache" .) }}run-gateway{{ else }}ml-pipeline{{ end -}}
{{- end }}
