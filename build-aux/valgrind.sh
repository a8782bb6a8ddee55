#!/bin/sh
# Run a test under valgrind, for meson's --wrap. Only whole leaks count: what a library keeps until the end is reachable. Children are
# other programs. A test that makes a system call which this valgrind does not know (openat2, before 3.20) is skipped, not failed.
set -u

log=$(mktemp)
trap 'rm -f "$log"' EXIT
valgrind --quiet --log-file="$log" --error-exitcode=99 --leak-check=full --show-leak-kinds=definite --errors-for-leak-kinds=definite \
	--trace-children=no "$@"
rc=$?
cat "$log" >&2
[ $rc -eq 0 ] || ! grep -q 'unhandled amd64-linux syscall' "$log" || rc=77
exit $rc
