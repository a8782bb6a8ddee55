#!/usr/bin/env bats
# What kubectl does besides plain reads and writes: edit, diff, describe, prune, watch, wait, columns of one's own, explanations, cascades.

load suite

setup_file() {
	start_api
	start_controllers
}

config_map() {
	flow "{apiVersion: v1, kind: ConfigMap, metadata: {name: $1, labels: {app: ${3:-a}}}, data: $2}"
}

# in_background COMMAND...: its output goes to $BATS_TEST_TMPDIR/out; teardown ends it.
in_background() {
	"$@" >"$BATS_TEST_TMPDIR/out" 2>"$BATS_TEST_TMPDIR/err" 3>&- &
	BACKGROUND=$!
}

teardown() {
	[ -z "${BACKGROUND:-}" ] || kill "$BACKGROUND" 2>/dev/null || true
	drop_namespace
}

has_line() {
	grep -Eq "$1" "$BATS_TEST_TMPDIR/out"
}

@test "edit: saved, left alone, and refused" {
	config_map c '{a: "1"}' | k create -f -
	KUBE_EDITOR="sed -i 's/a: .1.\$/a: \"2\"/'" k edit configmap c
	equal 2 k get configmap c -o 'jsonpath={.data.a}'
	KUBE_EDITOR=true run k edit configmap c
	[ "$status" -eq 0 ]
	[[ $output == *'Edit cancelled, no changes made.'* ]]
	# what is refused opens again with the reason in it; an editor that then changes nothing leaves a copy of it
	export TMPDIR=$BATS_TEST_TMPDIR
	KUBE_EDITOR="sed -i 's/a: .2.\$/a: \"2\"\\n  bad!key: x/'" refused 'no valid changes were saved' k edit configmap c
	grep -q '^# .*data\[bad!key\]: Invalid value' "$TMPDIR"/kubectl-edit-*
	equal '{"a":"2"}' k get configmap c -o 'jsonpath={.data}'
}

@test "diff says what apply would change, by the server's own dry run" {
	config_map c '{a: "1"}' | k apply -f -
	config_map c '{a: "1"}' | k diff -f -
	run k diff -f - < <(config_map c '{a: "2"}')
	[ "$status" -eq 1 ]
	grep -Eq '^- +a: "1"$' <<<"$output"
	grep -Eq '^\+ +a: "2"$' <<<"$output"
	run k diff -f - < <(config_map d '{a: "1"}')
	[ "$status" -eq 1 ]
	grep -Eq '^\+ +name: d$' <<<"$output"
	equal 1 k get configmap c -o 'jsonpath={.data.a}'
	refused 'not found' k get configmap d
	run k diff -f - < <(config_map c '{"bad!key": x}')
	[ "$status" -gt 1 ]
	[[ $output == *'data[bad!key]: Invalid value'* ]]
}

@test "describe: an object, its Events, and kinds with columns of their own" {
	config_map c '{a: some words}' | k create -f -
	local uid
	uid=$(k get configmap c -o 'jsonpath={.metadata.uid}')
	flow "{apiVersion: v1, kind: Event, metadata: {name: e}, involvedObject: {apiVersion: v1, kind: ConfigMap, name: c, namespace: $NS, uid: $uid}, reason: Fell, message: it fell over, type: Warning, source: {component: ground}, firstTimestamp: '2026-01-02T03:04:05Z', lastTimestamp: '2026-01-02T03:04:05Z', count: 1}" | k create -f -
	k describe configmap c >"$BATS_TEST_TMPDIR/out"
	has_line '^Labels: +app=a$'
	has_line '^some words$'
	has_line 'Warning +Fell +.* +ground +it fell over$'
	k create service clusterip s --tcp 80
	k describe service s >"$BATS_TEST_TMPDIR/out"
	has_line '^Port: +80 +80/TCP$'
	has_line '^Endpoints: +(<none>)?$'
	k create deployment d --image i:1
	k describe deployment d >"$BATS_TEST_TMPDIR/out"
	has_line '^RollingUpdateStrategy: +25% max unavailable, 25% max surge$'
	has_line '^ +Image: +i:1$'
	k describe namespace "$NS" | grep -q '^Status: *Active$'
	k describe serviceaccount default | grep -q '^Name: *default$'
	refused 'configmaps "none" not found' k describe configmap none
}

prune() {
	local option=--prune-whitelist
	! kubectl_is 26 || option=--prune-allowlist
	cat >"$BATS_TEST_TMPDIR/all"
	k apply --prune -l app=a "$option=core/v1/ConfigMap" -f "$BATS_TEST_TMPDIR/all"
}

