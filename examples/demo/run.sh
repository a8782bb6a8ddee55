#!/bin/sh
# The main job on real input, without a network: files of this machine behind a real nginx on loopback, its rate limited to stand for
# a remote store, mounted and cached by `sluice run`.
# usage: run.sh SLUICE-BINARY [SLUICE-RUN-OPTION...]
set -eu

sluice=$1
shift
rate_mib=20
dir=$(mktemp -d /tmp/sluice-demo.XXXXXX)
nginx_pid=

cleanup() {
	if [ -n "$nginx_pid" ]; then
		kill "$nginx_pid" 2>/dev/null || true
		wait "$nginx_pid" 2>/dev/null || true
	fi
	rm -rf "$dir"
}
trap cleanup EXIT
# Ctrl-C goes to the whole group of the terminal: sluice cleans up and ends, then so do we.
trap : INT TERM

if [ "$(id -u)" -ne 0 ]; then
	echo "make run: root is needed to run containers and mounts: run it with sudo" >&2
	exit 1
fi

mkdir "$dir/site"
for source in /usr/lib/gcc /usr/share/perl; do
	[ ! -d "$source" ] || ln -s "$source" "$dir/site/$(basename "$source")"
done
chmod -R go+rX "$dir"

# nginx cannot be asked for any free port: try some until one is free.
write_config() {
	cat >"$dir/nginx.conf" <<-EOF
		daemon off;
		pid $dir/nginx.pid;
		error_log stderr error;
		worker_processes 1;
		user root;
		events { worker_connections 512; }
		http {
			access_log off;
			types { }
			default_type application/octet-stream;
			client_body_temp_path $dir/body;
			proxy_temp_path $dir/proxy;
			fastcgi_temp_path $dir/fastcgi;
			uwsgi_temp_path $dir/uwsgi;
			scgi_temp_path $dir/scgi;
			server {
				listen 127.0.0.1:$1;
				root $dir/site;
				autoindex on;
				limit_rate ${rate_mib}m;
			}
		}
	EOF
}

tries=0
while :; do
	port=$((20000 + ($$ + tries * 7919) % 40000))
	write_config "$port"
	nginx -c "$dir/nginx.conf" -p "$dir" 2>"$dir/error.log" &
	nginx_pid=$!
	waited=0
	until curl -sf -o /dev/null "http://127.0.0.1:$port/" 2>/dev/null; do
		kill -0 "$nginx_pid" 2>/dev/null || break
		waited=$((waited + 1))
		[ "$waited" -lt 100 ] || break
		sleep 0.05
	done
	if kill -0 "$nginx_pid" 2>/dev/null && [ "$waited" -lt 100 ]; then
		break
	fi
	nginx_pid=
	tries=$((tries + 1))
	if [ "$tries" -ge 10 ]; then
		echo "make run: nginx does not start:" >&2
		cat "$dir/error.log" >&2
		exit 1
	fi
done

echo "source: http://127.0.0.1:$port/ (this machine's /usr/lib/gcc and /usr/share/perl, served by nginx at $rate_mib MiB/s a connection,"
echo "        which stands for a remote store)"
exit_option=--exit
[ ! -t 1 ] || exit_option=
# shellcheck disable=SC2086 # absent when empty
"$sluice" run "http://127.0.0.1:$port/" --name demo --data-dir "${SLUICE_DATA_DIR:-/var/lib/sluice-demo}" $exit_option "$@"
