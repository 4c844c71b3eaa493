{{/* Values of MLflow that contradict each other, one line each; see ../common/_refusals.tpl. */}}
{{- define "sluice.mlflow.refuse" -}}
{{- $m := .Values.mlflow -}}{{- $p := .Values.postgresql -}}
{{- $bad := list -}}
{{- if $m.enabled -}}
  {{- if $m.externalUrl -}}
  {{- $bad = append $bad "both mlflow.enabled and mlflow.externalUrl are set: set mlflow.enabled=false to use the MLflow of your own, or leave mlflow.externalUrl empty" -}}
  {{- end -}}
  {{- if and (not $p.enabled) (not $m.database.host) -}}
  {{- $bad = append $bad "postgresql.enabled is false and mlflow.database.host is empty: MLflow needs a PostgreSQL" -}}
  {{- end -}}
  {{- if and $p.enabled $m.database.host -}}
  {{- $bad = append $bad "both postgresql.enabled and mlflow.database.host are set: set postgresql.enabled=false to use the server of your own, or leave mlflow.database.host empty" -}}
  {{- end -}}
  {{- if and (not $p.enabled) $m.database.host (not $m.database.existingSecret) -}}
  {{- $bad = append $bad "mlflow.database.host is set without mlflow.database.existingSecret: name a Secret with the keys username and password" -}}
  {{- end -}}
  {{- if and $p.enabled (ne ($m.database.authName | default $m.database.name) $m.database.name) -}}
  {{- $bad = append $bad "mlflow.database.authName with postgresql.enabled: the chart's server has one database; leave it empty" -}}
  {{- end -}}
  {{- if and $m.database.caConfigMap (not (hasPrefix "verify-" $m.database.sslMode)) -}}
  {{- $bad = append $bad (printf "mlflow.database.caConfigMap with sslMode %q, which checks no certificate: use verify-full" $m.database.sslMode) -}}
  {{- end -}}
{{- else -}}
  {{- if $p.enabled -}}
  {{- $bad = append $bad "postgresql.enabled without mlflow.enabled: nothing would use it; set postgresql.enabled=false" -}}
  {{- end -}}
  {{- if $m.ingress.enabled -}}
  {{- $bad = append $bad "mlflow.ingress.enabled without mlflow.enabled: there are no pages to show" -}}
  {{- end -}}
{{- end -}}
{{- with $m.ingress -}}{{- if .enabled -}}
  {{- if not .host -}}
  {{- $bad = append $bad "mlflow.ingress.enabled without mlflow.ingress.host: name the host" -}}
  {{- end -}}
  {{- if and (not .tlsSecret) (not .allowHttp) -}}
  {{- $bad = append $bad "mlflow.ingress.enabled without mlflow.ingress.tlsSecret: passwords would travel in clear; name the host's TLS Secret, or set mlflow.ingress.allowHttp=true where something else does TLS" -}}
  {{- end -}}
{{- end -}}{{- end -}}
{{- if and (eq $m.service.type "ClusterIP") (gt (int $m.service.nodePort) 0) -}}
{{- $bad = append $bad "mlflow.service.nodePort is set with type ClusterIP: set mlflow.service.type=NodePort" -}}
{{- end -}}
{{- if $bad }}{{ fail (printf "\n\nsluice: %s\n" (join "\nsluice: " $bad)) }}{{ end -}}
{{- end }}
