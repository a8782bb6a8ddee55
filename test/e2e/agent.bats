#!/usr/bin/env bats
# The node agent on a real API server: pods by runc and conmon, seen through kubectl.

load helpers

setup() {
	setup_machine
	touch "$WORK/.begin"
	mkdir -m 700 "$DATA"
	start_api
	start_agent
}

teardown() {
	teardown_machine
}

start_api() {
	"$SLUICE" api --data-dir "$DATA" --listen 127.0.0.1:0 --kubeconfig "$KUBECONFIG" >"$WORK/api.out" 2>"$WORK/api.err" 3>&- &
	API=$!
	PIDS="$PIDS $API"
	until_true 20 grep -q ready "$WORK/api.out"
}

start_agent() {
	rm -f "$WORK/agent.out"
	: >"$WORK/agent.out"
	"$SLUICE" agent --kubeconfig "$KUBECONFIG" --data-dir "$DATA" --node-name node-1 "$@" >"$WORK/agent.out" 2>>"$WORK/agent.err" 3>&- &
	AGENT=$!
	PIDS="$PIDS $AGENT"
	until_true 30 grep -q 'ready: agent' "$WORK/agent.out"
}

# Other clusters may run on the machine: only control groups that carry the tag of this data directory (FNV-1a of its path) count.
leftovers() {
	local tag
	tag=$(python3 -c 'import sys
h = 2166136261
for b in sys.argv[1].encode():
    h = (h ^ b) * 16777619 % 2**32
print("%08x" % h)' "$DATA")
	awk -v w="$WORK" 'index($5, w) == 1 {print "mount " $5}' /proc/self/mountinfo
	processes 2>/dev/null | sed 's/^/process /'
	find /sys/fs/cgroup -maxdepth 3 -type d -path "*/sluice/$tag-*" | sed 's/^/cgroup /'
}

stop_all() {
	kubectl delete pod --all -A --timeout=60s
	kill "$AGENT"
	wait "$AGENT"
	start_agent --end-pods-on-exit
	kill "$AGENT"
	wait "$AGENT"
	kill "$API"
	wait "$API"
	assert_clean
}

# pod NAME COMMAND [YAML of the spec, indented by 2] [YAML of the container, indented by 4]
pod() {
	cat <<-EOT | kubectl apply -f - >&2
		apiVersion: v1
		kind: Pod
		metadata: {name: $1}
		spec:
		  nodeName: node-1
		  terminationGracePeriodSeconds: 2
		${3:-}
		  containers:
		  - name: c
		    image: sluice.local/host
		    command: [sh, -c, $(printf '%s' "$2" | jq -Rs .)]
		${4:-}
	EOT
}

# field NAME JSONPATH
field() {
	kubectl get pod "$1" -o "jsonpath={$2}"
}

field_is() {
	[ "$(field "$1" "$2")" = "$3" ]
}

log_has() {
	kubectl logs "$1" 2>/dev/null | grep -q -- "$2"
}

SLEEP="trap 'echo bye; exit 0' TERM; while :; do sleep 0.1; done"

@test "node: Ready, without a taint, alive" {
	[ "$(kubectl get node node-1 -o 'jsonpath={.status.conditions[?(@.type=="Ready")].status} {.spec.taints} {.status.addresses[0].address}')" = "True  127.0.0.1" ]
	[ "$(kubectl get node node-1 -o 'jsonpath={.metadata.labels.kubernetes\.io/hostname} {.metadata.labels.kubernetes\.io/os}')" = "node-1 linux" ]
	[ "$(kubectl -n kube-node-lease get lease node-1 -o 'jsonpath={.spec.holderIdentity}')" = node-1 ]
	stop_all
}

@test "pod: environment, ConfigMap, Secret, init container, identity; updates; nothing left" {
	kubectl create configmap cm --from-literal=a=one --from-literal=b=two
	kubectl create secret generic sec --from-literal=pw=hunter2
	pod p "cat /e/init; echo \$A \$PW \$POD; cat /cm/a /sec/pw /sub; id -u; $SLEEP" "$(cat <<-'EOT'
		  securityContext: {runAsUser: 1000, fsGroup: 2000}
		  initContainers:
		  - {name: init, image: sluice.local/host, command: [sh, -c, "echo from-init >/e/init"], volumeMounts: [{name: e, mountPath: /e}]}
		  volumes:
		  - {name: e, emptyDir: {}}
		  - {name: cm, configMap: {name: cm}}
		  - {name: sec, secret: {secretName: sec, defaultMode: 0400}}
	EOT
	)" "$(cat <<-'EOT'
		    env:
		    - {name: A, valueFrom: {configMapKeyRef: {name: cm, key: a}}}
		    - {name: PW, valueFrom: {secretKeyRef: {name: sec, key: pw}}}
		    - {name: POD, valueFrom: {fieldRef: {fieldPath: metadata.name}}}
		    volumeMounts:
		    - {name: e, mountPath: /e}
		    - {name: cm, mountPath: /cm}
		    - {name: sec, mountPath: /sec}
		    - {name: cm, mountPath: /sub, subPath: b}
		    readinessProbe: {exec: {command: [grep, -q, one, /cm/a]}, periodSeconds: 1, failureThreshold: 1, timeoutSeconds: 5}
	EOT
	)"
	kubectl wait --for=condition=Ready pod/p --timeout=20s
	run kubectl logs p -c c
	[ "$output" = $'from-init\none hunter2 p\nonehunter2two1000' ]
	[ "$(field p '.status.podIP} {.status.hostIP} {.status.phase} {.status.initContainerStatuses[0].state.terminated.reason')" = "127.0.0.1 127.0.0.1 Running Completed" ]
	# The change arrives, and with it the probe's answer.
	kubectl patch configmap cm -p '{"data":{"a":"other"}}'
	kubectl wait --for=condition=Ready=false pod/p --timeout=20s
	kubectl describe pod p | grep -q 'Readiness probe failed'
	stop_all
	[ -z "$(find "$DATA/containers" -mindepth 1 -maxdepth 1 ! -name '*runc*')" ]
	[ -z "$(find "$DATA/kubelet/pods" "$DATA/agent/pods" "$DATA/agent/exits" "$DATA/logs/pods" -mindepth 1 -maxdepth 1)" ]
}

