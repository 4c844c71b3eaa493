{{/*
Who may do what at the object store. Each part has an account of its own, so that what a step's code can read and write
is what its step needs. docs/security.md shows the policies for an S3 of your own.
*/}}

{{/* The parts with accounts: for each what it is, as a sentence says it. */}}
{{- define "sluice.objectStore.parts" -}}
kfp: KFP's API server and its pages
runs: KFP's launcher and Argo, in the pods of steps
mlflow: MLflow's server
steps: the steps
register: the step that registers models
people: who types commands
{{- if include "sluice.servesModels" . }}
serving: the servers of models
monitoring: what watches models
{{- end }}
{{- if .Values.operator.enabled }}
operator: the operator
{{- end }}
{{- end }}

{{/* The Secret of a part's account, with accesskey and secretkey. Call: include "sluice.objectStore.account" (list $ "kfp") */}}
{{- define "sluice.objectStore.account" -}}
{{- $v := (index . 0).Values -}}{{- $part := index . 1 -}}
{{- $own := get ($v.objectStore.accounts | default dict) $part -}}
{{- if $own }}{{ $own }}
{{- else if $v.minio.enabled }}object-store-{{ $part }}
{{- else if $v.objectStore.identity }}
{{- else }}{{ $v.objectStore.existingSecret }}{{ end -}}
{{- end }}

{{/* The same for who must know whether the chart makes it. */}}
{{- define "sluice.objectStore.accountMade" -}}
{{- $v := (index . 0).Values -}}
{{- if and $v.minio.enabled (not (get ($v.objectStore.accounts | default dict) (index . 1))) }}true{{ end -}}
{{- end }}

{{/* A key of a part's account in base64, for a Secret that repeats it. Call: ... (list $ "steps" "accesskey") */}}
{{- define "sluice.objectStore.copiedKey" -}}
{{- $root := index . 0 -}}{{- $part := index . 1 -}}{{- $key := index . 2 -}}
{{- if include "sluice.objectStore.accountMade" (list $root $part) -}}
{{ include "sluice.objectStore.madeKey" . }}
{{- else if not (include "sluice.objectStore.account" (list $root $part)) -}}
""
{{- else -}}
{{- $given := get ($root.Values.objectStore.accounts | default dict) $part -}}
{{- $setting := ternary (printf "objectStore.accounts.%s" $part) "objectStore.existingSecret" (ne ($given | default "") "") -}}
{{ include "sluice.copiedSecret" (list $root (include "sluice.objectStore.account" (list $root $part)) $setting "" $key) }}
{{- end -}}
{{- end }}

{{/*
A key that the chart makes once and keeps. Same call. An access key begins with its part's name, and nobody can guess it:
MinIO has faults that open an account to whoever knows that name (docs/security.md).
*/}}
{{- define "sluice.objectStore.madeKey" -}}
{{- $name := printf "object-store-%s" (index . 1) -}}
{{- if eq (index . 2) "accesskey" -}}
{{ include "sluice.keptSecret" (list (index . 0) $name "accesskey" (printf "%s-%s" (index . 1) (randAlphaNum 16))) }}
{{- else -}}
{{ include "sluice.keptSecret" (list (index . 0) $name "secretkey") }}
{{- end -}}
{{- end }}

{{/* AWS's two variables, from a part's Secret. Call: include "sluice.objectStore.env" (list $ "mlflow") */}}
{{- define "sluice.objectStore.env" -}}
{{- $secret := include "sluice.objectStore.account" . -}}
{{ include "sluice.objectStore.keys" (list $secret "AWS_ACCESS_KEY_ID" "AWS_SECRET_ACCESS_KEY") }}
{{- end }}

{{/* Two variables from a Secret of the store, or none where there is no Secret (objectStore.identity). Call:
include "sluice.objectStore.keys" (list "secret" "USER" "PASSWORD") */}}
{{- define "sluice.objectStore.keys" -}}
{{- with index . 0 -}}
- name: {{ index $ 1 }}
  valueFrom:
    secretKeyRef:
      name: {{ . }}
      key: accesskey
- name: {{ index $ 2 }}
  valueFrom:
    secretKeyRef:
      name: {{ . }}
      key: secretkey
{{- end }}
{{- end }}

