#!/usr/bin/env bats
# Runtimes in shared objects: those of test/plugin, each in a process of its own. Needs no root.

load helpers

setup() {
	WORK=$(mktemp -d /tmp/slt.XXXXXX)
	DATA=$WORK/d
	PLUGINS=$WORK/d/plugins
	BUILT=$(dirname "$SLUICE")/test/plugin
	PIDS=
	export KUBECONFIG=$DATA/kubeconfig
	mkdir -p "$PLUGINS"
	"$SLUICE" api --data-dir "$DATA" >"$WORK/api.out" 2>"$WORK/api.log" 3>&- &
	PIDS=$!
	until_true 30 has_line '^ready' "$WORK/api.out"
}

teardown() {
	teardown_machine
}

start_controller() {
	"$SLUICE" controller --install-crds --plugin-dir "$PLUGINS" --plugin-timeout 1s >"$WORK/out" 2>"$WORK/log" 3>&- &
	CONTROLLER=$!
	PIDS="$CONTROLLER $PIDS"
	until_true 60 has_line '^ready' "$WORK/out"
}

add() {
	cp "$BUILT/sluice-runtime-$1.so" "$PLUGINS/"
}

# told FILE WORDS: the host has named the file and the reason.
told() {
	grep 'runtime plug-in ended' "$WORK/log" | grep -F "sluice-runtime-$1.so" | grep -q -E "$2"
}

ready() {
	grep 'runtime plug-in is ready' "$WORK/log" | grep -q -F "sluice-runtime-$1.so"
}

# pair KIND PLURAL NAME: a Dataset and a runtime of the plug-in.
pair() {
	kubectl apply -f - <<-END
		{"apiVersion": "v1", "kind": "List", "items": [
		{"apiVersion": "data.fluid.io/v1alpha1", "kind": "Dataset", "metadata": {"name": "$2"},
		 "spec": {"mounts": [{"mountPoint": "https://example.org/", "name": "x"}]}},
		{"apiVersion": "data.fluid.io/v1alpha1", "kind": "$1", "metadata": {"name": "$2"}, "spec": {"greeting": "hello $2"}}]}
	END
}

greeted() {
	[ "$(kubectl get "$1" "$2" -o 'jsonpath={.status.conditions[?(@.type=="Greeted")].message}')" = "hello $2" ]
}

gone() {
	[ -z "$(kubectl get "$1" -o name)" ]
}

@test "a plug-in serves its kind; its CRD is installed; it ends with the controller" {
	add good
	start_controller
	until_true 60 ready good
	pair GoodRuntime one
	until_true 30 greeted goodruntime one
	kubectl explain goodruntime.spec.greeting | grep -q 'What to say'
	"$SLUICE" manifests rbac --plugin "$BUILT/sluice-runtime-good.so" | grep -q -e '- goodruntimes/status'
	kubectl delete goodruntime one --timeout=30s
	guest=$(pgrep -f "controller.*--plugin $PLUGINS/sluice-runtime-good.so")
	kill -TERM "$CONTROLLER"
	wait "$CONTROLLER"
	run kill -0 "$guest"
	[ "$status" -ne 0 ]
}

@test "plug-ins that cannot be used are named with the reason, and the others go on" {
	add good
	add old
	add half
	echo no >"$PLUGINS/sluice-runtime-text.so"
	cp "$BUILT/sluice-runtime-good.so" "$PLUGINS/sluice-runtime-other.so"
	: >"$PLUGINS/notes.txt"
	start_controller
	until_true 60 ready good
	until_true 30 told old 'was built for contract 999, this is [0-9]+; build it again'
	until_true 30 told half 'is incomplete: it has no engine half: [a-z_]+'
	until_true 30 told text 'file too short|invalid ELF header'
	until_true 30 told other "calls itself 'good': its file must be named sluice-runtime-good.so"
	pair GoodRuntime one
	until_true 30 greeted goodruntime one
	run grep -c notes.txt "$WORK/log"
	[ "$output" = 0 ]
}

@test "plug-ins that exit, hang or corrupt their memory end their own process alone, and are started again" {
	for name in good exits loops corrupts; do
		add $name
	done
	start_controller
	for name in good exits loops corrupts; do
		until_true 60 ready $name
	done
	pair ExitsRuntime two
	pair LoopsRuntime three
	pair CorruptsRuntime four
	until_true 30 told exits 'it ended by itself with status 7'
	until_true 30 told loops 'it hangs: a pass of default/three has taken'
	# under a sanitizer the report may take longer than a pass is given
	until_true 30 told corrupts 'it was ended by signal 6|it ended by itself with status|it hangs'
	pair GoodRuntime one
	until_true 30 greeted goodruntime one
	# back-off: what is at fault comes again, and is ended again
	until_true 30 told_twice exits
	kill -0 "$CONTROLLER"
}

told_twice() {
	[ "$(grep 'runtime plug-in ended' "$WORK/log" | grep -c -F "sluice-runtime-$1.so")" -ge 2 ]
}

@test "a directory that is not there, and options that exclude each other" {
	run "$SLUICE" controller --plugin-dir "$WORK/none" --plugin x.so
	[ "$status" -eq 2 ]
	[[ $output == *"exclude each other"* ]]
	run "$SLUICE" controller --install-crds --plugin-dir "$WORK/none"
	[ "$status" -eq 1 ]
	[[ $output == *"--plugin-dir '$WORK/none': No such file"* ]]
}
