{{/* ---------------------------------------------------------------- names */}}
{{- define "browserpool.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 40 | trimSuffix "-" -}}
{{- end -}}

{{/* The prefix of the objects' names: short enough for what is appended. */}}
{{- define "browserpool.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 40 | trimSuffix "-" -}}
{{- else if contains (include "browserpool.name" .) .Release.Name -}}
{{- .Release.Name | trunc 40 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name (include "browserpool.name" .) | trunc 40 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{/* The prefix of names outside of namespaces. */}}
{{- define "browserpool.clustername" -}}
{{- printf "%s-%s" .Release.Namespace (include "browserpool.fullname" .) -}}
{{- end -}}

{{/* What selects the pods of a component. The controller gives the browsers the same name, whatever the release is called:
     there is one installation in a namespace. */}}
{{- define "browserpool.selector" -}}
app.kubernetes.io/name: browserpool
app.kubernetes.io/component: {{ .component }}
{{- end -}}

{{/* (dict "root" $ "component" "router") */}}
{{- define "browserpool.labels" -}}
{{ include "browserpool.podLabels" . }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version | replace "+" "_" }}
{{- end -}}

{{/* Of pod templates: without versions, so that another version of the chart starts no pod anew whose image and settings stay. */}}
{{- define "browserpool.podLabels" -}}
{{ include "browserpool.selector" . }}
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
app.kubernetes.io/part-of: browserpool
{{- with .root.Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{/* The metadata of an object: (dict "root" $ "component" "router" "name" "x" "annotations" (dict …)); "scope" "cluster" leaves the
     namespace out. */}}
{{- define "browserpool.metadata" -}}
metadata:
  name: {{ .name }}
  {{- if ne (.scope | default "namespace") "cluster" }}
  namespace: {{ .namespace | default .root.Release.Namespace }}
  {{- end }}
  labels:
    {{- include "browserpool.labels" . | nindent 4 }}
    {{- with .labels }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  {{- with merge (dict) (.annotations | default dict) .root.Values.commonAnnotations }}
  annotations:
    {{- toYaml . | nindent 4 }}
  {{- end }}
{{- end -}}

{{/* (dict "root" $ "own" .Values.router.image "name" "router") */}}
{{- define "browserpool.image" -}}
{{- if .own -}}
{{- .own -}}
{{- else -}}
{{- $registry := .root.Values.image.registry | trimSuffix "/" -}}
{{- printf "%sbrowserpool-%s:%s" (ternary (printf "%s/" $registry) "" (ne $registry "")) .name (.root.Values.image.tag | default .root.Chart.AppVersion) -}}
{{- end -}}
{{- end -}}

{{- define "browserpool.pullSecrets" -}}
{{- with .Values.image.pullSecrets }}
imagePullSecrets:
  {{- range . }}
  - name: {{ . }}
  {{- end }}
{{- end }}
{{- end -}}

{{- define "browserpool.kubeVersion" -}}
{{- .Values.kubeVersion | default .Capabilities.KubeVersion.Version -}}
{{- end -}}

{{/* ---------------------------------------------------------------- what is generated once and kept */}}
{{/* The value of a key of a Secret as it is in the cluster, or else a fresh one; the same wherever this release asks for it.
     (dict "root" $ "secret" "name" "key" "key" "length" 48) */}}
{{- define "browserpool.kept" -}}
{{- $root := .root -}}
{{- $memory := printf "_kept %s %s" .secret .key -}}
{{- if not (hasKey $root.Values $memory) -}}
  {{- $found := lookup "v1" "Secret" $root.Release.Namespace .secret -}}
  {{- $value := "" -}}
  {{- if $found -}}
    {{- $value = index ($found.data | default dict) .key | default "" | b64dec -}}
  {{- end -}}
  {{- $_ := set $root.Values $memory ($value | default (randAlphaNum (int .length))) -}}
{{- end -}}
{{- index $root.Values $memory -}}
{{- end -}}

{{/* The installation's name in its database. What it began with stays: under another name its controller would wait for its own browsers
     to fall silent. So an upgrade takes it from the Deployment, the empty one of an installation whose namespace Helm made as well.
     (dict "root" $ "deployment" "name") */}}
{{- define "browserpool.installation" -}}
{{- if .root.Values.controller.installation -}}
{{- .root.Values.controller.installation -}}
{{- else -}}
  {{- $namespace := lookup "v1" "Namespace" "" .root.Release.Namespace -}}
  {{- $name := dig "metadata" "uid" "" $namespace -}}
  {{- $found := lookup "apps/v1" "Deployment" .root.Release.Namespace .deployment -}}
  {{- range dig "spec" "template" "spec" "containers" list $found -}}
    {{- range .env -}}
      {{- if eq .name "BROWSERPOOL_INSTALLATION" -}}{{- $name = .value | default "" -}}{{- end -}}
    {{- end -}}
  {{- end -}}
  {{- $name -}}
{{- end -}}
{{- end -}}

{{- define "browserpool.signingKeySecret" -}}
{{- .Values.signingKey.existingSecret | default (printf "%s-signing-key" (include "browserpool.fullname" .)) -}}
{{- end -}}

{{- define "browserpool.tokenSecret" -}}
{{- .Values.token.existingSecret | default (printf "%s-token" (include "browserpool.fullname" .)) -}}
{{- end -}}

{{/* The token itself: generated, or read from the Secret that was named. Empty where that cannot be read. */}}
{{- define "browserpool.token" -}}
{{- if .Values.token.existingSecret -}}
{{- $found := lookup "v1" "Secret" .Release.Namespace .Values.token.existingSecret -}}
{{- if $found -}}{{- index $found.data "token" | b64dec -}}{{- end -}}
{{- else -}}
{{- include "browserpool.kept" (dict "root" . "secret" (include "browserpool.tokenSecret" .) "key" "token" "length" 48) -}}
{{- end -}}
{{- end -}}

{{- define "browserpool.databaseName" -}}
{{- printf "%s-database" (include "browserpool.fullname" .) -}}
{{- end -}}

{{- define "browserpool.databaseSecret" -}}
{{- .Values.database.existingSecret | default (include "browserpool.databaseName" .) -}}
{{- end -}}

{{- define "browserpool.databasePassword" -}}
{{- include "browserpool.kept" (dict "root" . "secret" (include "browserpool.databaseName" .) "key" "password" "length" 32) -}}
{{- end -}}

{{- define "browserpool.dsn" -}}
{{- printf "postgresql://browserpool:%s@%s.%s.svc:5432/browserpool" (include "browserpool.databasePassword" .) (include "browserpool.databaseName" .) .Release.Namespace -}}
{{- end -}}

{{/* ---------------------------------------------------------------- parts of pods */}}
{{/* What the Pod Security level `restricted` asks of a pod and of a container, and a root that cannot be written. */}}
{{- define "browserpool.podSecurity" -}}
runAsNonRoot: true
runAsUser: 65532
runAsGroup: 65532
fsGroup: 65532
seccompProfile: {type: RuntimeDefault}
{{- end -}}

{{- define "browserpool.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: {drop: [ALL]}
{{- end -}}

{{- define "browserpool.dsnVariable" -}}
- name: BROWSERPOOL_DSN
  valueFrom:
    secretKeyRef: {name: {{ include "browserpool.databaseSecret" . }}, key: dsn}
{{- end -}}

{{- define "browserpool.signingKeyVariable" -}}
- name: BROWSERPOOL_SIGNING_KEY
  valueFrom:
    secretKeyRef: {name: {{ include "browserpool.signingKeySecret" . }}, key: signing-key}
{{- end -}}

{{/* The pods of a first installation start beside the bundled database and the Job that makes its tables. */}}
{{- define "browserpool.waitForSchema" -}}
{{- if .root.Values.database.bundled.enabled }}
initContainers:
  - name: wait-for-schema
    image: {{ .image }}
    imagePullPolicy: {{ .root.Values.image.pullPolicy }}
    command: [python, -m, browserpool, migrate, --check, --wait, {{ .root.Values.migrations.deadline | quote }}]
    env:
      {{- include "browserpool.dsnVariable" .root | nindent 6 }}
    securityContext:
      {{- include "browserpool.containerSecurity" . | nindent 6 }}
    resources:
      {{- toYaml .root.Values.migrations.resources | nindent 6 }}
    volumeMounts:
      - {name: tmp, mountPath: /tmp}
{{- end }}
{{- end -}}

{{/* Where Secrets are read as files, each in a folder of its name. */}}
{{- define "browserpool.secretsDir" -}}
/var/run/browserpool/secrets
{{- end -}}

{{/* A pod's volumes of these Secrets: (dict "names" (list …)) */}}
{{- define "browserpool.secretVolumes" -}}
{{- range $number, $secret := .names }}
- name: secret-{{ $number }}
  # One that is not there yet keeps no pod from starting; what needs it says so.
  secret: {secretName: {{ $secret | quote }}, optional: true}
{{- end }}
{{- end -}}

{{/* Their mounts, likewise. */}}
{{- define "browserpool.secretMounts" -}}
{{- range $number, $secret := .names }}
- {name: secret-{{ $number }}, mountPath: {{ printf "%s/%s" (include "browserpool.secretsDir" $) $secret | quote }}, readOnly: true}
{{- end }}
{{- end -}}

{{- define "browserpool.secretsDirVariable" -}}
{{- if .names }}
- {name: BROWSERPOOL_SECRETS_DIR, value: {{ include "browserpool.secretsDir" . }}}
{{- end }}
{{- end -}}

{{/* Spread over nodes and zones, as far as that goes: (dict "component" "router" "own" .Values.router.topologySpreadConstraints) */}}
{{- define "browserpool.spread" -}}
topologySpreadConstraints:
  {{- if .own }}
  {{- toYaml .own | nindent 2 }}
  {{- else }}
  {{- range $key := list "topology.kubernetes.io/zone" "kubernetes.io/hostname" }}
  - maxSkew: 1
    topologyKey: {{ $key }}
    whenUnsatisfiable: ScheduleAnyway
    labelSelector:
      matchLabels:
        {{- include "browserpool.selector" $ | nindent 8 }}
  {{- end }}
  {{- end }}
{{- end -}}

{{/* Where pods may stand: (dict "values" .Values.router) */}}
{{- define "browserpool.placement" -}}
{{- with .priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- with .nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .affinity }}
affinity:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{/* Pods read their secrets once, at the start: another secret starts them anew. */}}
{{- define "browserpool.secretsChecksum" -}}
{{- $values := list (include "browserpool.databaseSecret" .) (include "browserpool.signingKeySecret" .) -}}
{{- if not .Values.signingKey.existingSecret -}}
{{- $values = append $values (include "browserpool.kept" (dict "root" . "secret" (include "browserpool.signingKeySecret" .) "key" "signing-key" "length" 48)) -}}
{{- end -}}
{{- if .Values.database.bundled.enabled -}}
{{- $values = append $values (include "browserpool.databasePassword" .) -}}
{{- end -}}
browserpool.dev/secrets: {{ join " " $values | sha256sum | trunc 16 | quote }}
{{- end -}}
