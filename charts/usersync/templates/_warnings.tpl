{{/* What is unwise in values that are otherwise right, a line for each. */}}
{{- define "usersync.warnings" -}}
{{- $partitions := int .Values.partitions }}
{{- $config := .Values.config }}
{{- $destinations := (include "usersync.destinations" . | fromJson).names }}
{{- if not .Values.autoscaling.mode }}
{{- range (include "usersync.deployments" . | fromJson).items }}
{{- if and $partitions (gt (int .replicas) $partitions) }}
- {{ .name }}: {{ .replicas }} workers for {{ $partitions }} partitions: {{ sub (int .replicas) $partitions }} of them will be idle.
{{- end }}
{{- end }}
{{- else }}
{{- if and $partitions (gt (int .Values.autoscaling.maxReplicas) $partitions) }}
- autoscaling.maxReplicas: {{ .Values.autoscaling.maxReplicas }} is lowered to the {{ $partitions }} partitions.
{{- end }}
{{- range $destinations }}
{{- $limit := dig . "rate_limit" 20 $config.destinations }}
{{- if gt (float64 $limit) 0.0 }}
- config.destinations.{{ . }}.rate_limit: {{ $limit }} calls a second is the limit of all workers together, so more of them are faster only while one cannot reach it.
{{- end }}
{{- end }}
{{- end }}
{{- range list "retry_topic" "control_topic" }}
{{- if not (get $config.kafka .) }}
- config.kafka.{{ . }}: is not set; {{ eq . "retry_topic" | ternary "dead-letters replay and resync" "pause, resume, dead-letters accept, replay and discard and offsets accept-loss" }} need it.
{{- end }}
{{- end }}
{{- if not $config.kafka.state_topic }}
- config.kafka.state_topic: is not set, so each new snapshot of the table calls for every user.
{{- end }}
{{- range $section := list "taptalk" "haptik" }}
{{- range $name, $given := index $.Values.credentials $section }}
{{- if and $given.existingSecret (not (has $section $destinations)) }}
- credentials.{{ $section }}.{{ $name }}: is not used, for config.destinations has no {{ $section }}.
{{- end }}
{{- end }}
{{- end }}
{{- include "usersync.warnings.disruption" . }}
{{- include "usersync.warnings.resources" . }}
{{- include "usersync.warnings.monitoring" . }}
{{- include "usersync.warnings.secrets" . }}
{{- end }}

{{/* A budget that no disruption keeps to: a node with such a pod cannot be drained. */}}
{{- define "usersync.warnings.disruption" -}}
{{- $budget := .Values.podDisruptionBudget }}
{{- if $budget.enabled }}
{{- range (include "usersync.deployments" . | fromJson).items }}
{{- $workers := int (empty $.Values.autoscaling.mode | ternary .replicas $.Values.autoscaling.minReplicas) }}
{{- $least := toString $budget.minAvailable }}
{{- $never := has (toString $budget.maxUnavailable) (list "0" "0%") }}
{{- if regexMatch "^[0-9]+$" $least }}
{{- $never = and (gt $workers 0) (ge (int $least) $workers) }}
{{- else if eq $least "100%" }}
{{- $never = true }}
{{- end }}
{{- if $never }}
- podDisruptionBudget: lets none of the {{ $workers }} workers of {{ .name }} be away, so no node that has one can be drained.
{{- end }}
{{- end }}
{{- end }}
{{- end }}

{{/* Without a request a pod is the first that a node evicts. */}}
{{- define "usersync.warnings.resources" -}}
{{- range (include "usersync.deployments" . | fromJson).items }}
{{- if not (dig "requests" "memory" (dig "limits" "memory" "" .resources) .resources) }}
- resources.requests.memory: is not set for {{ .name }}, whose workers are the first to go when a node runs short; `usersync plan` says what is enough.
{{- end }}
{{- end }}
{{- end }}

{{/* Alerts that know of no worker, or of no page. */}}
{{- define "usersync.warnings.monitoring" -}}
{{- if .Values.prometheusRule.enabled }}
{{- if not .Values.podMonitor.enabled }}
- prometheusRule.enabled: without podMonitor.enabled, UserSyncDown fires unless something else scrapes the workers as job usersync.
{{- end }}
{{- if not .Values.prometheusRule.runbookBaseUrl }}
- prometheusRule.runbookBaseUrl: is empty, so the runbooks of alerts are no links; each worker serves them below /runbooks/.
{{- end }}
{{- end }}
{{- end }}

{{/* Secrets that are not there, or lack a key. */}}
{{- define "usersync.warnings.secrets" -}}
{{- $keys := dict }}
{{- range (include "usersync.credentials" (dict "root" . "destinations" (include "usersync.destinations" . | fromJson).names) | fromJson).items }}
{{- $_ := set $keys .secret (append (get $keys .secret | default list) .secretKey) }}
{{- end }}
{{- range $name, $wanted := $keys }}
{{- $secret := lookup "v1" "Secret" $.Release.Namespace $name }}
{{- if not $secret }}
- secret {{ $name }}: was not found in {{ $.Release.Namespace }} (a dry run finds none); pods do not start without it.
{{- else }}
{{- range $wanted | uniq | sortAlpha }}
{{- if not (hasKey ($secret.data | default dict) .) }}
- secret {{ $name }}: has no key {{ . }}; pods do not start without it.
{{- end }}
{{- end }}
{{- end }}
{{- end }}
{{- end }}
