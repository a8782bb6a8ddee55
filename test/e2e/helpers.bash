# Shared by the end-to-end suites. Each test has a data directory of its own and leaves nothing behind: leftovers() proves it.

: "${SLUICE:?the binary to test}"

setup_machine() {
	[ "$(id -u)" -eq 0 ] || skip "needs root"
	[ -c /dev/fuse ] || skip "needs /dev/fuse"
	WORK=$(mktemp -d /tmp/slt.XXXXXX)
	DATA=$WORK/d
	MNT=$WORK/mnt
	PIDS=
	export KUBECONFIG=$DATA/admin.kubeconfig
}

# End what a failed test left running: only processes that name this test's directory.
teardown_machine() {
	[ -n "${WORK:-}" ] || return 0
	for pid in $PIDS; do
		kill -INT "$pid" 2>/dev/null || true
	done
	until_true 60 no_process || kill_all
	local mount
	awk -v w="$WORK" 'index($5, w) == 1 {print $5}' /proc/self/mountinfo | sort -r | while read -r mount; do
		umount -l "$mount" 2>/dev/null || true
	done
	rm -rf --one-file-system "$WORK"
}

# until_true SECONDS COMMAND...: try it until it holds; a poll with a deadline.
until_true() {
	local end=$((SECONDS + $1))
	shift
	until "$@"; do
		[ $SECONDS -lt $end ] || return 1
		sleep 0.1
	done
}

# Processes whose command line names this test's directory.
processes() {
	local p
	for p in /proc/[0-9]*; do
		[ "${p#/proc/}" != "$$" ] || continue
		if { tr '\0' ' ' <"$p/cmdline"; } 2>/dev/null | grep -q -F "$WORK/d"; then
			echo "${p#/proc/}"
		fi
	done
}

no_process() {
	[ -z "$(processes)" ]
}

kill_all() {
	local pid
	for pid in $(processes); do
		kill -9 "$pid" 2>/dev/null || true
	done
}

# What a test left behind: mounts, processes, cgroups. Prints it; nothing printed means clean.
leftovers() {
	awk -v w="$WORK" 'index($5, w) == 1 {print "mount " $5}' /proc/self/mountinfo
	processes | sed 's/^/process /'
	find /sys/fs/cgroup -maxdepth 4 -type d -name "$(cgroup_tag "$DATA")-pod*" 2>/dev/null | sed 's/^/cgroup /'
}

# The agent names its cgroups after its data directory: the FNV-1a hash of its path.
cgroup_tag() {
	local h=2166136261 c i
	for ((i = 0; i < ${#1}; i++)); do
		printf -v c %d "'${1:i:1}"
		h=$(((h ^ c) * 16777619 & 0xffffffff))
	done
	printf %08x "$h"
}

assert_clean() {
	until_true 30 no_process || true
	local left
	left=$(leftovers)
	if [ -n "$left" ]; then
		echo "left behind:" >&2
		echo "$left" >&2
		return 1
	fi
}

# start_run ARGUMENT...: `sluice run` in the background, its output in $WORK/out and $WORK/err. The shell has its background processes
# ignore SIGINT; one that comes before the program has begun to look for it must not be lost.
start_run() {
	env --default-signal=INT "$SLUICE" run "$@" --data-dir "$DATA" >"$WORK/out" 2>"$WORK/err" 3>&- &
	RUN=$!
	PIDS="$PIDS $RUN"
}

has_line() {
	grep -q "$1" "$2"
}

# The data is there, or the run has failed and says why.
await_mounted() {
	until_true 100 mounted_or_dead
	if ! has_line '^mounted: ' "$WORK/out"; then
		cat "$WORK/err" "$DATA"/logs/*.log >&2
		return 1
	fi
}

mounted_or_dead() {
	has_line '^mounted: ' "$WORK/out" || ! kill -0 "$RUN" 2>/dev/null
}

# The table of speeds: everything has been read.
await_measured() {
	until_true 100 has_line 'second read' "$WORK/out"
}

end_run() {
	kill -INT "$RUN"
	local status=0
	wait "$RUN" || status=$?
	if [ "$status" -ne 0 ] && [ "$status" -ne 130 ]; then
		echo "the run ended with $status:" >&2
		cat "$WORK/err" >&2
		return 1
	fi
}

# A directory with files of several sizes and names.
make_source() {
	mkdir -p "$1/a/b c" "$1/empty"
	: >"$1/zero"
	echo hello >"$1/a/hello.txt"
	head -c 5000000 /dev/urandom >"$1/a/b c/five.bin"
	head -c 20000001 /dev/urandom >"$1/big.bin"
	for i in $(seq 1 40); do
		head -c $((i * 1000)) /dev/urandom >"$1/a/f$i"
	done
}

sums() {
	(cd "$1" && find . -type f -print0 | sort -z | xargs -0 sha256sum)
}

# start_nginx DIRECTORY [LINE...]: a real nginx with index pages on a free port of loopback; sets URL. Extra lines go into its server block.
start_nginx() {
	local root=$1 port
	shift
	for port in $(shuf -i 20000-60000 -n 20); do
		cat >"$WORK/nginx.conf" <<-EOF
			daemon off; pid $WORK/nginx.pid; error_log $WORK/nginx.log error; worker_processes 1; user root;
			events { worker_connections 512; }
			http {
				access_log off; types { } default_type application/octet-stream;
				client_body_temp_path $WORK/t1; proxy_temp_path $WORK/t2; fastcgi_temp_path $WORK/t3;
				uwsgi_temp_path $WORK/t4; scgi_temp_path $WORK/t5;
				server { listen 127.0.0.1:$port; root $root; autoindex on; $* }
			}
		EOF
		nginx -c "$WORK/nginx.conf" -p "$WORK" 2>"$WORK/nginx.err" 3>&- &
		NGINX=$!
		URL=http://127.0.0.1:$port/
		if until_true 10 nginx_answers && kill -0 "$NGINX" 2>/dev/null; then
			return 0
		fi
	done
	cat "$WORK/nginx.err" >&2
	return 1
}

nginx_answers() {
	! kill -0 "$NGINX" 2>/dev/null || curl -s -o /dev/null "$URL"
}

stop_nginx() {
	[ -n "${NGINX:-}" ] || return 0
	kill "$NGINX" 2>/dev/null || true
	wait "$NGINX" 2>/dev/null || true
	NGINX=
}

# A port of loopback where nobody listens now.
free_port() {
	python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'
}

# reader CLAIM COMMAND: a pod "reader" that runs COMMAND in a shell, the claim's files below /data.
reader() {
	kubectl apply -f - <<-EOF
		apiVersion: v1
		kind: Pod
		metadata: {name: reader}
		spec:
		  restartPolicy: Never
		  terminationGracePeriodSeconds: 1
		  containers:
		  - name: c
		    image: sluice.local/host
		    command: [sh, -c, "$2"]
		    volumeMounts: [{name: data, mountPath: /data}]
		  volumes: [{name: data, persistentVolumeClaim: {claimName: $1}}]
	EOF
}
