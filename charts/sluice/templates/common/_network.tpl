{{/* What policies of several parts say alike. */}}

{{/*
Where the Kubernetes API answers (a NetworkPolicy's `to`). Without networkPolicy.apiServerCidr: private networks, where
control planes are, and the API's own public addresses where helm sees them; never the whole world.
*/}}
{{- define "sluice.apiServerPeers" -}}
{{- $cidrs := list -}}
{{- if .Values.networkPolicy.apiServerCidr -}}
{{- $cidrs = list .Values.networkPolicy.apiServerCidr -}}
{{- else -}}
{{- $cidrs = list "10.0.0.0/8" "172.16.0.0/12" "192.168.0.0/16" "100.64.0.0/10" "fd00::/8" -}}
{{- range (lookup "discovery.k8s.io/v1" "EndpointSlice" "default" "kubernetes").endpoints | default list -}}
{{- range .addresses -}}
{{- if not (regexMatch "^(10\\.|172\\.(1[6-9]|2[0-9]|3[01])\\.|192\\.168\\.|100\\.(6[4-9]|[7-9][0-9]|1[01][0-9]|12[0-7])\\.|f[cd])" .) -}}
{{- $cidrs = append $cidrs (printf "%s/%s" . (ternary "128" "32" (contains ":" .))) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- range $cidrs }}
- ipBlock:
    cidr: {{ . | quote }}
{{- end }}
{{- end }}

{{/* Whether KFP's pages and API, which have no login, are reached from outside: ingress, NodePort or LoadBalancer. */}}
{{- define "sluice.kfp.exposed" -}}
{{- $k := .Values.kfp -}}
{{- $services := list $k.apiServer.service.type -}}
{{- if $k.ui.enabled }}{{ $services = append $services $k.ui.service.type }}{{ end -}}
{{- if and $k.enabled (or .Values.ingress.enabled (has "NodePort" $services) (has "LoadBalancer" $services)) }}true{{ end -}}
{{- end }}

{{/* Who asks people for a login before what has none: with kfp.login=oidc pods of the chart, with kfp.login=proxy of your own. */}}
{{- define "sluice.loginProxyPeer" -}}
{{- if include "sluice.login.between" . }}
- podSelector:
    matchLabels:
      sluice.dev/login-proxy: "true"
{{- end }}
{{- end }}

{{/* Nothing talks to anything in a namespace. Call: include "sluice.defaultDeny" (list $ .Release.Namespace) */}}
{{- define "sluice.defaultDeny" -}}
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata:
  name: default-deny
  namespace: {{ index . 1 }}
  labels:
    {{- include "sluice.labels" (list (index . 0) "sluice" "network") | nindent 4 }}
spec:
  podSelector: {}
  policyTypes: [Ingress, Egress]
{{- end }}

{{/* Every pod of a namespace may ask for names. Same call. */}}
{{- define "sluice.dnsPolicy" -}}
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata:
  name: dns
  namespace: {{ index . 1 }}
  labels:
    {{- include "sluice.labels" (list (index . 0) "sluice" "network") | nindent 4 }}
spec:
  podSelector: {}
  policyTypes: [Egress]
  egress:
    - ports:
        - port: 53
          protocol: UDP
        - port: 53
          protocol: TCP
{{- end }}
