#!/usr/bin/env bats
# The examples, used as the README uses them: a cluster that stays, a Dataset applied to it, a pod that reads it.

load helpers

setup() {
	setup_machine
	EXAMPLES=$BATS_TEST_DIRNAME/../../examples
}

teardown() {
	teardown_machine
}

phase_is() {
	[ "$(kubectl get "$1" -o 'jsonpath={.status.phase}')" = "$2" ]
}

@test "up, a Dataset and a reader: applied, read, deleted, gone" {
	"$SLUICE" up --data-dir "$DATA" --listen 127.0.0.1:0 >"$WORK/out" 2>"$WORK/err" 3>&- &
	UP=$!
	PIDS=$UP
	until_true 60 has_line '^ready: https://127.0.0.1:' "$WORK/out"

	kubectl apply -f "$EXAMPLES/dataset-local.yaml"
	until_true 60 phase_is dataset/demo Bound
	kubectl get dataset | grep -q Bound
	kubectl explain reservoirruntime.spec.tieredstore | grep -q levels
	kubectl apply -f "$EXAMPLES/reader.yaml"
	until_true 120 phase_is pod/reader Succeeded
	[ "$(kubectl logs reader | head -n 1)" = "$(find /usr/share -type f | wc -l)" ]
	kubectl logs demo-worker-0 | grep -q 'worker started'

	kubectl delete -f "$EXAMPLES/reader.yaml" --timeout=60s
	kubectl delete -f "$EXAMPLES/dataset-local.yaml" --timeout=60s
	[ -z "$(kubectl get pv,pvc,statefulset,daemonset -o name)" ]
	kill -TERM "$UP"
	wait "$UP"
	assert_clean
}

@test "the example of an http source is accepted by the API" {
	"$SLUICE" up --data-dir "$DATA" --listen 127.0.0.1:0 >"$WORK/out" 2>"$WORK/err" 3>&- &
	UP=$!
	PIDS=$UP
	until_true 60 has_line '^ready: https://127.0.0.1:' "$WORK/out"
	kubectl apply --dry-run=server -f "$EXAMPLES/dataset-http.yaml"
	kill -TERM "$UP"
	wait "$UP"
	assert_clean
}
