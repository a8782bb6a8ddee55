#!/usr/bin/env bats
# What dies, stops or fills up while data is mounted: everything comes back by itself, and no reader ever gets a wrong byte.

load helpers

setup() {
	setup_machine
	chmod 755 "$WORK"
	mkdir "$WORK/src"
	make_source "$WORK/src"
}

teardown() {
	teardown_machine
	stop_nginx
}

# role NAME: the process of this cluster's role.
role() {
	local p
	for p in $(processes); do
		if { tr '\0' ' ' <"/proc/$p/cmdline"; } 2>/dev/null | grep -q "sluice $1 --"; then
			echo "$p"
			return 0
		fi
	done
	return 1
}

# inside NAME: the process of that role in a container of this cluster.
inside() {
	local p tag
	tag=$(cgroup_tag "$DATA")
	for p in $(pgrep -x sluice); do
		if grep -q "$tag-pod" "/proc/$p/cgroup" 2>/dev/null && { tr '\0' ' ' <"/proc/$p/cmdline"; } 2>/dev/null | grep -q "^sluice $1 "; then
			echo "$p"
			return 0
		fi
	done
	return 1
}

# another COMMAND NAME PID: it runs again, as another process.
another() {
	local now
	now=$("$1" "$2") && [ "$now" != "$3" ]
}

same() {
	[ "$(sums "$WORK/src")" = "$(sums "$1")" ]
}

phase_is() {
	[ "$(kubectl get dataset "$1" -o 'jsonpath={.status.phase}')" = "$2" ]
}

@test "kill -9 of each role while a dataset is mounted: its readers notice nothing, the cluster goes on" {
	start_run "$WORK/src" --mount "$MNT" --name one --cache 1Gi
	await_measured
	for name in agent csi keeper controller api; do
		pid=$(role "$name")
		kill -9 "$pid"
		same "$MNT"
		until_true 30 another role "$name" "$pid"
	done
	until_true 30 phase_is one Bound
	mkdir "$WORK/src2"
	echo two >"$WORK/src2/two"
	first=$RUN
	"$SLUICE" run "$WORK/src2" --mount "$WORK/mnt2" --name two --cache 1Gi --data-dir "$DATA" --exit >"$WORK/out2" 2>"$WORK/err2" 3>&-
	grep -q '^mounted: ' "$WORK/out2"
	same "$MNT"
	RUN=$first
	end_run
	assert_clean
}

@test "kill -9 of each role while a dataset is being made: it is mounted all the same" {
	start_run "$WORK/src" --mount "$MNT" --name made --cache 1Gi
	for name in controller csi agent; do
		until_true 20 role "$name"
		kill -9 "$(role "$name")"
	done
	await_mounted
	same "$MNT"
	end_run
	assert_clean
}

# Linux 6.9 and newer repeat what the dead server had not answered.
repeats() {
	printf '6.9\n%s\n' "$(uname -r)" | sort -C -V
}

@test "the mount's server is killed, and its pod deleted, under readers in a pod and here: they wait, and read what is right" {
	repeats || skip "the kernel is older than 6.9"
	start_run "$WORK/src" --mount "$MNT" --name kept --cache 1Gi
	await_mounted
	want=$(sums "$WORK/src")
	reader kept 'cd /data && while :; do find . -type f -print0 | sort -z | xargs -0 sha256sum || exit; echo round; done'
	kubectl wait --for=condition=Ready pod/reader --timeout=60s
	pid=$(inside fuse)
	kill -9 "$pid"
	[ "$(sums "$MNT")" = "$want" ]
	until_true 60 another inside fuse "$pid"
	rounds=$(kubectl logs reader | grep -c '^round$')
	until_true 30 read_again
	# The same when its whole pod goes and another comes.
	pid=$(inside fuse)
	kubectl delete pod -l role=reservoir-fuse --wait
	[ "$(sums "$MNT")" = "$want" ]
	until_true 60 another inside fuse "$pid"
	rounds=$(kubectl logs reader | grep -c '^round$')
	until_true 30 read_again
	[ "$(kubectl get pod reader -o 'jsonpath={.status.phase}')" = Running ]
	[ "$(kubectl logs reader | grep -v '^round$' | sort -u)" = "$(sort -u <<<"$want")" ]
	kubectl delete pod reader --wait
	end_run
	assert_clean
}

read_again() {
	[ "$(kubectl logs reader | grep -c '^round$')" -gt "$((rounds + 1))" ]
}

@test "kill -9 of the cache worker under readers: they wait, and read what is right" {
	start_nginx "$WORK/src"
	start_run "$URL" --mount "$MNT" --name web --cache 1Gi
	await_mounted
	want=$(sums "$WORK/src")
	readers=
	for i in 1 2 3 4; do
		sums "$MNT" >"$WORK/sum$i" &
		readers="$readers $!"
	done
	pid=$(inside cache)
	kill -9 "$pid"
	# shellcheck disable=SC2086 # a list of pids
	wait $readers
	for i in 1 2 3 4; do
		[ "$want" = "$(cat "$WORK/sum$i")" ]
	done
	until_true 30 another inside cache "$pid"
	same "$MNT"
	end_run
	assert_clean
}

@test "kill -9 of the mount's server, on any kernel: there is a mount again, and a new pod reads what is right" {
	start_run "$WORK/src" --mount "$MNT" --name again --cache 1Gi
	await_measured
	pid=$(inside fuse)
	kill -9 "$pid"
	until_true 30 another inside fuse "$pid"
	until_true 30 same "$DATA/runtime-mnt/reservoir/default/again/reservoir-fuse"
	reader again 'cd /data && find . -type f -print0 | sort -z | xargs -0 sha256sum'
	kubectl wait --for=jsonpath='{.status.phase}'=Succeeded pod/reader --timeout=60s
	[ "$(kubectl logs reader)" = "$(sums "$WORK/src")" ]
	kubectl delete pod reader --wait
	end_run
	assert_clean
}

@test "a cache disk that is full: everything is still read, and right" {
	mkdir -p "$DATA/cache"
	mount -t tmpfs -o size=12m tmpfs "$DATA/cache"
	start_run "$WORK/src" --mount "$MNT" --name full --cache 1Gi
	await_mounted
	same "$MNT"
	same "$MNT"
	end_run
	umount "$DATA/cache"
	assert_clean
}

@test "a source that stops and comes back: what is cached is read all along" {
	start_nginx "$WORK/src"
	start_run "$URL" --mount "$MNT" --name web --cache 1Gi
	await_measured
	stop_nginx
	(cd "$MNT" && sha256sum a/hello.txt big.bin) >"$WORK/cached"
	(cd "$WORK/src" && sha256sum a/hello.txt big.bin) | diff - "$WORK/cached"
	nginx -c "$WORK/nginx.conf" -p "$WORK" 2>"$WORK/nginx.err" 3>&- &
	NGINX=$!
	until_true 10 nginx_answers
	(cd "$MNT" && sha256sum "a/b c/five.bin" a/f40) >"$WORK/cached"
	(cd "$WORK/src" && sha256sum "a/b c/five.bin" a/f40) | diff - "$WORK/cached"
	end_run
	assert_clean
}
