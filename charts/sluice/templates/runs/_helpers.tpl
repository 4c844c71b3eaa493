{{/* Where the pods of runs live: the release's own namespace, or one apart from it, which no Secret of the platform is in. */}}

{{/* A release of before keeps its values with --reuse-values: it has no such section. */}}
{{- define "sluice.runs.namespace" -}}{{ (.Values.runs | default dict).namespace | default .Release.Namespace }}{{- end }}
{{- define "sluice.runs.apart" -}}{{ if (.Values.runs | default dict).namespace }}true{{ end }}{{- end }}

{{/* The second half of a NetworkPolicy's peer, beside its podSelector, where the pods meant are those of runs, or those of
the platform, as the other end sees them. Nothing where all are in one namespace. */}}
{{- define "sluice.runs.peer" -}}
{{- if include "sluice.runs.apart" . }}{{ include "sluice.namespaceSelector" (include "sluice.runs.namespace" .) }}{{ end -}}
{{- end }}
{{- define "sluice.runs.platformPeer" -}}
{{- if include "sluice.runs.apart" . }}{{ include "sluice.namespaceSelector" .Release.Namespace }}{{ end -}}
{{- end }}
{{- define "sluice.namespaceSelector" -}}
namespaceSelector:
  matchLabels:
    kubernetes.io/metadata.name: {{ . }}
{{- end }}

{{/* Where the Secrets that pods of runs read stand: with the release, whose programs and commands read them, too, and with
the runs. Call: include "sluice.runs.secretNamespaces" (list $ "steps") - the part of the release that it is for. */}}
{{- define "sluice.runs.secretNamespaces" -}}
{{- $root := index . 0 -}}{{- $both := list $root.Release.Namespace -}}
{{- if and (include "sluice.runs.apart" $root) (has (index . 1) (list "steps" "register")) }}{{ $both = append $both $root.Values.runs.namespace }}{{ end -}}
{{ $both | toJson }}
{{- end }}

{{/* Where KFP's driver and launcher find KFP's cache and MLMD. KFP 2.14 reads these, and a Service's own variables give way
to them; KFP 2.17 is told by its API server (ML_PIPELINE_SERVICE_NAME). In a namespace without those Services Kubernetes
tells nothing, nor does an ExternalName have an address that it could tell. Nothing where Kubernetes tells the right ones. */}}
{{- define "sluice.runs.env" -}}
{{- $domain := printf "%s.svc.%s" .Release.Namespace .Values.clusterDomain -}}
{{- $cache := include "sluice.gateway.cacheService" . -}}
{{- if or (include "sluice.runs.apart" .) (ne $cache "ml-pipeline") -}}
- {name: ML_PIPELINE_SERVICE_HOST, value: {{ $cache }}.{{ $domain }}}
- {name: ML_PIPELINE_SERVICE_PORT_GRPC, value: "8887"}
{{- end }}
{{- if include "sluice.runs.apart" . }}
- {name: METADATA_GRPC_SERVICE_SERVICE_HOST, value: metadata-grpc-service.{{ $domain }}}
- {name: METADATA_GRPC_SERVICE_SERVICE_PORT, value: "8080"}
{{- end }}
{{- end }}

{{/* Values that go wrong together with runs.namespace, one to a line. */}}
{{- define "sluice.runs.refusals" -}}
{{- $v := .Values -}}
{{- if include "sluice.runs.apart" . -}}
{{- if eq $v.runs.namespace .Release.Namespace }}
runs.namespace is the release's own namespace: leave it empty, or name another
{{- end }}
{{- if not $v.kfp.enabled }}
runs.namespace without kfp.enabled: the KFP of your own starts runs where it does; leave it empty
{{- end }}
{{- if not (or $v.minio.enabled $v.objectStore.identity) }}
{{- $shared := list }}
{{- range $part := list "runs" "steps" "register" }}
{{- if and (not (get $v.objectStore.accounts $part)) (or $v.steps.createSecret (eq $part "runs")) }}{{ $shared = append $shared (printf "objectStore.accounts.%s" $part) }}{{ end }}
{{- end }}
{{- with $shared }}
runs.namespace with an S3 of your own: name the Secrets of accounts for the runs ({{ join ", " . }}); without them the keys of the whole platform would stand beside them
{{- end }}
{{- end }}
{{- end }}
{{- end }}
