{{/*
Fails if the values are not right, with all that is wrong. NOTES.txt includes it, which
is rendered whatever else is; and so does a template that would stumble over what is
missing, so as not to depend on who is rendered first.
*/}}
{{- define "usersync.validate" -}}
{{- $problems := list }}
{{- range include "usersync.problems" . | splitList "\n" }}
{{- with trim . }}{{ $problems = append $problems (printf "  - %s" .) }}{{ end }}
{{- end }}
{{- if $problems }}
{{- printf "the values are not right:\n%s" (uniq $problems | join "\n") | fail }}
{{- end }}
{{- end }}

{{/*
What is wrong with the values, one line for each: the path of the value, a colon, what
is wrong and the remedy. The schema has seen the types and the names before; here is
what one value alone does not show. It must not fail by itself on whatever is missing.
*/}}
{{- define "usersync.problems" -}}
{{ include "usersync.problems.required" . }}
{{ include "usersync.problems.credentials" . }}
{{ include "usersync.problems.kafka" . }}
{{ include "usersync.problems.pods" . }}
{{ include "usersync.problems.times" . }}
{{ include "usersync.problems.labels" . }}
{{ include "usersync.problems.autoscaling" . }}
{{ include "usersync.problems.variables" . }}
{{- end }}

{{- define "usersync.problems.required" -}}
{{- if not .Values.image.repository }}
image.repository: is required; say where your build of the Dockerfile lies
{{- end }}
{{- range list "brokers" "topics" "dead_letter_topic" }}
{{- if not (dig "kafka" . "" $.Values.config) }}
config.kafka.{{ . }}: is required
{{- end }}
{{- end }}
{{- range (include "usersync.destinations" . | fromJson).names }}
{{- $destination := index $.Values.config.destinations . }}
{{- $url := get $destination "base_url" }}
{{- if not $url }}
config.destinations.{{ . }}.base_url: is required
{{- else if and (regexMatch "^http://" $url) (not (regexMatch "^http://(localhost|127\\.[0-9.]+|\\[::1\\])([:/]|$)" $url)) (not (get $destination "allow_http")) }}
config.destinations.{{ . }}.base_url: sends personal data and credentials in the clear; use https, or set config.destinations.{{ . }}.allow_http to true
{{- end }}
{{- else }}
config.destinations: is empty, so nobody would be called; give taptalk, haptik or both
{{- end }}
{{- end }}

{{/*
Each credential comes from a secret or from the configuration, from one of them and
not from both. And the ConfigMap is no place for a secret.
*/}}
{{- define "usersync.problems.credentials" -}}
{{- $config := .Values.config }}
{{- $used := concat (include "usersync.destinations" . | fromJson).names (list "kafka" "privacy") }}
{{- $public := list "taptalk.server_key_id" "haptik.client_id" "kafka.username" }}
{{- range $path, $key := include "usersync.credentialKeys" . | fromYaml }}
{{- $section := splitList "." $path | first }}
{{- $secret := (index $.Values.credentials $section (splitList "." $path | last)).existingSecret }}
{{- $value := include "usersync.at" (dict "from" $config "path" $key) }}
{{- $file := include "usersync.at" (dict "from" $config "path" (printf "%s_file" $key)) }}
{{- $needed := has $section (list "taptalk" "haptik") }}
{{- if has $path (list "kafka.username" "kafka.password") }}
{{- $needed = dig "kafka" "sasl" "mechanism" "" $config }}
{{- else if eq $section "privacy" }}
{{- $needed = dig "kafka" "state_topic" "" $config }}
{{- end }}
{{- if not (has $section $used) }}
{{- else if and $secret (or $value $file) }}
credentials.{{ $path }}.existingSecret: is given, and config.{{ $key }}{{ if $file }}_file{{ end }} as well; keep one of them
{{- else if and $value (not (contains "${" $value)) (not (has $path $public)) }}
config.{{ $key }}: would be readable in the ConfigMap; give credentials.{{ $path }}.existingSecret, or a variable that envFrom brings
{{- else if and $needed (not $secret) (not $value) (not $file) }}
credentials.{{ $path }}.existingSecret: is required; name the secret, or give config.{{ $key }} as a variable or config.{{ $key }}_file
{{- end }}
{{- end }}
{{- end }}

