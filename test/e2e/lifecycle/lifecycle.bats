#!/usr/bin/env bats
# The life of Datasets and Runtimes as kubectl sees it, with pods that run nothing (test/tools/kubelet.c): columns, scaling, what may be changed,
# and deletion in every phase.

load ../stuck/helpers

setup_file() {
	start_cluster
}

teardown_file() {
	stop_cluster
}

teardown() {
	show_on_failure
}

page() {
	echo "$BATS_TEST_DIRNAME/../../../docs/reference/reservoirruntime.md"
}

# Fields of spec of which the reference page says YES-OR-NO in its column "may change", without those inside another that may not.
fields() {
	sed -n '/^## spec/,/^## status/p' "$(page)" | awk -F' [|] ' -v want="$1" '
		$4 == want || $5 == want { f = $1; gsub(/[| `]/, "", f); if (want == "yes" || index(f, last ".") != 1 && index(f, last "[]") != 1) { print f; last = f } }'
}

@test "kubectl get shows what a Dataset and its runtime are doing" {
	{ dataset show; runtime show; } | apply
	bound show
	await dataset show .status.ufsTotal 2.00KiB
	await dataset show .status.cacheStates.cachedPercentage 50.0%
	run kubectl get dataset show
	[ "$(echo "${lines[0]}" | tr -s ' ')" = "NAME UFS TOTAL SIZE CACHED CACHE CAPACITY CACHED PERCENTAGE PHASE AGE" ]
	[[ "$(echo "${lines[1]}" | tr -s ' ')" == "show 2.00KiB 1.00KiB 1.00GiB 50.0% Bound "* ]]
	run kubectl get reservoir show -o wide
	[[ "${lines[0]}" == *"WORKER PHASE"*"FUSE PHASE"* ]]
	[[ "${lines[1]}" == *Ready* ]]
}

@test "kubectl scale changes the number of workers" {
	{ dataset scale; runtime scale; } | apply
	bound scale
	kubectl scale reservoirruntime scale --replicas=2
	await statefulset scale-worker .spec.replicas 2
	await reservoirruntime scale .status.workerNumberReady 2
	is reservoirruntime scale '.status.conditions[?(@.type=="WorkersScaledOut")].message' "Workers scaled out from 1 replicas to 2 replicas."
	kubectl scale reservoirruntime scale --replicas=0
	await reservoirruntime scale .status.currentWorkerNumberScheduled 0
	is reservoirruntime scale .status.workerPhase Ready
	kubectl delete dataset scale --wait=false
}

@test "conditions say of which generation they speak" {
	{ dataset gen; runtime gen; } | apply
	bound gen
	is reservoirruntime gen '.status.conditions[?(@.type=="WorkersReady")].observedGeneration' 1
	script gen 'script/note: two'
	await reservoirruntime gen '.status.conditions[?(@.type=="WorkersReady")].observedGeneration' 2
	kubectl delete dataset gen --wait=false
}

@test "every field that may change takes effect" {
	{ dataset edit; runtime edit; } | apply
	bound edit
	local pod='.spec.template' c='.spec.template.spec.containers[0]' f change where want
	for f in $(fields yes); do
		case $f in
		spec.replicas) change='{"replicas":2}' where=.spec.replicas want=2 ;;
		spec.worker.resources) change='{"worker":{"resources":{"requests":{"cpu":"1m"}}}}' where=$c.resources.requests.cpu want=1m ;;
		spec.worker.env) change='{"worker":{"env":{"A_NAME":"a value"}}}' where="$c.env[?(@.name==\"A_NAME\")].value" want='a value' ;;
		spec.worker.nodeSelector) change='{"worker":{"nodeSelector":{"kubernetes.io/hostname":"n1"}}}' where="$pod.spec.nodeSelector.kubernetes\\.io/hostname" want=n1 ;;
		spec.worker.tolerations) change='{"worker":{"tolerations":[{"key":"k","operator":"Exists"}]}}' where="$pod.spec.tolerations[?(@.key==\"k\")].operator" want=Exists ;;
		spec.worker.podMetadata.labels) change='{"worker":{"podMetadata":{"labels":{"l":"v"}}}}' where=$pod.metadata.labels.l want=v ;;
		spec.worker.podMetadata.annotations) change='{"worker":{"podMetadata":{"annotations":{"a":"v"}}}}' where=$pod.metadata.annotations.a want=v ;;
		# Only volumes of the spec can be mounted: what names another is refused with its path.
		spec.worker.volumeMounts) change='{"worker":{"volumeMounts":[{"name":"none","mountPath":"/x"}]}}' where='' want=spec.worker.volumeMounts ;;
		# Read when a volume is unstaged, or the runtime ends: accepted, and nothing to be seen before.
		spec.fuse.cleanPolicy) change='{"fuse":{"cleanPolicy":"OnDemand"}}' where='' want='' ;;
		spec.management.*.gracePeriodSeconds) change='{"management":{"cleanCachePolicy":{"gracePeriodSeconds":5}}}' where='' want='' ;;
		spec.management.*.maxRetryAttempts) change='{"management":{"cleanCachePolicy":{"maxRetryAttempts":1}}}' where='' want='' ;;
		spec.management.*.autoSync) change='{"management":{"metadataSyncPolicy":{"autoSync":false}}}' where='' want='' ;;
		*) echo "no case for $f"; false ;;
		esac
		echo "$f"
		kubectl patch reservoirruntime edit --type=merge -p "{\"spec\":$change}" >/dev/null
		if [ -n "$where" ]; then
			await statefulset edit-worker "$where" "$want"
		elif [ -n "$want" ]; then
			until_true 40 says reservoirruntime edit '.status.conditions[?(@.type=="SpecValid")].message' "$want"
			kubectl patch reservoirruntime edit --type=merge -p '{"spec":{"worker":{"volumeMounts":null}}}' >/dev/null
		fi
	done
	bound edit
	kubectl delete dataset edit --wait=false
}

@test "every field that may not change is refused with its path" {
	runtime fixed '' 'fuse: {cleanPolicy: OnDemand}' | apply
	local f top n=0
	for f in $(fields no); do
		top=${f#spec.}
		[ -n "$top" ] || continue
		case $top in
		fuse.*) change="{\"fuse\":{\"${top#fuse.}\":$(other "$top")}}" ;;
		*) change="{\"$top\":$(other "$top")}" ;;
		esac
		run kubectl patch reservoirruntime fixed --type=merge -p "{\"spec\":$change}"
		echo "$f: $output"
		[ "$status" -ne 0 ]
		[[ "$output" == *"$f"*"field is immutable"* ]]
		n=$((n + 1))
	done
	[ $n -ge 12 ]
	kubectl delete reservoirruntime fixed --timeout=20s
}

# A value that the field does not have.
other() {
	case $1 in
	tieredstore) echo '{"levels":[{"mediumtype":"MEM","path":"/dev/shm","quota":"1Gi"}]}' ;;
	freshness) echo '{"mode":"Never"}' ;;
	blockSize | readAhead) echo '"8Mi"' ;;
	fetch) echo '{"retries":1}' ;;
	fuse.options | fuse.env | fuse.nodeSelector) echo '{"k":"v"}' ;;
	fuse.resources) echo '{"requests":{"cpu":"1m"}}' ;;
	fuse.tolerations) echo '[{"key":"k","operator":"Exists"}]' ;;
	fuse.podMetadata | podMetadata) echo '{"labels":{"k":"v"}}' ;;
	fuse.volumeMounts) echo '[{"name":"v","mountPath":"/v"}]' ;;
	runAs) echo '{"uid":1,"gid":1,"user":"u","group":"g"}' ;;
	volumes) echo '[{"name":"v","emptyDir":{}}]' ;;
	imagePullSecrets) echo '[{"name":"s"}]' ;;
	disablePrometheus) echo true ;;
	*) echo "\"no value for $1\"" ;;
	esac
}

@test "a Dataset and its runtime can be deleted in every phase" {
	dataset d-notbound | apply
	{ dataset d-setup; runtime d-setup 'script/state: image'; } | apply
	{ dataset d-bound; runtime d-bound; } | apply
	{ dataset d-updating; runtime d-updating; } | apply
	{ dataset d-refused; runtime d-refused | sed 's/quota: 1Gi/quota: 0/'; } | apply
	bound d-bound
	bound d-updating
	await dataset d-notbound .status.phase NotBound
	until_true 40 says dataset d-setup '.status.conditions[?(@.type=="NotReady")].message' ImagePullBackOff
	until_true 40 says reservoirruntime d-refused '.status.conditions[*].message' 'spec.tieredstore.levels[0]'
	kubectl patch dataset d-updating --type=merge -p '{"spec":{"mounts":[{"mountPoint":"https://example.org/other/","name":"data","path":"/"}]}}'
	await dataset d-updating .status.phase Updating
	kubectl patch dataset d-bound --subresource=status --type=merge -p '{"status":{"phase":"DataMigrating"}}'
	kubectl delete dataset d-notbound d-setup d-bound d-updating d-refused --timeout=100s
	local name
	for name in d-notbound d-setup d-bound d-updating d-refused; do
		nothing_left $name
	done
}
