#!/usr/bin/env bats
# Data operations on the one-machine cluster, with real Jobs in containers and a real nginx as the source.

load helpers
bats_require_minimum_version 1.5.0

setup_file() {
	setup_machine
	mkdir "$WORK/src"
	make_source "$WORK/src"
	start_nginx "$WORK/src"
	"$SLUICE" up --detach --data-dir "$DATA" --listen 127.0.0.1:0
	export WORK DATA MNT KUBECONFIG URL NGINX PIDS
	until_true 30 kubectl get dataloads
	dataset d | kubectl apply -f -
	dataset c | kubectl apply -f -
	load_of each-minute 'policy: Cron, schedule: "* * * * *"' c # it waits for its Dataset, then for the minute
	until_true 60 bound d
}

teardown_file() {
	"$SLUICE" down --data-dir "$DATA"
	assert_clean
	stop_nginx
	teardown_machine
}

teardown() {
	[ "${BATS_TEST_COMPLETED:-}" != 1 ] || return 0
	kubectl get datasets,dataloads,dataprocesses,jobs,pods -o wide
	kubectl get dataloads,dataprocesses -o yaml
	kubectl get events | tail -n 30
	tail -n 30 "$DATA/logs/controller.log"
}

# dataset NAME: with the runtime for it.
dataset() {
	cat <<-YAML
		apiVersion: data.fluid.io/v1alpha1
		kind: Dataset
		metadata: {name: $1}
		spec: {placement: Shared, mounts: [{mountPoint: "$URL", name: src, path: /}]}
		---
		apiVersion: data.fluid.io/v1alpha1
		kind: ReservoirRuntime
		metadata: {name: $1}
		spec: {replicas: 1, tieredstore: {levels: [{path: $WORK/tier, quota: 100Mi, mediumtype: SSD}]}}
	YAML
}

bound() {
	phase dataset "$1" Bound
}

phase() {
	[ "$(kubectl get "$1" "$2" -o jsonpath='{.status.phase}')" = "$3" ]
}

field() {
	kubectl get "$1" "$2" -o jsonpath="{.status.$3}"
}

# load_of NAME [SPEC]
load_of() {
	kubectl apply -f - <<-YAML
		apiVersion: data.fluid.io/v1alpha1
		kind: DataLoad
		metadata: {name: $1}
		spec: {dataset: {name: ${3:-d}}${2:+, $2}}
	YAML
}

# process_of NAME SCRIPT
process_of() {
	kubectl apply -f - <<-YAML
		apiVersion: data.fluid.io/v1alpha1
		kind: DataProcess
		metadata: {name: $1}
		spec:
		  dataset: {name: d, mountPath: /data}
		  processor: {script: {image: sluice.local/host, command: [bash], source: "$2"}}
	YAML
}

# job_of NAME COMMAND: a DataProcess with a pod of its own.
job_of() {
	kubectl apply -f - <<-YAML
		apiVersion: data.fluid.io/v1alpha1
		kind: DataProcess
		metadata: {name: $1}
		spec:
		  dataset: {name: d, mountPath: /data, subPath: a}
		  processor:
		    job:
		      podSpec:
		        restartPolicy: Never
		        containers: [{name: c, image: sluice.local/host, command: [bash, -c, "$2"]}]
	YAML
}

event_of() {
	[[ $(kubectl get events --field-selector "involvedObject.name=$1" -o jsonpath='{.items[*].reason}') == *"$2"* ]]
}

unreferenced() {
	[ -z "$(field dataset d operationRef)" ]
}

nothing_of() {
	[ -z "$(kubectl get jobs,cronjobs,pods,configmaps -l "release=$1" -o name)" ] && unreferenced
}

@test "a load brings everything into the cache, its receipt equals the source, and the next one loads nothing" {
	files=$(find "$WORK/src" -type f | wc -l)
	total=$(find "$WORK/src" -type f -printf '%s\n' | awk '{s += $1} END {print s}')
	load_of first
	until_true 40 phase dataload first Complete
	[ "$(field dataload first infos.filesListed)" = "$files" ]
	[ "$(field dataload first infos.bytesListed)" = "$total" ]
	[ "$(field dataload first infos.bytesLoaded)" = "$total" ]
	[ "$(field dataload first infos.filesFailed)" = 0 ]
	event_of first DataOperationSucceed
	until_true 10 unreferenced
	load_of second 'loadMetadata: true, ttlSecondsAfterFinished: 600'
	until_true 40 phase dataload second Complete
	[ "$(field dataload second infos.bytesLoaded)" = 0 ]
	[ "$(field dataload second infos.bytesSkipped)" = "$total" ]
	[ "$(field dataload second infos.version)" = "$(field dataload first infos.version)" ]
	[[ $(field dataload second duration) == *s ]]
	kubectl delete dataload first second
	until_true 20 nothing_of first-loader
}

