{{- define "ashlar.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" -}}
{{- end }}

{{- define "ashlar.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 48 | trimSuffix "-" -}}
{{- else -}}
{{- $name := include "ashlar.name" . -}}
{{- if contains $name .Release.Name -}}
{{- .Release.Name | trunc 48 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name $name | trunc 48 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}
{{- end }}

{{- define "ashlar.driver" -}}csi.ashlar.dev{{- end }}

{{- define "ashlar.image" -}}
{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}
{{- end }}

{{/* Labels that select pods; they never change. The controller finds its agents by the component. */}}
{{- define "ashlar.selector" -}}
app.kubernetes.io/name: {{ include "ashlar.name" .root }}
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .component }}
{{- end }}

{{- define "ashlar.labels" -}}
{{- if .component -}}
{{ include "ashlar.selector" . }}
{{- else -}}
app.kubernetes.io/name: {{ include "ashlar.name" .root }}
app.kubernetes.io/instance: {{ .root.Release.Name }}
{{- end }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version | replace "+" "_" }}
{{- end }}

{{- define "ashlar.controllerSecret" -}}
{{ .Values.tls.controllerSecret | default (printf "%s-controller-tls" (include "ashlar.fullname" .)) }}
{{- end }}
{{- define "ashlar.nodeAgentSecret" -}}
{{ .Values.tls.nodeAgentSecret | default (printf "%s-node-agent-tls" (include "ashlar.fullname" .)) }}
{{- end }}

{{/* Of every container that needs no privilege. */}}
{{- define "ashlar.unprivileged" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: {drop: [ALL]}
{{- end }}

{{/* Health of a program by its ops port. */}}
{{- define "ashlar.probes" -}}
startupProbe:
  httpGet: {path: /healthz, port: {{ . }}}
  periodSeconds: 1
  failureThreshold: 60
livenessProbe:
  httpGet: {path: /healthz, port: {{ . }}}
  periodSeconds: 10
  timeoutSeconds: 5
  failureThreshold: 6
readinessProbe:
  httpGet: {path: /readyz, port: {{ . }}}
  periodSeconds: 5
  timeoutSeconds: 5
{{- end }}
