#!/bin/bash
# Speed of Reservoir's data path, as ratios: a first read against curl from the same nginx, later reads against the same bytes on the
# disk itself. usage: data.sh [MEBIBYTES]; SLUICE names the binary. Needs root, /dev/fuse, nginx, curl; prints one line a measurement.
set -eu

: "${SLUICE:?the binary to measure}"
MIB=${1:-512}
WORK=$(mktemp -d /tmp/slb.XXXXXX)
CACHE_PID=
FUSE_PID=

cleanup() {
	[ -z "$FUSE_PID" ] || kill "$FUSE_PID" 2>/dev/null || true
	[ -z "$FUSE_PID" ] || wait "$FUSE_PID" || true
	[ -z "$CACHE_PID" ] || kill "$CACHE_PID" 2>/dev/null || true
	[ -z "$CACHE_PID" ] || wait "$CACHE_PID" || true
	[ ! -s "$WORK/nginx.pid" ] || kill "$(cat "$WORK/nginx.pid")" 2>/dev/null || true
	rm -rf --one-file-system "$WORK"
}
trap cleanup EXIT

free_port() {
	local port
	while :; do
		port=$((20000 + RANDOM % 20000))
		(exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null || break
	done
	echo "$port"
}

start() {
	"$SLUICE" cache --config "$WORK/config.json" 2>"$WORK/cache.log" &
	CACHE_PID=$!
	# shellcheck disable=SC2086 # none or one word
	"$SLUICE" fuse --config "$WORK/config.json" --mount "$WORK/mnt" ${1:-} 2>"$WORK/fuse.log" &
	FUSE_PID=$!
	for _ in $(seq 200); do
		[ ! -r "$WORK/mnt/big" ] || return 0
		sleep 0.05
	done
	cat "$WORK"/*.log >&2
	exit 1
}

stop() {
	kill "$FUSE_PID"
	wait "$FUSE_PID" || true
	kill "$CACHE_PID"
	wait "$CACHE_PID" || true
	FUSE_PID=
	CACHE_PID=
}

# What the page cache holds goes, where that is allowed; said once when it is not.
drop() {
	sync
	echo 3 2>/dev/null >/proc/sys/vm/drop_caches || DROPPED=no
}
DROPPED=yes

# Seconds that a command takes.
seconds() {
	local from=$EPOCHREALTIME
	"$@" >/dev/null 2>&1
	awk -v a="$from" -v b="$EPOCHREALTIME" 'BEGIN {print b - a}'
}

# The fastest of three: the machine's noise only ever adds.
best() {
	local s least=
	for _ in 1 2 3; do
		[ "$1" = warm ] || drop
		s=$(seconds "${@:2}")
		least=$(awk -v a="$s" -v b="${least:-$s}" 'BEGIN {print a < b ? a : b}')
	done
	echo "$least"
}

show() {
	awk -v n="$1" -v mib="$MIB" -v s="$2" -v base="$3" -v what="$4" 'BEGIN {
		printf "%-44s %8.0f MiB/s", n, mib / s
		if (base > 0) printf "   %5.2f of %s", base / s, what
		printf "\n"}'
}

mkdir -p "$WORK/src" "$WORK/tmp"
head -c $((MIB * 1048576)) /dev/urandom >"$WORK/src/big"
port=$(free_port)
write_nginx() {
	LIMIT=$1
	cat >"$WORK/nginx.conf" <<END
worker_processes 2;
pid $WORK/nginx.pid;
error_log $WORK/error.log;
user root;
events { worker_connections 256; }
http {
	access_log off;
	sendfile on;
	client_body_temp_path $WORK/tmp/a; proxy_temp_path $WORK/tmp/b; fastcgi_temp_path $WORK/tmp/c;
	uwsgi_temp_path $WORK/tmp/d; scgi_temp_path $WORK/tmp/e;
	server { listen 127.0.0.1:$port; root $WORK/src; autoindex on; limit_rate $LIMIT; }
}
END
}

write_nginx 0
nginx -c "$WORK/nginx.conf"
cat >"$WORK/config.json" <<END
{"dataset": {"namespace": "bench", "name": "data"}, "mounts": [{"path": "/", "source": "http://127.0.0.1:$port/"}],
 "tiers": [{"medium": "SSD", "path": "$WORK/cache", "quotaBytes": $((MIB * 4 * 1048576))}], "freshness": {"mode": "Never"},
 "socket": "$WORK/run/cache.sock"}
END

echo "file of $MIB MiB; the page cache is dropped before each read that is not called warm"
disk=$(best cold dd if="$WORK/src/big" of=/dev/null bs=1M)
disk_warm=$(best warm dd if="$WORK/src/big" of=/dev/null bs=1M)
curl_warm=$(best warm curl -s -o /dev/null "http://127.0.0.1:$port/big")
show "the disk itself" "$disk" 0 ""
show "the disk itself, warm" "$disk_warm" 0 ""
show "curl from nginx, warm" "$curl_warm" 0 ""

CACHE=0
# first_read ROUNDS: the fastest first read into an empty cache, in seconds; the last one's processes stay.
first_read() {
	local s least='' round
	for round in $(seq "$1"); do
		# A fresh directory each time: ext4 is slow at making files just after many were removed.
		CACHE=$((CACHE + 1))
		sed -i "s#$WORK/cache[0-9]*#$WORK/cache$CACHE#" "$WORK/config.json"
		drop
		start
		s=$(seconds dd if="$WORK/mnt/big" of=/dev/null bs=1M)
		least=$(awk -v a="$s" -v b="${least:-$s}" 'BEGIN {print a < b ? a : b}')
		[ "$round" = "$1" ] || stop
	done
	FIRST=$least
}

# A source that gives each connection 50 MiB/s stands for a remote store.
write_nginx 50m
kill -HUP "$(cat "$WORK/nginx.pid")"
sleep 0.5 # nginx tells nobody when its new workers serve
curl_slow=$(best warm curl -s -o /dev/null "http://127.0.0.1:$port/big")
show "curl, source at 50 MiB/s a connection" "$curl_slow" 0 ""
first_read 1
show "first read, source at 50 MiB/s a connection" "$FIRST" "$curl_slow" "curl"
stop

write_nginx 0
kill -HUP "$(cat "$WORK/nginx.pid")"
sleep 0.5
first_read 3
show "first read, source on this machine, unlimited" "$FIRST" "$curl_warm" "curl"
cmp "$WORK/src/big" "$WORK/mnt/big"
second=$(best cold dd if="$WORK/mnt/big" of=/dev/null bs=1M)
second_warm=$(best warm dd if="$WORK/mnt/big" of=/dev/null bs=1M)
show "second read" "$second" "$disk" "the disk"
show "second read, warm" "$second_warm" "$disk_warm" "the disk, warm"
stop
start --no-passthrough
plain=$(best cold dd if="$WORK/mnt/big" of=/dev/null bs=1M)
plain_warm=$(best warm dd if="$WORK/mnt/big" of=/dev/null bs=1M)
show "second read without passthrough" "$plain" "$disk" "the disk"
show "second read without passthrough, warm" "$plain_warm" "$disk_warm" "the disk, warm"
[ "$DROPPED" = yes ] || echo "note: the page cache could not be dropped here; every read was warm"
