{{/* What a worker's container and that of the topics' Job have in common; takes root, destinations and resources. */}}
{{- define "usersync.container" -}}
image: {{ include "usersync.image" .root }}
imagePullPolicy: {{ .root.Values.image.pullPolicy }}
securityContext:
  {{- toYaml .root.Values.securityContext | nindent 2 }}
{{- with (include "usersync.env" . | fromJson).items }}
env:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .root.Values.envFrom }}
envFrom:
  {{- toYaml . | nindent 2 }}
{{- end }}
volumeMounts:
  - name: config
    mountPath: /etc/usersync
    readOnly: true
  {{- if (include "usersync.credentials" . | fromJson).items }}
  # A directory and no subPath, so that a secret that changes reaches the process.
  - name: credentials
    mountPath: {{ include "usersync.credentialsDir" . }}
    readOnly: true
  {{- end }}
  {{- with .root.Values.extraVolumeMounts }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- with .resources }}
resources:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{/*
The container's variables, as JSON {"items": [...]}. Go knows nothing of a memory limit,
and lets the heap double before it collects garbage: nine tenths of the limit are where
it takes more trouble, and the last is for what is no heap. Takes root and resources.
*/}}
{{- define "usersync.env" -}}
{{- $items := .root.Values.extraEnv }}
{{- $given := false }}
{{- range $items }}
{{- if eq .name "GOMEMLIMIT" }}{{ $given = true }}{{ end }}
{{- end }}
{{- $limit := include "usersync.bytes" (dig "limits" "memory" "0" .resources) | mulf 0.9 | int64 }}
{{- $mib := div $limit 1048576 }}
{{- if and $mib (not $given) }}
{{- $items = prepend $items (dict "name" "GOMEMLIMIT" "value" (printf "%dMiB" $mib)) }}
{{- end }}
{{- dict "items" $items | toJson }}
{{- end }}

{{/* A quantity of memory, such as 512Mi, in bytes. */}}
{{- define "usersync.bytes" -}}
{{- $unit := regexFind "[a-zA-Z]+$" (toString .) }}
{{- $units := dict "k" 1e3 "M" 1e6 "G" 1e9 "T" 1e12 "P" 1e15 "E" 1e18 "Ki" 1024 "Mi" 1048576 "Gi" 1073741824 "Ti" 1099511627776 "Pi" 1125899906842624 "m" 0.001 }}
{{- mulf (toString . | trimSuffix $unit | float64) (get $units $unit | default 1) | int64 }}
{{- end }}

{{/* What their pods have in common; takes root, destinations and configMap. */}}
{{- define "usersync.pod" -}}
automountServiceAccountToken: false
enableServiceLinks: false
securityContext:
  {{- toYaml .root.Values.podSecurityContext | nindent 2 }}
{{- with .root.Values.image.pullSecrets }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .root.Values.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- with .root.Values.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .root.Values.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .root.Values.affinity }}
affinity:
  {{- toYaml . | nindent 2 }}
{{- end }}
volumes:
  - name: config
    configMap:
      name: {{ .configMap }}
  {{- with (include "usersync.credentials" . | fromJson).items }}
  - name: credentials
    projected:
      # For the group of the pod's security context, and nobody else.
      defaultMode: 0440
      sources:
        {{- range . }}
        - secret:
            name: {{ .secret }}
            items:
              - key: {{ .secretKey }}
                path: {{ replace "." "/" .path }}
        {{- end }}
  {{- end }}
  {{- with .root.Values.extraVolumes }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- end }}
