#!/bin/bash
# build.sh: build the real API servers that the suite is compared on (README.md). Needs root for apt, 2 GB of disk and some minutes.
set -euo pipefail

home=${K8S_HOME:-${XDG_CACHE_HOME:-$HOME/.cache}/real-kubernetes}
here=$(cd "$(dirname "$0")" && pwd)
version=v1.20.2
src=$home/debsrc/gopath/src/k8s.io/kubernetes
mkdir -p "$home/bin" "$home/debsrc/lists/partial" "$(dirname "$src")"

# Debian's source package, from the mirror that apt uses, without touching the machine's own sources.
get_source() {
	[ ! -d "$src" ] || return 0
	apt-get install -y --no-install-recommends etcd-server golang-1.19-go golang-1.19-src golang-github-modern-go-reflect2-dev dpkg-dev
	local mirror list=$home/debsrc/src.list options
	# shellcheck disable=SC2016 # apt's own variable
	mirror=$(apt-get indextargets --format '$(REPO_URI)' 'Identifier: Packages' 'Codename: bookworm' 'Component: main' | head -n 1)
	echo "deb-src ${mirror:?apt knows no mirror of bookworm: run apt-get update} bookworm main" >"$list"
	options=(-o "Dir::Etc::sourcelist=$list" -o Dir::Etc::sourceparts=/dev/null -o "Dir::State::lists=$home/debsrc/lists")
	(cd "$home/debsrc" && apt-get "${options[@]}" update && apt-get "${options[@]}" source --download-only kubernetes)
	dpkg-source -x "$home"/debsrc/kubernetes_*.dsc "$src.new"
	# The copy of reflect2 inside corrupts maps when built with this Go; Debian's package of it does not.
	rm -rf "$src.new/vendor/github.com/modern-go/reflect2"
	cp -rL /usr/share/gocode/src/github.com/modern-go/reflect2 "$src.new/vendor/github.com/modern-go/reflect2"
	mv "$src.new" "$src"
}

# The source package lacks one generated file: the descriptions of all types.
generate_openapi() {
	[ ! -e pkg/generated/openapi/zz_generated.openapi.go ] || return 0
	go build -o "$home/bin/openapi-gen" ./vendor/k8s.io/kube-openapi/cmd/openapi-gen
	local packages
	packages=$(grep -rl --include='*.go' -E '^// ?\+k8s:openapi-gen=true' pkg staging/src vendor/k8s.io/kube-openapi | xargs -n 1 dirname | sort -u |
		grep -vE '/testdata/|/test/|sample-|code-generator|_examples' |
		sed -E 's,^staging/src/,vendor/,; s,^,k8s.io/kubernetes/,' | paste -sd ,)
	"$home/bin/openapi-gen" -i "$packages" -p k8s.io/kubernetes/pkg/generated/openapi -O zz_generated.openapi \
		-h hack/boilerplate/boilerplate.generatego.txt -r "$home/debsrc/violations"
}

build_core() {
	get_source
	export PATH=/usr/lib/go-1.19/bin:$PATH GO111MODULE=off GOPATH=$home/debsrc/gopath GOCACHE=$home/debsrc/gocache CGO_ENABLED=0
	cd "$src"
	generate_openapi
	local flags="-s -w" package name
	for package in k8s.io/component-base/version k8s.io/kubernetes/vendor/k8s.io/component-base/version; do
		flags+=" -X $package.gitVersion=$version -X $package.gitMajor=1 -X $package.gitMinor=20"
	done
	for name in kube-apiserver kube-controller-manager; do
		[ -x "$home/bin/$name" ] || go build -trimpath -tags providerless -ldflags "$flags" -o "$home/bin/$name" "./cmd/$name"
	done
}

build_crd() {
	[ ! -x "$home/bin/crdserver" ] || return 0
	local minor
	minor=$(go env GOVERSION 2>/dev/null | sed -E 's/^go1\.([0-9]+).*/\1/')
	if [ "${minor:-0}" -lt 24 ]; then
		echo "left out: crdserver needs Go 1.24 or newer in PATH, found ${minor:+1.}${minor:-none}"
		return 0
	fi
	(cd "$here/crdserver" && go build -trimpath -o "$home/bin/crdserver" .)
}

build_crd
(build_core)
ls -l "$home/bin"
