#!/usr/bin/env bats
# `sluice run`: from a source to a mounted, cached directory, and back to nothing.

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

@test "a directory: mounted, equal, measured, Bound, and gone after Ctrl-C" {
	start_run "$WORK/src" --mount "$MNT" --name demo --cache 1Gi
	await_mounted
	[ "$(sums "$WORK/src")" = "$(sums "$MNT")" ]
	await_measured
	run kubectl get dataset demo -o 'jsonpath={.status.phase}'
	[ "$output" = Bound ]
	end_run
	[ ! -e "$MNT" ]
	assert_clean
}

@test "an nginx index: mounted, equal with 16 readers, true figures, gone after Ctrl-C" {
	start_nginx "$WORK/src"
	start_run "$URL" --mount "$MNT" --name web --cache 1Gi
	await_mounted
	want=$(sums "$WORK/src")
	for i in $(seq 16); do
		sums "$MNT" >"$WORK/sum$i" &
		readers="${readers:-} $!"
	done
	# shellcheck disable=SC2086 # a list of pids
	wait $readers
	for i in $(seq 16); do
		[ "$want" = "$(cat "$WORK/sum$i")" ]
	done
	await_measured
	bytes=$(find "$WORK/src" -type f -printf '%s\n' | awk '{s += $1} END {printf "%.2fMiB", s / 1048576}')
	until_true 30 figures_are "$bytes"
	end_run
	assert_clean
}

figures_are() {
	[ "$(kubectl get dataset web -o 'jsonpath={.status.ufsTotal} {.status.cacheStates.cached} {.status.cacheStates.cachedPercentage}')" = "$1 $1 100.0%" ]
}

@test "a second pod with the dataset's claim shows the same files" {
	start_run "$WORK/src" --mount "$MNT" --name shared --cache 1Gi
	await_mounted
	reader shared 'cd /data && find . -type f -print0 | sort -z | xargs -0 sha256sum; sleep 1000'
	kubectl wait --for=condition=Ready pod/reader --timeout=60s
	sums "$WORK/src" >"$WORK/want"
	until_true 30 reader_is_done
	kubectl delete pod reader --wait
	end_run
	assert_clean
}

reader_is_done() {
	kubectl logs reader | diff -q - "$WORK/want" >/dev/null
}

@test "-o json --exit prints one object and cleans up" {
	"$SLUICE" run "$WORK/src" --mount "$MNT" --data-dir "$DATA" --exit -o json >"$WORK/out" 2>"$WORK/err"
	[ "$(wc -l <"$WORK/out")" -eq 1 ]
	files=$(find "$WORK/src" -type f | wc -l)
	jq -e --argjson files "$files" --arg mnt "$MNT" '.dataset == {"namespace": "default", "name": "src", "phase": "Bound"}
		and .mount == $mnt and .files == $files and .bytes > 0
		and ([.bytesPerSecond.source, .bytesPerSecond.firstRead, .bytesPerSecond.secondRead, .bytesPerSecond.disk] | all(. > 0))' "$WORK/out"
	assert_clean
}

@test "a second run joins the first, and the last one ends the cluster" {
	mkdir "$WORK/src2"
	echo two >"$WORK/src2/two"
	start_run "$WORK/src" --mount "$MNT" --name one --cache 1Gi
	await_mounted
	first=$RUN
	"$SLUICE" run "$WORK/src2" --mount "$WORK/mnt2" --name two --cache 1Gi --data-dir "$DATA" >"$WORK/out2" 2>"$WORK/err2" 3>&- &
	second=$!
	PIDS="$PIDS $second"
	until_true 100 has_line 'second read' "$WORK/out2"
	[ "$(cat "$WORK/mnt2/two")" = two ]
	run kubectl get datasets -o 'jsonpath={.items[*].status.phase}'
	[ "$output" = "Bound Bound" ]
	await_measured
	RUN=$first
	end_run
	[ "$(cat "$WORK/mnt2/two")" = two ]
	RUN=$second
	end_run
	assert_clean
}

