# A cluster without containers: API server, controllers, and a kubelet that says of pods what their annotations tell it to (test/tools/kubelet.c).

: "${SLUICE:?the binary to test}"
KUBELET=${KUBELET:-$(dirname "$SLUICE")/test/tools/scripted-kubelet}

# until_true SECONDS COMMAND...: try it until it holds; a poll with a deadline.
until_true() {
	local end=$((SECONDS + $1))
	shift
	until "$@"; do
		[ $SECONDS -lt $end ] || { echo "never: $*"; return 1; }
		sleep 0.1
	done
}

start_controller() {
	"$SLUICE" controller --kubeconfig "$KUBECONFIG" --workloads --install-crds --allowed-host-paths /var/cache --workers 4 \
		>"$WORK/controller.out" 2>>"$WORK/controller.log" 3>&- &
	echo $! >"$WORK/controller.pid"
	until_true 60 grep -q '^ready' "$WORK/controller.out"
}

# stop_process NAME SIGNAL
stop_process() {
	local pid
	pid=$(cat "$WORK/$1.pid" 2>/dev/null) || return 0
	kill "-$2" "$pid" 2>/dev/null || true
	wait "$pid" 2>/dev/null || true
	until_true 30 process_gone "$pid" || true
}

process_gone() {
	! kill -0 "$1" 2>/dev/null
}

start_cluster() {
	[ -x "$KUBELET" ] || { echo "needs $KUBELET" >&2; return 1; }
	WORK=$(mktemp -d /tmp/sls.XXXXXX)
	export WORK KUBECONFIG=$WORK/kubeconfig
	"$SLUICE" api --data-dir "$WORK/d" --kubeconfig "$KUBECONFIG" >"$WORK/api.out" 2>"$WORK/api.log" 3>&- &
	echo $! >"$WORK/api.pid"
	until_true 60 grep -q '^ready' "$WORK/api.out"
	start_controller
	"$KUBELET" "$KUBECONFIG" 2 >"$WORK/kubelet.out" 2>"$WORK/kubelet.log" 3>&- &
	echo $! >"$WORK/kubelet.pid"
	until_true 60 grep -q '^ready' "$WORK/kubelet.out"
	until_true 30 kubectl get serviceaccount default -o name
}

stop_cluster() {
	stop_process kubelet TERM
	stop_process controller TERM
	stop_process api TERM
	! grep -l -E 'Sanitizer|runtime error' "$WORK"/*.log || cat "$WORK"/*.log
	rm -rf --one-file-system "$WORK"
}

# What a failed test leaves to look at.
show_on_failure() {
	[ "${BATS_TEST_COMPLETED:-}" = 1 ] && return 0
	kubectl get datasets,reservoirruntimes,statefulsets,pods,pvc -A -o wide
	kubectl get events -A | tail -n 15
	tail -n 15 "$WORK/controller.log" "$WORK/kubelet.log"
}

# dataset NAME
dataset() {
	cat <<-YAML
		---
		apiVersion: data.fluid.io/v1alpha1
		kind: Dataset
		metadata: {name: $1}
		spec: {placement: Shared, mounts: [{mountPoint: "https://example.org/$1/", name: data, path: /}]}
	YAML
}

# runtime NAME [ANNOTATIONS [MORE-SPEC]]: annotations of the worker's pods ("script/state: crash"), and lines of spec
runtime() {
	cat <<-YAML
		---
		apiVersion: data.fluid.io/v1alpha1
		kind: ReservoirRuntime
		metadata: {name: $1}
		spec:
		  replicas: 1
		  tieredstore: {levels: [{mediumtype: SSD, path: /var/cache/sluice, quota: 1Gi}]}
		  worker: {podMetadata: {annotations: {${2:-}}}}
		  ${3:-}
	YAML
}

apply() {
	kubectl apply -f - >/dev/null
}

# Change what the worker's pods of NAME do: "script/state: ready".
script() {
	runtime "$1" "$2" "${3:-}" | apply
}

# value KIND NAME JSONPATH
value() {
	kubectl get "$1" "$2" -o "jsonpath={$3}" 2>/dev/null
}

is() {
	[ "$(value "$1" "$2" "$3")" = "$4" ]
}

says() {
	value "$1" "$2" "$3" | grep -q -F -- "$4"
}

gone() {
	! kubectl get "$1" "$2" -o name >/dev/null 2>&1
}

await() {
	until_true 40 is "$@"
}

bound() {
	await dataset "$1" .status.phase Bound
}

# Nothing of NAME is left: its objects, and labels of nodes.
nothing_left() {
	local kind
	for kind in dataset/$1 reservoirruntime/$1 statefulset/$1-worker daemonset/$1-fuse configmap/$1-config pvc/$1 pv/default-$1; do
		until_true 40 gone "${kind%/*}" "${kind#*/}"
	done
	! kubectl get nodes -o jsonpath='{.items[*].metadata.labels}' | grep -F -- "-$1\""
}

event_on() {
	kubectl get events -o jsonpath='{range .items[*]}{.involvedObject.name} {.reason} {.message}{"\n"}{end}' | grep -F -- "$1 $2"
}
