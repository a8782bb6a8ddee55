#!/bin/sh
# Run every test of a build directory: the unit tests, then the suites against its binary. Prints one closing line with the sums.
# usage: run.sh BUILD-DIRECTORY
set -u

build=$(cd "$1" && pwd)
here=$(cd "$(dirname "$0")" && pwd)
export SLUICE="$build/sluice"
export ASAN_OPTIONS="${ASAN_OPTIONS:-abort_on_error=0:exitcode=99}"
export UBSAN_OPTIONS="${UBSAN_OPTIONS:-halt_on_error=1:print_stacktrace=1}"
# shellcheck source=test/tap.sh
. "$here/tap.sh"
# shellcheck source=test/conformance/suites.sh
. "$here/conformance/suites.sh"

meson test -C "$build" --no-rebuild --no-suite long --print-errorlogs 2>&1 | tee "$log"
passed=$((passed + $(sed -n 's/^Ok: *//p' "$log" | tail -n 1)))
for what in 'Fail' 'Unexpected Pass' 'Timeout'; do
	failed=$((failed + $(sed -n "s/^$what: *//p" "$log" | tail -n 1)))
done

tap conformance/cases "$here/conformance/with-local.sh" "$build/test/conformance/client/conformance" "$here"/conformance/cases/*.cases
KUBECTLS=kubectl conformance_suites "$here/conformance"
for suite in "$here"/conformance/local/*.bats "$here"/e2e/*.bats "$here"/e2e/*/*.bats; do
	tap "${suite#"$here"/}" bats --tap "$suite"
done
tap_end
