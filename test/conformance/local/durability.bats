#!/usr/bin/env bats
# What survives: kill -9, a full disk, a second server on the same directory, credentials. Only for a server of our own.

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
	! mountpoint -q "$BATS_TEST_TMPDIR/disk" || umount -l "$BATS_TEST_TMPDIR/disk"
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

# The raw answer to a write of this body: its status and the Status.
answer_to() {
	curl -sk --cert "$BATS_TEST_TMPDIR/admin.crt" --key "$BATS_TEST_TMPDIR/admin.key" -H 'Content-Type: application/json' -d "$1" \
		-w '\n%{http_code}' "$(sed -n 's/^ready: //p' "$BATS_TEST_TMPDIR/api.out")/api/v1/namespaces/default/configmaps"
}

admin_field() {
	"$KUBECTL" config view --raw -o "jsonpath={.users[0].user.$1}" | base64 -d >"$2"
}

fill_disk() {
	run dd if=/dev/zero of="$API_DIR/filler" bs=4k
	[[ $output == *'No space left'* ]]
}

published() {
	local port
	port=$(k get endpoints kubernetes -o 'jsonpath={.subsets[0].ports[0].port}')
	grep -q "^ready: .*:$port\$" "$BATS_TEST_TMPDIR/api.out"
}

@test "a full disk: writes are refused with the reason, reads and watches go on, and room makes all well" {
	[ "$(id -u)" -eq 0 ] || skip "needs root, to mount a small disk"
	stop_api
	API_DIR=$BATS_TEST_TMPDIR/disk
	mkdir "$API_DIR"
	mount -t tmpfs -o size=16m none "$API_DIR"
	run_api
	admin_field client-certificate-data "$BATS_TEST_TMPDIR/admin.crt"
	admin_field client-key-data "$BATS_TEST_TMPDIR/admin.key"
	k create configmap before --from-literal a=b
	"$KUBECTL" --namespace "$NS" get configmap -w -o name >"$BATS_TEST_TMPDIR/watch" 3>&- &
	watcher=$!
	until_true 10 grep -q before "$BATS_TEST_TMPDIR/watch"
	fill_disk

	full='database or disk is full; make room on the disk of the data directory and try again'
	refused "$full" k create configmap no --from-literal a=b
	refused "$full" k delete configmap before
	refused "$full" k label namespace default a=b
	answer=$(answer_to '{"metadata": {"name": "no"}}')
	equal 507 tail -n 1 <<<"$answer"
	equal 'Status Failure InternalError 507' jq -r 'select(.) | "\(.kind) \(.status) \(.reason) \(.code)"' < <(head -n 1 <<<"$answer")
	equal 'before' k get configmap -o 'jsonpath={.items[*].metadata.name}'
	equal 'ok' "$KUBECTL" get --raw /readyz

	rm "$API_DIR/filler"
	until_true 20 k create configmap after --from-literal a=b
	until_true 10 grep -q after "$BATS_TEST_TMPDIR/watch"
	kill "$watcher"
	k delete configmap before

	# one that dies on a full disk comes back to what it had, and says where it is once it can
	fill_disk
	kill -9 "$API_PID"
	wait "$API_PID" || true
	run_api
	equal 'after' k get configmap -o 'jsonpath={.items[*].metadata.name}'
	refused "$full" k create configmap no --from-literal a=b
	rm "$API_DIR/filler"
	until_true 20 k create configmap last
	until_true 20 published
	stop_api
	python3 -c 'import sqlite3, sys; assert sqlite3.connect(sys.argv[1]).execute("PRAGMA integrity_check").fetchone() == ("ok",)' "$API_DIR/api/store.db"
	run_api
	equal 'after last' k get configmap -o 'jsonpath={.items[*].metadata.name}'
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
