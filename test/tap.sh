# shellcheck shell=sh
# Sourced by the scripts that run tests: counts what prints TAP.
passed=0
failed=0
skipped=0
log=$(mktemp)
trap 'rm -f "$log"' EXIT

# tap NAME COMMAND...: run it, show it, add up its results. One that ends before its plan is done has failed too.
tap() {
	echo "== $1"
	shift
	"$@" 2>&1 | tee "$log"
	passed=$((passed + $(grep '^ok ' "$log" | grep -c -v '# skip')))
	skipped=$((skipped + $(grep -c '^ok .*# skip' "$log")))
	failed=$((failed + $(grep -c '^not ok ' "$log")))
	planned=$(sed -n 's/^1\.\.\([0-9]*\).*/\1/p' "$log" | head -n 1)
	ran=$(grep -c -E '^(ok|not ok) ' "$log")
	[ -n "$planned" ] && [ "$planned" -le "$ran" ] || failed=$((failed + 1))
}

# The closing line; fails when something failed or nothing ran.
tap_end() {
	echo "$passed passed, $failed failed, $skipped skipped"
	[ "$failed" -eq 0 ] && [ "$passed" -gt 0 ]
}
