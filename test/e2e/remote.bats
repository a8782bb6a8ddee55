#!/usr/bin/env bats
# exec, attach, cp and port-forward: by SPDY/3.1 as kubectl 1.20 speaks it, by websockets as today's does.

bats_require_minimum_version 1.5.0
load helpers

setup() {
	setup_machine
	mkdir -m 700 "$DATA"
	"$SLUICE" api --data-dir "$DATA" --listen 127.0.0.1:0 --kubeconfig "$KUBECONFIG" >"$WORK/api.out" 2>"$WORK/api.err" 3>&- &
	API=$!
	PIDS="$PIDS $API"
	until_true 20 grep -q ready "$WORK/api.out"
	start_agent
	OLD=$("$BATS_TEST_DIRNAME/../conformance/old-kubectl.sh" 2>/dev/null) || OLD=
	KUBECTLS=(kubectl ${OLD:+"$OLD"})
}

teardown() {
	teardown_machine
}

start_agent() {
	: >"$WORK/agent.out"
	"$SLUICE" agent --kubeconfig "$KUBECONFIG" --data-dir "$DATA" --node-name node-1 "$@" >"$WORK/agent.out" 2>>"$WORK/agent.err" 3>&- &
	AGENT=$!
	PIDS="$PIDS $AGENT"
	until_true 30 grep -q 'ready: agent' "$WORK/agent.out"
}

stop_all() {
	kubectl delete pod --all --timeout=60s
	kill "$AGENT"
	wait "$AGENT"
	start_agent --end-pods-on-exit
	kill "$AGENT"
	wait "$AGENT"
	kill "$API"
	wait "$API"
	assert_clean
}

# pod NAME COMMAND [YAML of the container, indented by 4]
pod() {
	cat <<-EOT | kubectl apply -f - >&2
		apiVersion: v1
		kind: Pod
		metadata: {name: $1}
		spec:
		  nodeName: node-1
		  terminationGracePeriodSeconds: 1
		  containers:
		  - name: c
		    image: sluice.local/host
		    command: [sh, -c, $(printf '%s' "$2" | jq -Rs .)]
		${3:-}
	EOT
	kubectl wait --for=condition=Ready "pod/$1" --timeout=30s
}

@test "exec: output, errors, exit codes, input to its end; what is refused says why" {
	pod p 'exec sleep 100000' '    env: [{name: GREETING, value: hello}]'
	for k in "${KUBECTLS[@]}"; do
		run --separate-stderr "$k" exec p -- sh -c 'echo $GREETING; echo bad >&2; exit 7'
		[ "$status" -eq 7 ]
		[ "$output" = hello ]
		[[ "$stderr" == *bad* ]]
		[ "$(printf 'a\nb\n' | "$k" exec -i p -- wc -l)" -eq 2 ]
		run "$k" exec p -- no-such-program
		[ "$status" -eq 1 ]
		[[ "$output" == *'executable file not found'* ]]
		run "$k" exec p -c other -- true
		[[ "$output" == *'container other is not valid for pod p'* ]]
		run "$k" exec none -- true
		[[ "$output" == *'pods "none" not found'* ]]
	done
	# Without an upgrade nothing is run.
	run kubectl get --raw '/api/v1/namespaces/default/pods/p/exec?command=true&stdout=true'
	[[ "$output" == *'Upgrade request required'* ]]
	run kubectl get --raw '/api/v1/namespaces/default/pods/p/exec?stdout=true'
	[[ "$output" == *'at least one command'* ]]
	# A command whose client has gone is ended.
	kubectl exec p -- sleep 54321 3>&- &
	client=$!
	until_true 20 pgrep -f 'sleep 5432[1]' >/dev/null
	kill "$client"
	until_true 20 no_sleeper
	stop_all
}

no_sleeper() {
	! pgrep -f 'sleep 5432[1]' >/dev/null
}

