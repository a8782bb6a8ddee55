#!/usr/bin/env bats
# The kinds of data.fluid.io as a user of kubectl meets them: names, columns, explain, what is refused and with which words.
bats_require_minimum_version 1.5.0

load ../conformance/suite

setup_file() {
	unset KUBECONFIG
	start_api
	"$SLUICE" crds | "$KUBECTL" apply -f - >/dev/null
	for kind in dataset alluxioruntime jindoruntime reservoirruntime dataload dataprocess databackup datamigrate; do
		until_true 20 "$KUBECTL" get "$kind" >/dev/null 2>&1
	done
}

# The object $2 of the kind $1 whose spec is $3 (JSON).
object() {
	printf '{"apiVersion": "data.fluid.io/v1alpha1", "kind": "%s", "metadata": {"name": "%s"}, "spec": %s}' "$@"
}

create() {
	object "$@" | k create -f -
}

# refused KIND SPEC WORDS: the API says no, in these words.
refused() {
	run -1 create "$1" x "$2"
	[[ $output == *"$3"* ]] || { echo "$1 $2: $output"; return 1; }
}

# The heading of the table that kubectl prints of $1.
heading() {
	k get "$1" -o wide "${@:2}" | head -n 1 | sed 's/  */ /g; s/ $//'
}

@test "kubectl explain answers for every level of a spec" {
	run -0 "$KUBECTL" explain jindoruntime.spec.tieredstore
	[[ $output == *"Where the workers keep the cache"* && $output == *"levels"* ]]
	run -0 "$KUBECTL" explain alluxioruntime.spec.master.ports
	[[ $output == *"Ports by their purpose"* ]]
	run -0 "$KUBECTL" explain jindoruntime.spec.tieredstore.levels.volumeSource.emptyDir.medium
	[[ $output == *"Memory"* ]]
	run -0 "$KUBECTL" explain dataset.status.conditions
	run -1 "$KUBECTL" explain jindoruntime.spec.nope
}

@test "short names and the category reach every kind" {
	create Dataset d '{"mounts": [{"mountPoint": "https://example.org/"}]}'
	create AlluxioRuntime d '{"replicas": 1}'
	create JindoRuntime d '{"replicas": 1}'
	create ReservoirRuntime d '{}'
	run -0 k get alluxio,jindo,reservoir,dataset -o name
	[ "${#lines[@]}" -eq 4 ]
	run -0 k get fluid -o name
	[ "${#lines[@]}" -eq 4 ]
}

@test "columns are Fluid's" {
	create Dataset d '{}'
	create AlluxioRuntime d '{}'
	create JindoRuntime d '{}'
	[ "$(heading dataset)" = "NAME UFS TOTAL SIZE CACHED CACHE CAPACITY CACHED PERCENTAGE PHASE HCFS URL TOTAL FILES CACHE HIT RATIO AGE" ]
	runtime="READY MASTERS DESIRED MASTERS MASTER PHASE READY WORKERS DESIRED WORKERS WORKER PHASE READY FUSES DESIRED FUSES FUSE PHASE"
	[ "$(heading jindoruntime)" = "NAME $runtime AGE" ]
	[ "$(heading alluxioruntime)" = "NAME $runtime API GATEWAY AGE" ]
	[ "$(k get jindoruntime | head -n 1 | sed 's/  */ /g; s/ $//')" = "NAME MASTER PHASE WORKER PHASE FUSE PHASE AGE" ]
}

@test "data operations have their names and columns too" {
	create DataLoad d '{"dataset": {"name": "d"}}'
	create DataBackup d '{"dataset": "d", "backupPath": "local:///backup"}'
	create DataMigrate d '{"from": {"externalStorage": {"uri": "s3://b"}}, "to": {"dataset": {"name": "d", "namespace": "n"}}}'
	create DataProcess d '{"dataset": {"name": "d", "mountPath": "/data"}, "processor": {"script": {"source": "ls"}}}'
	[ "$(heading load)" = "NAME DATASET PHASE AGE DURATION" ]
	[ "$(heading backup)" = "NAME DATASET PHASE PATH NODENAME DURATION AGE" ]
	[ "$(heading migrate)" = "NAME PHASE AGE DURATION" ]
	[ "$(heading dataprocess)" = "NAME DATASET PHASE AGE DURATION" ]
	[ "$(k get load d -o 'jsonpath={.spec.policy}')" = Once ]
	[ "$(k get dataprocess d -o 'jsonpath={.spec.processor.script.restartPolicy}')" = Never ]
	refused DataLoad '{"dataset": {"name": "d"}, "runAfter": {"kind": "Job", "name": "x"}}' \
		'spec.runAfter.kind: Unsupported value: "Job": supported values: "DataLoad", "DataBackup", "DataMigrate", "DataProcess"'
	refused DataMigrate '{"from": {}}' 'spec.to: Required value'
}

