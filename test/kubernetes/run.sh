#!/bin/sh
# The conformance suite against real API servers, one after the other: kube-apiserver for the built-in kinds, the newer server of custom
# resources for the rest (cases alone: kubectl wants namespaces, which that one has not).
# usage: run.sh BUILD-DIRECTORY
set -u

build=$(cd "$1" && pwd)
here=$(cd "$(dirname "$0")" && pwd)
bin=${K8S_HOME:-${XDG_CACHE_HOME:-$HOME/.cache}/real-kubernetes}/bin
failed=0
ran=0

if [ -x "$bin/kube-apiserver" ]; then
	ran=1
	"$here/with-server.sh" core "$here/../conformance/run.sh" "$build" || failed=1
else
	echo "skipped: built-in kinds; there is no $bin/kube-apiserver (test/kubernetes/build.sh makes it)"
fi
if [ -x "$bin/crdserver" ]; then
	ran=1
	"$here/with-server.sh" crd "$build/test/conformance/client/conformance" "$here"/../conformance/cases/*.cases || failed=1
else
	echo "skipped: custom resources in the newer version; there is no $bin/crdserver (test/kubernetes/build.sh makes it)"
fi
[ $ran -eq 1 ] && [ $failed -eq 0 ]
