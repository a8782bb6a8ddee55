#!/usr/bin/env bats
# What survives: kill -9, a second server on the same directory, credentials. Only for a server of our own.

load ../helpers

setup() {
	: "${SLUICE:?the binary to test}"
	BATS_FILE_TMPDIR=$BATS_TEST_TMPDIR
	unset KUBECONFIG
	start_api
	NS=default
}

teardown() {
	[ -z "${API_PID:-}" ] || kill -9 "$API_PID" 2>/dev/null || true
}

@test "kill -9 loses nothing that was answered" {
	for i in 1 2 3; do
		k create configmap "c$i"
	done
	version=$(k get configmap c3 -o 'jsonpath={.metadata.resourceVersion}')
	kill -9 "$API_PID"
	wait "$API_PID" || true
	run_api
	equal 'c1 c2 c3' k get configmap -o 'jsonpath={.items[*].metadata.name}'
	k create configmap c4
	[ "$(k get configmap c4 -o 'jsonpath={.metadata.resourceVersion}')" -gt "$version" ]
	stop_api
}

@test "a second server on the same directory is refused and names the first" {
	run "$SLUICE" api --data-dir "$API_DIR" --kubeconfig "$BATS_TEST_TMPDIR/other"
	[ "$status" -eq 1 ]
	[[ $output == *"is in use by process $API_PID; stop it, or choose another data directory"* ]]
	stop_api
}

@test "no credentials, no answer; the kubeconfig is private" {
	server=$(sed -n 's/^ready: //p' "$BATS_TEST_TMPDIR/api.out")
	equal 401 curl -sk -o "$BATS_TEST_TMPDIR/body" -w '%{http_code}' "$server/api/v1/namespaces"
	equal Unauthorized jq -r .reason "$BATS_TEST_TMPDIR/body"
	equal 600 stat -c %a "$KUBECONFIG"
	stop_api
}

@test "a port in use is named" {
	port=$(sed -n 's/^ready: .*://p' "$BATS_TEST_TMPDIR/api.out")
	run "$SLUICE" api --data-dir "$BATS_TEST_TMPDIR/second" --listen "127.0.0.1:$port" --kubeconfig "$BATS_TEST_TMPDIR/other"
	[ "$status" -eq 1 ]
	[[ $output == *"127.0.0.1:$port"* ]]
	stop_api
}