@test "a script and a pod run on the data; one that fails, and an operation that cannot be, say so" {
	process_of good 'cmp /data/a/hello.txt <(echo hello) && test -f /data/big.bin'
	job_of pod 'cmp /data/hello.txt <(echo hello)'
	process_of bad 'exit 3'
	kubectl patch dataprocess bad --type=merge -p '{"spec":{"ttlSecondsAfterFinished":600}}' >/dev/null
	load_of never 'policy: OnEvent'
	load_of nowhere 'target: [{path: /nowhere}]'
	until_true 40 phase dataprocess good Complete
	until_true 40 phase dataprocess pod Complete
	until_true 10 phase dataload never Failed
	event_of never DataOperationNotValid
	[[ $(field dataload never 'conditions[0].message') == "spec.policy: OnEvent is not supported"* ]]
	kubectl delete dataprocess good pod
	until_true 20 nothing_of good-processor || kubectl get jobs,pods,configmaps --show-labels
	# deleted while it is tried again: nothing is left
	until_true 20 has_pod bad-processor Failed
	kubectl delete dataprocess bad --timeout=20s
	kubectl delete dataload never nowhere --timeout=20s
	until_true 20 nothing_of bad-processor
	until_true 20 nothing_of nowhere-loader
}

has_pod() {
	[[ $(kubectl get pods -l "release=$1" -o jsonpath='{.items[*].status.phase}') == *"$2"* ]]
}

controller_pid() {
	"$SLUICE" status --data-dir "$DATA" -o json | jq -r '.parts[] | select(.name == "controller") | .pid'
}

other_controller() {
	local now
	now=$(controller_pid) && [ "$now" != "$1" ] && [ "$now" -gt 0 ]
}

@test "an operation waits for its Dataset; a controller that is killed goes on where it was" {
	load_of waits '' late
	until_true 20 event_of waits TargetDatasetNotFound
	process_of slow 'sleep 4'
	until_true 20 has_pod slow-processor Running
	pid=$(controller_pid)
	kill -9 "$pid"
	until_true 30 other_controller "$pid"
	until_true 40 phase dataprocess slow Complete
	[ "$(kubectl get pods -l release=slow-processor -o name | wc -l)" -eq 1 ]
	phase dataload waits ""
	kubectl delete dataload waits --timeout=20s
	kubectl delete dataprocess slow --timeout=20s
	until_true 20 nothing_of slow-processor
}

@test "sluice load shows the receipt; what cannot be loaded is exit status 1" {
	run --separate-stderr "$SLUICE" load d /a "/a/b c"
	[ "$status" -eq 0 ]
	[[ $output == *"listed:   $(find "$WORK/src/a" -type f | wc -l) files"*"failed:   0 files"* ]]
	run --separate-stderr "$SLUICE" load d --detach
	[ "$status" -eq 0 ]
	name=${output#dataload:  }
	until_true 40 phase dataload "$name" Complete
	run --separate-stderr "$SLUICE" load d a
	[ "$status" -eq 1 ]
	[[ $stderr == *"spec.target[0].path: 'a' must begin with '/'"* ]]
	kubectl get dataloads -o name | grep -v each-minute | xargs kubectl delete --timeout=20s
}

ran() {
	[ -n "$(field dataload each-minute lastSuccessfulTime)" ] && phase dataload each-minute Complete
}

@test "a load by a schedule has run with its minute, and is taken away whole" {
	until_true 90 ran
	[ "$(field dataload each-minute infos.bytesListed)" = "$(find "$WORK/src" -type f -printf '%s\n' | awk '{s += $1} END {print s}')" ]
	[ "$(kubectl get cronjob each-minute-loader-job -o jsonpath='{.metadata.labels.fluid\.io/jobPolicy}')" = cron ]
	kubectl delete dataload each-minute --timeout=30s
	until_true 30 nothing_of each-minute-loader
	[ -z "$(field dataset c operationRef)" ]
}
