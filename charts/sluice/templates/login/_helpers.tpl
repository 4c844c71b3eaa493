{{/* The people's login (kfp.login=oidc): which Services have one before them, each with a Deployment of its own. */}}
{{- define "sluice.login.fronts" -}}
{{- if eq .Values.kfp.login "oidc" -}}
{{- $fronts := list -}}
{{- if .Values.kfp.enabled }}{{ $fronts = append $fronts "kfp" }}{{ end -}}
{{- if .Values.mlflow.enabled }}{{ $fronts = append $fronts "mlflow" }}{{ end -}}
{{ join " " $fronts }}
{{- end -}}
{{- end }}

{{/* Whether somebody asks for a login between people and KFP: the chart's own proxies, or one of yours. */}}
{{- define "sluice.login.between" -}}
{{- if has .Values.kfp.login (list "oidc" "proxy") }}true{{ end -}}
{{- end }}

{{/*
What oauth2-proxy is told, as variables; secrets come from auth.oidc.existingSecret.
Source: oauth2-proxy 7.15, configuration/overview.
*/}}
{{- define "sluice.login.settings" -}}
{{- $o := .Values.auth.oidc -}}
OAUTH2_PROXY_PROVIDER: oidc
OAUTH2_PROXY_OIDC_ISSUER_URL: {{ $o.issuerUrl | quote }}
OAUTH2_PROXY_EMAIL_DOMAINS: {{ $o.emailDomains | join "," | quote }}
{{- with $o.allowedGroups }}
OAUTH2_PROXY_ALLOWED_GROUPS: {{ . | join "," | quote }}
{{- end }}
{{- with $o.scopes }}
OAUTH2_PROXY_SCOPE: {{ . | join " " | quote }}
{{- end }}
OAUTH2_PROXY_HTTP_ADDRESS: 0.0.0.0:4180
OAUTH2_PROXY_METRICS_ADDRESS: ""
# The ingress controller says which host and path people asked for; it must not hand on what they claim by themselves.
OAUTH2_PROXY_REVERSE_PROXY: "true"
OAUTH2_PROXY_SKIP_PROVIDER_BUTTON: "true"
OAUTH2_PROXY_COOKIE_SECURE: {{ not .Values.ingress.allowHttp | quote }}
OAUTH2_PROXY_COOKIE_SAMESITE: lax
OAUTH2_PROXY_COOKIE_EXPIRE: {{ $o.session | quote }}
# Who somebody is goes no further: neither KFP nor MLflow reads it, and a token has no business there.
OAUTH2_PROXY_PASS_BASIC_AUTH: "false"
OAUTH2_PROXY_PASS_ACCESS_TOKEN: "false"
OAUTH2_PROXY_PASS_USER_HEADERS: "false"
{{- end }}

{{/* Its command line before a Service. Call: include "sluice.login.arguments" (list $ "kfp") */}}
{{- define "sluice.login.arguments" -}}
{{- $root := index . 0 -}}
{{- if eq (index . 1) "kfp" -}}
- --upstream=http://ml-pipeline:8888/apis/
{{- if $root.Values.kfp.ui.enabled }}
- --upstream=http://ml-pipeline-ui:80/
{{- end }}
# Programs get an answer, not a page to log in at; with an id token of the provider they are let through.
- --api-route=^/apis/
- --skip-jwt-bearer-tokens=true
{{- else -}}
- --upstream={{ ternary "https" "http" (ne "" (include "sluice.tls.on" $root)) }}://mlflow:5000/
# Here MLflow asks itself, for the account that its own permissions are about.
- --skip-auth-route=^/api/
{{- end -}}
{{- end }}

{{/* Values of the login that contradict each other, a line each. */}}
{{- define "sluice.login.refusals" -}}
{{- $v := .Values -}}{{- $o := $v.auth.oidc -}}
{{- if eq $v.kfp.login "oidc" }}
{{- if not $o.issuerUrl }}
kfp.login=oidc without auth.oidc.issuerUrl: name your OpenID Connect provider, such as https://login.example.org/realms/company
{{- end }}
{{- if and $o.issuerUrl (not (hasPrefix "https://" $o.issuerUrl)) (not $o.allowHttp) }}
{{ printf "auth.oidc.issuerUrl is %q: tokens would be fetched without TLS; give its https:// address" $o.issuerUrl }}
{{- end }}
{{- if not $o.existingSecret }}
kfp.login=oidc without auth.oidc.existingSecret: name a Secret with the keys client-id, client-secret and cookie-secret
{{- end }}
{{- if not (or $o.emailDomains $o.allowedGroups) }}
kfp.login=oidc without auth.oidc.emailDomains: say whom to let in, as [example.org], or ["*"] for all whom the provider knows
{{- end }}
{{- if and $o.allowedGroups (not $o.emailDomains) }}
auth.oidc.allowedGroups without auth.oidc.emailDomains: say emailDomains: ["*"] where the groups alone decide
{{- end }}
{{- if not (include "sluice.login.fronts" .) }}
kfp.login=oidc without kfp.enabled or mlflow.enabled: there is nothing to stand before
{{- end }}
{{- if ne $v.mlflow.service.type "ClusterIP" }}
kfp.login=oidc with mlflow.service.type other than ClusterIP: people would go past the login
{{- end }}
{{- else if or $o.issuerUrl $o.existingSecret }}
{{ printf "auth.oidc is set, and kfp.login is %q: say kfp.login=oidc, or leave auth.oidc empty" $v.kfp.login }}
{{- end }}
{{- end }}