@test "restarts: back-off, previous log, exit codes, policies" {
	pod crash 'echo run; echo reason >/dev/termination-log; exit 3'
	pod once 'echo done' '  restartPolicy: Never'
	pod fails 'exit 4' '  restartPolicy: Never'
	pod retry 'test -e /e/x && exit 0; touch /e/x; exit 1' "$(printf '  restartPolicy: OnFailure\n  volumes: [{name: e, emptyDir: {}}]')" \
		'    volumeMounts: [{name: e, mountPath: /e}]'
	pod eats 'head -c 200000000 /dev/zero | tail; exit 1' '  restartPolicy: Never' '    resources: {limits: {memory: 20Mi}}'
	until_true 20 field_is crash '.status.containerStatuses[0].state.waiting.reason' CrashLoopBackOff
	until_true 20 field_is crash '.status.containerStatuses[0].restartCount' 1
	[ "$(field crash '.status.containerStatuses[0].lastState.terminated.exitCode} {.status.containerStatuses[0].lastState.terminated.message')" = "3 reason" ]
	[ "$(kubectl logs crash --previous)" = run ]
	until_true 20 field_is once .status.phase Succeeded
	until_true 20 field_is fails .status.phase Failed
	[ "$(field fails '.status.containerStatuses[0].state.terminated.exitCode')" = 4 ]
	until_true 20 field_is retry .status.phase Succeeded
	[ "$(field retry '.status.containerStatuses[0].restartCount')" = 1 ]
	until_true 20 field_is eats '.status.containerStatuses[0].state.terminated.reason' OOMKilled
	[ "$(kubectl logs once)" = "done" ]
	stop_all
}

@test "what cannot run says why" {
	pod image x '' ''
	kubectl delete pod image --wait
	cat <<-'EOT' | kubectl apply -f -
		apiVersion: v1
		kind: Pod
		metadata: {name: image}
		spec: {nodeName: node-1, containers: [{name: c, image: nginx, command: [x]}]}
	EOT
	pod program x '  restartPolicy: Never'
	pod claim x '  volumes: [{name: v, persistentVolumeClaim: {claimName: none}}]'
	pod env x '' '    envFrom: [{secretRef: {name: none}}]'
	pod shared x '  shareProcessNamespace: true'
	until_true 20 field_is image '.status.containerStatuses[0].state.waiting.reason' ImagePullBackOff
	field image '.status.containerStatuses[0].state.waiting.message' | grep -q 'only sluice.local/host'
	until_true 20 field_is program .status.phase Failed
	until_true 20 field_is env '.status.containerStatuses[0].state.waiting.message' 'secret "none" not found'
	until_true 20 field_is shared '.status.containerStatuses[0].state.waiting.message' \
		'spec.shareProcessNamespace: does not work on this node yet'
	until_true 20 event_says claim 'MountVolume.SetUp failed for volume "v": persistentvolumeclaim "none" not found'
	# It is fixed, and runs.
	kubectl create secret generic none --from-literal=a=b
	until_true 20 field_is env '.status.containerStatuses[0].restartCount' 1
	stop_all
}

