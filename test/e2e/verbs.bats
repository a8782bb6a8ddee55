#!/usr/bin/env bats
# The verbs of each day, for a machine without kubectl; and what explain says of datasets that are not well.

bats_require_minimum_version 1.5.0
load helpers

setup() {
	setup_machine
	unset KUBECONFIG
	mkdir -p "$WORK/src"
	echo hello >"$WORK/src/a"
	"$SLUICE" up --detach --data-dir "$DATA" --listen 127.0.0.1:0 2>/dev/null
}

teardown() {
	"$SLUICE" down --data-dir "$DATA" || true
	teardown_machine
}

verb() {
	local name=$1
	shift
	"$SLUICE" "$name" --data-dir "$DATA" "$@"
}

# What explain says, as OBJECT|PROBLEM|ADVICE lines.
findings() {
	verb explain dataset "$1" -o json | jq -r '.findings[] | "\(.object)|\(.problem)|\(.advice)"'
}

finds() {
	findings "$1" | tee "$WORK/findings" | grep -q -E "$2"
}

dataset() {
	cat <<-EOF
		apiVersion: data.fluid.io/v1alpha1
		kind: Dataset
		metadata: {name: $1, namespace: default}
		spec: {mounts: [{mountPoint: "local://$WORK/src"}]}
	EOF
}

runtime() {
	cat <<-EOF
		---
		apiVersion: data.fluid.io/v1alpha1
		kind: ReservoirRuntime
		metadata: {name: $1, namespace: default}
		spec: {replicas: 1, tieredstore: {levels: [{mediumtype: SSD, path: $WORK/cache, quota: 1Gi}]}${2:+, $2}}
	EOF
}

bound() {
	[ "$(verb get dataset "$1" -o json | jq -r .status.phase)" = Bound ]
}

@test "apply, get, describe, logs, explain, delete: a dataset's life without kubectl" {
	run -0 verb apply -f - <<<"$(dataset mine; runtime mine)"
	[ "$output" = $'dataset.data.fluid.io/mine applied\nreservoirruntime.data.fluid.io/mine applied' ]
	until_true 60 bound mine
	run -0 verb get dataset
	[[ ${lines[0]} =~ ^NAME\ +UFS\ TOTAL\ SIZE\ +CACHED ]]
	[[ ${lines[1]} =~ ^mine\ +6.00B\ .*Bound ]]
	run -0 verb get dataset,sts -A
	[[ ${lines[0]} =~ ^NAMESPACE\ +NAME ]]
	[[ $output == *"dataset.data.fluid.io/mine"* ]] && [[ $output == *"statefulset.apps/mine-worker"* ]]
	run -0 verb get pods -l release=mine -o name
	[[ $output == *"pod/mine-worker-0"* ]]
	verb get dataset mine -o yaml | grep -q '^  phase: Bound$'
	run -0 verb describe dataset mine
	grep -q -E '^Ready +True ' <<<"$output"
	run -0 verb logs mine --tail 1
	[[ ${lines[0]} == "==> pod mine-worker-0 <==" ]]
	run -0 verb logs mine-worker-0
	[[ $output == *'"msg":"worker started"'* ]]
	run -0 verb explain dataset mine
	[[ ${lines[0]} == "dataset default/mine: it is Bound: "*" of 6.00B cached"* ]]
	run -0 --separate-stderr verb delete dataset mine
	[ "$output" = "dataset.data.fluid.io/mine deleted" ]
	run -0 --separate-stderr verb delete -f - <<<"$(runtime mine)"
	run -0 --separate-stderr verb get dataset,reservoirruntime
	[ -z "$output" ]
	# shellcheck disable=SC2154 # run sets it
	[ "$stderr" = "nothing found in namespace default" ]
}

@test "explain names the cause: no runtime, a pod that no node takes, an image that is not there, a pod that uses what is deleted" {
	verb apply -f - <<<"$(dataset bare)"
	until_true 20 finds bare "^runtime\|no runtime is named 'bare' in namespace default.*\|apply a runtime"

	verb apply -f - <<<"$(dataset far; runtime far 'worker: {nodeSelector: {zone: moon}}')"
	until_true 30 finds far '(Unschedulable|didn.t match|no node|nodes).*'

	verb apply -f - <<<"$(dataset used; runtime used)"
	until_true 60 bound used
	verb apply -f - <<-EOF
		apiVersion: v1
		kind: Pod
		metadata: {name: reader, namespace: default}
		spec:
		  terminationGracePeriodSeconds: 0
		  containers:
		  - {name: main, image: sluice.local/host, command: [sleep, "600"], volumeMounts: [{name: d, mountPath: /data}]}
		  volumes: [{name: d, persistentVolumeClaim: {claimName: used}}]
	EOF
	until_true 60 pod_runs reader
	run -1 --separate-stderr verb delete dataset used --timeout 1s
	[[ $stderr == *"in use by pods: reader; delete them first"* ]]
	finds used '^Dataset\|it is marked as deleted since .* in use by pods: reader'
	verb delete pod reader
	until_true 60 gone used

	verb apply -f - <<-EOF
		apiVersion: v1
		kind: Pod
		metadata: {name: used-image, namespace: default, labels: {release: bare}}
		spec: {containers: [{name: main, image: nobody.example/none:1}]}
	EOF
	until_true 30 finds bare '^Pod used-image\|container main .*(ErrImagePull|ImagePullBackOff).*\|make the image available'
	verb delete pod used-image
	for name in bare far; do
		verb delete dataset "$name"
	done
}

pod_runs() {
	[ "$(verb get pod "$1" -o json | jq -r .status.phase)" = Running ]
}

gone() {
	! verb get dataset "$1" >/dev/null 2>&1
}

@test "what is wrong is said with the place and what to do" {
	while IFS='|' read -r want status words; do
		echo "sluice $words"
		# shellcheck disable=SC2086 # words of a command line
		run -"$status" --separate-stderr verb $words </dev/null
		echo "$stderr"
		grep -q -F -e "$want" <<<"$stderr"
	done <<-'EOF'
		the server has no resource 'nope'|1|get nope
		get datasets default/none: |1|get dataset none
		one KIND is wanted|2|get
		-o: wide, yaml, json and name are known here|2|get dataset -o xml
		-A: goes with no NAME|2|get -A dataset x
		-f FILE is wanted|2|apply
		standard input: no object in it|1|apply -f -
		No such file or directory|1|apply -f /nonexistent.yaml
		KIND and NAME are wanted|2|delete dataset
		namespace default has neither a pod 'none' nor a dataset|1|logs none
		'dataset NAME' is wanted|2|explain pod x
		get datasets default/none: |1|explain dataset none
	EOF
	run -1 --separate-stderr "$SLUICE" get dataset --data-dir "$WORK/nobody"
	[[ $stderr == *"$WORK/nobody/admin.kubeconfig"* ]]
}