@test "exec and attach with a terminal, which has the client's size" {
	command -v script >/dev/null || skip "needs script of util-linux"
	pod p 'exec sleep 100000'
	pod t 'while read -r line; do echo "got $line"; done' "$(printf '    tty: true\n    stdin: true')"
	for k in "${KUBECTLS[@]}"; do
		# The size may come a moment after the command has begun.
		script -qec "stty rows 33 cols 77; '$k' exec -it p -- sh -c '
			for i in \$(seq 100); do [ \"\$(stty size)\" != \"33 77\" ] || break; sleep 0.1; done
			stty size; tty; echo term \$TERM'" /dev/null </dev/null >"$WORK/tty"
		grep -q '33 77' "$WORK/tty"
		grep -q /dev/pts/ "$WORK/tty"
		grep -q 'term xterm' "$WORK/tty"
		mkfifo "$WORK/typed"
		script -qec "'$k' attach -it t" /dev/null <"$WORK/typed" >"$WORK/attached" 3>&- &
		client=$!
		exec 7>"$WORK/typed"
		until_true 20 grep -q 'command prompt' "$WORK/attached"
		echo "by ${k##*/}" >&7
		until_true 20 grep -q "got by ${k##*/}" "$WORK/attached"
		kill "$client"
		exec 7>&-
		rm "$WORK/typed" "$WORK/attached"
	done
	kubectl logs t | grep -q 'got by kubectl'
	stop_all
}

@test "cp: a file comes back as it was" {
	pod p 'exec sleep 100000'
	head -c 20000000 /dev/urandom >"$WORK/file"
	for k in "${KUBECTLS[@]}"; do
		"$k" cp "$WORK/file" p:/tmp/file
		"$k" cp p:/tmp/file "$WORK/back"
		cmp "$WORK/file" "$WORK/back"
		rm "$WORK/back"
	done
	stop_all
}

@test "port-forward: several connections at a time; a port where nobody listens" {
	port=$(free_port)
	pod p "exec python3 -u -m http.server --bind 127.0.0.1 $port -d /usr/share" \
		"    readinessProbe: {tcpSocket: {port: $port}, periodSeconds: 1, failureThreshold: 60}"
	for k in "${KUBECTLS[@]}"; do
		rm -f "$WORK/forward" # what the one before said is not this one's
		"$k" port-forward pod/p ":$port" ":1" >"$WORK/forward" 2>"$WORK/forward.err" 3>&- &
		client=$!
		until_true 20 grep -q -- '-> 1$' "$WORK/forward"
		here=$(sed -n "s/.*127.0.0.1:\([0-9]*\) -> $port\$/\1/p" "$WORK/forward")
		nobody=$(sed -n 's/.*127.0.0.1:\([0-9]*\) -> 1$/\1/p' "$WORK/forward")
		pids=
		for i in 1 2 3 4; do
			curl -fsS "http://127.0.0.1:$here/common-licenses/GPL-3" -o "$WORK/got.$i" 3>&- &
			pids="$pids $!"
		done
		for pid in $pids; do
			wait "$pid" || { cat "$WORK"/*.err; false; }
		done
		for i in 1 2 3 4; do
			cmp /usr/share/common-licenses/GPL-3 "$WORK/got.$i"
		done
		run curl -sS "http://127.0.0.1:$nobody/"
		[ "$status" -ne 0 ]
		until_true 20 grep -q 'connect to 127.0.0.1:1: Connection refused' "$WORK/forward.err"
		kill "$client" 2>/dev/null || true
		wait "$client" || true
	done
	stop_all
}

@test "who may not may not: exec needs create or get of pods/exec" {
	pod p 'exec sleep 100000'
	kubectl create serviceaccount bob
	kubectl create role reader --verb=get --resource=pods
	kubectl create rolebinding reader --role=reader --serviceaccount=default:bob
	server=$(kubectl config view --raw -o 'jsonpath={.clusters[0].cluster.server}')
	kubectl config view --raw -o 'jsonpath={.clusters[0].cluster.certificate-authority-data}' | base64 -d >"$WORK/ca"
	bob=("--kubeconfig=/dev/null" "--server=$server" "--certificate-authority=$WORK/ca" "--token=$(kubectl create token bob)")
	for k in "${KUBECTLS[@]}"; do
		run "$k" "${bob[@]}" exec p -- true
		[ "$status" -ne 0 ]
		[[ "$output" == *'cannot '*'pods/exec'* ]]
	done
	kubectl create role runner --verb=create,get --resource=pods/exec
	kubectl create rolebinding runner --role=runner --serviceaccount=default:bob
	for k in "${KUBECTLS[@]}"; do
		"$k" "${bob[@]}" exec p -- true
	done
	stop_all
}
