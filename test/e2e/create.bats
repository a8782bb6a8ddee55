#!/usr/bin/env bats
# `sluice create api`: what it writes, what it refuses, and the plug-in project that it makes, built and run through the kit.

load helpers

setup() {
	WORK=$(mktemp -d /tmp/slt.XXXXXX)
	TREE=$(cd "$BATS_TEST_DIRNAME/../.." && pwd)
	cd "$WORK" || return
}

teardown() {
	cd /
	rm -rf "$WORK"
}

# The files that a source tree is known by, and those that get a line.
make_tree() {
	local f
	for f in include/sluice/engine.h src/api/meson.build src/api/kinds.c src/engines/meson.build src/engines/engines.h \
		src/engines/engines.c src/runtime/meson.build src/kit/meson.build test/kit/meson.build; do
		mkdir -p "tree/$(dirname $f)"
		cp "$TREE/$f" "tree/$f"
	done
	cd tree || return
}

# The installed headers, and sluice.pc for this place.
install_headers() {
	DESTDIR=$WORK/inst meson install -C "$(dirname "$SLUICE")" --no-rebuild --quiet >/dev/null
	local pc
	pc=$(find "$WORK/inst" -name sluice.pc)
	sed -i "s#^prefix=.*#prefix=$(dirname "$(dirname "$(find "$WORK/inst" -path '*/bin/sluice')")")#" "$pc"
	PKG_CONFIG_PATH=$(dirname "$pc")
	PATH=$(dirname "$(find "$WORK/inst" -path '*/bin/sluice')"):$PATH
	export PKG_CONFIG_PATH PATH
}

@test "outside a source tree: said, with the way to a plug-in project" {
	run "$SLUICE" create api --kind FooRuntime
	[ "$status" -eq 1 ]
	[[ $output == *"no source tree of Sluice"*"--plugin DIR"* ]]
}

@test "names are checked" {
	make_tree
	while read -r words want; do
		# shellcheck disable=SC2086 # a list of words
		run "$SLUICE" create api --resource=true --controller=true $words
		[ "$status" -eq 2 ]
		[[ $output == *"$want"* ]]
	done <<-END
		--kind=fooRuntime the first in upper case
		--kind=Foo-Runtime letters and digits
		--kind=Foo must end in Runtime
		--kind=Runtime must end in Runtime
		--version=1alpha --kind is missing
		--namespaced=maybe --kind is missing
	END
	run "$SLUICE" create api --kind FooRuntime --version 1
	[[ $output == *"is no version, like v1alpha1"* ]]
	run "$SLUICE" create api --kind FooRuntime --group Data_
	[[ $output == *"is no group, like data"* ]]
	run "$SLUICE" create api --kind FooRuntime --namespaced=false --resource=true --controller=true
	[ "$status" -eq 2 ]
	[[ $output == *"lives in the namespace of its Dataset"* ]]
	run "$SLUICE" create thing --kind FooRuntime
	[ "$status" -eq 2 ]
	[ -z "$(find . -name 'foo*')" ]
}

@test "questions: yes and no in each combination; nothing is overwritten" {
	make_tree
	"$SLUICE" create api --group data --version v1alpha1 --kind FooRuntime --namespaced true <<<$'n\nn' | grep -q 'nothing to create'
	[ -z "$(find . -name 'foo*')" ]
	run "$SLUICE" create api --kind FooRuntime --namespaced true <<<$'n\ny'
	[ "$status" -eq 1 ]
	[[ $output == *"Create Resource [y/n]"*"Create Controller [y/n]"*"there is no kind FooRuntime here"* ]]

	run "$SLUICE" create api --kind FooRuntime <<<$'maybe\ny\nn'
	[ "$status" -eq 0 ]
	[[ $output == *"src/api/foo_runtime.c"*"yours"*"src/api/kinds.c"*"one line added"*"next:"* ]]
	[ ! -e src/engines/foo ]
	grep -q '&foo_runtime_kind,' src/api/kinds.c
	grep -q "'foo_runtime.c'," src/api/meson.build

	"$SLUICE" create api --kind FooRuntime --resource=false --controller=true
	[ -e src/engines/foo/engine.c ]
	grep -q '&foo_runtime_controller,' src/engines/engines.c
	grep -q "manifests/foo/fuse.yaml" src/runtime/meson.build
	grep -q "test/kit/foo.yaml'," src/kit/meson.build
	grep -q "'foo'," test/kit/meson.build

	cp -r . ../before
	run "$SLUICE" create api --kind FooRuntime --resource=true --controller=true
	[ "$status" -eq 1 ]
	[[ $output == *"'src/api/foo_runtime.h' is there already: nothing was written"* ]]
	diff -r . ../before

	"$SLUICE" create api --kind GCSBucketList --namespaced=false --resource=true --controller=false >/dev/null
	grep -q '"GCSBucketList", "gcsbucketlists", false' src/api/gcs_bucket_list.c
	run "$SLUICE" create api --kind BarRuntime </dev/null
	[ "$status" -eq 2 ]
	[[ $output == *"--resource=true|false answers it"* ]]
}

