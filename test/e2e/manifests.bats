#!/usr/bin/env bats
# What `sluice manifests` prints is enough, and no more than is read here: the controllers run with the ServiceAccount that it makes, on an
# API that enforces RBAC. Pods are only said to run.
# shellcheck disable=SC2016 # $ in single quotes is jq's
bats_require_minimum_version 1.5.0

load ../conformance/helpers

golden=$BATS_TEST_DIRNAME/golden/manifests-rbac.yaml

setup_file() {
	unset KUBECONFIG
	start_api
}

teardown_file() {
	end_api
}

setup() {
	pids=()
}

teardown() {
	local pid
	for pid in "${pids[@]}"; do
		kill -TERM "$pid" 2>/dev/null || true
		wait "$pid" 2>/dev/null || true
	done
}

# A kubeconfig of the ServiceAccount $1 in fluid-system, in the file $2.
account_config() {
	local token
	token=$(echo '{"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}}' |
		"$KUBECTL" create --raw "/api/v1/namespaces/fluid-system/serviceaccounts/$1/token" -f - | jq -r .status.token)
	"$KUBECTL" config view --raw --flatten >"$2"
	"$KUBECTL" --kubeconfig "$2" config set-credentials account --token "$token"
	"$KUBECTL" --kubeconfig "$2" config set-context --current --user account
}

# start NAME ARGUMENT...: a controller in the background, ready; what it says is in NAME.log.
start() {
	local log=$BATS_TEST_TMPDIR/$1.log
	shift
	"$SLUICE" controller "$@" >"$log.out" 2>"$log" 3>&- &
	pids+=($!)
	until_true 30 grep -q '^ready: controller' "$log.out"
}

# set_status RESOURCE-PATH STATUS: as a kubelet would.
set_status() {
	"$KUBECTL" get --raw "$1" | jq --argjson s "$2" '.status = $s' | "$KUBECTL" replace --raw "$1/status" -f - >/dev/null
}

is() {
	[ "$("$KUBECTL" get "$1" "$2" -o "jsonpath=$3" 2>/dev/null)" = "$4" ]
}

is_gone() {
	! "$KUBECTL" get "$1" "$2" >/dev/null 2>&1
}

pods=/api/v1/namespaces/default/pods
ready='{"type": "Ready", "status": "True", "lastTransitionTime": "2026-01-01T00:00:00Z"}'

# What a kubelet does: a pod that is to go goes, and the one that removes what is left on the node has done so.
pods_end_and_is_gone() {
	local pod
	for pod in $("$KUBECTL" get pods -o json | jq -r '.items[] | select(.metadata.deletionTimestamp).metadata.name'); do
		"$KUBECTL" delete pod "$pod" --grace-period 0 --force >/dev/null 2>&1 || true
	done
	for pod in $("$KUBECTL" get pods -l role=reservoir-clean -o name); do
		set_status "$pods/${pod#pod/}" '{"phase": "Succeeded"}' || true
	done
	is_gone "$@"
}

@test "the permissions are those of the golden file" {
	if [ -n "${SLUICE_GOLDEN_UPDATE:-}" ]; then
		"$SLUICE" manifests rbac >"$golden"
	fi
	diff -u "$golden" <("$SLUICE" manifests rbac)
}

@test "no role reads secrets, and pods are entered for AlluxioRuntime alone" {
	run -0 "$SLUICE" manifests rbac -o json
	jq -s -e '[.[] | select(.rules) | .rules[] | .resources[]] | (index("secrets") or index("*")) | not' <<<"$output"
	jq -s -e '[.[] | select(.rules) | .rules[] | .verbs[]] | index("*") | not' <<<"$output"
	run -0 "$SLUICE" manifests rbac -o json --runtimes rclone,reservoir
	jq -s -e '[.[] | select(.rules) | .rules[] | .resources[]] | index("pods/exec") | not' <<<"$output"
}

@test "wrong usage says what is missing" {
	run -2 "$SLUICE" manifests
	[[ $output == *"rbac, crds or all"* ]]
	run -2 "$SLUICE" manifests all
	[[ $output == *"all needs --image"* ]]
	run -2 "$SLUICE" manifests rbac -o markdown
	[[ $output == *"-o takes yaml or json"* ]]
	run -2 "$SLUICE" manifests rbac --runtimes nope
	[[ $output == *"no runtime 'nope' in this binary"* ]]
}