@test "apply --prune takes away what is no longer said" {
	{ config_map one '{}'; config_map two '{}'; } | prune
	config_map other '{}' b | k apply -f -
	config_map by-hand '{}' | k create -f -
	run prune < <(config_map one '{}')
	[ "$status" -eq 0 ]
	[[ $output == *'configmap/two pruned'* ]]
	equal 'by-hand one other' k get configmap -l app -o 'jsonpath={.items[*].metadata.name}'
}

@test "get -w, --watch-only, and the kinds of events" {
	k create configmap old
	in_background k get configmap old --watch-only -o name
	in_time() { # there is no sign of its beginning: change until it is seen
		k annotate configmap old "now=$RANDOM" --overwrite >/dev/null
		has_line '^configmap/old$'
	}
	until_true 20 in_time
	kill "$BACKGROUND"
	in_background k get configmap -l app=a -w --output-watch-events --no-headers
	first() {
		config_map c '{a: "1"}' | k apply -f - >/dev/null
		has_line '^ADDED +c +1 '
	}
	until_true 20 first
	k label configmap c app=b --overwrite
	until_true 20 has_line '^DELETED +c '
	run has_line ' old ' # is not selected
	[ "$status" -eq 1 ]
}

# squeezed ARGUMENT...: kubectl's output with one space between columns.
squeezed() {
	k "$@" | sed -E 's/ +/ /g'
}

@test "columns of one's own, names, sorting, missing keys" {
	{ config_map c '{size: "2"}'; config_map d '{size: "1"}'; } | k create -f -
	equal $'NAME SIZE\nc 2\nd 1' squeezed get configmap -l app=a -o custom-columns=NAME:.metadata.name,SIZE:.data.size
	equal $'d 1 <none>\nc 2 <none>' squeezed get configmap -l app=a --sort-by=.data.size --no-headers -o custom-columns=N:.metadata.name,S:.data.size,X:.data.none
	equal $'configmap/c\nconfigmap/d' k get configmap -l app=a -o name
	equal $'c=2\nd=1' k get configmap -l app=a -o 'jsonpath={range .items[*]}{.metadata.name}={.data.size}{"\n"}{end}'
	equal 'c 2' k get configmap c -o go-template='{{.metadata.name}} {{.data.size}}'
	k get configmap c d -L app --no-headers | grep -Eq '^d +1 +[0-9]+s +a$'
	k get configmap c --show-labels --no-headers | grep -Eq 'app=a$'
}

@test "explain: a field, everything below it, and fields that are not there" {
	"$KUBECTL" explain statefulset.spec.template.spec >"$BATS_TEST_TMPDIR/out"
	has_line '^ +containers	<\[\](Container|Object)> -required-'
	"$KUBECTL" explain persistentvolumeclaim --recursive >"$BATS_TEST_TMPDIR/out"
	has_line '^KIND: +PersistentVolumeClaim$'
	has_line '^ +resourceVersion	<string>'
	has_line '^ +storageClassName	<string>'
	"$KUBECTL" explain deployment.spec.strategy.rollingUpdate --recursive --api-version apps/v1 | grep -q maxSurge
	refused 'field "none" does not exist' "$KUBECTL" explain pod.spec.none
}

@test "wait: for a condition, for the end" {
	k create deployment d --image i --replicas 0
	k wait --for=condition=Available deployment/d --timeout=30s
	flow '{apiVersion: v1, kind: Pod, metadata: {name: p}, spec: {nodeSelector: {conformance/nowhere: "true"}, containers: [{name: c, image: i}]}}' | k create -f -
	refused 'timed out waiting for the condition' k wait --for=condition=Ready pod/p --timeout=1s
	in_background k wait --for=delete pod/p --timeout=30s
	k delete pod p --wait=false
	wait "$BACKGROUND"
}

@test "wait for a value" {
	needs_kubectl 23
	k create configmap c --from-literal a=1
	in_background k wait --for=jsonpath='{.data.a}'=2 configmap/c --timeout=30s
	k patch configmap c --type merge -p '{"data":{"a":"2"}}'
	wait "$BACKGROUND"
}

# owned NAME: a config map whose owner is the config map "owner".
owned() {
	local uid
	uid=$(k get configmap owner -o 'jsonpath={.metadata.uid}')
	flow "{apiVersion: v1, kind: ConfigMap, metadata: {name: $1, ownerReferences: [{apiVersion: v1, kind: ConfigMap, name: owner, uid: $uid, blockOwnerDeletion: true}]}}" | k create -f -
}

