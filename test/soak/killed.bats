#!/usr/bin/env bats
# The controller as it is, ended by kill -9 right before each write of a Dataset's Setup and of its end (test/tools/kill_at_write.c): the next one
# goes on from there, the Dataset is bound or gone, and nothing is left behind.

load ../e2e/stuck/helpers

KILLER=${KILLER:-$(dirname "$SLUICE")/test/tools/libkill-at-write.so}

setup_file() {
	[ -x "$KILLER" ] || { echo "needs $KILLER" >&2; return 1; }
	start_cluster
	stop_process controller KILL
}

teardown_file() {
	stop_cluster
}

teardown() {
	show_on_failure
}

# start_victim N: a controller that dies before its Nth write once $WORK/armed is there
start_victim() {
	local asan
	rm -f "$WORK/armed"
	asan=$(ldd "$SLUICE" | sed -n 's/.*=> \(.*libasan[^ ]*\).*/\1/p') # it must come first
	KILL_AT=$1 KILL_FROM=$WORK/armed LD_PRELOAD="$asan $KILLER" start_controller
}

dead() {
	process_gone "$(cat "$WORK/controller.pid")"
}

# dead_or SECONDS COMMAND...: whether the controller died before the command held; afterwards it has a moment to die in what follows from that.
dead_or() {
	local end=$((SECONDS + $1))
	shift
	while [ $SECONDS -lt $end ]; do
		! dead || return 0
		! "$@" || break
		sleep 0.1
	done
	"$@" || { echo "never: $*"; exit 1; }
	until_true 2 dead >/dev/null
}

all_gone() {
	gone dataset "$1" && gone reservoirruntime "$1"
}

# More than a Dataset's life has.
LAST=40

@test "a controller killed before each write of Setup and of the end: the next one brings it to its end" {
	local n setup=0 end=0 was
	for ((n = 1; n <= LAST; n++)); do
		was=$((setup + end))
		start_victim $n
		touch "$WORK/armed"
		{ dataset k$n; runtime k$n; } | apply
		if dead_or 40 is dataset k$n .status.phase Bound; then
			setup=$((setup + 1))
		fi
		stop_process controller KILL
		start_victim $n
		bound k$n
		until_true 40 kubectl get pvc k$n -o name
		touch "$WORK/armed"
		kubectl delete dataset k$n --wait=false
		if dead_or 40 all_gone k$n; then
			end=$((end + 1))
		fi
		stop_process controller KILL
		start_controller
		nothing_left k$n
		stop_process controller KILL
		[ $((setup + end)) -gt $was ] || break
	done
	echo "killed $setup times in Setup, $end times at the end; it lived from write $n on"
	grep '^killed before' "$WORK/controller.log"
	[ $n -le $LAST ]
	[ $setup -ge 8 ]
	[ $end -ge 4 ]
}
