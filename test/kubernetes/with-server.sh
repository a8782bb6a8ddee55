#!/bin/bash
# with-server.sh core|crd COMMAND...: run the command against a real API server that is started for it and ended with it.
#   core   kube-apiserver (and kube-controller-manager, when it was built and WITHOUT_MANAGER is not set) with etcd
#   crd    the API server of custom resources alone, of a newer version
# KUBECONFIG names it then. Programs come from build.sh. Everything lives in a temporary directory and listens on loopback.
set -euo pipefail

bin=${K8S_HOME:-${XDG_CACHE_HOME:-$HOME/.cache}/real-kubernetes}/bin
what=${1:?core or crd}
shift
work=$(mktemp -d)
chmod 700 "$work"
pids=()

finish() {
	local p
	for p in "${pids[@]}"; do
		kill "$p" 2>/dev/null || true
	done
	for p in "${pids[@]}"; do
		wait "$p" 2>/dev/null || true
	done
	rm -rf "$work"
}
trap finish EXIT
trap 'exit 130' INT TERM

fail() {
	echo "with-server: $1" >&2
	exit 1
}

start() { # start NAME COMMAND...
	local name=$1
	shift
	"$@" >"$work/$name.log" 2>&1 3>&- </dev/null &
	pids+=($!)
}

# until_true SECONDS NAME COMMAND...: wait for a program to say it is ready; show its log when it does not.
until_true() {
	local end=$((SECONDS + $1)) name=$2
	shift 2
	until "$@" >/dev/null 2>&1; do
		[ $SECONDS -lt "$end" ] || { tail -n 20 "$work/$name.log" >&2; fail "$name did not become ready"; }
		sleep 0.1
	done
}

free_port() {
	local port
	while :; do
		port=$((20000 + RANDOM % 10000))
		(: <"/dev/tcp/127.0.0.1/$port") 2>/dev/null || break
	done
	echo $port
}

certificates() {
	cd "$work"
	openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=ca -keyout ca.key -out ca.crt \
		-addext keyUsage=critical,keyCertSign,digitalSignature 2>/dev/null
	openssl ecparam -name prime256v1 -genkey -noout -out accounts.key
	local name
	for name in server:/CN=server admin:/O=system:masters/CN=admin; do
		openssl req -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -subj "${name#*:}" -keyout "${name%%:*}.key" -out request 2>/dev/null
		openssl x509 -req -in request -CA ca.crt -CAkey ca.key -CAcreateserial -days 2 -out "${name%%:*}.crt" -extfile <(
			printf 'subjectAltName=IP:127.0.0.1\nextendedKeyUsage=serverAuth,clientAuth\n') 2>/dev/null
	done
	cd - >/dev/null
}

base64_of() {
	base64 -w 0 "$1"
}

kubeconfig() { # kubeconfig PORT CA USER-FIELDS
	cat <<-Y
		apiVersion: v1
		kind: Config
		clusters: [{name: real, cluster: {server: "https://127.0.0.1:$1", certificate-authority-data: $(base64_of "$2")}}]
		users: [{name: admin, user: {$3}}]
		contexts: [{name: real, context: {cluster: real, user: admin}}]
		current-context: real
	Y
}

ready() {
	curl -sf --noproxy '*' -o /dev/null --cacert "$1" "$2"
}

core() {
	[ -x "$bin/kube-apiserver" ] || fail "no kube-apiserver in $bin: run test/kubernetes/build.sh"
	command -v etcd >/dev/null || fail "no etcd: install the package etcd-server"
	local port etcd peer manager=
	port=$(free_port) etcd=$(free_port) peer=$(free_port)
	certificates
	start etcd etcd --data-dir "$work/etcd" --listen-client-urls "http://127.0.0.1:$etcd" --advertise-client-urls "http://127.0.0.1:$etcd" \
		--listen-peer-urls "http://127.0.0.1:$peer" --initial-advertise-peer-urls "http://127.0.0.1:$peer" \
		--initial-cluster "default=http://127.0.0.1:$peer" --logger zap --log-level error
	# Without the manager nobody makes service accounts, so pods must do without.
	[ -x "$bin/kube-controller-manager" ] && [ -z "${WITHOUT_MANAGER:-}" ] || manager=--disable-admission-plugins=ServiceAccount
	start apiserver "$bin/kube-apiserver" --etcd-servers "http://127.0.0.1:$etcd" --bind-address 127.0.0.1 --secure-port "$port" \
		--endpoint-reconciler-type none --tls-cert-file "$work/server.crt" --tls-private-key-file "$work/server.key" \
		--client-ca-file "$work/ca.crt" --authorization-mode RBAC --service-cluster-ip-range 10.96.0.0/16 --allow-privileged \
		--service-account-issuer https://kubernetes.default.svc --service-account-key-file "$work/accounts.key" \
		--service-account-signing-key-file "$work/accounts.key" $manager
	kubeconfig "$port" "$work/ca.crt" "client-certificate-data: $(base64_of "$work/admin.crt"), client-key-data: $(base64_of "$work/admin.key")" >"$work/kubeconfig"
	until_true 120 apiserver ready "$work/ca.crt" "https://127.0.0.1:$port/readyz"
	[ -z "$manager" ] || return 0
	start manager "$bin/kube-controller-manager" --kubeconfig "$work/kubeconfig" --bind-address 127.0.0.1 --secure-port "$(free_port)" --port 0 \
		--leader-elect=false --service-account-private-key-file "$work/accounts.key" --root-ca-file "$work/ca.crt" --kube-api-qps 200 \
		--kube-api-burst 400 --controllers '*,-nodelifecycle,-ttl,-attachdetach'
	until_true 60 manager "${KUBECTL:-kubectl}" --kubeconfig "$work/kubeconfig" -n default get serviceaccount default
}

crd() {
	[ -x "$bin/crdserver" ] || fail "no crdserver in $bin: run test/kubernetes/build.sh with Go 1.24 or newer in PATH"
	local port token
	port=$(free_port)
	token=$(od -An -N16 -tx1 /dev/urandom | tr -d ' \n')
	(umask 077 && echo "$token,admin,1,\"system:masters\"" >"$work/tokens")
	start crdserver "$bin/crdserver" --port "$port" --data "$work/etcd" --cert-dir "$work/certs" --tokens "$work/tokens"
	until_true 60 crdserver ready "$work/certs/apiserver.crt" "https://127.0.0.1:$port/readyz"
	kubeconfig "$port" "$work/certs/apiserver.crt" "token: $token" >"$work/kubeconfig"
}

case $what in
core | crd) "$what" ;;
*) fail "core or crd, not $what" ;;
esac
chmod 600 "$work/kubeconfig"
export KUBECONFIG=$work/kubeconfig
"$@"