{{/*
A part's policy as IAM writes it. Call: include "sluice.objectStore.policy" (list $ "steps")
Reading a bucket is listing it and getting its objects; writing an object takes large ones in parts. Nobody but root
deletes versions, changes a bucket or another account.
*/}}
{{- define "sluice.objectStore.policy" -}}
{{- $root := index . 0 -}}{{- $part := index . 1 -}}
{{- $b := $root.Values.objectStore.buckets -}}
{{- $look := list "s3:GetBucketLocation" "s3:ListBucket" "s3:ListBucketMultipartUploads" -}}
{{- $put := list "s3:PutObject" "s3:AbortMultipartUpload" "s3:ListMultipartUploadParts" -}}
{{- $bucket := $b.sluice -}}
{{- if has $part (list "kfp" "runs") }}{{ $bucket = $b.pipelines }}{{ else if eq $part "mlflow" }}{{ $bucket = $b.mlflow }}{{ end -}}
{{- $arn := printf "arn:aws:s3:::%s" $bucket -}}
{{- $all := list (printf "%s/*" $arn) -}}
{{- $read := $all -}}
{{- if eq $part "serving" -}}
  {{- $read = list -}}
  {{- range list "models/" "code/" "datasets/" "predictions/" "logged-models/" "labels/" "salts/" "traffic/" "monitoring/" }}{{ $read = append $read (printf "%s/%s*" $arn .) }}{{ end -}}
{{- end -}}
{{- $statements := list
  (dict "Sid" "Look" "Effect" "Allow" "Action" $look "Resource" (list $arn))
  (dict "Sid" "Read" "Effect" "Allow" "Action" (list "s3:GetObject") "Resource" $read) -}}
{{- if $root.Values.minio.enabled -}}
  {{- /* MinIO lets every user change its own password and make keys that outlive it, where nothing says no. */ -}}
  {{- $statements = append $statements (dict "Sid" "NoAdministrator" "Effect" "Deny" "Action" (list "admin:*")) -}}
{{- end -}}
{{- if eq $part "kfp" -}}
  {{- $own := list (printf "%s/pipelines/*" $arn) -}}
  {{- $statements = append $statements (dict "Sid" "Own" "Effect" "Allow" "Action" (append $put "s3:DeleteObject") "Resource" $own) -}}
{{- else if eq $part "runs" -}}
  {{- $statements = append $statements (dict "Sid" "Write" "Effect" "Allow" "Action" $put "Resource" $all) -}}
  {{- $statements = append $statements (dict "Sid" "NotThePipelines" "Effect" "Deny" "Action" (list "s3:*") "Resource" (list (printf "%s/pipelines/*" $arn))) -}}
{{- else if eq $part "mlflow" -}}
  {{- $statements = append $statements (dict "Sid" "Own" "Effect" "Allow" "Action" (append $put "s3:DeleteObject") "Resource" $all) -}}
{{- else if eq $part "serving" -}}
  {{- $places := list -}}
  {{- range list "predictions/" "logged-models/" "labels/" "salts/" "traffic/*/servers/" "traffic/*/counts/" }}{{ $places = append $places (printf "%s/%s*" $arn .) }}{{ end -}}
  {{- $statements = append $statements (dict "Sid" "Add" "Effect" "Allow" "Action" $put "Resource" $places) -}}
  {{- /* Who stops writes the record of its log under another name. */ -}}
  {{- $statements = append $statements (dict "Sid" "Own" "Effect" "Allow" "Action" (list "s3:DeleteObject") "Resource" (list (printf "%s/predictions/*/writers/*" $arn))) -}}
{{- else if eq $part "operator" -}}
  {{- /* Decisions, and who is champion by them. */ -}}
  {{- $statements = append $statements (dict "Sid" "Add" "Effect" "Allow" "Action" $put "Resource" (list (printf "%s/decisions/*" $arn) (printf "%s/promotions/*" $arn) (printf "%s/traffic/*" $arn))) -}}
  {{- $statements = append $statements (dict "Sid" "NotTheMasks" "Effect" "Deny" "Action" (list "s3:*") "Resource" (list (printf "%s/salts/*" $arn))) -}}
{{- else if eq $part "monitoring" -}}
  {{- $statements = append $statements (dict "Sid" "Add" "Effect" "Allow" "Action" $put "Resource" (list (printf "%s/datasets/*" $arn) (printf "%s/monitoring/*" $arn))) -}}
{{- else -}}
  {{- $written := list -}}
  {{- $free := $root.Values.objectStore.scratch | default list -}}
  {{- if eq $part "people" }}{{ $free = append $free "lakes/" }}{{ $written = list "code/" "labels/" }}
  {{- else }}
    {{- $written = list "datasets/" "models/" "code/" "runs/" -}}
    {{- $free = concat (list "training/" "check/") $free -}}
  {{- end -}}
  {{- /* Canaries are recorded by who may promote. */ -}}
  {{- if eq $part "register" }}{{ $written = concat $written (list "promotions/" "traffic/") }}{{ end -}}
  {{- /* With this key whoever has the log tries out what was masked in it. */ -}}
  {{- if eq $part "steps" }}{{ $statements = append $statements (dict "Sid" "NotTheMasks" "Effect" "Deny" "Action" (list "s3:*") "Resource" (list (printf "%s/salts/*" $arn))) }}{{ end -}}
  {{- $places := list -}}
  {{- range $written }}{{ $places = append $places (printf "%s/%s*" $arn .) }}{{ end -}}
  {{- with $places }}{{ $statements = append $statements (dict "Sid" "Add" "Effect" "Allow" "Action" $put "Resource" .) }}{{ end -}}
  {{- $places = list -}}
  {{- range $free }}{{ $places = append $places (printf "%s/%s*" $arn .) }}{{ end -}}
  {{- with $places }}{{ $statements = append $statements (dict "Sid" "Free" "Effect" "Allow" "Action" (append $put "s3:DeleteObject") "Resource" .) }}{{ end -}}
{{- end -}}
{{ dict "Version" "2012-10-17" "Statement" $statements | toPrettyJson }}
{{- end }}
