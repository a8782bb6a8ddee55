#!/usr/bin/env bats
# Reservoir's data path by its two roles alone, `sluice cache` and `sluice fuse`, with a real nginx as the source.

load helpers

setup() {
	setup_machine
	SRC=$WORK/src
	mkdir -p "$SRC" "$WORK/d"
	make_source "$SRC"
	echo odd >"$SRC/a/%41 #x?y&z;ü'\".txt"
	echo long >"$SRC/a/$(printf 'n%.0s' $(seq 200)).txt"
	CACHE_PID=
	FUSE_PID=
	QUOTA=200000000
	FRESHNESS='{"mode": "Never"}'
}

teardown() {
	[ -z "$FUSE_PID" ] || kill -9 "$FUSE_PID" 2>/dev/null || true
	[ -z "$CACHE_PID" ] || kill -9 "$CACHE_PID" 2>/dev/null || true
	# the detached mount's readers are gone with it
	awk -v w="${WORK:-/none}" 'index($5, w) == 1 {print $5}' /proc/self/mountinfo | sort -r | while read -r mount; do
		umount -l "$mount"
	done
	stop_nginx
	teardown_machine
}

write_config() {
	PORT=${PORT:-0}
	cat >"$WORK/d/reservoir.json" <<-END
		{"dataset": {"namespace": "default", "name": "demo"}, "mounts": [{"path": "/", "source": "$1", "options": {}, "readOnly": true}],
		 "tiers": [{"medium": "SSD", "path": "$WORK/cache", "quotaBytes": $QUOTA, "high": 0.95, "low": 0.8}],
		 "blockSizeBytes": 1048576, "fetch": {"retries": 2, "timeoutSeconds": 2}, "freshness": $FRESHNESS,
		 "listen": "127.0.0.1:$PORT", "socket": "$WORK/d/run/cache.sock"}
	END
}

start_cache() {
	"$SLUICE" cache --config "$WORK/d/reservoir.json" 2>>"$WORK/cache.log" 3>&- &
	CACHE_PID=$!
}

start_fuse() {
	"$SLUICE" fuse --config "$WORK/d/reservoir.json" --mount "$MNT" "$@" 2>>"$WORK/fuse.log" 3>&- &
	FUSE_PID=$!
}

# SIGTERM to a role: it must end with 0.
ends_well() {
	kill -TERM "$1"
	wait "$1"
}

is_mounted() {
	grep -q " $MNT .* fuse.reservoir-fuse " /proc/self/mountinfo && ls "$MNT" >/dev/null 2>&1
}

ask() {
	local port
	port=$(sed -n 's/.*"worker started".*"port":\([0-9]*\).*/\1/p' "$WORK/cache.log" | tail -n 1)
	curl -s "http://127.0.0.1:$port/${1:-v1/status}"
}

is_complete() {
	[ "$(ask | jq .ufs.complete)" = true ]
}

passthrough_offered() {
	grep -q '"passthrough":true' "$WORK/fuse.log"
}

begin() {
	write_config "$1"
	start_cache
	start_fuse
	until_true 20 is_mounted
}

@test "nginx: every byte equal for 16 readers at once, figures exact, the second read needs nobody" {
	start_nginx "$SRC"
	begin "$URL"
	want=$(sums "$SRC")
	for i in $(seq 16); do
		sums "$MNT" >"$WORK/sum$i" &
		readers="${readers:-} $!"
	done
	# shellcheck disable=SC2086 # a list of pids
	wait $readers
	for i in $(seq 16); do
		[ "$(cat "$WORK/sum$i")" = "$want" ]
	done
	until_true 10 is_complete
	total=$(find "$SRC" -type f -printf '%s\n' | awk '{s += $1} END {print s}')
	[ "$(ask | jq .ufs.bytes)" = "$total" ]
	[ "$(ask | jq .ufs.files)" = "$(find "$SRC" -type f | wc -l)" ]
	[ "$(ask | jq .cache.cachedBytes)" = "$total" ]
	[ "$(ask | jq .reads.fetchedBytes)" = "$total" ]
	[ "$(ask | jq -r '.mounts[0].state')" = Ready ]
	[ "$(ask readyz)" = ok ]
	# times to the second, which no index page has
	[ "$(stat -c %Y "$MNT/big.bin")" = "$(stat -c %Y "$SRC/big.bin")" ]
	ends_well "$FUSE_PID"
	run is_mounted
	[ "$status" -ne 0 ]
	start_fuse
	until_true 20 is_mounted
	if passthrough_offered; then
		before=$(ask metrics | sed -n 's/^sluice_reservoir_read_hit_bytes_total //p')
		[ "$(sums "$MNT")" = "$want" ]
		ends_well "$FUSE_PID"
		[ "$(ask metrics | sed -n 's/^sluice_reservoir_read_hit_bytes_total //p')" = "$before" ]
	else
		[ "$(sums "$MNT")" = "$want" ]
		ends_well "$FUSE_PID"
	fi
	[ "$(ask | jq .reads.fetchedBytes)" = "$total" ]
	ends_well "$CACHE_PID"
	FUSE_PID=
	CACHE_PID=
}

