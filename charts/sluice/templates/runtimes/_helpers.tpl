{{/*
A TrainingRuntime: how the pods of a TrainJob look. Call:
include "sluice.trainingRuntime" (dict "root" $ "name" "torch-cpu" "framework" "torch" "values" .Values.runtimes.torchCpu
  "resources" (dict ...) "env" (dict ...) "command" (list ...) "nodeSelector" (dict ...))
*/}}
{{- define "sluice.trainingRuntime" -}}
{{- $root := .root -}}{{- $v := .values -}}
apiVersion: trainer.kubeflow.org/v1alpha1
kind: TrainingRuntime
metadata:
  name: {{ .name }}
  labels:
    {{- include "sluice.labels" (list $root .name "training") | nindent 4 }}
    trainer.kubeflow.org/framework: {{ .framework }}
  {{- if .ownImage }}
  annotations:
    # Workers run in this image, not in that of the step that starts them.
    sluice.dev/own-image: "true"
  {{- end }}
spec:
  mlPolicy:
    numNodes: 2
    {{ .framework }}: {}
  template:
    spec:
      # All workers start again when one fails, and go on from the last checkpoint. No ttlSecondsAfterFinished: Trainer
      # would make the JobSet again.
      failurePolicy:
        maxRestarts: {{ $root.Values.runtimes.maxRestarts }}
        restartStrategy: Recreate
      replicatedJobs:
        - name: node
          template:
            metadata:
              labels:
                trainer.kubeflow.org/trainjob-ancestor-step: trainer
            spec:
              backoffLimit: 0
              template:
                metadata:
                  labels:
                    {{- include "sluice.labels" (list $root .name "training") | nindent 20 }}
                    sluice.dev/training-worker: "true"
                    {{- with include "sluice.stepExtras" (list $root "labels") }}
                    {{- . | nindent 20 }}
                    {{- end }}
                  {{- with include "sluice.stepExtras" (list $root "annotations") }}
                  annotations:
                    {{- . | nindent 20 }}
                  {{- end }}
                spec:
                  restartPolicy: Never
                  terminationGracePeriodSeconds: 5
                  serviceAccountName: training-worker
                  automountServiceAccountToken: false
                  enableServiceLinks: false
                  securityContext:
                    {{- include "sluice.podSecurityContext" $root.Values.steps.runAsUser | nindent 20 }}
                  {{- with include "sluice.imagePullSecrets" $root }}
                  {{- . | nindent 18 }}
                  {{- end }}
                  {{- with $v.runtimeClassName }}
                  runtimeClassName: {{ . }}
                  {{- end }}
                  {{- with merge (dict) ($v.nodeSelector | default dict) (.nodeSelector | default dict) }}
                  nodeSelector:
                    {{- toYaml . | nindent 20 }}
                  {{- end }}
                  {{- with $v.tolerations }}
                  tolerations:
                    {{- toYaml . | nindent 20 }}
                  {{- end }}
                  topologySpreadConstraints:
                    - maxSkew: 1
                      topologyKey: kubernetes.io/hostname
                      # Nodes without accelerators count too: to wait for an even spread would be to wait for ever.
                      whenUnsatisfiable: {{ $v.whenUnsatisfiable | default "ScheduleAnyway" }}
                      nodeTaintsPolicy: Honor
                      labelSelector:
                        matchLabels:
                          sluice.dev/training-worker: "true"
                      # Of the same start of the same job.
                      matchLabelKeys: [jobset.sigs.k8s.io/jobset-uid, jobset.sigs.k8s.io/restart-attempt]
                  containers:
                    - name: node
                      image: {{ include "sluice.image" (list $root $v.image) }}
                      imagePullPolicy: {{ $root.Values.images.pullPolicy }}
                      command:
                        {{- toYaml .command | nindent 24 }}
                      env:
                        {{- range $name, $value := .env }}
                        - name: {{ $name }}
                          value: {{ $value | quote }}
                        {{- end }}
                        - name: HOME
                          value: /tmp
                        - name: PYTHONUNBUFFERED
                          value: "1"
                        {{- with include "sluice.tls.pythonEnv" $root }}
                        {{- . | nindent 24 }}
                        {{- end }}
                        {{- with include "sluice.stepExtras" (list $root "env") }}
                        {{- . | nindent 24 }}
                        {{- end }}
                      terminationMessagePolicy: FallbackToLogsOnError
                      securityContext:
                        {{- include "sluice.containerSecurityContext" $root | nindent 24 }}
                      resources:
                        {{- toYaml .resources | nindent 24 }}
                      volumeMounts:
                        - name: tmp
                          mountPath: /tmp
                        {{- with include "sluice.tls.caMount" $root }}
                        {{- . | nindent 24 }}
                        {{- end }}
                        {{- with include "sluice.stepExtras" (list $root "volumeMounts") }}
                        {{- . | nindent 24 }}
                        {{- end }}
                        # Libraries of several processes exchange batches and gradients there; it counts as memory.
                        - name: shm
                          mountPath: /dev/shm
                  volumes:
                    - name: tmp
                      emptyDir:
                        sizeLimit: {{ $root.Values.steps.tmpSize }}
                    - name: shm
                      emptyDir:
                        medium: Memory
                        sizeLimit: {{ $v.sharedMemory }}
                    {{- with include "sluice.tls.caVolume" $root }}
                    {{- . | nindent 20 }}
                    {{- end }}
                    {{- with include "sluice.stepExtras" (list $root "volumes") }}
                    {{- . | nindent 20 }}
                    {{- end }}
{{- end }}

{{/* What a container of an accelerator asks for: its resources, and the accelerators. Call:
include "sluice.withAccelerators" (list .Values.runtimes.torchGpu.resources "nvidia.com/gpu" 1) */}}
{{- define "sluice.withAccelerators" -}}
{{- $count := dict (index . 1) (index . 2) -}}
{{- $resources := deepCopy (index . 0) -}}
{{- $_ := set $resources "limits" (merge (dict) $count ($resources.limits | default dict)) -}}
{{- $_ := set $resources "requests" (merge (dict) $count ($resources.requests | default dict)) -}}
{{ toYaml $resources }}
{{- end }}
