#!/usr/bin/env bats
# The one-machine cluster as something that stays: started in the background, looked at, ended.

bats_require_minimum_version 1.5.0
load helpers

setup() {
	setup_machine
}

teardown() {
	teardown_machine
}

api_pid() {
	"$SLUICE" status --data-dir "$DATA" -o json | jq '.parts[] | select(.name == "api") | .pid'
}

# The parent of its parts.
up_pid() {
	sed -E 's/.*\) . ([0-9]+) .*/\1/' "/proc/$(api_pid)/stat"
}

# jq takes no input for a truth; `input` does not.
restarted() {
	"$SLUICE" status --data-dir "$DATA" -o json | jq -en 'input | .ready and (.parts[] | select(.name == "api") | .starts == 2)' >/dev/null
}

@test "up --detach returns when all serves; a second one is refused; status shows the parts and Datasets; down ends it and leaves nothing running" {
	run -3 --separate-stderr "$SLUICE" status --data-dir "$DATA"
	# shellcheck disable=SC2154 # run sets it
	[[ $stderr == *"no cluster serves '$DATA': 'sluice up --detach' starts one"* ]]
	[ ! -e "$DATA" ]
	run -0 --separate-stderr "$SLUICE" up --detach --data-dir "$DATA" --listen 127.0.0.1:0
	[[ $output == "ready: https://127.0.0.1:"* ]]
	server=${output#ready: }
	kubectl apply -f - <<-EOF
		apiVersion: data.fluid.io/v1alpha1
		kind: Dataset
		metadata: {name: alone, namespace: default}
		spec: {mounts: [{mountPoint: "local:///usr/share"}]}
	EOF
	run -0 "$SLUICE" status --data-dir "$DATA"
	[ "${lines[0]}" = "cluster ready at $server" ]
	for part in api keeper controller csi agent; do
		grep -q "^$part  *ready " <<<"$output"
	done
	grep -q '^default  *alone ' <<<"$output"

	# the second is told, and is given the first
	run -0 --separate-stderr "$SLUICE" up --detach --data-dir "$DATA"
	[ "$output" = "ready: $server" ]
	[[ $stderr == *"a cluster serves this data directory already"* ]]

	# one that would serve it itself is refused
	run -1 --separate-stderr "$SLUICE" up --data-dir "$DATA" --listen 127.0.0.1:0
	[[ $stderr == *"process $(up_pid) serves the data directory '$DATA' already: stop it, or choose another --data-dir"* ]]
	"$SLUICE" status --data-dir "$DATA" >/dev/null

	# a part that dies is started again, and counted
	kill -9 "$(api_pid)"
	until_true 30 restarted
	kubectl get dataset alone || { cat "$DATA/logs/api.log" "$DATA/logs/up.log"; false; }

	run -0 "$SLUICE" down --data-dir "$DATA"
	[ "$output" = "ended: $DATA" ]
	run -3 "$SLUICE" status --data-dir "$DATA"
	run -0 "$SLUICE" down --data-dir "$DATA"
	[[ $output == "no cluster serves"* ]]
	assert_clean
}
