{{/* Cluster-wide objects are named for the release's namespace. Call: include "sluice.clusterName" (list $ "jobset") */}}
{{- define "sluice.clusterName" -}}
{{ (index . 0).Release.Namespace }}-{{ index . 1 }}
{{- end }}

{{/*
Refuse to install a controller a second time: the names of its webhook configurations are fixed in its code, so two would
write their certificates over each other. Call: include "sluice.onlyOne" (list $ "jobset" (list "<configuration>" ...))
*/}}
{{- define "sluice.onlyOne" -}}
{{- $root := index . 0 -}}{{- $part := index . 1 -}}
{{- $own := printf "%s/%s" $root.Release.Namespace $root.Release.Name -}}
{{- range index . 2 -}}
{{- with lookup "admissionregistration.k8s.io/v1" "ValidatingWebhookConfiguration" "" . -}}
{{- $notes := .metadata.annotations | default dict -}}
{{- $owner := printf "%s/%s" (get $notes "meta.helm.sh/release-namespace") (get $notes "meta.helm.sh/release-name") -}}
{{- if ne $owner $own -}}
{{- fail (printf "\n\nsluice: %s.enabled is true, but this cluster has one already (webhook configuration %s%s): set %s.enabled=false to use that one\n" $part .metadata.name (ternary "" (printf " of release %s" $owner) (eq $owner "/")) $part) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end }}

{{/*
A webhook. Call: include "sluice.webhook" (list $ "jobset" "vjobset.kb.io" "/path" "jobset.x-k8s.io" "v1alpha2" "jobsets" "CREATE, UPDATE")
- the section of the values, which is also the beginning of the Service's name.
*/}}
{{- define "sluice.webhook" -}}
name: {{ index . 2 }}
admissionReviewVersions: [v1]
clientConfig:
  {{- with include "sluice.webhookAuthority" (list (index . 0) (index . 1)) }}
  caBundle: {{ . }}
  {{- end }}
  service:
    name: {{ index . 1 }}-webhook
    namespace: {{ (index . 0).Release.Namespace }}
    path: {{ index . 3 }}
failurePolicy: Fail
sideEffects: None
rules:
  - apiGroups: [{{ index . 4 | quote }}]
    apiVersions: [{{ index . 5 }}]
    resources: [{{ index . 6 }}]
    operations: [{{ index . 7 }}]
{{- end }}

{{/*
The certificate of a controller's webhooks: `ca`, `crt` and `key` in base64, as YAML. The cluster's present one is kept;
where there is none it is made once in a rendering. The chart makes it, so that it is there when the pod starts: what the
controllers make themselves reaches their volume only when the kubelet looks again, a minute or two later, and takes
rights on Secrets and on webhook configurations that they do not have here.
Call: include "sluice.webhookCertificate" (list $ "jobset")
*/}}
{{- define "sluice.webhookCertificate" -}}
{{- $root := index . 0 -}}{{- $service := printf "%s-webhook" (index . 1) -}}
{{- $made := $root.Values.keptCertificates | default dict -}}
{{- if not (hasKey $made $service) -}}
{{- $present := (lookup "v1" "Secret" $root.Release.Namespace (printf "%s-cert" $service)).data | default dict -}}
{{- if and (get $present "ca.crt") (get $present "tls.crt") (get $present "tls.key") -}}
{{- $made = set $made $service (dict "ca" (get $present "ca.crt") "crt" (get $present "tls.crt") "key" (get $present "tls.key")) -}}
{{- else -}}
{{- $host := printf "%s.%s.svc" $service $root.Release.Namespace -}}
{{- $ca := genCA (printf "%s-ca" $service) 3650 -}}
{{- $own := genSignedCert $host nil (list $host (printf "%s.%s" $host $root.Values.clusterDomain)) 3650 $ca -}}
{{- $made = set $made $service (dict "ca" ($ca.Cert | b64enc) "crt" ($own.Cert | b64enc) "key" ($own.Key | b64enc)) -}}
{{- end -}}
{{- $_ := set $root.Values "keptCertificates" $made -}}
{{- end -}}
{{ get $made $service | toYaml }}
{{- end }}

{{/* The authority in base64 that the API server checks a webhook's certificate with. Call: as sluice.webhookCertificate. */}}
{{- define "sluice.webhookAuthority" -}}
{{- $webhook := (get (index . 0).Values (index . 1)).webhook -}}
{{- if $webhook.existingSecret -}}
{{ $webhook.caBundle }}
{{- else -}}
{{ (include "sluice.webhookCertificate" . | fromYaml).ca }}
{{- end -}}
{{- end }}

{{/*
The Deployment of a controller with webhooks of its own. Call:
include "sluice.webhookController" (list $ "jobset") - the section of the values.
*/}}
{{- define "sluice.webhookController" -}}
{{- $root := index . 0 -}}{{- $part := index . 1 -}}{{- $values := get $root.Values $part -}}
{{- $name := printf "%s-controller" $part -}}
apiVersion: apps/v1
kind: Deployment
metadata:
  name: {{ $name }}
  namespace: {{ $root.Release.Namespace }}
  labels:
    {{- include "sluice.labels" (list $root $name "training") | nindent 4 }}
