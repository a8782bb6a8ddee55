#!/usr/bin/env bats
# A bucket of a real S3 server as source. The server is versitygw, one static Go program: $VERSITYGW, or one in PATH, or, where Go is,
# built once into the user's cache. Where there is neither, the tests are skipped and say so.

bats_require_minimum_version 1.5.0
load helpers

VERSION=v1.8.0

# The program, on standard output.
find_server() {
	if [ -n "${VERSITYGW:-}" ]; then
		echo "$VERSITYGW"
	elif type -P versitygw; then
		return 0
	else
		local dir=${XDG_CACHE_HOME:-$HOME/.cache}/sluice-test/versitygw-$VERSION
		if [ ! -x "$dir/versitygw" ]; then
			command -v go >/dev/null || return 1
			GOBIN=$dir go install "github.com/versity/versitygw/cmd/versitygw@$VERSION" >&2 || return 1
		fi
		echo "$dir/versitygw"
	fi
}

setup_file() {
	S3_SERVER=$(find_server) || S3_SERVER=
	export S3_SERVER
}

setup() {
	[ -n "$S3_SERVER" ] || skip "needs versitygw $VERSION: set VERSITYGW, or install a Go that can build it"
	setup_machine
	mkdir -p "$WORK/gw/photos/2026/may" "$WORK/meta"
	echo hello >"$WORK/gw/photos/2026/a b+c%.txt"
	echo old >"$WORK/gw/photos/old"
	head -c 9000001 /dev/urandom >"$WORK/gw/photos/2026/may/big"
	for i in $(seq 1 30); do
		head -c $((i * 999)) /dev/urandom >"$WORK/gw/photos/2026/may/f$i"
	done
	start_s3
	"$SLUICE" up --detach --data-dir "$DATA" --listen 127.0.0.1:0 2>/dev/null
}

teardown() {
	"$SLUICE" down --data-dir "$DATA" || true
	[ -z "${S3:-}" ] || kill "$S3" || true
	teardown_machine
}

start_s3() {
	local port
	for port in $(shuf -i 20000-60000 -n 20); do
		# the root account's key is the test's own: it opens nothing but this directory
		ROOT_ACCESS_KEY=AKtest ROOT_SECRET_KEY=SKtest "$S3_SERVER" --port "127.0.0.1:$port" posix --sidecar "$WORK/meta" "$WORK/gw" \
			>"$WORK/s3.log" 2>&1 3>&- &
		S3=$!
		ENDPOINT=http://127.0.0.1:$port
		if until_true 20 s3_answers && kill -0 "$S3" 2>/dev/null; then
			return 0
		fi
	done
	cat "$WORK/s3.log" >&2
	return 1
}

s3_answers() {
	! kill -0 "$S3" 2>/dev/null || curl -s -o /dev/null "$ENDPOINT"
}

# bucket SECRET-KEY: a Secret with credentials, a Dataset of the bucket's prefix, and its runtime.
bucket() {
	cat <<-EOF
		apiVersion: v1
		kind: Secret
		metadata: {name: keys, namespace: default}
		stringData: {id: AKtest, secret: $1}
		---
		apiVersion: data.fluid.io/v1alpha1
		kind: Dataset
		metadata: {name: photos, namespace: default}
		spec:
		  mounts:
		  - mountPoint: s3://photos/2026
		    name: photos
		    path: /
		    options: {endpoint: "$ENDPOINT"}
		    encryptOptions:
		    - {name: accessKeyId, valueFrom: {secretKeyRef: {name: keys, key: id}}}
		    - {name: secretAccessKey, valueFrom: {secretKeyRef: {name: keys, key: secret}}}
		---
		apiVersion: data.fluid.io/v1alpha1
		kind: ReservoirRuntime
		metadata: {name: photos, namespace: default}
		spec: {replicas: 1, tieredstore: {levels: [{mediumtype: SSD, path: $WORK/cache, quota: 1Gi}]}}
	EOF
}

