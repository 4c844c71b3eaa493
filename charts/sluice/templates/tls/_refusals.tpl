{{/* Values of TLS that contradict each other, as a YAML list of lines; see ../common/_refusals.tpl. */}}
{{- define "sluice.tls.refusals" -}}
{{- $t := .Values.tls | default (dict "issuerRef" dict "secrets" dict "ca" "") -}}{{- $bad := list -}}
{{- $own := list -}}
{{- range $name, $secret := $t.secrets }}{{ if $secret }}{{ $own = append $own (printf "tls.secrets.%s" $name) }}{{ end }}{{ end -}}
{{- if $t.issuerRef.name }}{{ $own = prepend $own "tls.issuerRef" }}{{ end -}}
{{- if and $own (not $t.enabled) -}}
{{- $bad = append $bad (printf "%s without tls.enabled: nothing would use it; set tls.enabled=true" (first $own)) -}}
{{- end -}}
{{- if and $t.enabled $own (not $t.ca) (not $t.caConfigMap) -}}
{{- $bad = append $bad (printf "%s without tls.ca: no client would trust it; give its authority's certificate, --set-file tls.ca=ca.crt" (first $own)) -}}
{{- end -}}
{{- if and $t.ca $t.caConfigMap -}}
{{- $bad = append $bad "both tls.ca and tls.caConfigMap are set: keep one" -}}
{{- end -}}
{{- if and $t.caConfigMap (include "sluice.tls.of" (list . "minio")) -}}
{{- $bad = append $bad "tls.caConfigMap with minio.enabled: Argo reads an authority from a Secret alone, which the chart makes from tls.ca; give that" -}}
{{- end -}}
{{- if and $t.caConfigMap (include "sluice.tls.makesAny" .) -}}
{{- $bad = append $bad "tls.caConfigMap with certificates that the chart makes: its own authority is not in there; name tls.issuerRef or all of tls.secrets, or give tls.ca" -}}
{{- end -}}
{{- if contains "PRIVATE KEY" $t.ca -}}
{{- $bad = append $bad "tls.ca holds a private key, which every pod would be given: give certificates alone" -}}
{{- end -}}
{{- if and $t.enabled .Values.mysql.enabled (has .Values.mysql.tls (list "skip-verify" "preferred")) -}}
{{- $bad = append $bad (printf "mysql.tls=%s with tls.enabled: KFP checks the certificate of the chart's MariaDB; leave it empty" .Values.mysql.tls) -}}
{{- end -}}
{{ $bad | toYaml }}
{{- end }}
