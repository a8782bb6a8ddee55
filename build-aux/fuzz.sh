#!/bin/sh
# Run each fuzz target for a while, two at a time, from its committed corpus. usage: fuzz.sh BUILD-DIRECTORY SECONDS [TARGET...]
# New inputs are kept in BUILD-DIRECTORY/corpus/TARGET, findings in BUILD-DIRECTORY/findings/. Ends with 1 when there are any.
set -eu

here=$(cd "$(dirname "$0")/.." && pwd)
mkdir -p "$1"
build=$(cd "$1" && pwd)
seconds=$2
shift 2
case $seconds in
'' | *[!0-9]*)
	echo "fuzz.sh: SECONDS must be a whole number, not '$seconds'" >&2
	exit 2
	;;
esac

# Every file is built with coverage for the fuzzer; the targets link it.
[ -f "$build/build.ninja" ] || CC=clang meson setup "$build" "$here" -Dfuzz=true -Doptimization=1 -Db_lundef=false \
	-Db_sanitize=address,undefined -Dc_args=-fsanitize=fuzzer-no-link
known=$(cd "$here/test/fuzz" && for f in fuzz_*.c; do f=${f%.c} && echo "${f#fuzz_}"; done)
targets=${*:-$known}
for t in $targets; do
	echo "$known" | grep -qx "$t" || {
		echo "fuzz.sh: there is no target '$t'; known are:" "$(echo "$known" | tr "\n" " ")" >&2
		exit 2
	}
done
# shellcheck disable=SC2046,SC2086 # lists of words
ninja -C "$build" -j "${JOBS:-2}" $(printf 'test/fuzz/fuzz_%s ' $targets)
mkdir -p "$build/findings"

# The targets end by time, or at their first finding; -timeout is for one input, in seconds.
one() {
	mkdir -p "$build/corpus/$1"
	dict=
	[ ! -f "$here/test/fuzz/dict/$1" ] || dict=-dict=$here/test/fuzz/dict/$1
	# shellcheck disable=SC2086 # an option or nothing
	if "$build/test/fuzz/fuzz_$1" $dict -max_total_time="$seconds" -timeout=20 -rss_limit_mb=1024 -print_final_stats=1 -verbosity=0 \
		-artifact_prefix="$build/findings/$1-" "$build/corpus/$1" "$here/test/fuzz/corpus/$1" >"$build/corpus/$1.log" 2>&1; then
		runs=$(sed -n 's/^stat::number_of_executed_units: *//p' "$build/corpus/$1.log")
		echo "fuzz $1: ok, $runs runs, $(find "$build/corpus/$1" -type f | wc -l) new inputs kept"
	else
		echo "fuzz $1: FOUND SOMETHING; the input is in $build/findings/, the output in $build/corpus/$1.log"
		grep -E 'ERROR|SUMMARY|runtime error|Assertion|Test unit written' "$build/corpus/$1.log" | head -n 8
		touch "$build/findings/failed.$1"
	fi
}

rm -f "$build"/findings/failed.*
n=0
for t in $targets; do
	one "$t" &
	n=$((n + 1))
	[ $((n % ${JOBS:-2})) -ne 0 ] || wait
done
wait
if ls "$build"/findings/failed.* >/dev/null 2>&1; then
	echo "fuzz: findings"
	exit 1
fi
echo "fuzz: nothing found"