reader() {
	cat <<-EOF
		apiVersion: v1
		kind: Pod
		metadata: {name: reader, namespace: default}
		spec:
		  restartPolicy: Never
		  containers:
		  - name: main
		    image: sluice.local/host
		    command: [sh, -c, "cd /data && find . -type f -print0 | sort -z | xargs -0 sha256sum"]
		    volumeMounts: [{name: d, mountPath: /data}]
		  volumes: [{name: d, persistentVolumeClaim: {claimName: photos}}]
	EOF
}

bound() {
	[ "$(kubectl get dataset photos -o 'jsonpath={.status.phase}')" = Bound ]
}

read_whole() {
	[ "$(kubectl get pod reader -o 'jsonpath={.status.phase}')" = Succeeded ]
}

figures() {
	[ "$(kubectl get dataset photos -o 'jsonpath={.status.fileNum} {.status.cacheStates.cachedPercentage}')" = "$1" ]
}

@test "a bucket's prefix with keys from a Secret: every byte equal, exact figures, the keys in no object but the Secret" {
	bucket SKtest | kubectl apply -f -
	until_true 60 bound
	reader | kubectl apply -f -
	until_true 60 read_whole
	[ "$(kubectl logs reader)" = "$(sums "$WORK/gw/photos/2026")" ]
	until_true 30 figures "32 100.0%"
	# a secret travels as a file only
	run kubectl get configmaps,pods,statefulsets,daemonsets,datasets,reservoirruntimes,events -A -o yaml
	[ "$status" -eq 0 ]
	[[ "$output" != *SKtest* ]]
	run grep -r -l SKtest "$DATA/logs"
	[ "$status" -eq 1 ]
	kubectl delete pod reader
	kubectl delete dataset,reservoirruntime photos
}

says_forbidden() {
	"$SLUICE" explain dataset photos --data-dir "$DATA" | grep -q "photos/: 403 Forbidden: SignatureDoesNotMatch"
}

@test "a wrong key: the dataset says so, with the server's own word, and is Bound once the Secret is right" {
	bucket SKwrong | kubectl apply -f -
	until_true 60 says_forbidden
	bucket SKtest | kubectl apply -f - >/dev/null
	until_true 120 bound
	kubectl delete dataset,reservoirruntime photos
}

@test "sluice run s3://: mounted, equal, measured, its Secret gone with it; wrong keys are told before anything starts" {
	run -1 env AWS_ACCESS_KEY_ID=AKtest AWS_SECRET_ACCESS_KEY=SKwrong "$SLUICE" run s3://photos/2026 --endpoint "$ENDPOINT" --data-dir "$DATA"
	[[ $output == *"the bucket refuses the credentials: "*"SignatureDoesNotMatch"* ]]
	run -1 env -u HOME "$SLUICE" run s3://photos/2026 --endpoint "$ENDPOINT" --data-dir "$DATA"
	[[ $output == *"the bucket wants credentials: set AWS_ACCESS_KEY_ID"* ]]
	run -1 "$SLUICE" run /usr/share --endpoint "$ENDPOINT" --data-dir "$DATA"
	[[ $output == *"--endpoint and --region are for s3:// sources"* ]]

	mkdir -p "$WORK/home/.aws"
	printf '[other]\naws_access_key_id = no\n[default]\naws_access_key_id = AKtest\naws_secret_access_key=SKtest\n' >"$WORK/home/.aws/credentials"
	HOME=$WORK/home start_run s3://photos/2026 --endpoint "$ENDPOINT" --mount "$MNT" --cache 1Gi
	await_mounted
	[ "$(sums "$WORK/gw/photos/2026")" = "$(sums "$MNT")" ]
	await_measured
	grep -q 'HEAD and GET of each key' "$WORK/out"
	[ "$(kubectl get secrets -o name)" = "secret/data-keys" ]
	end_run
	[ -z "$(kubectl get secrets,datasets,pods -o name)" ]
}