{{- define "usersync.problems.kafka" -}}
{{- $tls := dig "kafka" "tls" dict .Values.config }}
{{- $given := .Values.credentials.kafka }}
{{- range list "ca" "cert" "key" }}
{{- if and (index $given .).existingSecret (not (get $tls "enabled")) }}
credentials.kafka.{{ . }}.existingSecret: is given without config.kafka.tls.enabled, so it would not be used; set that to true
{{- end }}
{{- end }}
{{- $cert := or $given.cert.existingSecret (get $tls "cert_file") }}
{{- $key := or $given.key.existingSecret (get $tls "key_file") }}
{{- if and $cert (not $key) }}
credentials.kafka.key.existingSecret: is required with a certificate; give both, or neither
{{- else if and $key (not $cert) }}
credentials.kafka.cert.existingSecret: is required with a private key; give both, or neither
{{- end }}
{{- range list "username" "password" }}
{{- if and (index $given .).existingSecret (not (dig "kafka" "sasl" "mechanism" "" $.Values.config)) }}
credentials.kafka.{{ . }}.existingSecret: is given without config.kafka.sasl.mechanism, so it would not be used; give that
{{- end }}
{{- end }}
{{- end }}

{{- define "usersync.problems.pods" -}}
{{- range $name, $own := .Values.separate }}
{{- if or (not (kindIs "invalid" $own.replicas)) $own.resources }}
{{- if ne $.Values.deployments "separate" }}
separate.{{ $name }}: has no effect with deployments: together; set deployments to separate
{{- else if not (has $name (include "usersync.destinations" $ | fromJson).names) }}
separate.{{ $name }}: is for a destination that config.destinations does not have
{{- end }}
{{- end }}
{{- end }}
{{- with .Values.podDisruptionBudget }}
{{- $max := not (kindIs "invalid" .maxUnavailable) }}
{{- $min := not (kindIs "invalid" .minAvailable) }}
{{- if and .enabled $max $min }}
podDisruptionBudget.minAvailable: and maxUnavailable exclude each other; set one of them to null
{{- else if and .enabled (not $max) (not $min) }}
podDisruptionBudget.maxUnavailable: and minAvailable are both null; give one of them
{{- end }}
{{- end }}
{{- with .Values.strategy.rollingUpdate }}
{{- if and (eq $.Values.strategy.type "RollingUpdate") (has (toString .maxSurge) (list "0" "0%")) (has (toString .maxUnavailable) (list "0" "0%")) }}
strategy.rollingUpdate.maxUnavailable: is 0 like maxSurge, so no pod could ever be replaced; raise one of them
{{- end }}
{{- end }}
{{- $drain := include "usersync.drainTimeout" . }}
{{- if contains "${" $drain }}
{{- if kindIs "invalid" .Values.terminationGracePeriodSeconds }}
terminationGracePeriodSeconds: is required, since config.shutdown.drain_timeout is a variable; give a number well above it
{{- end }}
{{- else if le (include "usersync.gracePeriod" . | int) (include "usersync.seconds" $drain | int) }}
terminationGracePeriodSeconds: {{ include "usersync.gracePeriod" . }} is not above config.shutdown.drain_timeout, {{ $drain }}, so calls in flight would be killed; raise it, or set it to null
{{- end }}
{{- end }}

{{/* The order of the time limits that guard each other, which the worker demands at its start. */}}
{{- define "usersync.problems.times" -}}
{{- $config := .Values.config }}
{{- $drain := include "usersync.drainTimeout" . }}
{{- $rebalance := dig "kafka" "rebalance_timeout" "1m" $config }}
{{- $session := dig "kafka" "session_timeout" "45s" $config }}
{{- if has (include "usersync.compare" (list $drain 1 $rebalance)) (list "equal" "above") }}
config.shutdown.drain_timeout: {{ $drain }} must be below config.kafka.rebalance_timeout, {{ $rebalance }}; lower it, or raise that
{{- end }}
{{- range (include "usersync.destinations" . | fromJson).names }}
{{- $timeout := dig . "timeout" "10s" $config.destinations }}
{{- if has (include "usersync.compare" (list $timeout 1 $drain)) (list "equal" "above") }}
config.destinations.{{ . }}.timeout: {{ $timeout }} must be below config.shutdown.drain_timeout, {{ $drain }}; lower it, or raise that
{{- end }}
{{- if eq (include "usersync.compare" (list $timeout 2 $session)) "above" }}
config.destinations.{{ . }}.timeout: {{ $timeout }} must be at most half of config.kafka.session_timeout, {{ $session }}; lower it, or raise that
{{- end }}
{{- end }}
{{- end }}

