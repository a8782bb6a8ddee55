#!/bin/sh
# Everything that the verbs of each day leave out because it takes long: static analysis of every file, clang's warnings, the unit tests
# under ASan and UBSan, under ThreadSanitizer and under valgrind, and the servers under ThreadSanitizer with 32 clients. Among the unit
# tests are those that make each allocation (*_fault) and each call to the kernel (*_io) fail in turn; they are counted as a step of their
# own. usage: check-all.sh BUILD-PREFIX
# Prints one line a step; the outputs are kept as BUILD-PREFIX-*/check.log. Ends with 1 when a step failed, after all were done. A step
# that passed is not done again while the sources are the same, so that a run that was interrupted goes on; FRESH=1 does all of them.
set -u

here=$(cd "$(dirname "$0")/.." && pwd)
prefix=$1
jobs=${JOBS:-2}
failed=
started=$(date +%s)
# What the sources are: the commit and what differs from it.
tree=$(cd "$here" && { git rev-parse HEAD && git diff HEAD && git ls-files --others --exclude-standard | xargs -r cat; } | sha256sum)

# step NAME COMMAND...: run it with its output in a log; on failure show the log's end.
step() {
	name=$1
	shift
	mkdir -p "$prefix-$name"
	log=$prefix-$name/check.log
	passed=$prefix-$name/check.passed
	printf '== %s ... ' "$name"
	if [ -z "${FRESH:-}" ] && [ "$(cat "$passed" 2>/dev/null)" = "$tree" ]; then
		echo "ok, as before"
	elif "$@" >"$log" 2>&1; then
		echo "ok ($(($(date +%s) - started)) s so far)"
		echo "$tree" >"$passed"
	else
		echo "FAILED; the whole output is in $log"
		grep -E 'error:|warning:|ERROR|WARNING: ThreadSanitizer|SUMMARY|FAIL|TIMEOUT' "$log" | head -n 60
		failed="$failed $name"
	fi
}

# configure DIRECTORY OPTION...: a build directory, made once.
configure() {
	dir=$1
	shift
	[ -f "$dir/build.ninja" ] || meson setup "$dir" "$here" "$@"
}

clang_build() {
	CC=clang configure "$prefix-clang" --werror && ninja -C "$prefix-clang" -j "$jobs"
}

# unit DIRECTORY FACTOR [OPTION...]: the unit tests of a build, with more time than they usually have.
unit() {
	dir=$1
	factor=$2
	shift 2
	ninja -C "$dir" -j "$jobs" && meson test -C "$dir" --no-rebuild --num-processes "$jobs" -t "$factor" --print-errorlogs "$@"
}

asan() {
	configure "$prefix-asan" -Doptimization=1 -Db_sanitize=address,undefined -Db_lundef=false --werror
}

addresses() {
	asan && ASAN_OPTIONS="${ASAN_OPTIONS:-exitcode=99}" UBSAN_OPTIONS="${UBSAN_OPTIONS:-halt_on_error=1:print_stacktrace=1}" \
		unit "$prefix-asan" 2
}

# The tests that make things fail, by name, so that a test that is no longer among them is missed.
faults() {
	asan || return 1
	tests=$(meson test -C "$prefix-asan" --list | sed 's/.* //' | grep -E '_(fault|faults|io)$')
	echo "$tests"
	[ "$(echo "$tests" | wc -l)" -ge 6 ] || { echo "ERROR: the tests that make allocations fail are not all there"; return 1; }
	# shellcheck disable=SC2086 # a list of words
	unit "$prefix-asan" 2 $tests
}

# The load tests are left out here and below: they hold the server to memory and time that these tools take themselves.
threads() {
	configure "$prefix-tsan" -Doptimization=1 -Db_sanitize=thread -Db_lundef=false &&
		TSAN_OPTIONS="${TSAN_OPTIONS:-exitcode=66 second_deadlock_stack=1}" unit "$prefix-tsan" 4 --no-suite load
}

# The API server and the controllers under 32 clients that each do something else; a race makes their exit status non-zero.
races() {
	configure "$prefix-tsan" -Doptimization=1 -Db_sanitize=thread -Db_lundef=false &&
		ninja -C "$prefix-tsan" -j "$jobs" sluice test/load/bench || return 1
	# shellcheck disable=SC2016 # with-local.sh sets it
	TSAN_OPTIONS="${TSAN_OPTIONS:-exitcode=66 second_deadlock_stack=1}" SLUICE="$prefix-tsan/sluice" "$here/test/conformance/with-local.sh" \
		sh -c '"$1" "$KUBECONFIG" mixed 10' sh "$prefix-tsan/test/load/bench"
}

memory() {
	configure "$prefix-valgrind" -Doptimization=1 && unit "$prefix-valgrind" 10 --no-suite load --wrap "$here/build-aux/valgrind.sh"
}

step static "$here/build-aux/check.sh" --all "$prefix-static"
step clang clang_build
step addresses addresses
step faults faults
step threads threads
step races races
step memory memory

if [ -n "$failed" ]; then
	echo "check-all: failed:$failed"
	exit 1
fi
echo "check-all: nothing found in $(($(date +%s) - started)) s"