@test "all of it is accepted, and changes nothing the second time" {
	"$SLUICE" manifests all --image registry.example.org/sluice:1 --namespace elsewhere >"$BATS_TEST_TMPDIR/all.yaml"
	"$KUBECTL" apply -f "$BATS_TEST_TMPDIR/all.yaml"
	run -0 "$KUBECTL" apply -f "$BATS_TEST_TMPDIR/all.yaml"
	[ "$(grep -c -v ' unchanged$' <<<"$output")" -eq 0 ]
	run -0 "$KUBECTL" -n elsewhere get deployment,daemonset -o 'jsonpath={.items[*].spec.template.spec.containers[*].image}'
	[ "$output" = "registry.example.org/sluice:1 registry.example.org/sluice:1 registry.example.org/sluice:1" ]
	run -0 "$KUBECTL" -n elsewhere get deployment sluice-controller -o 'jsonpath={.spec.template.spec.containers[0].args}'
	[[ $output == *--leader-election-namespace=elsewhere* ]]
	"$KUBECTL" delete -f "$BATS_TEST_TMPDIR/all.yaml" --wait=false
	until_true 20 is_gone crd reservoirruntimes.data.fluid.io
}

@test "the controllers bind a dataset and take it away with their ServiceAccount alone" {
	"$SLUICE" manifests crds | "$KUBECTL" apply -f -
	"$SLUICE" manifests rbac | "$KUBECTL" apply -f -
	until_true 20 is crd reservoirruntimes.data.fluid.io '{.status.conditions[?(@.type=="Established")].status}' True
	account_config sluice-controller "$BATS_TEST_TMPDIR/account"
	# What a cluster has anyway runs as the administrator, without any Runtime.
	start cluster --kubeconfig "$KUBECONFIG" --workloads --runtimes ''
	start sluice --kubeconfig "$BATS_TEST_TMPDIR/account" --allowed-host-paths / --leader-elect

	flow '{"apiVersion": "v1", "kind": "Node", "metadata": {"name": "n1", "labels": {"kubernetes.io/hostname": "n1"}}}' |
		"$KUBECTL" apply -f -
	set_status /api/v1/nodes/n1 "{\"conditions\": [$ready]}"
	"$KUBECTL" apply -f - <<-EOF
		apiVersion: data.fluid.io/v1alpha1
		kind: Dataset
		metadata: {name: demo}
		spec:
		  placement: Shared
		  mounts: [{mountPoint: "https://example.org/", name: x, path: /}]
		---
		apiVersion: data.fluid.io/v1alpha1
		kind: ReservoirRuntime
		metadata: {name: demo}
		spec:
		  tieredstore: {levels: [{mediumtype: SSD, path: /data, quota: 1Gi}]}
	EOF
	until_true 20 is pod demo-worker-0 '{.spec.nodeName}' n1
	set_status $pods/demo-worker-0 "{\"phase\": \"Running\", \"podIP\": \"127.0.0.1\", \"conditions\": [$ready]}"
	until_true 20 is dataset demo '{.status.phase}' Bound
	until_true 20 is pvc demo '{.status.phase}' Bound
	"$KUBECTL" scale reservoirruntime demo --replicas 0
	until_true 20 is statefulset demo-worker '{.spec.replicas}' 0
	until_true 20 pods_end_and_is_gone pod demo-worker-0
	"$KUBECTL" delete dataset demo --wait=false
	until_true 30 pods_end_and_is_gone dataset demo
	until_true 30 pods_end_and_is_gone reservoirruntime demo
	for what in statefulset/demo-worker daemonset/demo-fuse configmap/demo-config pvc/demo pv/default-demo; do
		until_true 20 is_gone "${what%/*}" "${what#*/}"
	done
	# Both Events and everything else arrived: nothing was forbidden.
	run -1 grep -i forbidden "$BATS_TEST_TMPDIR/sluice.log"
}

@test "the ServiceAccounts may nothing beyond that" {
	may() {
		[ "$("$KUBECTL" auth can-i --as "system:serviceaccount:fluid-system:$1" "${@:3}")" = "$2" ]
	}
	may sluice-controller yes list pods --all-namespaces
	may sluice-csi yes patch nodes
	may sluice-controller no list secrets --all-namespaces
	may sluice-controller yes create pods --subresource exec
	may sluice-csi no create pods --subresource exec
	may sluice-controller no create clusterrolebindings
	may sluice-csi no list pods --all-namespaces
	may sluice-csi no patch datasets --all-namespaces
}
