#!/bin/sh
# Static analysis of what changed, or with --all of everything. usage: check.sh [--all] BUILD-DIRECTORY (made when absent)
set -eu

here=$(cd "$(dirname "$0")/.." && pwd)
all=
[ "$1" != --all ] || { all=--all; shift; }
build=$1
[ -f "$build/build.ninja" ] || meson setup "$build" "$here" >/dev/null
# Generated headers are what the analyses need of a build.
ninja -C "$build" -t targets all | sed -n 's/^\(.*\.pb-c\.h\): .*/\1/p' | xargs ninja -C "$build" >/dev/null
# shellcheck disable=SC2086 # an option or nothing
exec "$here/build-aux/check.py" $all "$build"
