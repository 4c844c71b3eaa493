{{/* The api-server's environment. What only one of KFP 2.14 and 2.17 reads, the other passes over. */}}
{{- define "sluice.kfp.apiServerEnv" -}}
- name: POD_NAMESPACE  # where it makes runs and looks for them
  {{- if include "sluice.runs.apart" . }}
  value: {{ .Values.runs.namespace }}
  {{- else }}
  valueFrom:
    fieldRef:
      fieldPath: metadata.namespace
  {{- end }}
# What it says of its version: KFP's own images say it themselves, those built elsewhere do not.
- name: TAG_NAME
  value: {{ .Values.kfp.apiServer.image.tag | quote }}
- name: CLUSTER_DOMAIN
  value: {{ .Values.clusterDomain }}
# Its tables.
- name: DBCONFIG_MYSQLCONFIG_HOST
  value: {{ include "sluice.mysql.host" . }}
- name: DBCONFIG_MYSQLCONFIG_PORT
  value: {{ include "sluice.mysql.port" . | quote }}
- name: DBCONFIG_MYSQLCONFIG_USER
  valueFrom:
    secretKeyRef:
      name: {{ include "sluice.mysql.secret" . }}
      key: username
- name: DBCONFIG_MYSQLCONFIG_PASSWORD
  valueFrom:
    secretKeyRef:
      name: {{ include "sluice.mysql.secret" . }}
      key: password
# Its bucket.
- name: OBJECTSTORECONFIG_HOST
  value: {{ include "sluice.objectStore.host" . }}
- name: OBJECTSTORECONFIG_PORT
  value: {{ include "sluice.objectStore.port" . | quote }}
- name: OBJECTSTORECONFIG_SECURE
  value: {{ include "sluice.objectStore.secure" . | quote }}
- name: OBJECTSTORECONFIG_REGION
  value: {{ .Values.objectStore.region }}
{{ include "sluice.objectStore.keys" (list (include "sluice.objectStore.account" (list . "kfp")) "OBJECTSTORECONFIG_ACCESSKEY" "OBJECTSTORECONFIG_SECRETACCESSKEY") }}
# What it puts into steps' pods.
- name: V2_DRIVER_IMAGE
  value: {{ include "sluice.image" (list . .Values.kfp.driver.image) }}
- name: V2_LAUNCHER_IMAGE
  value: {{ include "sluice.image" (list . .Values.kfp.launcher.image) }}
- name: PIPELINE_RUN_AS_USER  # 2.14
  value: {{ .Values.steps.runAsUser | quote }}
- name: DEFAULT_SECURITY_CONTEXT_RUN_AS_USER  # 2.17, as the next two
  value: {{ .Values.steps.runAsUser | quote }}
- name: DEFAULT_SECURITY_CONTEXT_RUN_AS_GROUP
  value: {{ .Values.steps.runAsUser | quote }}
- name: DEFAULT_SECURITY_CONTEXT_RUN_AS_NON_ROOT
  value: "true"
- name: ML_PIPELINE_SERVICE_NAME  # 2.17, as the next two: where steps find KFP and MLMD
  value: {{ include "sluice.gateway.cacheService" . }}
- name: METADATA_SERVICE_NAME
  value: metadata-grpc-service
- name: BLOCK_V1_PIPELINES
  value: "true"
- name: AUTO_UPDATE_PIPELINE_DEFAULT_VERSION
  value: "true"
# A part of KFP v1 that the chart leaves out; without an address, any, the program does not start.
- name: ML_PIPELINE_VISUALIZATIONSERVER_SERVICE_HOST
  value: none
- name: ML_PIPELINE_VISUALIZATIONSERVER_SERVICE_PORT
  value: "8888"
- name: HOME
  value: /tmp
{{- end }}
