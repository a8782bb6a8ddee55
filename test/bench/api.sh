#!/bin/bash
# Measure the local API server and, beside it, etcd with kube-apiserver, and write the section of docs/benchmarks.md.
# usage: api.sh BUILD-DIRECTORY [OBJECTS] [SECONDS]     OBJECTS: of the last figure of memory, 100000; SECONDS: of each speed, 5
# The other one is built by test/kubernetes/build.sh; without it only ours is measured, and the section says so.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
if [ "${1:-}" = --inside ]; then # started by with-server.sh: measure what $KUBECONFIG names
	# shellcheck disable=SC2153,SC2046 # with-server.sh sets it; a list of pids
	"$here/api.sh" --measure "$2" "$KUBECONFIG" "$3" $(pgrep -P "$PPID" -d ' ' '^(etcd|kube-apiserver)$')
	exit
fi

# Memory of the processes, in MiB: resident, as pages that they share count little here.
memory() {
	local p kib total=0
	for p in "$@"; do
		kib=$(awk '/^VmRSS:/ {print $2}' "/proc/$p/status" 2>/dev/null || echo 0)
		total=$((total + ${kib:-0}))
	done
	echo $((total / 1024))
}

# Milliseconds since the process began.
age_ms() {
	awk -v ticks="$(getconf CLK_TCK)" -v up="$(cut -d' ' -f1 /proc/uptime)" '{printf "%d\n", up * 1000 - $22 * 1000 / ticks}' "/proc/$1/stat"
}

if [ "${1:-}" = --measure ]; then # --measure BENCH KUBECONFIG OBJECTS PID...
	bench=$2 kubeconfig=$3 objects=$4 seconds=$BENCH_SECONDS
	shift 4
	echo "ready $(age_ms "$1")" # etcd began first
	echo "idle $(memory "$@")"
	"$bench" "$kubeconfig" writes "$seconds" gets "$seconds" fill 10000
	echo "memory_10000 $(memory "$@")"
	"$bench" "$kubeconfig" lists 10 watches 100 100
	"$bench" "$kubeconfig" watches 1000 30 || true # whoever cannot has said so, and gets a dash
	"$bench" "$kubeconfig" fill "$objects"
	echo "memory_all $(memory "$@")"
	exit
fi

build=$(cd "$1" && pwd)
objects=${2:-100000}
export BENCH_SECONDS=${3:-5}
sluice=$build/sluice
bench=$build/test/load/bench
work=$(mktemp -d /tmp/slb.XXXXXX)
pid=
cleanup() {
	[ -z "$pid" ] || { kill "$pid" 2>/dev/null && wait "$pid"; } || true
	rm -rf "$work"
}
trap cleanup EXIT

# Ours: ready is the median of five starts on a new directory.
: >"$work/ready"
for i in 1 2 3 4 5; do
	from=$EPOCHREALTIME
	"$sluice" api --data-dir "$work/d$i" --kubeconfig "$work/kubeconfig" >"$work/out" 2>"$work/err" &
	pid=$!
	until grep -q '^ready:' "$work/out"; do
		kill -0 "$pid" || { cat "$work/err" >&2; exit 1; }
		sleep 0.005
	done
	awk -v a="$from" -v b="$EPOCHREALTIME" 'BEGIN {printf "%d\n", (b - a) * 1000}' >>"$work/ready"
	[ "$i" -eq 5 ] || { kill "$pid" && wait "$pid"; }
done
"$here/api.sh" --measure "$bench" "$work/kubeconfig" "$objects" "$pid" | sed "s/^ready .*/ready $(sort -n "$work/ready" | sed -n 3p)/" >"$work/ours"
kill "$pid" && wait "$pid"
pid=
: >"$work/theirs"
if [ -x "${K8S_HOME:-${XDG_CACHE_HOME:-$HOME/.cache}/real-kubernetes}/bin/kube-apiserver" ] && command -v etcd >/dev/null; then
	WITHOUT_MANAGER=1 "$here/../kubernetes/with-server.sh" core "$here/api.sh" --inside "$bench" "$objects" >"$work/theirs"
fi

value() {
	awk -v name="$2" '$1 == name {print $2; found = 1} END {if (!found) print "–"}' "$work/$1"
}

ratio() { # of NAME: by how much the better one is better for us
	awk -v a="$(value ours "$1")" -v b="$(value theirs "$1")" -v less="$2" 'BEGIN {
		if (a + 0 == 0 || b + 0 == 0) print "–"; else printf "%.1f\n", less ? b / a : a / b }'
}

row() { # row TEXT NAME LESS-IS-BETTER
	echo "| $1 | $(value ours "$2") | $(value theirs "$2") | $(ratio "$2" "$3") |"
}

{
	echo '## The API server'
	echo
	echo "Made by \`make bench-api\`: \`sluice api\`, and etcd with kube-apiserver (1.20, as test/kubernetes/build.sh makes it), one after the other, both with every write"
	echo "on disk before its answer. Config maps of 1 KiB, clients on kept connections on the same machine; the last column says how many times better ours is."
	echo
	"$here/machine.sh" "$work"
	echo
	echo '| what | sluice | etcd and kube-apiserver | ratio |'
	echo '|---|---|---|---|'
	row 'time from nothing to ready, ms' ready 1
	for n in 1 8 32; do row "creates a second, $n clients" create_$n 0; done
	for n in 1 8 32; do row "updates a second, $n clients" update_$n 0; done
	for n in 1 8 32; do row "gets a second, $n clients" get_$n 0; done
	row 'lists of 10,000 objects a second, JSON' list 0
	row 'the same as a table' table 0
	for n in 100 1000; do
		row "watch delay with $n watchers, p50, ms" watch_${n}_p50 1
		row "the same, p99, ms" watch_${n}_p99 1
	done
	row 'memory when idle, MiB' idle 1
	row 'memory after the writes, with 10,000 objects more, MiB' memory_10000 1
	row "memory with $objects objects more, MiB" memory_all 1
} >"$work/section"
"$here/section.sh" api <"$work/section"
cat "$work/section"
