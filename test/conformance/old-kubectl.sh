#!/bin/bash
# Prints the path of Debian 12's kubectl, 1.20, for the suites in which it asks the server otherwise than today's does: $OLD_KUBECTL, or the one
# in PATH, or Debian's package unpacked once into the user's cache. Fails where there is none.
set -euo pipefail

home=${K8S_HOME:-${XDG_CACHE_HOME:-$HOME/.cache}/real-kubernetes}
cached=$home/k120/usr/bin/kubectl

is_old() {
	"$1" version --client 2>/dev/null | grep -q 'GitVersion:"v1\.20\.'
}

for kubectl in "${OLD_KUBECTL:-}" "$(type -P kubectl)" "$cached"; do
	if [ -n "$kubectl" ] && is_old "$kubectl"; then
		echo "$kubectl"
		exit 0
	fi
done

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
version=$(apt-cache madison kubernetes-client | awk -F ' *[|] *' '$2 ~ /^1\.20\./ {print $2; exit}')
if [ -z "$version" ] || ! apt-get download "kubernetes-client=$version" >/dev/null 2>&1; then
	echo "no kubectl 1.20: apt brings no kubernetes-client of that version; \$OLD_KUBECTL may name one" >&2
	exit 1
fi
dpkg-deb -x kubernetes-client_*.deb unpacked
mkdir -p "$home"
rm -rf "$home/k120"
mv unpacked "$home/k120"
is_old "$cached"
echo "$cached"
