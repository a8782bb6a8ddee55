#!/bin/bash
# with-local.sh COMMAND...: run the command with the KUBECONFIG of a local API server ($SLUICE api) and a cluster's controllers, which are
# ended after it. Fails when the command does, or when they do not end cleanly (a sanitizer's report makes their status non-zero).
set -euo pipefail

: "${SLUICE:?the binary to test}"
work=$(mktemp -d)
pids=()
# shellcheck disable=SC2317 # called by the trap
finish() { # also when it is interrupted: nothing stays
	[ ${#pids[@]} -eq 0 ] || kill "${pids[@]}" 2>/dev/null || true
	rm -rf "$work"
}
trap finish EXIT
trap 'exit 130' INT TERM
export KUBECONFIG=$work/kubeconfig

start() { # start NAME ARGUMENT...: a role of the binary; waits until it says that it is ready
	local name=$1 end=$((SECONDS + 60))
	shift
	"$SLUICE" "$@" --kubeconfig "$KUBECONFIG" >"$work/$name.out" 2>"$work/$name.err" 3>&- &
	pids+=($!)
	until grep -q '^ready: ' "$work/$name.out"; do
		if ! kill -0 "${pids[-1]}" 2>/dev/null || [ $SECONDS -ge $end ]; then
			cat "$work/$name.err" >&2
			exit 1
		fi
		sleep 0.05
	done
}

start api api --data-dir "$work/data"
start controller controller --workloads --install-crds

status=0
"$@" || status=$?
for ((i = ${#pids[@]} - 1; i >= 0; i--)); do
	kill -TERM "${pids[$i]}"
	wait "${pids[$i]}" || { echo "not ok - process $i ended with status $?"; cat "$work"/*.err >&2; status=1; }
done
exit $status
