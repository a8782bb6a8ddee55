#!/bin/sh
# The conformance suite against the cluster of $KUBECONFIG, with the administrator's rights; unset: against a local API server.
# With KUBECTLS="kubectl /path/to/another" the bats files run with each. Prints one closing line with the sums.
# usage: run.sh BUILD-DIRECTORY
set -u

build=$(cd "$1" && pwd)
here=$(cd "$(dirname "$0")" && pwd)
export SLUICE="$build/sluice"
# shellcheck source=test/tap.sh
. "$here/../tap.sh"

client=$build/test/conformance/client/conformance
if [ -n "${KUBECONFIG:-}" ]; then
	tap cases "$client" "$here"/cases/*.cases
else
	tap cases "$here/with-local.sh" "$client" "$here"/cases/*.cases
fi
for kubectl in ${KUBECTLS:-kubectl}; do
	for suite in "$here"/*.bats; do
		tap "$(basename "$suite") with $kubectl" env KUBECTL="$kubectl" bats --tap "$suite"
	done
done
tap_end
