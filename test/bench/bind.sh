#!/bin/bash
# Measure how long Datasets take to be bound and to go, with workloads that are ready as soon as they are seen, and write that section of
# docs/benchmarks.md. With KUBECONFIG set, on that server; otherwise on a local API server of its own.
# usage: bind.sh SLUICE-BINARY BENCH_BIND [COUNT...]     (1, 1000 and 10000)
set -eu

SLUICE=$(realpath "$1")
BIND=$(realpath "$2")
shift 2
[ $# -gt 0 ] || set -- 1 1000 10000
here=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d /tmp/slb.XXXXXX)
pids=

end_processes() {
	local pid
	for pid in $pids; do
		kill "$pid" 2>/dev/null || true
		wait "$pid" 2>/dev/null || true
	done
	pids=
}

cleanup() {
	end_processes
	rm -rf --one-file-system "$work"
}
trap cleanup EXIT

wait_for_line() {
	local i
	for ((i = 0; i < 600; i++)); do
		! grep -q '^ready' "$1" || return 0
		sleep 0.1
	done
	cat "$2" >&2
	exit 1
}

# measure COUNT HUNG: the figures, one "name value..." a line
measure() {
	local d=$work/$1-$2 kubeconfig=${KUBECONFIG:-} port
	mkdir "$d"
	if [ -z "$kubeconfig" ]; then
		kubeconfig=$d/kubeconfig
		"$SLUICE" api --data-dir "$d/d" --kubeconfig "$kubeconfig" >"$d/api.out" 2>"$d/api.log" &
		pids="$! $pids"
		wait_for_line "$d/api.out" "$d/api.log"
	fi
	"$SLUICE" controller --kubeconfig "$kubeconfig" --install-crds --runtimes reservoir --workers 16 --metrics 127.0.0.1:0 \
		--allowed-host-paths /var/cache --runtime-node-port-range 10000-32000 >"$d/controller.out" 2>"$d/controller.log" &
	local controller=$!
	pids="$controller $pids"
	wait_for_line "$d/controller.out" "$d/controller.log"
	port=$(sed -n 's/.*metrics are served.*"port":\([0-9]*\).*/\1/p' "$d/controller.log")
	"$BIND" "$kubeconfig" "$1" "$2" "$controller" "$port" >"$d/figures"
	cat "$d/figures"
	end_processes
}

# row LABEL FILE
row() {
	awk -v label="$1" '
		{ for (i = 2; i <= NF; i++) v[$1, i - 1] = $i }
		$1 == "cpu_s" { cpu[++n] = $2 }
		$1 == "rss_peak_mib" { peak = $2 }
		END { printf "| %s | %.1f / %.1f / %.1f | %d / %d / %d | %s | %.1f | %d | %.1f |\n", label, v["bound_ms", 1] / 1000,
			v["bound_ms", 2] / 1000, v["bound_ms", 3] / 1000, v["own_ms", 1], v["own_ms", 2], v["own_ms", 3],
			v["requests_each", 1], cpu[1], peak, v["deleted_s", 1] }' "$2"
}

{
	echo '## Binding many Datasets'
	echo
	echo "Made by \`make bench-bind\`: Dataset and ReservoirRuntime pairs created at once, each StatefulSet ready as soon as it is seen."
	echo "Own time is from there to Bound. $(nproc) cores for everything, load $(cut -d' ' -f1 /proc/loadavg) at the start."
	echo
	echo '| datasets | to Bound: p50 / p99 / max, s | own time: p50 / p99 / max, ms | requests each | controller CPU to Bound, s | its memory, MiB | all gone, s |'
	echo '|---|---|---|---|---|---|---|'
	for count in "$@"; do
		measure "$count" 0 >"$work/plain"
		row "$count" "$work/plain"
		[ "$count" -ge 100 ] || continue
		measure "$count" $((count / 100)) >"$work/hung"
		row "$count, 1 % of their engines hung" "$work/hung"
	done
} >"$work/section"

"$here/section.sh" bind <"$work/section"
cat "$work/section"
