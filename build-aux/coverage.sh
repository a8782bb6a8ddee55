#!/bin/sh
# Lines and branches that the unit tests reach, by folder. usage: coverage.sh BUILD-DIRECTORY
# The report for each file and line is BUILD-DIRECTORY/coverage.html.
set -eu

here=$(cd "$(dirname "$0")/.." && pwd)
build=$1
[ -f "$build/build.ninja" ] || meson setup "$build" "$here" -Db_coverage=true -Doptimization=0
ninja -C "$build" -j "${JOBS:-2}"
find "$build" -name '*.gcda' -delete
meson test -C "$build" --no-rebuild --print-errorlogs
report=$build/coverage.json
# Files that a compiler's own bug miscounts are no reason to have no report.
gcovr --root "$here" --filter "$here/src/" --exclude '.*\.pb-c\..*' --gcov-ignore-parse-errors --json-summary "$report" \
	--html-details "$build/coverage.html" --print-summary -j "${JOBS:-2}" "$build" | sed -n '/^lines\|^branches/p'
jq -r '[.files[] | .folder = (.filename | sub("/[^/]*$"; ""))] | group_by(.folder)[] |
	[.[0].folder, (map(.line_covered) | add), (map(.line_total) | add), (map(.branch_covered) | add), (map(.branch_total) | add)] |
	@tsv' "$report" | awk -F '\t' '
	BEGIN { printf "%-28s %14s %8s %16s %8s\n", "folder", "lines", "", "branches", "" }
	{ printf "%-28s %6d of %5d %6.1f %% %7d of %5d %6.1f %%\n", $1, $2, $3, $3 ? 100 * $2 / $3 : 0, $4, $5, $5 ? 100 * $4 / $5 : 0 }'
echo "each line: $build/coverage.html"