@test "nginx with rounded sizes and a rate limit: sizes are exact all the same" {
	start_nginx "$SRC" "autoindex_exact_size off;" "limit_rate 8m;"
	begin "$URL"
	until_true 10 is_complete
	[ "$(ask | jq .ufs.bytes)" = "$(find "$SRC" -type f -printf '%s\n' | awk '{s += $1} END {print s}')" ]
	[ "$(sums "$MNT")" = "$(sums "$SRC")" ]
}

@test "without passthrough: equal as well" {
	start_nginx "$SRC"
	write_config "$URL"
	start_cache
	start_fuse --no-passthrough
	until_true 20 is_mounted
	run passthrough_offered
	[ "$status" -ne 0 ]
	[ "$(sums "$MNT")" = "$(sums "$SRC")" ]
	[ "$(sums "$MNT")" = "$(sums "$SRC")" ]
}

@test "kill -9 of both under load and a new start: equal, and what was cached is not fetched again" {
	start_nginx "$SRC"
	begin "$URL"
	sha256sum "$MNT/big.bin" >/dev/null
	sums "$MNT" >/dev/null 2>&1 &
	load=$!
	kill -9 "$CACHE_PID" "$FUSE_PID"
	wait "$load" || true
	start_cache
	start_fuse
	until_true 20 is_mounted
	[ "$(sums "$MNT")" = "$(sums "$SRC")" ]
	cp "$SRC/big.bin" "$WORK/copy"
	sleep_until_marked
	kill -9 "$CACHE_PID" "$FUSE_PID"
	rm "$SRC/big.bin"
	start_cache
	start_fuse
	until_true 20 is_mounted
	cmp "$WORK/copy" "$MNT/big.bin"
	[ "$(ask | jq .reads.fetchedBytes)" = 0 ]
}

# The marks of cached blocks are on the disk: nothing incomplete is left.
sleep_until_marked() {
	until_true 10 no_parts
}

no_parts() {
	! compgen -G "$WORK/cache/*.part" >/dev/null
}

@test "a worker that is killed is waited for" {
	start_nginx "$SRC"
	begin "$URL"
	kill -9 "$CACHE_PID"
	sums "$MNT" >"$WORK/sum" &
	reader=$!
	start_cache
	wait "$reader"
	[ "$(cat "$WORK/sum")" = "$(sums "$SRC")" ]
}

@test "a source that is not there: not ready, the reason said, and found when it comes" {
	start_nginx "$SRC"
	write_config "$URL/later"
	start_cache
	until_true 10 status_is_failed
	[[ $(ask readyz) == *"$URL/later/: 404 Not Found"* ]]
	[ "$(ask | jq .ready)" = false ]
	mkdir "$SRC/later"
	echo here >"$SRC/later/file"
	until_true 10 is_ready
	start_fuse
	until_true 20 is_mounted
	[ "$(cat "$MNT/file")" = here ]
}

status_is_failed() {
	[ "$(ask | jq -r '.mounts[0].state')" = Failed ]
}

is_ready() {
	[ "$(ask readyz)" = ok ]
}

@test "a source that dies: EIO, the reason in the log and the status; well again when it is" {
	start_nginx "$SRC"
	begin "$URL"
	until_true 10 is_complete
	stat "$MNT/a/f7" >/dev/null
	stop_nginx
	run cat "$MNT/a/f7"
	[ "$status" -ne 0 ]
	[[ $output == *"Input/output error"* ]]
	grep -q '"level":"error".*127.0.0.1' "$WORK/cache.log"
	port=$(sed -n 's/.*"worker started".*"port":\([0-9]*\).*/\1/p' "$WORK/cache.log" | tail -n 1)
	[[ $(curl -s "http://127.0.0.1:$port/v1/status" | jq -r '.mounts[0].message') == *127.0.0.1* ]]
}

@test "quota: never exceeded, every byte right" {
	QUOTA=12000000
	start_nginx "$SRC"
	begin "$URL"
	for _ in 1 2; do
		[ "$(sums "$MNT")" = "$(sums "$SRC")" ]
		used=$(find "$WORK/cache" -type f -name '*.*' -printf '%b\n' | awk '{s += $1 * 512} END {print s + 0}')
		[ "$used" -le "$QUOTA" ]
	done
	[ "$(ask | jq .cache.cachedBytes)" -le "$QUOTA" ]
}

@test "a full cache disk: every byte right, and the log says it" {
	mkdir "$WORK/cache"
	mount -t tmpfs -o size=6m none "$WORK/cache"
	start_nginx "$SRC"
	begin "$URL"
	[ "$(sums "$MNT")" = "$(sums "$SRC")" ]
	grep -q 'no space left on the cache disk' "$WORK/cache.log"
	ends_well "$FUSE_PID"
	ends_well "$CACHE_PID"
	FUSE_PID=
	CACHE_PID=
}