event_says() {
	kubectl get events --field-selector "involvedObject.name=$1" -o 'jsonpath={.items[*].message}' | grep -q -F -- "$2"
}

@test "probes: http and tcp make ready, a failing liveness probe restarts" {
	pod web 'exec python3 -u -m http.server --bind 127.0.0.1 "$PORT" -d /tmp' '' "$(cat <<-EOT
		    env: [{name: PORT, value: "$(free_port)"}]
	EOT
	)"
	port=$(field web '.spec.containers[0].env[0].value')
	kubectl delete pod web --wait
	pod web 'exec python3 -u -m http.server --bind 127.0.0.1 "$PORT" -d /tmp' '' "$(cat <<-EOT
		    env: [{name: PORT, value: "$port"}]
		    ports: [{name: http, containerPort: $port}]
		    startupProbe: {tcpSocket: {port: http}, periodSeconds: 1, failureThreshold: 30}
		    readinessProbe: {httpGet: {path: /ok, port: http}, periodSeconds: 1, failureThreshold: 1, timeoutSeconds: 5}
		    livenessProbe: {exec: {command: [test, "!", -e, /tmp/dead]}, periodSeconds: 1, failureThreshold: 2, timeoutSeconds: 5}
	EOT
	)"
	until_true 20 field_is web '.status.containerStatuses[0].started' true
	until_true 20 event_says web 'statuscode: 404'
	[ "$(field web '.status.conditions[?(@.type=="Ready")].status')" = False ]
	touch "$(root_of web)/tmp/ok"
	kubectl wait --for=condition=Ready pod/web --timeout=20s
	touch "$(root_of web)/tmp/dead"
	until_true 20 field_is web '.status.containerStatuses[0].restartCount' 1
	event_says web 'Liveness probe failed'
	stop_all
}

# The root directory of the pod's container.
root_of() {
	local id
	id=$(field "$1" '.status.containerStatuses[0].containerID')
	echo "$DATA/containers/${id#runc://}/rootfs"
}

@test "an agent that dies: containers go on, exit codes are told, no pod becomes unready" {
	pod stays "echo here; $SLEEP" '' '    readinessProbe: {exec: {command: ["true"]}, periodSeconds: 1, timeoutSeconds: 5}'
	pod ends 'while test ! -e /tmp/end; do sleep 0.1; done; exit 5' '  restartPolicy: Never'
	kubectl wait --for=condition=Ready pod/stays pod/ends --timeout=20s
	before=$(field stays '.status.containerStatuses[0].containerID} {.status.conditions[?(@.type=="Ready")].lastTransitionTime')
	root=$(root_of ends)
	kill -9 "$AGENT"
	wait "$AGENT" || true
	touch "$root/tmp/end"
	until_true 20 has_exit
	start_agent
	until_true 20 field_is ends '.status.containerStatuses[0].state.terminated.exitCode' 5
	[ "$(field stays '.status.containerStatuses[0].containerID} {.status.conditions[?(@.type=="Ready")].lastTransitionTime')" = "$before" ]
	[ "$(kubectl logs stays)" = here ]
	stop_all
}

has_exit() {
	[ -n "$(ls "$DATA/agent/exits")" ]
}

@test "an agent that dies between making a container and beginning it: the next one begins it" {
	mkdir "$WORK/bin"
	cat >"$WORK/bin/runc" <<-EOF
		#!/bin/sh
		case " \$* " in
		*" start "*) mkdir "$WORK/once" 2>/dev/null && kill -9 \$PPID && exit 1 ;;
		esac
		exec $(command -v runc) "\$@"
	EOF
	chmod 755 "$WORK/bin/runc"
	kill -9 "$AGENT"
	wait "$AGENT" || true
	PATH=$WORK/bin:$PATH start_agent
	pod once 'echo ran' '  restartPolicy: Never'
	until_true 20 test -d "$WORK/once"
	wait "$AGENT" || true
	start_agent
	until_true 20 field_is once '.status.phase' Succeeded
	[ "$(kubectl logs once)" = ran ]
	stop_all
}

