#!/usr/bin/env bats
# Admission webhooks through kubectl: refusals, changes, warnings, failure policies, dry runs.

load suite

setup_file() {
	start_api
	cd "$BATS_FILE_TMPDIR" || return 1
	openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -keyout key.pem -out cert.pem -days 2 \
		-subj /CN=hook -addext subjectAltName=IP:127.0.0.1 2>openssl.err
	python3 "$BATS_TEST_DIRNAME/webhook.py" cert.pem key.pem >port 2>webhook.err 3>&- &
	export HOOK_PID=$!
	until_true 20 test -s port
	HOOK_PORT=$(cat port)
	HOOK_CA=$(base64 -w0 cert.pem)
	export HOOK_PORT HOOK_CA
}

teardown_file() {
	[ -z "${HOOK_PID:-}" ] || kill "$HOOK_PID"
	end_api
}

teardown() {
	"$KUBECTL" delete validatingwebhookconfiguration,mutatingwebhookconfiguration -l "test=$NS" >/dev/null
	drop_namespace
}

# hook KIND PATH [MORE]: one webhook for config maps of this test's namespace; MORE is further members of it in flow style.
hook() {
	flow "{apiVersion: admissionregistration.k8s.io/v1, kind: ${1}WebhookConfiguration, metadata: {name: $NS, labels: {test: $NS}}, webhooks: [{name: hook.example.com, clientConfig: {url: 'https://127.0.0.1:${PORT:-$HOOK_PORT}$2', caBundle: $HOOK_CA}, namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: $NS}}, rules: [{operations: ['*'], apiGroups: [''], apiVersions: [v1], resources: [configmaps]}], sideEffects: None, admissionReviewVersions: [v1]${3:-}}]}" |
		"$KUBECTL" apply -f -
	"$KUBECTL" label namespace "$NS" "kubernetes.io/metadata.name=$NS" --overwrite >/dev/null
}

# A real server takes a moment until it asks a new webhook.
refuses() {
	! k create configmap probe --from-literal a=b >/dev/null 2>&1 || { k delete configmap probe >/dev/null 2>&1; false; }
}

@test "a webhook refuses, in its own words" {
	hook Validating /deny
	until_true 20 refuses
	refused 'admission webhook "hook.example.com" denied the request: not on a Sunday' k create configmap c --from-literal a=b
	refused 'not on a Sunday' k create configmap c --from-literal a=b --dry-run=server
	k create secret generic s
	"$KUBECTL" delete validatingwebhookconfiguration "$NS"
	until_true 20 k create configmap c --from-literal a=b
}

labelled() {
	k delete configmap probe --ignore-not-found >/dev/null 2>&1
	k create configmap probe --from-literal a=b >/dev/null
	[ "$(k get configmap probe -o 'jsonpath={.metadata.labels.seen-by}')" = webhook ]
}

@test "a webhook changes what is created" {
	hook Mutating /label
	until_true 20 labelled
	equal b k get configmap probe -o 'jsonpath={.data.a}'
	k annotate configmap probe x=y
}

warned() {
	k delete configmap probe --ignore-not-found >/dev/null 2>&1
	k create configmap probe --from-literal a=b 2>&1 | grep -q 'Warning: mind the gap'
}

@test "a webhook's warnings arrive" {
	hook Validating /warn
	until_true 20 warned
}

@test "a webhook that is not there" {
	needs_server 23
	PORT=1 hook Validating /x
	until_true 20 refuses
	refused 'Internal error occurred: failed calling webhook "hook.example.com": failed to call webhook: Post "https://127.0.0.1:1/x?timeout=10s": dial tcp 127.0.0.1:1: connect: connection refused' k create configmap c --from-literal a=b
	"$KUBECTL" delete validatingwebhookconfiguration "$NS"
	PORT=1 hook Validating /x ', failurePolicy: Ignore'
	until_true 20 k create configmap c --from-literal a=b
}

@test "defaults and columns of configurations" {
	hook Mutating /allow
	equal '10 Fail Equivalent Never *' "$KUBECTL" get mutatingwebhookconfiguration "$NS" -o 'jsonpath={.webhooks[0].timeoutSeconds} {.webhooks[0].failurePolicy} {.webhooks[0].matchPolicy} {.webhooks[0].reinvocationPolicy} {.webhooks[0].rules[0].scope}'
	"$KUBECTL" get mutatingwebhookconfiguration "$NS" --no-headers | grep -Eq "^$NS +1 +[0-9]+s$"
	"$KUBECTL" explain validatingwebhookconfiguration.webhooks.failurePolicy | grep -q failurePolicy
}

@test "configurations that are refused" {
	refused 'exactly one of url or service is required' "$KUBECTL" create -f - < <(flow "{apiVersion: admissionregistration.k8s.io/v1, kind: ValidatingWebhookConfiguration, metadata: {name: $NS}, webhooks: [{name: a.b.c, clientConfig: {}, sideEffects: None, admissionReviewVersions: [v1]}]}")
	refused 'should be a domain with at least three segments separated by dots' "$KUBECTL" create -f - < <(flow "{apiVersion: admissionregistration.k8s.io/v1, kind: ValidatingWebhookConfiguration, metadata: {name: $NS}, webhooks: [{name: a, clientConfig: {url: 'https://a'}, sideEffects: None, admissionReviewVersions: [v1]}]}")
}
