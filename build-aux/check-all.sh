#!/bin/sh
# Everything that the verbs of each day leave out because it takes long: static analysis of every file, clang's warnings, data races,
# and the unit tests (with those that make allocations fail) under valgrind. usage: check-all.sh BUILD-PREFIX
# Prints one line a step; the outputs are kept as BUILD-PREFIX-*/check.log. Ends with 1 when a step failed, after all were done.
set -u

here=$(cd "$(dirname "$0")/.." && pwd)
prefix=$1
jobs=${JOBS:-2}
failed=
started=$(date +%s)

# step NAME COMMAND...: run it with its output in a log; on failure show the log's end.
step() {
	name=$1
	shift
	mkdir -p "$prefix-$name"
	log=$prefix-$name/check.log
	printf '== %s ... ' "$name"
	if "$@" >"$log" 2>&1; then
		echo "ok ($(($(date +%s) - started)) s so far)"
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

# Race detection slows programs down about ten times, so does valgrind: their limits of time are longer.
threads() {
	configure "$prefix-tsan" -Doptimization=1 -Db_sanitize=thread -Db_lundef=false &&
		ninja -C "$prefix-tsan" -j "$jobs" &&
		TSAN_OPTIONS="${TSAN_OPTIONS:-exitcode=66 second_deadlock_stack=1}" \
			meson test -C "$prefix-tsan" --no-rebuild --num-processes "$jobs" -t 4 --print-errorlogs
}

# Whole leaks only: what a library keeps until the end is reachable. Children are other programs.
memory() {
	configure "$prefix-valgrind" -Doptimization=1 &&
		ninja -C "$prefix-valgrind" -j "$jobs" &&
		meson test -C "$prefix-valgrind" --no-rebuild --num-processes "$jobs" -t 10 --print-errorlogs \
			--wrap 'valgrind --quiet --error-exitcode=99 --leak-check=full --show-leak-kinds=definite --errors-for-leak-kinds=definite --trace-children=no'
}

step static "$here/build-aux/check.sh" --all "$prefix-static"
step clang clang_build
step tsan threads
step valgrind memory

if [ -n "$failed" ]; then
	echo "check-all: failed:$failed"
	exit 1
fi
echo "check-all: nothing found in $(($(date +%s) - started)) s"
