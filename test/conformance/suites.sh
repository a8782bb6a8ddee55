# shellcheck shell=sh
# Sourced, after tap.sh, by the scripts that run the bats files of this folder.

# conformance_suites FOLDER: each with kubectl, or with each of $KUBECTLS. Without $KUBECTLS those in which kubectl 1.20 asks the server
# otherwise than today's does (client-side checks by /openapi/v2, other patches and versions) run with it too.
conformance_suites() {
	for kubectl in ${KUBECTLS:-kubectl}; do
		for suite in "$1"/*.bats; do
			tap "conformance/$(basename "$suite") with $kubectl" env KUBECTL="$kubectl" bats --tap "$suite"
		done
	done
	[ -z "${KUBECTLS:-}" ] || return 0
	if ! kubectl=$("$1/old-kubectl.sh"); then
		echo "skipped: the suites with kubectl 1.20"
	elif [ "$kubectl" != "$(command -v kubectl)" ]; then
		for suite in kubectl objects custom; do
			tap "conformance/$suite.bats with kubectl 1.20" env KUBECTL="$kubectl" bats --tap "$1/$suite.bats"
		done
	fi
}
