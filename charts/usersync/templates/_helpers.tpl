{{/* Name of all objects. Cut, so that "-taptalk" and "-topics" still fit behind it. */}}
{{- define "usersync.fullname" -}}
{{- $name := .Chart.Name }}
{{- if not (contains .Chart.Name .Release.Name) }}
{{- $name = printf "%s-%s" .Release.Name .Chart.Name }}
{{- else }}
{{- $name = .Release.Name }}
{{- end }}
{{- .Values.fullnameOverride | default $name | trunc 53 | trimSuffix "-" }}
{{- end }}

{{/* Labels that select the pods of a release. Under an alias in a parent chart the name is that. */}}
{{- define "usersync.releaseLabels" -}}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name | quote }}
{{- end }}

{{/* Labels that select the pods of one Deployment; takes root and component. */}}
{{- define "usersync.selectorLabels" -}}
{{ include "usersync.releaseLabels" .root }}
app.kubernetes.io/component: {{ .component }}
{{- end }}

{{/*
Labels of an object. Takes root, component if it belongs to one Deployment, and more,
which are the object's own. Each once, whoever gives it: the API takes the last of two
that have one name, and other readers none.
*/}}
{{- define "usersync.labels" -}}
{{- $own := dict
      "app.kubernetes.io/version" (include "usersync.version" .root)
      "app.kubernetes.io/managed-by" .root.Release.Service
      "helm.sh/chart" (printf "%s-%s" .root.Chart.Name .root.Chart.Version | replace "+" "_") }}
{{- $select := include "usersync.releaseLabels" .root | fromYaml }}
{{- if .component }}
{{- $select = include "usersync.selectorLabels" . | fromYaml }}
{{- end }}
{{- mergeOverwrite (dict) .root.Values.commonLabels (.more | default dict) $own $select | toYaml }}
{{- end }}

{{/*
Labels of a pod; takes root and component. Without helm.sh/chart: a new version of the
chart alone is no reason to restart a worker.
*/}}
{{- define "usersync.podLabels" -}}
{{- $version := dict "app.kubernetes.io/version" (include "usersync.version" .root) }}
{{- mergeOverwrite (dict) .root.Values.commonLabels .root.Values.podLabels $version (include "usersync.selectorLabels" . | fromYaml) | toYaml }}
{{- end }}

{{- define "usersync.version" -}}
{{- .Values.image.tag | default .Chart.AppVersion | trunc 63 | trimAll "-_." }}
{{- end }}

{{/* The names of the destinations, as JSON {"names": [...]}; null takes one away again. */}}
{{- define "usersync.destinations" -}}
{{- $names := list }}
{{- range $name, $destination := dig "destinations" dict .Values.config }}
{{- if not (kindIs "invalid" $destination) }}{{ $names = append $names $name }}{{ end }}
{{- end }}
{{- dict "names" (sortAlpha $names) | toJson }}
{{- end }}

{{/*
The Deployments, as JSON {"items": [...]}: for each its component, name, destinations,
replicas and resources. Everything that exists once for each goes by this list.
*/}}
{{- define "usersync.deployments" -}}
{{- $v := .Values }}
{{- $name := include "usersync.fullname" . }}
{{- $destinations := (include "usersync.destinations" . | fromJson).names }}
{{- $items := list }}
{{- if eq $v.deployments "separate" }}
{{- range $destination := $destinations }}
{{- $own := index $v.separate $destination | default dict }}
{{- $items = append $items (dict
      "component" $destination
      "name" (printf "%s-%s" $name $destination)
      "destinations" (list $destination)
      "replicas" (kindIs "invalid" $own.replicas | ternary $v.replicas $own.replicas)
      "resources" ($own.resources | default $v.resources)) }}
{{- end }}
{{- else }}
{{- $items = list (dict
      "component" "worker"
      "name" $name
      "destinations" $destinations
      "replicas" $v.replicas
      "resources" $v.resources) }}
{{- end }}
{{- dict "items" $items | toJson }}
{{- end }}

{{/* The image: the tag is for the reader when there is a digest. */}}
{{- define "usersync.image" -}}
{{- with .Values.image }}
{{- if .digest }}
{{- .repository }}{{ with .tag }}:{{ . }}{{ end }}@{{ .digest }}
{{- else }}
{{- .repository }}:{{ .tag | default $.Chart.AppVersion }}
{{- end }}
{{- end }}
{{- end }}

{{- define "usersync.serviceAccountName" -}}
{{- .Values.serviceAccount.name | default (.Values.serviceAccount.create | ternary (include "usersync.fullname" .) "default") }}
{{- end }}

{{/*
A Go duration, such as 1m30s, in nanoseconds. What is none is 0: the schema refuses it,
and a variable has no value here.
*/}}
{{- define "usersync.nanoseconds" -}}
{{- $units := dict "h" 3.6e12 "m" 6e10 "s" 1e9 "ms" 1e6 "us" 1e3 "µs" 1e3 "ns" 1.0 }}
{{- $sum := 0.0 }}
{{- range regexFindAll "[0-9.]+(h|ms|us|µs|ns|m|s)" (toString .) -1 }}
{{- $number := regexFind "^[0-9.]+" . }}
{{- $sum = addf $sum (mulf (float64 $number) (index $units (trimPrefix $number .))) }}
{{- end }}
{{- round $sum 0 | int64 }}
{{- end }}

{{/* The same in whole seconds, rounded up. */}}
{{- define "usersync.seconds" -}}
{{- divf (include "usersync.nanoseconds" . | int64) 1e9 | ceil | int64 }}
{{- end }}

{{- define "usersync.drainTimeout" -}}
{{- dig "shutdown" "drain_timeout" "20s" .Values.config }}
{{- end }}

{{/*
After the drain a worker commits once more, leaves its groups and ends its HTTP
server; 20 seconds are enough also if the coordinator does not answer.
*/}}
{{- define "usersync.gracePeriod" -}}
{{- if kindIs "invalid" .Values.terminationGracePeriodSeconds }}
{{- add (include "usersync.seconds" (include "usersync.drainTimeout" .)) 20 }}
{{- else }}
{{- .Values.terminationGracePeriodSeconds }}
{{- end }}
{{- end }}

{{/* The most workers that a scaler may start: no more than there are partitions, where that is known. */}}
{{- define "usersync.maxReplicas" -}}
{{- $max := int .Values.autoscaling.maxReplicas }}
{{- with int .Values.partitions }}{{ $max = min $max . }}{{ end }}
{{- $max }}
{{- end }}
