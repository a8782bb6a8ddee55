#!/bin/bash
# Measure how long Datasets take to be bound and to go, with workloads that are ready as soon as they are seen, and write that section of
# docs/benchmarks.md. With KUBECONFIG set, on that server (its own section); otherwise on a local API server of its own.
# usage: bind.sh SLUICE-BINARY BENCH_BIND [COUNT...]     (1, 1000 and 10000)
set -eu

SLUICE=$(realpath "$1")
BIND=$(realpath "$2")
shift 2
[ $# -gt 0 ] || set -- 1 1000 10000
here=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d /tmp/slb.XXXXXX)
api='' controller='' driver=''

end() { # end PID SIGNAL
	[ -n "$1" ] || return 0
	kill -"$2" "$1" 2>/dev/null || true
	wait "$1" 2>/dev/null || true
}

cleanup() {
	end "$driver" TERM
	end "$controller" TERM
	end "$api" TERM
	rm -rf --one-file-system "$work"
}
trap cleanup EXIT
trap 'exit 130' INT TERM

wait_for_line() {
	local i
	for ((i = 0; i < 1200; i++)); do
		! grep -q '^ready' "$1" || return 0
		sleep 0.05
	done
	cat "$2" >&2
	exit 1
}

# start_controller DIR KUBECONFIG: leaves $controller and $port
start_controller() {
	: >"$1/controller.out"
	"$SLUICE" controller --kubeconfig "$2" --install-crds --runtimes reservoir --workers 16 --metrics 127.0.0.1:0 \
		--allowed-host-paths /var/cache --runtime-node-port-range 10000-32000 >"$1/controller.out" 2>"$1/controller.log" &
	controller=$!
	wait_for_line "$1/controller.out" "$1/controller.log"
	port=$(sed -n 's/.*metrics are served.*"port":\([0-9]*\).*/\1/p' "$1/controller.log")
}

# drive DIR KUBECONFIG: do to the controller what the driver asks for (on 3, answered on 4), and write down its figures
drive() {
	local line
	while read -r line <&3; do
		case $line in
		'!start')
			start_controller "$1" "$2"
			echo "$controller $port" >&4
			;;
		'!kill')
			end "$controller" KILL
			controller=
			echo 0 0 >&4
			;;
		*) echo "$line" | tee -a "$1/figures" >&2 ;;
		esac
	done
}

# measure FILE COUNT HUNG NODES: the figures, one "name value..." a line
measure() {
	local d=$work/$2-$3-$4 kubeconfig=${KUBECONFIG:-}
	echo "$2 datasets, $3 engines hung, pods on $4 nodes:" >&2
	mkdir "$d"
	if [ -z "$kubeconfig" ]; then
		kubeconfig=$d/kubeconfig
		"$SLUICE" api --data-dir "$d/d" --kubeconfig "$kubeconfig" >"$d/api.out" 2>"$d/api.log" &
		api=$!
		wait_for_line "$d/api.out" "$d/api.log"
	fi
	mkfifo "$d/to" "$d/from"
	"$BIND" "$kubeconfig" "$2" "$3" "$4" <"$d/to" >"$d/from" &
	driver=$!
	exec 4>"$d/to" 3<"$d/from"
	drive "$d" "$kubeconfig"
	exec 3<&- 4>&-
	wait "$driver"
	driver=
	end "$controller" TERM
	end "$api" TERM
	controller='' api=''
	mv "$d/figures" "$1"
}

# row LABEL FILE
row() {
	awk -v label="$1" '
		{ for (i = 2; i <= NF; i++) v[$1, i - 1] = $i }
		$1 ~ /rss_peak_mib$/ && $2 > peak { peak = $2 }
		function three(name, by, form) { return sprintf(form " / " form " / " form, v[name, 1] / by, v[name, 2] / by, v[name, 3] / by) }
		END {
			printf "| %s | %s | %s | %s | %.1f | %.1f | %d | %.1f | %.1f | %d |\n", label, three("bound_ms", 1000, "%.1f"),
				three("own_ms", 1, "%d"), three("single_own_ms", 1, "%d"), v["requests_each", 1], v["bound_cpu_s", 1],
				peak, v["restart_bound_ms", 1] / 1000, v["deleted_s", 1], v["left_behind", 1]
		}' "$2"
}

first_lines() { # of the section
	echo "## Binding many Datasets${1:+ on $1}"
	echo
	echo "Made by \`make bench-bind\`${1:+ with KUBECONFIG}: Dataset and ReservoirRuntime pairs created at once by 8 clients, each StatefulSet made ready as"
	echo "soon as it is seen. Own time is from the answer to that to Bound. One more: 50 pairs made one after the other beside those. Restart: the"
	echo "controller is killed with -9, and the time is from the start of the next to Bound of a pair made in between. Gone: objects and node"
	echo "labels too; left are those that are there 30 s later. A hung engine's worker takes connections and never answers."
	echo
	"$here/machine.sh" "$work"
	echo
	echo '| datasets | to Bound, s | own time, ms | one more, own time, ms | requests each | controller CPU to Bound, s | its memory, MiB | after a restart, s | all gone, s | left |'
	echo '|---|---|---|---|---|---|---|---|---|---|'
}

last_lines() {
	echo
	echo "Three figures are the middle, the 99th percentile and the longest."
	echo
	echo "For comparison, Fluid, measured on 2 cores against a real API server with CacheRuntime, its lightest: 1,000 datasets are Bound after 437 s"
	echo "(middle) and 534 s (99th percentile), all gone after 701 s, with 33 API requests a dataset, 109 CPU s and 349 MiB; with its client's limits"
	echo "lifted 205 s and 302 s. Its nine processes take 367 MiB when idle; a restart with 1,000 datasets works again after 19 s."
}

for count in "$@"; do
	measure "$work/plain-$count" "$count" 0 0
	[ "$count" -ge 100 ] || continue
	measure "$work/hung-$count" "$count" $((count / 100)) 0
	[ "$count" -gt 5000 ] || measure "$work/nodes-$count" "$count" 0 100 # more pods than that no node takes
done
server=
[ -z "${KUBECONFIG:-}" ] || server="kube-apiserver $(sed -n 's/^server //p' "$work/plain-$1")"
{
	first_lines "$server"
	for count in "$@"; do
		row "$count" "$work/plain-$count"
		[ "$count" -ge 100 ] || continue
		row "$count, 1 % of their engines hung" "$work/hung-$count"
		[ ! -e "$work/nodes-$count" ] || row "$count, with worker pods on 100 nodes" "$work/nodes-$count"
	done
	last_lines
} >"$work/section"

"$here/section.sh" "bind${server:+-real}" <"$work/section"
cat "$work/section"