@test "everything dies: the next agent removes what belongs to nobody and starts the rest again" {
	pod stays "$SLEEP" '  volumes: [{name: m, emptyDir: {medium: Memory}}]' '    volumeMounts: [{name: m, mountPath: /m}]'
	pod goes "$SLEEP" '  volumes: [{name: m, emptyDir: {medium: Memory}}]' '    volumeMounts: [{name: m, mountPath: /m}]'
	kubectl wait --for=condition=Ready pod/stays pod/goes --timeout=20s
	kill -9 "$AGENT" $(pgrep -f "conmon .*$DATA")
	wait "$AGENT" || true
	kubectl delete pod goes --grace-period=0 --force
	start_agent
	until_true 20 field_is stays '.status.containerStatuses[0].restartCount' 1
	[ "$(field stays '.status.containerStatuses[0].lastState.terminated.exitCode')" = 137 ]
	[ "$(ls "$DATA/kubelet/pods" | wc -l)" = 1 ]
	stop_all
}

@test "the end: preStop, TERM, grace, KILL" {
	pod polite "$SLEEP" '' '    lifecycle: {preStop: {exec: {command: [sh, -c, "echo hook >/proc/1/fd/1"]}}, postStart: {exec: {command: [sh, -c, "echo post >/proc/1/fd/1"]}}}'
	pod deaf "trap '' TERM; while :; do sleep 0.1; done"
	kubectl wait --for=condition=Ready pod/polite pod/deaf --timeout=20s
	until_true 10 log_has polite post
	kubectl logs -f polite >"$WORK/follow" 3>&- &
	follow=$!
	kubectl delete pod polite --wait
	wait $follow
	[ "$(cat "$WORK/follow")" = $'post\nhook\nbye' ]
	SECONDS=0
	kubectl delete pod deaf --wait
	[ $SECONDS -ge 2 ] && [ $SECONDS -lt 12 ]
	stop_all
}

@test "mounts pass between pods and the machine, and are undone" {
	mkdir "$WORK/share"
	pod giver "mount -t tmpfs given /s/in && echo data >/s/in/file && $SLEEP" "  volumes: [{name: s, hostPath: {path: $WORK/share}}]" \
		"$(printf '    securityContext: {privileged: true}\n    volumeMounts: [{name: s, mountPath: /s, mountPropagation: Bidirectional}]')"
	mkdir -p "$WORK/share/in"
	pod taker "until cat /s/in/file; do sleep 0.1; done; $SLEEP" "  volumes: [{name: s, hostPath: {path: $WORK/share}}]" \
		'    volumeMounts: [{name: s, mountPath: /s, mountPropagation: HostToContainer}]'
	until_true 20 test -e "$WORK/share/in/file"
	until_true 20 log_has taker data
	pod greedy x "  volumes: [{name: s, hostPath: {path: $WORK/share}}]" '    volumeMounts: [{name: s, mountPath: /s, mountPropagation: Bidirectional}]'
	until_true 20 field_is greedy '.status.containerStatuses[0].state.waiting.reason' CreateContainerConfigError
	stop_all
	[ ! -e "$WORK/share/in/file" ]
}

@test "names: the hosts file has services and pods, and is kept current" {
	pod asker "$SLEEP"
	kubectl wait --for=condition=Ready pod/asker --timeout=20s
	grep -q asker "$DATA"/kubelet/pods/*/etc-hosts
	kubectl create service clusterip web --tcp=80
	until_true 10 grep -q 'web.default.svc.cluster.local' "$DATA"/kubelet/pods/*/etc-hosts
	kubectl delete service web
	until_true 10 no_name web.default.svc
	stop_all
}

no_name() {
	! grep -q "$1" "$DATA"/kubelet/pods/*/etc-hosts
}

is_rotated() {
	ls "$DATA"/logs/pods/*/c/0.log.1
}

@test "logs: tail, limits, timestamps, rotation" {
	pod talker "seq 1 5; until test -e /tmp/go; do sleep 0.1; done; yes 0123456789abcdef | head -n 700000; echo last; $SLEEP"
	until_true 20 log_has talker 5
	[ "$(kubectl logs talker --tail=2)" = $'4\n5' ]
	[ "$(kubectl logs talker --limit-bytes=3)" = $'1\n2' ]
	kubectl logs talker --tail=1 --timestamps | grep -q -E '^20[0-9-]*T[0-9:.]*(Z|\+00:00) 5$'
	run kubectl logs talker --previous
	[ "$status" -ne 0 ]
	touch "$(root_of talker)/tmp/go"
	until_true 30 log_has talker last
	until_true 30 is_rotated
	[ "$(kubectl logs talker | wc -l)" = 700006 ]
	stop_all
}
