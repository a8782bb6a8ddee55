#!/bin/sh
# What takes too long for each day. The caches of the Kubernetes client: with the sanitizers, which see every leak, and as the program is
# built, where memory must stay flat. A mount's server, killed under readers. Then the controller, killed before each write of a Dataset's life.
# usage: run.sh BUILD-DIRECTORY SANITIZED-BUILD-DIRECTORY
set -eu

here=$(cd "$(dirname "$0")" && pwd)
for build in "$2" "$1"; do
	ninja -C "$build" sluice test/soak/soak_kube
	echo "== caches of the Kubernetes client, $build"
	"$build/test/soak/soak_kube" "$build/sluice" 100000 50
done
ninja -C "$2"
echo "== a mount's server, killed under readers"
KEEPER_ROUNDS=100 "$2/test/unit/reservoir/test_keeper"
echo "== the controller, killed before each write"
SLUICE=$(cd "$2" && pwd)/sluice bats "$here/killed.bats"
