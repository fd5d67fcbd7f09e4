{{- define "waltap.name" -}}
{{- if contains .Chart.Name .Release.Name -}}{{ .Release.Name | trunc 40 | trimSuffix "-" }}{{- else -}}{{ printf "%s-%s" .Release.Name .Chart.Name | trunc 40 | trimSuffix "-" }}{{- end -}}
{{- end -}}
{{- define "waltap.selector" -}}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}
{{- define "waltap.labels" -}}
{{ include "waltap.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | quote }}
{{- end -}}
{{- define "waltap.account" -}}
{{ .Values.serviceAccount.name | default (include "waltap.name" .) }}
{{- end -}}
{{- define "waltap.config" -}}
{{- $config := dict "group.id" (include "waltap.name" .) -}}
{{- $config = mergeOverwrite $config .Values.config -}}
{{- $_ := set $config "listeners" (printf "%s://0.0.0.0:%v" .Values.scheme .Values.port) -}}
{{- $_ := set $config "rest.advertised.host.name" "${env:POD_HOST}" -}}
{{- $_ := set $config "peer.advertised.host.name" "${env:PEER_HOST}" -}}
{{- toYaml $config -}}
{{- end -}}
