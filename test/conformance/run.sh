#!/bin/sh
# The conformance suite against the cluster of $KUBECONFIG, with the administrator's rights; unset: against a local API server.
# The bats files run with kubectl and, where it differs, with kubectl 1.20; with KUBECTLS="kubectl /path/to/another" with each of these
# instead. Prints one closing line with the sums.
# usage: run.sh BUILD-DIRECTORY
set -u

build=$(cd "$1" && pwd)
here=$(cd "$(dirname "$0")" && pwd)
export SLUICE="$build/sluice"
# shellcheck source=test/tap.sh
. "$here/../tap.sh"
# shellcheck source=test/conformance/suites.sh
. "$here/suites.sh"

client=$build/test/conformance/client/conformance
if [ -n "${KUBECONFIG:-}" ]; then
	tap cases "$client" "$here"/cases/*.cases
else
	tap cases "$here/with-local.sh" "$client" "$here"/cases/*.cases
fi
conformance_suites "$here"
tap_end