@test "local directory: links stay links, nothing outside is read" {
	ln -s a/hello.txt "$SRC/link"
	ln -s /etc/hostname "$SRC/out"
	begin "file://$SRC"
	diff -r --no-dereference "$SRC" "$MNT"
	[ "$(readlink "$MNT/link")" = a/hello.txt ]
	[ "$(cat "$MNT/link")" = hello ]
	run sh -c "echo x >$MNT/new"
	[[ $output == *"Read-only file system"* ]]
}

@test "messages: bad configuration, no device, port in use, a mount that is there already" {
	write_config "ftp://host/"
	run "$SLUICE" cache --config "$WORK/d/reservoir.json"
	[ "$status" -eq 1 ]
	[[ $output == *"mounts[0]"*"ftp://host/"*"http://, https://, s3://, file:///"* ]]

	begin "file://$SRC"
	# a device directory without the device, for this command alone
	run unshare -m sh -c 'mount -t tmpfs none /dev && exec "$0" fuse --config "$1" --mount "$2"' "$SLUICE" "$WORK/d/reservoir.json" \
		"$WORK/other"
	[ "$status" -eq 1 ]
	[[ $output == *"/dev/fuse: No such file"*"fuse module"* ]]

	run "$SLUICE" fuse --config "$WORK/d/reservoir.json" --mount "$MNT"
	[ "$status" -eq 1 ]
	[[ $output == *"mounted there already"* ]]

	PORT=$(sed -n 's/.*"worker started".*"port":\([0-9]*\).*/\1/p' "$WORK/cache.log" | tail -n 1)
	sed -e "s/127.0.0.1:0/127.0.0.1:$PORT/; s#$WORK/cache#$WORK/cache2#; s#cache.sock#other.sock#" "$WORK/d/reservoir.json" >"$WORK/d/two.json"
	run "$SLUICE" cache --config "$WORK/d/two.json"
	[ "$status" -eq 1 ]
	[[ $output == *"127.0.0.1:$PORT"* ]]
}

preload() {
	"$SLUICE" preload --socket "$WORK/d/run/cache.sock" "$@" >"$WORK/preload.out" 2>>"$WORK/preload.err"
}

receipt() {
	tail -n 1 "$WORK/preload.out" | jq -r "select(.event == \"receipt\") | $1"
}

@test "preload: a part, then the rest, then nothing; what cannot fit or is not there is refused" {
	start_nginx "$SRC"
	write_config "$URL"
	start_cache
	until_true 20 test -S "$WORK/d/run/cache.sock"
	files=$(find "$SRC" -type f | wc -l)
	total=$(find "$SRC" -type f -printf '%s\n' | awk '{s += $1} END {print s}')
	preload /a/f7 /a/b\ c/ "/a/b c/five.bin"
	[ "$(receipt '"\(.filesListed) \(.filesLoaded) \(.bytesLoaded) \(.filesFailed)"')" = "2 2 5007000 0" ]
	preload --rate-limit 200Mi
	[ "$(receipt '"\(.filesListed) \(.bytesListed) \(.bytesLoaded) \(.bytesSkipped)"')" = "$files $total $((total - 5007000)) 5007000" ]
	[ "$(ask | jq .cache.cachedBytes)" = "$total" ]
	version=$(receipt .version)
	fetched=$(ask | jq .reads.fetchedBytes)
	preload --refresh
	[ "$(receipt '"\(.filesLoaded) \(.filesSkipped) \(.bytesSkipped) \(.version)"')" = "0 $files $total $version" ]
	[ "$(ask | jq .reads.fetchedBytes)" = "$fetched" ]
	run preload /nowhere
	[ "$status" -eq 1 ]
	[ "$(receipt .reason)" = "'/nowhere' is not in the dataset" ]
	ends_well "$CACHE_PID"
	CACHE_PID=
}

@test "preload: more than the quota is refused before anything is fetched" {
	QUOTA=16777216
	start_nginx "$SRC"
	write_config "$URL"
	start_cache
	until_true 20 test -S "$WORK/d/run/cache.sock"
	run preload
	[ "$status" -eq 1 ]
	[[ $(receipt .reason) == *"the cache's quota is 16777216"* ]]
	[ "$(ask | jq .cache.cachedBytes)" = 0 ]
	ends_well "$CACHE_PID"
	CACHE_PID=
}

@test "preload: a file that its source does not give is named, and the others are loaded" {
	start_nginx "$SRC" "location = /a/f9 { return 403; }"
	write_config "$URL"
	start_cache
	until_true 20 test -S "$WORK/d/run/cache.sock"
	run preload /a
	[ "$status" -eq 1 ]
	[ "$(receipt '"\(.filesFailed) \(.filesLoaded) \(.failures[0].path)"')" = "1 $(($(find "$SRC/a" -type f | wc -l) - 1)) /a/f9" ]
	[[ $(receipt '.failures[0].reason') == *403* ]]
	ends_well "$CACHE_PID"
	CACHE_PID=
}
