# Shared by the conformance suites. They speak to the cluster of $KUBECONFIG (a real one will do); when that is unset they start
# `$SLUICE api` on a directory of their own. $KUBECTL chooses another kubectl.

: "${KUBECTL:=kubectl}"

start_api() {
	[ -z "${KUBECONFIG:-}" ] || return 0
	: "${SLUICE:?the binary to test, or KUBECONFIG of a cluster}"
	export API_DIR=$BATS_FILE_TMPDIR/api
	export KUBECONFIG=$BATS_FILE_TMPDIR/kubeconfig
	run_api
}

run_api() {
	: >"$BATS_FILE_TMPDIR/api.out" # what an earlier one said is no sign of this one
	"$SLUICE" api --data-dir "$API_DIR" --kubeconfig "$KUBECONFIG" >"$BATS_FILE_TMPDIR/api.out" 2>>"$BATS_FILE_TMPDIR/api.err" 3>&- &
	export API_PID=$!
	until_true 30 grep -q '^ready: https://' "$BATS_FILE_TMPDIR/api.out"
}

# What a cluster has beside its API: garbage collection, service accounts, workloads. A cluster of others has them.
start_controllers() {
	[ -n "${API_PID:-}" ] || return 0
	"$SLUICE" controller --workloads --install-crds --kubeconfig "$KUBECONFIG" >"$BATS_FILE_TMPDIR/controller.out" 2>>"$BATS_FILE_TMPDIR/api.err" 3>&- &
	export CONTROLLER_PID=$!
	until_true 30 grep -q '^ready' "$BATS_FILE_TMPDIR/controller.out"
}

# Ends it as a supervisor would, and fails when it does not end cleanly (a sanitizer's report makes the status non-zero).
stop_api() {
	[ -n "${API_PID:-}" ] || return 0
	kill -TERM "$API_PID"
	local status=0
	wait "$API_PID" || status=$?
	API_PID=
	[ "$status" -eq 0 ] || { cat "$BATS_FILE_TMPDIR/api.err" >&2; return 1; }
}

# setup_file and teardown_file are different shells than the tests: the server is no child there.
end_api() {
	local pid
	for pid in ${CONTROLLER_PID:-} ${API_PID:-}; do
		kill -TERM "$pid"
		until_true 20 gone "$pid"
	done
	[ -n "${API_PID:-}" ] || return 0
	! grep -E 'ERROR: |runtime error' "$BATS_FILE_TMPDIR/api.err"
}

gone() {
	! kill -0 "$1" 2>/dev/null
}

# until_true SECONDS COMMAND...: try it until it holds; a poll with a deadline.
until_true() {
	local end=$((SECONDS + $1))
	shift
	until "$@"; do
		[ $SECONDS -lt $end ] || return 1
		sleep 0.1
	done
}

k() {
	"$KUBECTL" --namespace "$NS" "$@"
}

# A namespace for each test, with its default ServiceAccount there.
make_namespace() {
	NS=conformance-$(od -An -N4 -tx4 /dev/urandom | tr -d ' ')
	"$KUBECTL" create namespace "$NS"
	until_true 10 account_is_there
}

account_is_there() {
	k get serviceaccount default >/dev/null 2>&1
}

drop_namespace() {
	[ -z "${NS:-}" ] || "$KUBECTL" delete namespace "$NS" --wait=false >/dev/null
}

# One document in flow style; without the line before it kubectl takes it for JSON.
flow() {
	printf -- '---\n%s\n' "$1"
}

# kubectl_is N: whether kubectl is 1.N or newer.
kubectl_is() {
	local minor
	minor=$("$KUBECTL" version --client -o json | sed -n 's/.*"gitVersion": "v1\.\([0-9]*\).*/\1/p' | head -n 1)
	[ "${minor:-0}" -ge "$1" ]
}

# Skip unless kubectl is 1.N or newer.
needs_kubectl() {
	kubectl_is "$1" || skip "needs kubectl 1.$1 or newer"
}

# Skip unless the server is 1.N or newer.
needs_server() {
	local minor
	minor=$("$KUBECTL" get --raw /version | sed -n 's/.*"minor": *"\([0-9]*\).*/\1/p')
	[ "${minor:-0}" -ge "$1" ] || skip "needs a server of 1.$1 or newer"
}

# equal WANT COMMAND...: the command's output is WANT.
equal() {
	local want=$1
	shift
	local got
	got=$("$@")
	[ "$got" = "$want" ] || { printf 'want: %s\ngot:  %s\n' "$want" "$got" >&2; return 1; }
}

# refused PATTERN COMMAND...: the command fails and says something like PATTERN.
refused() {
	local want=$1
	shift
	run "$@"
	[ "$status" -ne 0 ] || { echo "was accepted: $*" >&2; return 1; }
	[[ $output == *"$want"* ]] || { printf 'want: ...%s...\ngot:  %s\n' "$want" "$output" >&2; return 1; }
}