{{/*
What so many times one duration is to another: below, equal or above; nothing if one is
a variable. Takes a list of the three.
*/}}
{{- define "usersync.compare" -}}
{{- if not (or (contains "${" (first .)) (contains "${" (last .))) }}
{{- $one := include "usersync.nanoseconds" (first .) | int64 | mul (index . 1) }}
{{- $other := include "usersync.nanoseconds" (last .) | int64 }}
{{- if lt $one $other }}below{{ else if eq $one $other }}equal{{ else }}above{{ end }}
{{- end }}
{{- end }}

{{/* Selectors and rules go by the chart's own labels, and a rollout by the checksum. */}}
{{- define "usersync.problems.labels" -}}
{{- range $value := list "commonLabels" "podLabels" "podAnnotations" }}
{{- range $name, $_ := index $.Values $value }}
{{- if regexMatch "^(app\\.kubernetes\\.io/(name|instance|component|version|managed-by)|helm\\.sh/chart|checksum/config)$" $name }}
{{ $value }}.{{ $name }}: is the chart's own; take another name
{{- end }}
{{- end }}
{{- end }}
{{- end }}

{{- define "usersync.problems.autoscaling" -}}
{{- $v := .Values.autoscaling }}
{{- if $v.mode }}
{{- if gt (int $v.minReplicas) (include "usersync.maxReplicas" . | int) }}
autoscaling.minReplicas: {{ $v.minReplicas }} is above {{ include "usersync.maxReplicas" . }}, the lower of autoscaling.maxReplicas and partitions
{{- end }}
{{- end }}
{{- if eq $v.mode "keda" }}
{{- if not (int .Values.partitions) }}
partitions: is required with autoscaling.mode keda, since more workers than partitions would be idle; say how many the source topics have
{{- end }}
{{- range $path, $key := include "usersync.credentialKeys" . | fromYaml }}
{{- if hasPrefix "kafka." $path }}
{{- $inConfig := or (include "usersync.at" (dict "from" $.Values.config "path" $key)) (include "usersync.at" (dict "from" $.Values.config "path" (printf "%s_file" $key))) }}
{{- if and $inConfig (not (index $.Values.credentials.kafka (trimPrefix "kafka." $path)).existingSecret) }}
credentials.{{ $path }}.existingSecret: is required with autoscaling.mode keda, which cannot read what config has
{{- end }}
{{- end }}
{{- end }}
{{- else if and (eq $v.mode "hpa") (not $v.hpa.metrics) }}
{{- range (include "usersync.deployments" . | fromJson).items }}
{{- if not (dig "requests" "cpu" "" .resources) }}
resources.requests.cpu: is required with autoscaling.mode hpa, whose target is a part of it ({{ .component }}); give it, or autoscaling.hpa.metrics
{{- end }}
{{- end }}
{{- end }}
{{- end }}

{{/* Variables are the worker's to fill in: nothing else knows what they will be. */}}
{{- define "usersync.problems.variables" -}}
{{- $kafka := dig "kafka" dict .Values.config }}
{{- $brokers := get $kafka "brokers" | toString }}
{{- if eq .Values.autoscaling.mode "keda" }}
{{- range list "brokers" "topics" "group_id" }}
{{- if contains "${" (get $kafka . | toString) }}
config.kafka.{{ . }}: has a variable, which KEDA cannot know; write it out
{{- end }}
{{- end }}
{{- end }}
{{- if .Values.networkPolicy.enabled }}
{{- if and (contains "${" $brokers) (not .Values.networkPolicy.brokerPorts) }}
networkPolicy.brokerPorts: is required, since config.kafka.brokers has a variable
{{- end }}
{{- range (include "usersync.destinations" . | fromJson).names }}
{{- if and (contains "${" (index $.Values.config.destinations . "base_url" | toString)) (not $.Values.networkPolicy.vendorPorts) }}
networkPolicy.vendorPorts: is required, since config.destinations.{{ . }}.base_url has a variable
{{- end }}
{{- end }}
{{- end }}
{{- end }}