has_owners() {
	[ -n "$(k get configmap "$1" -o 'jsonpath={.metadata.ownerReferences}')" ]
}

has_no_owners() {
	! has_owners "$1"
}

is_gone() {
	[ -z "$(k get configmap "$1" --ignore-not-found -o name)" ]
}

@test "delete --cascade: orphan, background, foreground" {
	k create configmap owner
	owned left
	k delete configmap owner --cascade=orphan --timeout=20s
	until_true 20 has_no_owners left
	k create configmap owner
	owned taken
	k delete configmap owner --cascade=background
	until_true 20 is_gone taken
	k create configmap owner
	owned first
	k patch configmap first --type merge -p '{"metadata":{"finalizers":["example.com/hold"]}}'
	k delete configmap owner --cascade=foreground --wait=false
	equal '["foregroundDeletion"]' k get configmap owner -o 'jsonpath={.metadata.finalizers}'
	is_dying() {
		[ -n "$(k get configmap first -o 'jsonpath={.metadata.deletionTimestamp}')" ]
	}
	until_true 20 is_dying
	k get configmap owner
	k patch configmap first --type merge -p '{"metadata":{"finalizers":null}}'
	k wait --for=delete configmap/owner --timeout=20s || until_true 1 is_gone owner
	is_gone first
	k get configmap left
}

@test "delete: by label, by file, all; now and by force" {
	{ config_map a '{}'; config_map b '{}'; config_map c '{}' b; config_map d '{}' b; } | k create -f -
	k delete configmap -l app=a
	equal 'c d' k get configmap -l app -o 'jsonpath={.items[*].metadata.name}'
	config_map c '{}' | k delete -f -
	k delete configmap none --ignore-not-found
	refused 'configmaps "none" not found' k delete configmap none
	k delete configmap --all
	equal '' k get configmap -l app -o name
	flow '{apiVersion: v1, kind: Pod, metadata: {name: p, finalizers: [example.com/hold]}, spec: {containers: [{name: c, image: i}]}}' | k create -f -
	k delete pod p --grace-period=0 --force --wait=false
	equal 0 k get pod p -o 'jsonpath={.metadata.deletionGracePeriodSeconds}'
	k patch pod p --type merge -p '{"metadata":{"finalizers":null}}'
	refused 'not found' k get pod p
}

@test "replace, set, rollout, run, expose" {
	config_map c '{a: "1"}' | k create -f -
	config_map c '{b: "2"}' | k replace -f -
	equal '{"b":"2"}' k get configmap c -o 'jsonpath={.data}'
	local uid
	uid=$(k get configmap c -o 'jsonpath={.metadata.uid}')
	config_map c '{b: "2"}' | k replace --force -f -
	[ "$(k get configmap c -o 'jsonpath={.metadata.uid}')" != "$uid" ]
	k create deployment d --image i:1 --replicas 0
	k set env deployment/d A=b
	k set resources deployment/d --limits cpu=1
	equal 'b 1' k get deployment d -o 'jsonpath={.spec.template.spec.containers[0].env[0].value} {.spec.template.spec.containers[0].resources.limits.cpu}'
	k rollout pause deployment/d
	refused 'already paused' k rollout pause deployment/d
	k rollout resume deployment/d
	k rollout restart deployment/d
	k get deployment d -o yaml | grep -q 'kubectl.kubernetes.io/restartedAt'
	k rollout status deployment/d --timeout 20s
	k expose deployment d --port 80
	equal '80 d' k get service d -o 'jsonpath={.spec.ports[0].port} {.spec.selector.app}'
	k run p --image i --labels x=y
	equal 'y i' k get pod p -o 'jsonpath={.metadata.labels.x} {.spec.containers[0].image}'
}

@test "get --raw, api-resources, auth can-i" {
	"$KUBECTL" get --raw "/api/v1/namespaces/$NS/configmaps?limit=1" | jq -en 'input | .kind == "ConfigMapList"'
	refused 'the server could not find the requested resource' "$KUBECTL" get --raw /api/v1/nothings
	"$KUBECTL" api-resources --verbs=list,watch --namespaced -o name | grep -qx persistentvolumeclaims
	"$KUBECTL" api-resources --namespaced=false -o wide --no-headers | grep -E '^namespaces +ns +v1 +false +Namespace' | grep -q delete
	"$KUBECTL" api-resources --api-group=apps -o name | grep -qx statefulsets.apps
	equal yes k auth can-i '*' '*'
	run k auth can-i list secrets --as nobody
	[ "$status" -eq 1 ]
	[ "${lines[0]}" = no ]
	equal yes k auth can-i get /healthz --as nobody --as-group system:authenticated
}
