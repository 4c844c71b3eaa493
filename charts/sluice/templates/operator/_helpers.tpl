{{/* The operator's document, as `sluice.operator.on_cluster.process_settings` reads it, as JSON. */}}
{{- define "sluice.operator.settings" -}}
{{- $o := .Values.operator -}}
{{- $document := dict
  "namespace" .Release.Namespace "kfp" (include "sluice.kfp.url" .) "port" 8080 "metricsPort" 9090
  "tokenFiles" (list "/etc/operator/tokens/tokens") "workers" (int $o.workers)
  "lease" (dict "name" "sluice-operator" "seconds" (int $o.leaseSeconds)) "pauses" $o.pauses "kueue" $o.kueue -}}
{{- if $o.modelServers }}{{ $_ := set $document "site" (include "sluice.operator.site" . | fromJson) }}{{ end -}}
{{ $document | toJson }}
{{- end }}

{{/* Where it makes servers of models: `sluice.cluster.model_server_site.Site`, as JSON. */}}
{{- define "sluice.operator.site" -}}
{{- $root := . -}}
{{- $images := dict -}}
{{- range $name := list "server" "tabular" "torch" }}{{ $_ := set $images $name (include "sluice.image" (list $root (get $root.Values.images $name))) }}{{ end -}}
{{- $secrets := dict -}}
{{- range $part := list "serving" "monitoring" "register" -}}
{{- with include "sluice.objectStore.account" (list $root $part) }}{{ $_ := set $secrets $part . }}{{ end -}}
{{- end -}}
{{- $site := dict
  "namespace" .Release.Namespace "release" .Release.Name "images" $images "storeUrl" (include "sluice.objectStore.url" .)
  "mlflowUrl" (include "sluice.mlflow.url" .) "store" .Values.objectStore.buckets.sluice "region" .Values.objectStore.region
  "storeSecrets" $secrets "policies" .Values.networkPolicy.enabled "pullPolicy" .Values.images.pullPolicy
  "entryPoints" .Values.networkPolicy.entryPoints -}}
{{- if include "sluice.mlflow.login" . }}{{ $_ := set $site "mlflowSecret" (include "sluice.mlflow.secret" .) }}{{ end -}}
{{- if include "sluice.tls.on" . -}}
{{- $_ := set $site "caConfigMap" (.Values.tls.caConfigMap | default "sluice-ca") -}}
{{- $_ := set $site "storeTls" (eq (include "sluice.tls.of" (list . "minio")) "true") -}}
{{- $_ := set $site "mlflowTls" (eq (include "sluice.tls.of" (list . "mlflow")) "true") -}}
{{- end -}}
{{ $site | toJson }}
{{- end }}

{{/* The Secret of tokens that senders of events show. */}}
{{- define "sluice.operator.tokens" -}}
{{ .Values.operator.tokens.existingSecret | default "sluice-operator-tokens" }}
{{- end }}

{{/* Whether servers of models may run here: of the chart's values, or of custom resources. */}}
{{- define "sluice.servesModels" -}}
{{- if or .Values.modelServers (and .Values.operator.enabled .Values.operator.modelServers) }}true{{ end -}}
{{- end }}
