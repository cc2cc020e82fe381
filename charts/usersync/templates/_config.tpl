{{/*
Each credential of `credentials`, and the key of the worker's configuration that it
is for. The worker takes KEY_file for the path of a file with the value of KEY.
*/}}
{{- define "usersync.credentialKeys" -}}
taptalk.server_key_id: destinations.taptalk.server_key_id
taptalk.server_key_secret: destinations.taptalk.server_key_secret
haptik.client_id: destinations.haptik.client_id
haptik.token: destinations.haptik.token
kafka.username: kafka.sasl.username
kafka.password: kafka.sasl.password
kafka.ca: kafka.tls.ca
kafka.cert: kafka.tls.cert
kafka.key: kafka.tls.key
privacy.hash_key: privacy.hash_key
{{- end }}

{{/* The value at a path such as kafka.sasl.username in a map, or nothing; takes from and path. */}}
{{- define "usersync.at" -}}
{{- $value := .from }}
{{- range splitList "." .path }}
{{- if kindIs "map" $value }}{{ $value = get $value . }}{{ end }}
{{- end }}
{{- if not (kindIs "invalid" $value) }}{{ $value }}{{ end }}
{{- end }}

{{/*
The credentials that come from secrets, for these destinations, as JSON {"items": [...]}:
path in `credentials`, key of the worker's configuration, secret and its key.
Takes root and destinations.
*/}}
{{- define "usersync.credentials" -}}
{{- $root := .root }}
{{- $sections := concat .destinations (list "kafka" "privacy") }}
{{- $items := list }}
{{- range $path, $key := include "usersync.credentialKeys" . | fromYaml }}
{{- $section := splitList "." $path | first }}
{{- $given := index $root.Values.credentials $section (splitList "." $path | last) }}
{{- if and (has $section $sections) $given.existingSecret }}
{{- $items = append $items (dict "path" $path "key" $key "secret" $given.existingSecret "secretKey" $given.key) }}
{{- end }}
{{- end }}
{{- dict "items" $items | toJson }}
{{- end }}

{{- define "usersync.credentialsDir" -}}/run/usersync{{- end }}

{{/*
The worker's configuration for these destinations: `config`, the paths of the
credentials, and the port that the probes ask. Takes root and destinations.
*/}}
{{- define "usersync.config" -}}
{{- $config := deepCopy .root.Values.config }}
{{- $destinations := dict }}
{{- range .destinations }}
{{- $_ := set $destinations . (index $config.destinations .) }}
{{- end }}
{{- $_ := set $config "destinations" $destinations }}
{{- range (include "usersync.credentials" . | fromJson).items }}
{{- $value := printf "%s/%s" (include "usersync.credentialsDir" $) (replace "." "/" .path) }}
{{- range $i, $part := splitList "." (printf "%s_file" .key) | reverse }}
{{- $value = dict $part $value }}
{{- end }}
{{- $config = mergeOverwrite $config $value }}
{{- end }}
{{- mergeOverwrite $config (dict "http" (dict "listen" ":8080")) | toYaml }}
{{- end }}

{{/* The ports of host:port texts and of URLs, each once, as JSON {"ports": [...]}. */}}
{{- define "usersync.ports" -}}
{{- $ports := list }}
{{- range . }}
{{- $host := regexReplaceAll "^[a-z]+://|/.*$" . "" }}
{{- $port := regexFind ":[0-9]+$" $host | trimPrefix ":" | default (hasPrefix "http:" . | ternary "80" "443") }}
{{- $ports = append $ports (int $port) }}
{{- end }}
{{- dict "ports" (uniq $ports) | toJson }}
{{- end }}
