#!/bin/sh
# Run every test of a build directory: the unit tests, then the bats suites against its binary. Prints one closing line with the sums.
# usage: run.sh BUILD-DIRECTORY
set -u

build=$(cd "$1" && pwd)
here=$(cd "$(dirname "$0")" && pwd)
export SLUICE="$build/sluice"
export ASAN_OPTIONS="${ASAN_OPTIONS:-abort_on_error=0:exitcode=99}"
export UBSAN_OPTIONS="${UBSAN_OPTIONS:-halt_on_error=1:print_stacktrace=1}"
passed=0
failed=0

log=$(mktemp)
trap 'rm -f "$log"' EXIT
meson test -C "$build" --no-rebuild --print-errorlogs 2>&1 | tee "$log"
passed=$((passed + $(sed -n 's/^Ok: *//p' "$log" | tail -n 1)))
for what in 'Fail' 'Unexpected Pass' 'Timeout'; do
	failed=$((failed + $(sed -n "s/^$what: *//p" "$log" | tail -n 1)))
done

for suite in "$here"/conformance/*.bats "$here"/e2e/*.bats; do
	[ -e "$suite" ] || continue
	echo "== ${suite#"$here"/}"
	bats --tap "$suite" 2>&1 | tee "$log"
	passed=$((passed + $(grep -c '^ok ' "$log")))
	failed=$((failed + $(grep -c '^not ok ' "$log")))
	# A suite that ends before its plan is done has failed too.
	planned=$(sed -n 's/^1\.\.\([0-9]*\).*/\1/p' "$log" | head -n 1)
	ran=$(grep -c -E '^(ok|not ok) ' "$log")
	[ "${planned:-0}" -le "$ran" ] && [ -n "$planned" ] || failed=$((failed + 1))
done

echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ] && [ "$passed" -gt 0 ]
