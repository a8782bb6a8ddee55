#!/bin/bash
# Measure the main job and write its section of docs/benchmarks.md: data path against the disk and curl, time to the mount, memory of the whole tree.
# usage: run.sh SLUICE-BINARY [MEBIBYTES]
set -eu

SLUICE=$(realpath "$1")
export SLUICE
MIB=${2:-512}
here=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d /tmp/slb.XXXXXX)
run_pid=

cleanup() {
	[ -z "$run_pid" ] || kill -INT "$run_pid" 2>/dev/null || true
	[ -z "$run_pid" ] || wait "$run_pid" || true
	rm -rf --one-file-system "$work"
}
trap cleanup EXIT

milliseconds_since() {
	awk -v a="$1" -v b="$EPOCHREALTIME" 'BEGIN {printf "%d\n", (b - a) * 1000}'
}

# Proportional set size of every process that names the data directory, in KiB: shared pages are counted once.
memory() {
	local p total=0 kib
	for p in /proc/[0-9]*; do
		if { tr '\0' ' ' <"$p/cmdline"; } 2>/dev/null | grep -q -F "$1"; then
			kib=$(awk '/^Pss:/ {print $2}' "$p/smaps_rollup" 2>/dev/null || echo 0)
			total=$((total + ${kib:-0}))
		fi
	done
	echo "$total"
}

# Processes of pods do not name the data directory: they are the containers' children of conmon.
memory_of_pods() {
	local p total=0 kib
	for p in $(pgrep -f '^(/opt/sluice/bin/)?sluice (cache|fuse|bind)( |$)' || true); do
		kib=$(awk '/^Pss:/ {print $2}' "/proc/$p/smaps_rollup" 2>/dev/null || echo 0)
		total=$((total + ${kib:-0}))
	done
	echo "$total"
}

start_run() {
	local from=$EPOCHREALTIME
	"$SLUICE" run "$work/src" --data-dir "$work/d" --mount "$work/mnt" --name bench --cache 1Gi >"$work/out" 2>"$work/err" &
	run_pid=$!
	until grep -q '^mounted:' "$work/out"; do
		kill -0 "$run_pid" || { cat "$work/err" >&2; exit 1; }
		sleep 0.01
	done
	milliseconds_since "$from"
}

stop_run() {
	kill -INT "$run_pid"
	wait "$run_pid" || true
	run_pid=
}

mkdir -p "$work/src"
echo hello >"$work/src/hello"
: >"$work/times"
for _ in 1 2 3 4 5; do
	start_run >"$work/time"
	cat "$work/time" >>"$work/times"
	until grep -q 'second read' "$work/out"; do sleep 0.05; done
	control=$(memory "$work/d")
	pods=$(memory_of_pods)
	stop_run
done
mounted=$(sort -n "$work/times" | sed -n 3p)
"$here/data.sh" "$MIB" >"$work/data"

{
	echo "Made by \`make bench\`. Ratios are of one run on one machine; the fastest of three counts, since noise only adds."
	echo
	"$here/machine.sh" "$work"
	echo
	echo '## The data path'
	echo
	echo '```'
	cat "$work/data"
	echo '```'
	echo
	echo '## The whole'
	echo
	echo '| what | figure |'
	echo '|---|---|'
	echo "| from \`sluice run\` to \`mounted:\`, cluster started from nothing (median of 5) | $mounted ms |"
	echo "| memory (PSS) of up, api, controller, agent, csi, run and conmon, one dataset mounted | $((control / 1024)) MiB |"
	echo "| memory (PSS) of the dataset's worker, mount and mounting pod | $((pods / 1024)) MiB |"
} >"$work/section"
"$here/section.sh" run <"$work/section"
cat "$work/section"
