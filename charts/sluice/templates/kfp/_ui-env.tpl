{{/* The UI's environment. Its defaults name the namespace kubeflow and another object store. */}}
{{- define "sluice.kfp.uiEnv" -}}
- name: FRONTEND_SERVER_NAMESPACE  # where it makes runs and looks for them
  {{- if include "sluice.runs.apart" . }}
  value: {{ .Values.runs.namespace }}
  {{- else }}
  valueFrom:
    fieldRef:
      fieldPath: metadata.namespace
  {{- end }}
- name: ML_PIPELINE_SERVICE_HOST
  value: ml-pipeline.{{ .Release.Namespace }}.svc.{{ .Values.clusterDomain }}
- name: ML_PIPELINE_SERVICE_PORT
  value: "8888"
- name: METADATA_ENVOY_SERVICE_SERVICE_HOST
  value: metadata-envoy-service.{{ .Release.Namespace }}.svc.{{ .Values.clusterDomain }}
- name: METADATA_ENVOY_SERVICE_SERVICE_PORT
  value: "9090"
# "minio" means any S3 here; without a namespace, the host is taken as it stands.
- name: MINIO_HOST
  value: {{ include "sluice.objectStore.host" . }}
- name: MINIO_NAMESPACE
  value: ""
- name: MINIO_PORT
  value: {{ include "sluice.objectStore.port" . | quote }}
- name: MINIO_SSL
  value: {{ include "sluice.objectStore.secure" . | quote }}
{{- with include "sluice.objectStore.account" (list . "kfp") }}
{{ include "sluice.objectStore.keys" (list . "MINIO_ACCESS_KEY" "MINIO_SECRET_KEY") }}
{{- else }}
# Empty, it takes the identity of its account; without these it takes MinIO's well-known keys.
- name: MINIO_ACCESS_KEY
  value: ""
- name: MINIO_SECRET_KEY
  value: ""
- name: AWS_REGION
  value: {{ .Values.objectStore.region | quote }}
{{- end }}
# Logs of pods that are gone.
- name: ARGO_ARCHIVE_LOGS
  value: "true"
- name: ARGO_ARCHIVE_BUCKETNAME
  value: {{ .Values.objectStore.buckets.pipelines }}
- name: ARGO_KEYFORMAT
  value: {{ include "sluice.logKey" . | quote }}
# Parts that the chart leaves out, and a cloud's own service.
- name: ALLOW_CUSTOM_VISUALIZATIONS
  value: "false"
- name: ARTIFACTS_SERVICE_PROXY_ENABLED
  value: "false"
- name: DISABLE_GKE_METADATA
  value: "true"
- name: CLUSTER_DOMAIN
  value: .svc.{{ .Values.clusterDomain }}
- name: HOME
  value: /tmp
{{- if include "sluice.tls.on" . }}
- name: NODE_EXTRA_CA_CERTS
  value: {{ include "sluice.tls.caFile" . }}
{{- end }}
{{- end }}