@test "every method of the contract is visible in what is written" {
	make_tree
	"$SLUICE" create api --kind FooRuntime --resource=true --controller=true >/dev/null
	sed -n 's/^\t\(M\|OWN\)(X, \([a-z_]*\),.*/\2/p' include/sluice/engine.h >methods
	[ "$(wc -l <methods)" -ge 30 ]
	while read -r method; do
		grep -q -E "(ENGINE_DEFAULT\(foo, |foo_)${method}[(),]" src/engines/foo/engine.c
	done <methods
}

@test "a plug-in project: the same as the one kept in the tree, builds without warnings, and binds" {
	"$SLUICE" create api --kind SampleRuntime --resource=true --controller=true --plugin project >/dev/null
	diff -r project "$TREE/test/plugin/project"
	install_headers
	meson setup project/build project --werror >/dev/null
	ninja -C project/build
	for name in structure permissions bound; do # the whole kit runs in the guide's test
		run "$SLUICE" engine-test --case "$name" --script project/kit.yaml project/build/sluice-runtime-sample.so
		echo "$output"
		[ "$status" -eq 0 ]
		[[ $output == *held*" 0 failed"* ]]
	done
	run "$SLUICE" create api --kind SampleRuntime --resource=true --controller=true --plugin project
	[ "$status" -eq 1 ]
	[[ $output == *"is there already"* ]]
}

@test "the guide: every command of it, in an empty folder" {
	install_headers
	mkdir empty && cd empty
	sed -n 's/^    \$ //p' "$TREE/docs/add-a-runtime.md" >../commands
	[ "$(wc -l <../commands)" -ge 8 ]
	diff ../commands <(sed -n 's/^    \$ //p' "$TREE/docs/zh/add-a-runtime.md")
	bash -e -x ../commands
}

@test "the kit: engines, scripts and cases that are not there" {
	run "$SLUICE" engine-test nonesuch
	[ "$status" -eq 1 ]
	[[ $output == *"no engine 'nonesuch' in this binary"*"sluice-runtime-nonesuch.so"* ]]
	echo 'dataset: {}' >script.yaml
	run "$SLUICE" engine-test rclone --script script.yaml
	[ "$status" -eq 1 ]
	[[ $output == *"'dataset' and 'runtime'"* ]]
	printf 'dataset: {}\nruntime: {}\nansers: []\n' >script.yaml
	run "$SLUICE" engine-test rclone --script script.yaml
	[[ $output == *"'ansers' is not known"* ]]
	run "$SLUICE" engine-test "$(dirname "$SLUICE")/test/plugin/sluice-runtime-half.so" --script script.yaml
	[ "$status" -eq 1 ]
	[[ $output == *"is incomplete: it has no engine half"* ]]
	run "$SLUICE" engine-test rclone --case structure -o json
	[ "$status" -eq 0 ]
	[ "$(jq -r '.[0].held' <<<"$output")" = true ]
}

@test "the kit fails an engine that asks what the script does not answer" {
	sed '/^answers:/,$d' "$TREE/test/kit/rclone.yaml" >script.yaml
	echo 'answers: []' >>script.yaml
	run "$SLUICE" engine-test rclone --script script.yaml --case 'figures'
	[ "$status" -eq 1 ]
	[[ $output == *FAILED*figures* ]]
}