@test "kill -9 of the whole tree: the next run works and leaves nothing" {
	start_run "$WORK/src" --mount "$MNT" --name again --cache 1Gi
	await_mounted
	kill_all
	wait "$RUN" || true
	start_run "$WORK/src" --mount "$MNT" --name again --cache 1Gi
	await_measured
	[ "$(sums "$WORK/src")" = "$(sums "$MNT")" ]
	end_run
	assert_clean
}

@test "Ctrl-C at any moment cleans up" {
	for delay in 0.1 0.4 0.8 1.2 1.6 2.0 2.5 3.0; do
		start_run "$WORK/src" --mount "$MNT" --name any --cache 1Gi
		# The moment is the test's input: it does not wait for anything.
		sleep "$delay"
		kill -INT "$RUN" 2>/dev/null || true
		wait "$RUN" || true
		assert_clean
	done
}

@test "Dataset and Runtime deleted in either order while mounted" {
	for first in dataset reservoirruntime; do
		start_run "$WORK/src" --mount "$MNT" --name gone --cache 1Gi
		await_measured
		second=reservoirruntime
		[ "$first" = dataset ] || second=dataset
		kubectl delete "$first" gone --wait=false
		kubectl delete "$second" gone --wait=false --ignore-not-found
		end_run
		assert_clean
	done
}

@test "what is wrong with the source is said, with what to do" {
	run "$SLUICE" run "$WORK/none" --data-dir "$DATA"
	[ "$status" -eq 1 ]
	[[ "$output" == *"the source '$WORK/none': No such file or directory"* ]]

	run "$SLUICE" run ftp://host/x --data-dir "$DATA"
	[ "$status" -eq 1 ]
	[[ "$output" == *"only directories, http(s) URLs and s3://BUCKET/PREFIX"* ]]

	start_nginx "$WORK/src" 'location /broken/ { return 500; }' 'location /file { return 200 x; }'
	run "$SLUICE" run "${URL}none/" --data-dir "$DATA"
	[ "$status" -eq 1 ]
	[[ "$output" == *"answers 404 Not Found: check the path"* ]]
	run "$SLUICE" run "${URL}broken/" --data-dir "$DATA"
	[ "$status" -eq 1 ]
	[[ "$output" == *"answers 500: the server is in trouble"* ]]
	run "$SLUICE" run "${URL}file" --data-dir "$DATA"
	[ "$status" -eq 1 ]
	[[ "$output" == *"is no index page"* ]]
	stop_nginx
	run "$SLUICE" run "$URL" --data-dir "$DATA"
	[ "$status" -eq 1 ]
	[[ "$output" == *"the source does not answer"* ]]
	[ ! -e "$DATA/up.lock" ]
}

@test "wrong usage is said" {
	run "$SLUICE" run
	[ "$status" -eq 2 ]
	[[ "$output" == *"one SOURCE is wanted"* ]]
	run "$SLUICE" run "$WORK/src" --cache lots
	[ "$status" -eq 2 ]
	[[ "$output" == *"--cache: 'lots' is not a quantity"* ]]
	run "$SLUICE" run "$WORK/src" --name Bad_Name --data-dir "$DATA"
	[ "$status" -eq 1 ]
	[[ "$output" == *"--name 'Bad_Name'"* ]]
	run "$SLUICE" run "$WORK/src" --colour
	[ "$status" -eq 2 ]
	[[ "$output" == *"there is no option '--colour'"* ]]
}

@test "no runc, no conmon, no root: the message says what to do" {
	mkdir "$WORK/bin"
	PATH=$WORK/bin run "$SLUICE" run "$WORK/src" --data-dir "$DATA"
	[ "$status" -eq 1 ]
	[[ "$output" == *"the program 'runc' is not here: apt-get install runc"* ]]
	chmod 755 "$WORK/src"
	run setpriv --reuid 65534 --clear-groups "$SLUICE" run "$WORK/src" --data-dir "$WORK/x"
	[ "$status" -eq 1 ]
	[[ "$output" == *"root is needed"* ]]
}
