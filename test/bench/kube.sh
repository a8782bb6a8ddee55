#!/bin/sh
# Measure the Kubernetes client layer and write its section of docs/benchmarks.md.
# usage: kube.sh BUILD-DIRECTORY
set -eu

here=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d /tmp/slk.XXXXXX)
trap 'rm -rf "$work"' EXIT

"$1/test/bench/bench_kube" "$here/kube-objects.txt" >"$work/rows"
{
	echo '## The Kubernetes client'
	echo
	echo "Made by \`make bench-kube\`. The objects of the large cluster are as the controllers made them for one dataset, served by a"
	echo "process of its own over HTTP; nothing is dropped from them but managedFields."
	echo
	"$here/machine.sh" "$work"
	echo
	echo '| what | figure |'
	echo '|---|---|'
	cat "$work/rows"
} >"$work/section"
"$here/section.sh" kube <"$work/section"
cat "$work/section"
