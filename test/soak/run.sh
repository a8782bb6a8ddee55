#!/bin/sh
# The soak tests whole: with the sanitizers, which see every leak, and as the program is built, where memory must stay flat.
# usage: run.sh BUILD-DIRECTORY SANITIZED-BUILD-DIRECTORY
set -eu

for build in "$2" "$1"; do
	ninja -C "$build" sluice test/soak/soak_kube
	echo "== caches of the Kubernetes client, $build"
	"$build/test/soak/soak_kube" "$build/sluice" 100000 50
done
