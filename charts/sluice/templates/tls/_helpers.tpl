{{/*
TLS of the chart's own servers (tls.enabled): their certificates, and how clients come to trust them.

A server's template calls sluice.tls.server for its certificate, and mounts sluice.tls.serverVolume. A client's pod gets
sluice.tls.caVolume, and its container sluice.tls.caMount and the variables for what it is written in: sluice.tls.goEnv or
sluice.tls.pythonEnv. All of these render nothing with tls.enabled=false.
*/}}

{{/* Whether the chart's servers speak TLS. A release of before keeps its values with --reuse-values: it has no such section. */}}
{{- define "sluice.tls.on" -}}
{{- if (.Values.tls | default dict).enabled }}true{{ end -}}
{{- end }}

{{/* The same of one of them. Call: include "sluice.tls.of" (list $ "minio") - its section of the values. */}}
{{- define "sluice.tls.of" -}}
{{- $root := index . 0 -}}
{{- if and (include "sluice.tls.on" $root) (get $root.Values (index . 1)).enabled }}true{{ end -}}
{{- end }}

{{/*
Every name that a server is reached under, as a YAML list: those of its Services from near and from far, localhost, which
forwarded ports and kind's nodes answer under, and tls.hosts. Call: include "sluice.tls.names" (list $ "minio-service")
- one Service or more; one of another namespace as name.namespace.
*/}}
{{- define "sluice.tls.names" -}}
{{- $root := index . 0 -}}{{- $names := list -}}
{{- range $service := rest . -}}
{{- $host := ternary $service (printf "%s.%s" $service $root.Release.Namespace) (contains "." $service) -}}
{{- $names = concat $names (list (first (splitList "." $host)) $host (printf "%s.svc" $host) (printf "%s.svc.%s" $host $root.Values.clusterDomain)) -}}
{{- end -}}
{{ concat $names (list "localhost" "127.0.0.1") (($root.Values.tls | default dict).hosts | default list) | uniq | toYaml }}
{{- end }}

{{/* Those of such names that are addresses, or that are none. Call: include "sluice.tls.addresses" (list $names true) */}}
{{- define "sluice.tls.addresses" -}}
{{- $wanted := index . 1 -}}{{- $found := list -}}
{{- range index . 0 -}}
{{- if eq $wanted (regexMatch "^[0-9.]+$|:" .) }}{{ $found = append $found . }}{{ end -}}
{{- end -}}
{{ $found | toYaml }}
{{- end }}

{{/* The Secret with a server's certificate (tls.crt, tls.key). Call: include "sluice.tls.secret" (list $ "minio") */}}
{{- define "sluice.tls.secret" -}}
{{- get (index . 0).Values.tls.secrets (index . 1) | default (printf "%s-tls" (index . 1)) -}}
{{- end }}

{{/* Whether the chart makes a server's certificate itself. Same call. */}}
{{- define "sluice.tls.isMade" -}}
{{- $tls := (index . 0).Values.tls -}}
{{- if not (or (get $tls.secrets (index . 1)) $tls.issuerRef.name) }}true{{ end -}}
{{- end }}

{{/* Whether it makes any. */}}
{{- define "sluice.tls.makesAny" -}}
{{- $made := list -}}
{{- range $name, $_ := (.Values.tls | default dict).secrets -}}
{{- $section := get $.Values $name | default (dict "enabled" (ne "" (include "sluice.gateway.enabled" $))) -}}
{{- if and $section.enabled (include "sluice.tls.isMade" (list $ $name)) }}{{ $made = append $made $name }}{{ end -}}
{{- end -}}
{{- if and (include "sluice.tls.on" .) $made }}true{{ end -}}
{{- end }}

{{/*
The chart's own authority: `crt` and `key` in base64, as YAML. The cluster's present one is kept; where there is none it is
made once in a rendering. It holds for ten years.
*/}}
{{- define "sluice.tls.authority" -}}
{{- $made := .Values.keptCertificates | default dict -}}
{{- if not (hasKey $made "sluice-authority") -}}
{{- $present := (lookup "v1" "Secret" .Release.Namespace "sluice-authority").data | default dict -}}
{{- if and (get $present "tls.crt") (get $present "tls.key") -}}
{{- $made = set $made "sluice-authority" (dict "crt" (get $present "tls.crt") "key" (get $present "tls.key")) -}}
{{- else -}}
{{- $ca := genCAWithKey (printf "sluice authority of %s/%s" .Release.Namespace .Release.Name) 3650 (genPrivateKey "ecdsa") -}}
{{- $made = set $made "sluice-authority" (dict "crt" ($ca.Cert | b64enc) "key" ($ca.Key | b64enc)) -}}
{{- end -}}
{{- $_ := set .Values "keptCertificates" $made -}}
{{- end -}}
{{ get $made "sluice-authority" | toYaml }}
{{- end }}

