#!/usr/bin/env bats
# Data operations on the one-machine cluster, with real Jobs in containers and a real nginx as the source.

load helpers

setup_file() {
	setup_machine
	mkdir "$WORK/src"
	make_source "$WORK/src"
	start_nginx "$WORK/src"
	"$SLUICE" up --detach --data-dir "$DATA" --listen 127.0.0.1:0
	export WORK DATA MNT KUBECONFIG URL NGINX PIDS
	until_true 30 kubectl get dataloads
	dataset d | kubectl apply -f -
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
		spec: {mounts: [{mountPoint: "$URL", name: src, path: /}]}
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
