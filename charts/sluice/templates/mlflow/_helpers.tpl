{{/* Helpers of MLflow alone; its address and Secret for others are in ../_helpers.tpl. */}}

{{- define "sluice.postgresql.secret" -}}
{{ .Values.postgresql.existingSecret | default "postgresql-credentials" }}
{{- end }}

{{/* The name of the steps' account, for whichever template asks for it first: the other Secrets then repeat it. */}}
{{- define "sluice.mlflow.username" -}}
{{ include "sluice.keptSecret" (list . "mlflow-credentials" "username" "steps") }}
{{- end }}

{{/* The same of the register step's account. */}}
{{- define "sluice.mlflow.registerUsername" -}}
{{ include "sluice.keptSecret" (list . "mlflow-credentials" "register-username" "register") }}
{{- end }}

{{/* The same of the model servers' account. */}}
{{- define "sluice.mlflow.servingUsername" -}}
{{ include "sluice.keptSecret" (list . "mlflow-credentials" "serving-username" "serving") }}
{{- end }}

{{/*
The key of an account in MLflow's Secret. Call: ... (list $ "register" "password"), or "serving"
An MLflow of your own may have one account for all: then it is that of the steps.
*/}}
{{- define "sluice.mlflow.accountKey" -}}
{{- $root := index . 0 -}}{{- $name := $root.Values.mlflow.existingSecret -}}
{{- $own := printf "%s-%s" (index . 1) (index . 2) -}}
{{- $found := dict -}}
{{- if $name }}{{ $found = (lookup "v1" "Secret" $root.Release.Namespace $name).data | default dict }}{{ end -}}
{{- if or $root.Values.mlflow.enabled (not $name) (hasKey $found $own) }}{{ $own }}{{ else }}{{ index . 2 }}{{ end -}}
{{- end }}

{{/* MLflow's database: the chart's PostgreSQL, or one outside. */}}
{{- define "sluice.mlflow.database.secret" -}}
{{- if .Values.postgresql.enabled }}{{ include "sluice.postgresql.secret" . }}{{ else }}{{ .Values.mlflow.database.existingSecret }}{{ end -}}
{{- end }}
{{- define "sluice.mlflow.database.address" -}}
{{- if .Values.postgresql.enabled }}postgresql.{{ .Release.Namespace }}.svc.{{ .Values.clusterDomain }}:5432{{ else }}{{ .Values.mlflow.database.host }}:{{ .Values.mlflow.database.port }}{{ end -}}
{{- end }}

{{/*
The environment of every pod that touches MLflow's database. User and password reach libpq in variables of its own, so
that no address with a password stands anywhere.
*/}}
{{- define "sluice.mlflow.env" -}}
{{- $database := .Values.mlflow.database -}}
{{- $address := include "sluice.mlflow.database.address" . -}}
- name: MLFLOW_BACKEND_STORE_URI
  value: postgresql+psycopg2://{{ $address }}/{{ $database.name }}
- name: SLUICE_MLFLOW_AUTH_STORE_URI
  value: postgresql+psycopg2://{{ $address }}/{{ $database.authName | default $database.name }}
- name: PGUSER
  valueFrom:
    secretKeyRef:
      name: {{ include "sluice.mlflow.database.secret" . }}
      key: username
- name: PGPASSWORD
  valueFrom:
    secretKeyRef:
      name: {{ include "sluice.mlflow.database.secret" . }}
      key: password
- name: PGSSLMODE
  value: {{ ternary (ternary "verify-full" "disable" (eq (include "sluice.tls.on" .) "true")) $database.sslMode .Values.postgresql.enabled }}
{{- if include "sluice.tls.of" (list . "postgresql") }}
- name: PGSSLROOTCERT
  value: {{ include "sluice.tls.caFile" . }}
{{- else if and (not .Values.postgresql.enabled) (hasPrefix "verify-" $database.sslMode) }}
- name: PGSSLROOTCERT  # "system": the image's certificates
  value: {{ ternary "/etc/postgresql-ca/ca.crt" "system" (ne $database.caConfigMap "") }}
{{- end }}
- name: MLFLOW_ARTIFACTS_DESTINATION
  value: s3://{{ .Values.objectStore.buckets.mlflow }}
- name: MLFLOW_AUTH_ADMIN_USERNAME
  valueFrom:
    secretKeyRef:
      name: {{ include "sluice.mlflow.secret" . }}
      key: admin-username
- name: MLFLOW_AUTH_ADMIN_PASSWORD
  valueFrom:
    secretKeyRef:
      name: {{ include "sluice.mlflow.secret" . }}
      key: admin-password
- name: SLUICE_MLFLOW_DEFAULT_PERMISSION
  value: {{ .Values.mlflow.defaultPermission }}
- name: GIT_PYTHON_REFRESH  # the image has no git, and MLflow would say so at each start
  value: quiet
- name: HOME
  value: /tmp
{{- end }}

{{/* Where a CA of the database's own is mounted, and the volume. */}}
{{- define "sluice.mlflow.caMount" -}}
{{- if and (not .Values.postgresql.enabled) .Values.mlflow.database.caConfigMap -}}
- name: postgresql-ca
  mountPath: /etc/postgresql-ca
  readOnly: true
{{- end }}
{{- if include "sluice.tls.on" . }}
{{ include "sluice.tls.caMount" . }}
{{- end }}
{{- end }}
{{- define "sluice.mlflow.caVolume" -}}
{{- if and (not .Values.postgresql.enabled) .Values.mlflow.database.caConfigMap -}}
- name: postgresql-ca
  configMap:
    name: {{ .Values.mlflow.database.caConfigMap }}
{{- end }}
{{- if include "sluice.tls.on" . }}
{{ include "sluice.tls.caVolume" . }}
{{- end }}
{{- end }}

{{/* Host headers that the server answers to; anything else may be DNS rebinding and gets 403. */}}
{{- define "sluice.mlflow.allowedHosts" -}}
{{- $hosts := list "localhost" "localhost:*" "127.0.0.1" "127.0.0.1:*" -}}
{{- $namespace := .Release.Namespace -}}
{{- range list "mlflow" (printf "mlflow.%s" $namespace) (printf "mlflow.%s.svc" $namespace) (printf "mlflow.%s.svc.%s" $namespace .Values.clusterDomain) -}}
{{- $hosts = concat $hosts (list . (printf "%s:5000" .)) -}}
{{- end -}}
{{- with .Values.mlflow.ingress }}{{ if .enabled }}{{ $hosts = append $hosts .host }}{{ end }}{{ end -}}
{{- concat $hosts .Values.mlflow.allowedHosts | uniq | join "," -}}
{{- end }}

{{/* Origins of pages that may change something: MLflow's own, seen under those hosts (localhost always may). */}}
{{- define "sluice.mlflow.allowedOrigins" -}}
{{- $origins := list -}}
{{- with .Values.mlflow.ingress }}{{ if .enabled }}{{ $origins = append $origins (printf "%s://%s" (ternary "https" "http" (or (ne .tlsSecret "") .allowHttp)) .host) }}{{ end }}{{ end -}}
{{- range .Values.mlflow.allowedHosts }}{{ $origins = concat $origins (list (printf "http://%s" .) (printf "https://%s" .)) }}{{ end -}}
{{- $origins | uniq | join "," -}}
{{- end }}