@test "what a column shows is the status" {
	create JindoRuntime d '{"replicas": 2}'
	k get jindoruntime d -o json | jq '.status = {valueFile: "v", masterPhase: "Ready", workerPhase: "PartialReady", fusePhase: "Ready",
		masterNumberReady: 1, desiredMasterNumberScheduled: 1, currentMasterNumberScheduled: 1, workerNumberReady: 1,
		desiredWorkerNumberScheduled: 2, currentWorkerNumberScheduled: 2, fuseNumberReady: 0, desiredFuseNumberScheduled: 0,
		currentFuseNumberScheduled: 0}' |
		"$KUBECTL" replace --raw "/apis/data.fluid.io/v1alpha1/namespaces/$NS/jindoruntimes/d/status" -f - >/dev/null
	run -0 k get jindoruntime d -o wide --no-headers
	[[ $output =~ ^d\ +1\ +1\ +Ready\ +1\ +2\ +PartialReady\ +0\ +0\ +Ready\  ]]
	k scale jindoruntime d --replicas 3
	[ "$(k get jindoruntime d -o 'jsonpath={.spec.replicas}')" = 3 ]
}

@test "what is wrong is named by its path and its value" {
	refused JindoRuntime '{"networkmode": "Bridge"}' \
		'spec.networkmode: Unsupported value: "Bridge": supported values: "HostNetwork", "", "ContainerNetwork"'
	refused JindoRuntime '{"master": {"replicas": 0}}' \
		'spec.master.replicas: Invalid value: 0: spec.master.replicas in body should be greater than or equal to 1'
	refused AlluxioRuntime '{"tieredstore": {"levels": [{"mediumtype": "TAPE"}]}}' \
		'spec.tieredstore.levels[0].mediumtype: Unsupported value: "TAPE": supported values: "MEM", "SSD", "HDD"'
	refused AlluxioRuntime '{"tieredstore": {"levels": [{"mediumtype": "MEM", "quotaList": "1Gi;2Gi"}]}}' \
		'spec.tieredstore.levels[0].quotaList in body should match'
	refused AlluxioRuntime '{"runAs": {"uid": 1, "gid": 1, "user": "u"}}' 'spec.runAs.group: Required value'
	refused Dataset '{"mounts": [{"mountPoint": "abc"}]}' \
		'spec.mounts[0].mountPoint: Invalid value: "abc": spec.mounts[0].mountPoint in body should be at least 5 chars long'
	refused Dataset '{"mounts": []}' 'spec.mounts: Invalid value: 0: spec.mounts in body should have at least 1 items'
	refused Dataset '{"nodeAffinity": {"required": {}}}' 'spec.nodeAffinity.required.nodeSelectorTerms: Required value'
}

@test "a field of no kind is refused by its path" {
	needs_kubectl 25
	refused Dataset '{"mounts": [{"mountPoint": "https://example.org/", "optoins": {}}]}' 'unknown field "spec.mounts[0].optoins"'
}

@test "defaults are written, and what may not change keeps its value" {
	create AlluxioRuntime d '{"tieredstore": {"levels": [{"mediumtype": "MEM", "path": "/dev/shm", "quota": "1Gi"}]}, "management": {"cleanCachePolicy": {}}}'
	[ "$(k get alluxio d -o 'jsonpath={.spec.tieredstore.levels[0].volumeType} {.spec.management.cleanCachePolicy.gracePeriodSeconds}')" = "hostPath 60" ]
	k patch alluxio d --type merge -p '{"spec": {"replicas": 2, "fuse": {"cleanPolicy": "OnDemand"}}}'
	run -1 k patch alluxio d --type merge -p '{"spec": {"hadoopConfig": "x", "fuse": {"image": "y"}}}'
	[[ $output == *'spec.hadoopConfig: Invalid value: "x": field is immutable'* ]]
	[[ $output == *'spec.fuse.image: Invalid value: "y": field is immutable'* ]]
}