spec:
  replicas: 1
  strategy:
    type: Recreate  # one at a time needs no election of a leader
  selector:
    matchLabels:
      {{- include "sluice.selector" (list $root $name) | nindent 6 }}
  template:
    metadata:
      labels:
        {{- include "sluice.labels" (list $root $name "training") | nindent 8 }}
        sluice.dev/kubernetes-client: "true"
      annotations:
        checksum/config: {{ include (printf "%s/%s/configmap.yaml" $root.Template.BasePath $part) $root | sha256sum }}
    spec:
      {{- include "sluice.pod" (list $root $name 65532 true) | nindent 6 }}
      containers:
        - name: manager
          image: {{ include "sluice.image" (list $root $values.image) }}
          imagePullPolicy: {{ $root.Values.images.pullPolicy }}
          command: [/manager]
          args: [--config=/config/config.yaml]
          ports:
            - name: webhook
              containerPort: 9443
            - name: health
              containerPort: 8081
          readinessProbe:
            httpGet:
              path: /readyz
              port: health
            periodSeconds: 2
          livenessProbe:
            httpGet:
              path: /healthz
              port: health
            initialDelaySeconds: 10
            periodSeconds: 20
          securityContext:
            {{- include "sluice.containerSecurityContext" $root | nindent 12 }}
          resources:
            {{- toYaml $values.resources | nindent 12 }}
          volumeMounts:
            - name: config
              mountPath: /config
              readOnly: true
            - name: certificate
              mountPath: /tmp/k8s-webhook-server/serving-certs
              readOnly: true
      volumes:
        - name: config
          configMap:
            name: {{ $part }}-config
        - name: certificate
          secret:
            secretName: {{ $values.webhook.existingSecret | default (printf "%s-webhook-cert" $part) }}
{{- end }}

{{/*
What a controller with webhooks needs beside its Deployment: its certificate, the Service that the API server calls, the
arrow that lets it. Call: include "sluice.webhookService" (list $ "jobset")
*/}}
{{- define "sluice.webhookService" -}}
{{- $root := index . 0 -}}{{- $part := index . 1 -}}{{- $name := printf "%s-controller" $part -}}
{{- if not (get $root.Values $part).webhook.existingSecret -}}
{{- $own := include "sluice.webhookCertificate" . | fromYaml -}}
# It holds for ten years. To renew it: delete this Secret, helm upgrade, and restart the controller.
apiVersion: v1
kind: Secret
metadata:
  name: {{ $part }}-webhook-cert
  namespace: {{ $root.Release.Namespace }}
  labels:
    {{- include "sluice.labels" (list $root $name "training") | nindent 4 }}
type: kubernetes.io/tls
data:
  ca.crt: {{ $own.ca }}
  tls.crt: {{ $own.crt }}
  tls.key: {{ $own.key }}
---
{{- end }}
apiVersion: v1
kind: Service
metadata:
  name: {{ $part }}-webhook
  namespace: {{ $root.Release.Namespace }}
  labels:
    {{- include "sluice.labels" (list $root $name "training") | nindent 4 }}
spec:
  selector:
    {{- include "sluice.selector" (list $root $name) | nindent 4 }}
  ports:
    - name: webhook
      port: 443
      targetPort: webhook
{{- if $root.Values.networkPolicy.enabled }}
---
# The API server calls the webhooks; from the pod's view it comes from a node's address.
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata:
  name: {{ $name }}
  namespace: {{ $root.Release.Namespace }}
  labels:
    {{- include "sluice.labels" (list $root $name "training") | nindent 4 }}
spec:
  podSelector:
    matchLabels:
      {{- include "sluice.selector" (list $root $name) | nindent 6 }}
  policyTypes: [Ingress]
  ingress:
    - from:
        - ipBlock:
            # Where the API calls from is not always where it answers, and whoever comes gets no more than an answer.
            cidr: {{ $root.Values.networkPolicy.apiServerCidr | default "0.0.0.0/0" }}
      ports:
        - port: webhook
{{- end }}
{{- end }}

{{/* The head of a webhook configuration. Call: include "sluice.webhookMetadata" (list $ "jobset" "<name>") */}}
{{- define "sluice.webhookMetadata" -}}
{{- $root := index . 0 -}}
name: {{ index . 2 }}
labels:
  {{- include "sluice.labels" (list $root (printf "%s-controller" (index . 1)) "training") | nindent 2 }}
{{- with (get $root.Values (index . 1)).webhook.annotations }}
annotations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{/* A ClusterRoleBinding that gives a ServiceAccount the ClusterRole of its name. Call as sluice.serviceAccount. */}}
{{- define "sluice.clusterRoleBinding" -}}
{{- $root := index . 0 -}}
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata:
  name: {{ include "sluice.clusterName" . }}
  labels:
    {{- include "sluice.labels" . | nindent 4 }}
roleRef:
  apiGroup: rbac.authorization.k8s.io
  kind: ClusterRole
  name: {{ include "sluice.clusterName" . }}
subjects:
  - kind: ServiceAccount
    name: {{ index . 1 }}
    namespace: {{ $root.Release.Namespace }}
{{- end }}
