#!/bin/sh
# Install the Debian packages that packages.txt lists for the given purposes and that are missing. Root only; says what first.
# usage: install-packages.sh PURPOSE...
set -eu

list=$(dirname "$0")/../packages.txt
missing=
for purpose in "$@"; do
	while read -r for_what package command; do
		[ "$for_what" = "$purpose" ] || continue
		[ -z "$command" ] || ! command -v "$command" >/dev/null 2>&1 || continue
		dpkg-query -W -f '${db:Status-Status}\n' "$package" 2>/dev/null | grep -qx installed || missing="$missing $package"
	done <"$list"
done
[ -n "$missing" ] || exit 0

if [ "$(id -u)" -ne 0 ]; then
	echo "missing packages:$missing" >&2
	echo "install them as root: apt-get install$missing" >&2
	exit 1
fi
echo "installing:$missing"
# A daemon that comes with a package (nginx) must not start by itself: only its program is wanted.
policy=/usr/sbin/policy-rc.d
if [ ! -e "$policy" ]; then
	trap 'rm -f "$policy"' EXIT
	printf '#!/bin/sh\nexit 101\n' >"$policy"
	chmod 755 "$policy"
fi
apt-get update -qq
# shellcheck disable=SC2086 # a list of words
DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $missing
