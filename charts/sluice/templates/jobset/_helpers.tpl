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
A webhook. Call: include "sluice.webhook" (list $ "jobset-webhook" "vjobset.kb.io" "/path" "jobset.x-k8s.io" "v1alpha2" "jobsets" "CREATE, UPDATE")
The controller fills in its certificate's authority (caBundle): it stands in no template, so an upgrade leaves it.
*/}}
{{- define "sluice.webhook" -}}
name: {{ index . 2 }}
admissionReviewVersions: [v1]
clientConfig:
  service:
    name: {{ index . 1 }}
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
The Deployment of a controller with webhooks of its own. Call:
include "sluice.webhookController" (dict "root" $ "name" "jobset-controller" "part" "jobs" "values" .Values.jobset "config" "jobset-config" "template" "/jobset/configmap.yaml" "secret" "jobset-webhook-cert")
*/}}
{{- define "sluice.webhookController" -}}
{{- $root := .root -}}
apiVersion: apps/v1
kind: Deployment
metadata:
  name: {{ .name }}
  namespace: {{ $root.Release.Namespace }}
  labels:
    {{- include "sluice.labels" (list $root .name .part) | nindent 4 }}
spec:
  replicas: 1
  strategy:
    type: Recreate  # one at a time needs no election of a leader
  selector:
    matchLabels:
      {{- include "sluice.selector" (list $root .name) | nindent 6 }}
  template:
    metadata:
      labels:
        {{- include "sluice.labels" (list $root .name .part) | nindent 8 }}
        sluice.dev/kubernetes-client: "true"
      annotations:
        checksum/config: {{ include (print $root.Template.BasePath .template) $root | sha256sum }}
    spec:
      {{- include "sluice.pod" (list $root .name 65532 true) | nindent 6 }}
      containers:
        - name: manager
          image: {{ include "sluice.image" (list $root .values.image) }}
          imagePullPolicy: {{ $root.Values.images.pullPolicy }}
          command: [/manager]
          args: [--config=/config/config.yaml]
          ports:
            - name: webhook
              containerPort: 9443
            - name: health
              containerPort: 8081
          # Ready once its certificate is made, its webhooks answer and its caches are filled.
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
            {{- toYaml .values.resources | nindent 12 }}
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
            name: {{ .config }}
        - name: certificate
          secret:
            secretName: {{ .secret }}
{{- end }}

{{/*
What a controller with webhooks needs beside its Deployment: the Secret that it keeps its certificate in (empty here: an
upgrade leaves what it holds), the Service that the API server calls, the arrow that lets it.
Call: include "sluice.webhookService" (dict "root" $ "name" "jobset-controller" "part" "jobs" "service" "jobset-webhook" "secret" "jobset-webhook-cert")
*/}}
{{- define "sluice.webhookService" -}}
{{- $root := .root -}}
apiVersion: v1
kind: Secret
metadata:
  name: {{ .secret }}
  namespace: {{ $root.Release.Namespace }}
  labels:
    {{- include "sluice.labels" (list $root .name .part) | nindent 4 }}
---
apiVersion: v1
kind: Service
metadata:
  name: {{ .service }}
  namespace: {{ $root.Release.Namespace }}
  labels:
    {{- include "sluice.labels" (list $root .name .part) | nindent 4 }}
spec:
  selector:
    {{- include "sluice.selector" (list $root .name) | nindent 4 }}
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
  name: {{ .name }}
  namespace: {{ $root.Release.Namespace }}
  labels:
    {{- include "sluice.labels" (list $root .name .part) | nindent 4 }}
spec:
  podSelector:
    matchLabels:
      {{- include "sluice.selector" (list $root .name) | nindent 6 }}
  policyTypes: [Ingress]
  ingress:
    - from:
        - ipBlock:
            cidr: {{ $root.Values.networkPolicy.apiServerCidr }}
      ports:
        - port: webhook
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