{{/*
A server's certificate by that authority: `crt` and `key` in base64 and `for`, as YAML. The cluster's present one is kept
as long as it is for the same names and by the same authority, which `for` stands for.
Call: include "sluice.tls.certificate" (list $ "minio" $names)
*/}}
{{- define "sluice.tls.certificate" -}}
{{- $root := index . 0 -}}{{- $id := printf "%s-tls" (index . 1) -}}{{- $names := index . 2 -}}
{{- $ca := include "sluice.tls.authority" $root | fromYaml -}}
{{- $made := $root.Values.keptCertificates -}}
{{- if not (hasKey $made $id) -}}
{{- $for := printf "%s %s" $ca.crt (join " " $names) | sha256sum | trunc 32 -}}
{{- $present := lookup "v1" "Secret" $root.Release.Namespace $id | default dict -}}
{{- if and $present (eq $for (dig "metadata" "annotations" "sluice.dev/certificate-for" "" $present)) -}}
{{- $made = set $made $id (dict "crt" (get $present.data "tls.crt") "key" (get $present.data "tls.key") "for" $for) -}}
{{- else -}}
{{- $addresses := include "sluice.tls.addresses" (list $names true) | fromYamlArray -}}
{{- $hosts := include "sluice.tls.addresses" (list $names false) | fromYamlArray -}}
{{- $own := genSignedCertWithKey (first $hosts) $addresses $hosts 3650 (buildCustomCert $ca.crt $ca.key) (genPrivateKey "ecdsa") -}}
{{- $made = set $made $id (dict "crt" ($own.Cert | b64enc) "key" ($own.Key | b64enc) "for" $for) -}}
{{- end -}}
{{- $_ := set $root.Values "keptCertificates" $made -}}
{{- end -}}
{{ get $made $id | toYaml }}
{{- end }}

{{/*
The object that a server's certificate comes from: a Secret, a Certificate for cert-manager, or nothing where a Secret of
your own is named. Call: include "sluice.tls.server" (list $ "minio" "object-store" $names)
- its section of the values, its component, its names: $names := include "sluice.tls.names" (list $ "..") | fromYamlArray
*/}}
{{- define "sluice.tls.server" -}}
{{- $root := index . 0 -}}{{- $name := index . 1 -}}{{- $names := index . 3 -}}
{{- $metadata := include "sluice.labels" (list $root $name (index . 2)) -}}
{{- if include "sluice.tls.isMade" (list $root $name) -}}
{{- $own := include "sluice.tls.certificate" (list $root $name $names) | fromYaml -}}
---
apiVersion: v1
kind: Secret
metadata:
  name: {{ $name }}-tls
  namespace: {{ $root.Release.Namespace }}
  labels:
    {{- $metadata | nindent 4 }}
  annotations:
    sluice.dev/certificate-for: {{ $own.for }}  # its names and its authority: others, and it is made anew
type: kubernetes.io/tls
data:
  tls.crt: {{ $own.crt }}
  tls.key: {{ $own.key }}
{{- else if not (get $root.Values.tls.secrets $name) -}}
---
apiVersion: cert-manager.io/v1
kind: Certificate
metadata:
  name: {{ $name }}-tls
  namespace: {{ $root.Release.Namespace }}
  labels:
    {{- $metadata | nindent 4 }}
spec:
  secretName: {{ $name }}-tls
  issuerRef:
    {{- toYaml $root.Values.tls.issuerRef | nindent 4 }}
  commonName: {{ first $names }}
  dnsNames:
    {{- include "sluice.tls.addresses" (list $names false) | nindent 4 }}
  ipAddresses:
    {{- include "sluice.tls.addresses" (list $names true) | nindent 4 }}
  # Servers read a certificate as they start: a long life, and a month in which to start them again.
  duration: 8760h0m0s
  renewBefore: 720h0m0s
  privateKey: {algorithm: ECDSA, size: 256, rotationPolicy: Always}
  usages: [digital signature, key encipherment, server auth]
{{- end -}}
{{- end }}

{{/* An annotation of a server's pods, so that they start again with a new certificate. Call: ... (list $ "minio" $names) */}}
{{- define "sluice.tls.checksum" -}}
{{- if and (include "sluice.tls.on" (index . 0)) (include "sluice.tls.isMade" (list (index . 0) (index . 1))) -}}
checksum/certificate: {{ (include "sluice.tls.certificate" . | fromYaml).crt | sha256sum | trunc 32 }}
{{- end -}}
{{- end }}

