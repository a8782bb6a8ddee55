#!/bin/sh
# Put standard input into docs/benchmarks.md as the section NAME: what was between its markers is replaced; a new one goes to the end.
# usage: section.sh NAME
set -eu

name=$1
out=$(cd "$(dirname "$0")/../.." && pwd)/docs/benchmarks.md
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT

{
	echo "<!-- begin $name -->"
	cat
	echo "<!-- end $name -->"
} >"$dir/section"
grep -q -x -F "<!-- begin $name -->" "$out" || printf '\n<!-- begin %s -->\n<!-- end %s -->\n' "$name" "$name" >>"$out"
awk -v name="$name" -v section="$dir/section" '
	$0 == "<!-- begin " name " -->" { while ((getline line <section) > 0) print line; skip = 1 }
	!skip
	$0 == "<!-- end " name " -->" { skip = 0 }' "$out" >"$dir/new"
cat "$dir/new" >"$out"
