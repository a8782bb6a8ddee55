#!/usr/bin/env bats
# The example runtime of docs/add-a-runtime.md, end to end: a real rclone, a real mount, a pod that reads.

load helpers

setup() {
	command -v rclone >/dev/null || skip "needs rclone (apt-get install rclone)"
	setup_machine
	EXAMPLES=$BATS_TEST_DIRNAME/../../examples
}

teardown() {
	stop_nginx
	teardown_machine
}

start_up() {
	"$SLUICE" up --data-dir "$DATA" --listen 127.0.0.1:0 >"$WORK/out" 2>"$WORK/err" 3>&- &
	UP=$!
	PIDS=$UP
	until_true 60 has_line '^ready: https://127.0.0.1:' "$WORK/out"
}

phase_is() {
	[ "$(kubectl get "$1" -o 'jsonpath={.status.phase}')" = "$2" ]
}

# A pod that prints the sums of what the claim $1 holds.
reader() {
	sed -e "s/claimName: demo/claimName: $1/" -e 's/command: .*/command: [sh, -c, "cd \/data \&\& find . -type f | sort | xargs -d \\"\\\\n\\" sha256sum | sha256sum"]/' \
		"$EXAMPLES/reader.yaml"
}

sum_of() {
	(cd "$1" && find . -type f | LC_ALL=C sort | xargs -d '\n' sha256sum | sha256sum)
}

@test "a directory: bound, every byte equal, the source changed, deleted, gone" {
	mkdir -p "$WORK/src/a" "$WORK/other"
	head -c 3000000 /dev/urandom >"$WORK/src/a/big"
	echo hello >"$WORK/src/hello"
	echo other >"$WORK/other/file"
	start_up
	sed "s#local:///usr/share/doc#local://$WORK/src#" "$EXAMPLES/dataset-rclone.yaml" | kubectl apply -f -
	until_true 60 phase_is dataset/docs Bound
	[ "$(kubectl get rcloneruntime docs -o 'jsonpath={.status.workerPhase}')" = Ready ]
	until_true 30 has_capacity 512.00MiB
	# nobody counts the source, and nobody pretends to
	[ -z "$(kubectl get dataset docs -o 'jsonpath={.status.ufsTotal}{.status.cacheStates.cached}')" ]

	reader docs | kubectl apply -f -
	until_true 120 phase_is pod/reader Succeeded
	[ "$(kubectl logs reader)" = "$(sum_of "$WORK/src")" ]
	kubectl delete pod reader --timeout=60s

	kubectl patch dataset docs --type merge -p '{"spec": {"mounts": [{"mountPoint": "local://'"$WORK"'/other", "name": "docs", "path": "/"}]}}'
	until_true 60 serves "$WORK/other"
	until_true 60 reads "$WORK/other" # a mount believes what it listed for 5 s

	kubectl delete pod reader --timeout=60s
	kubectl delete dataset docs --timeout=60s
	until_true 60 all_gone
	kill -TERM "$UP"
	wait "$UP"
	assert_clean
}

# A new pod reads what lies in $1.
reads() {
	kubectl delete pod reader --ignore-not-found --timeout=60s
	reader docs | kubectl apply -f -
	until_true 120 phase_is pod/reader Succeeded
	[ "$(kubectl logs reader)" = "$(sum_of "$1")" ]
}

has_capacity() {
	[ "$(kubectl get dataset docs -o 'jsonpath={.status.cacheStates.cacheCapacity}')" = "$1" ]
}

serves() {
	[ "$(kubectl get dataset docs -o 'jsonpath={.status.phase} {.status.mounts[0].mountPoint}')" = "Bound local://$1" ]
}

all_gone() {
	[ -z "$(kubectl get rcloneruntime,pv,pvc,statefulset,daemonset -o name)" ]
}

@test "what cannot take effect is refused with its path" {
	start_up
	sed 's#local:///usr/share/doc#s3://bucket/#' "$EXAMPLES/dataset-rclone.yaml" | kubectl apply -f -
	until_true 30 refused_with "spec.mounts[0].mountPoint: 's3://bucket/'"
	kill -TERM "$UP"
	wait "$UP"
}

refused_with() {
	kubectl get dataset docs -o 'jsonpath={.status.conditions[*].message}' | grep -q -F "$1"
}