{{/*
The volume with a server's certificate, named `certificate`, for its user alone (the pod's fsGroup; PostgreSQL refuses a
key that others may read). Call: include "sluice.tls.serverVolume" (list $ "minio")
*/}}
{{- define "sluice.tls.serverVolume" -}}
- name: certificate
  secret:
    secretName: {{ include "sluice.tls.secret" . }}
    defaultMode: 0440
    items:
      - {key: tls.crt, path: tls.crt}
      - {key: tls.key, path: tls.key}
{{- end }}

{{/* Whom clients trust, in PEM: the chart's authority where it makes a certificate, and tls.ca. */}}
{{- define "sluice.tls.trusted" -}}
{{- $own := "" -}}
{{- $tls := .Values.tls -}}
{{- if include "sluice.tls.makesAny" . -}}
{{- $own = (include "sluice.tls.authority" . | fromYaml).crt | b64dec | trim -}}
{{- end -}}
{{ printf "%s\n%s" $own (trim $tls.ca) | trim }}
{{- end }}

{{/*
The objects that carry it, for the pods of one namespace: a ConfigMap, and a Secret for Argo, which takes it from nowhere
else. Call: include "sluice.tls.authorityObjects" (list $ .Release.Namespace)
*/}}
{{- define "sluice.tls.authorityObjects" -}}
{{- $root := index . 0 -}}
{{- if and (include "sluice.tls.on" $root) (not $root.Values.tls.caConfigMap) -}}
{{- range $kind := list "ConfigMap" "Secret" }}
---
apiVersion: v1
kind: {{ $kind }}
metadata:
  name: sluice-ca
  namespace: {{ index $ 1 }}
  labels:
    {{- include "sluice.labels" (list $root "sluice-ca" "network") | nindent 4 }}
{{ ternary "data" "stringData" (eq $kind "ConfigMap") }}:
  ca.crt: |
    {{- include "sluice.tls.trusted" $root | nindent 4 }}
{{- end }}
{{- end -}}
{{- end }}

{{/* Where it is in a pod of a client: a volume of the pod, and its mount in a container. */}}
{{- define "sluice.tls.caVolume" -}}
{{- if include "sluice.tls.on" . -}}
- name: sluice-trusted  # Argo makes a volume of the name of the Secret sluice-ca in the same pods
  configMap:
    name: {{ .Values.tls.caConfigMap | default "sluice-ca" }}
    items: [{key: ca.crt, path: ca.crt}]
{{- end -}}
{{- end }}
{{- define "sluice.tls.caMount" -}}
{{- if include "sluice.tls.on" . -}}
- name: sluice-trusted
  mountPath: /etc/sluice/ca
  readOnly: true
{{- end -}}
{{- end }}
{{- define "sluice.tls.caFile" -}}/etc/sluice/ca/ca.crt{{- end }}

{{/*
Variables by which a program written in Go finds it, and the system's authorities as well: Go's own folders, and ours.
OpenSSL reads the same variable and finds there what it found before.
*/}}
{{- define "sluice.tls.goEnv" -}}
{{- if include "sluice.tls.on" . -}}
- name: SSL_CERT_DIR
  value: /etc/ssl/certs:/etc/pki/tls/certs:/etc/sluice/ca
{{- end -}}
{{- end }}

{{/* The same for Sluice's own Python (sluice.core.authorities): beside the system's. */}}
{{- define "sluice.tls.pythonEnv" -}}
{{- if include "sluice.tls.on" . -}}
- name: SLUICE_CA_FILE
  value: {{ include "sluice.tls.caFile" . }}
{{- end -}}
{{- end }}

{{/*
The same for boto3. MinIO as platform/hermetic builds it takes no upload that ends in a checksum, which boto3 sends over TLS
where it is not told otherwise; the content's SHA-256 is checked in any case.
*/}}
{{- define "sluice.tls.botoEnv" -}}
{{- if include "sluice.tls.of" (list . "minio") -}}
- name: AWS_CA_BUNDLE
  value: {{ include "sluice.tls.caFile" . }}
- name: AWS_REQUEST_CHECKSUM_CALCULATION
  value: when_required
{{- end -}}
{{- end }}

{{/* Everything of that for steps: KFP's launcher, our own code, and boto3 and MLflow in code of yours. */}}
{{- define "sluice.tls.stepEnv" -}}
{{- if include "sluice.tls.on" . -}}
{{ include "sluice.tls.goEnv" . }}
{{ include "sluice.tls.pythonEnv" . }}
{{- with include "sluice.tls.botoEnv" . }}
{{ . }}
{{- end }}
{{- if include "sluice.tls.of" (list . "mlflow") }}
- name: MLFLOW_TRACKING_SERVER_CERT_PATH
  value: {{ include "sluice.tls.caFile" . }}
{{- end }}
{{- end -}}
{{- end }}
