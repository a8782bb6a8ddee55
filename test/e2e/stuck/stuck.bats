#!/usr/bin/env bats
# Ways in which Datasets are known to get stuck in Fluid (the numbers are its threads): each cause is brought about, and the Dataset must get
# where it belongs by itself, or say what it waits for.

load helpers

setup_file() {
	start_cluster
}

teardown_file() {
	stop_cluster
}

teardown() {
	show_on_failure
}

@test "8: a Dataset whose runtime was deleted first is NotBound again, and can be deleted" {
	{ dataset a8; runtime a8; } | apply
	bound a8
	kubectl delete reservoirruntime a8 --timeout=60s
	await dataset a8 .status.phase NotBound
	kubectl delete dataset a8 --timeout=60s
	nothing_left a8
}

@test "34: claim and volume go with the Dataset when the pod that held them has gone" {
	{ dataset a34; runtime a34; } | apply
	bound a34
	kubectl run reader34 --image=x --overrides='{"spec":{"containers":[{"name":"c","image":"x"}],"volumes":[{"name":"d","persistentVolumeClaim":{"claimName":"a34"}}]}}'
	await pod reader34 .status.phase Running
	kubectl delete dataset a34 --wait=false
	until_true 30 says dataset a34 '.status.conditions[?(@.type=="DeletionBlocked")].message' "Pod reader34 in Namespace default is using it"
	kubectl delete pvc a34 --wait=false
	kubectl delete pod reader34
	nothing_left a34
}

@test "176: pods that have ended hold nothing" {
	{ dataset a176; runtime a176; } | apply
	bound a176
	kubectl run done176 --image=x --restart=Never --labels=role=test-clean --overrides='{"spec":{"containers":[{"name":"c","image":"x"}],"volumes":[{"name":"d","persistentVolumeClaim":{"claimName":"a176"}}]}}'
	await pod done176 .status.phase Succeeded
	kubectl delete dataset a176 --timeout=60s
	nothing_left a176
	kubectl delete pod done176
}

@test "216: workers that crash again and again: the Dataset says why, and is bound when the spec is mended" {
	{ dataset a216; runtime a216 'script/state: crash'; } | apply
	until_true 40 says dataset a216 '.status.conditions[?(@.type=="NotReady")].message' "CrashLoopBackOff: back-off 10s restarting failed container"
	script a216 'script/state: ready'
	bound a216
	is dataset a216 '.status.conditions[?(@.type=="NotReady")].status' ""
	kubectl delete dataset a216 --wait=false
}

@test "230: cleaning up is given up after its grace, whatever the number of files" {
	{ dataset a230; runtime a230 '' 'management: {cleanCachePolicy: {gracePeriodSeconds: 1, maxRetryAttempts: 1}}'; } | apply
	bound a230
	kubectl annotate node n1 n2 script/clean=never
	kubectl delete dataset a230 --timeout=60s
	nothing_left a230
	event_on a230 CacheNotCleaned
	kubectl annotate node n1 n2 script/clean-
}

@test "571: a runtime that never held anything goes at once" {
	{ dataset a571; runtime a571 '' 'worker: {nodeSelector: {no: such-node}}' | grep -v podMetadata; } | apply
	until_true 40 says dataset a571 '.status.conditions[?(@.type=="NotReady")].message' "0 of 1 workers are ready"
	kubectl delete reservoirruntime a571 --timeout=20s
	kubectl delete dataset a571 --timeout=20s
	nothing_left a571
}

# The label with which an Exclusive dataset holds its node was written in one spelling and removed in another.
@test "574: a node that an Exclusive Dataset held is free when it has gone, and the next one takes it" {
	local held
	{ dataset a574 | sed 's/Shared/Exclusive/'; runtime a574 '' 'worker: {nodeSelector: {kubernetes.io/hostname: n1}}' | grep -v podMetadata; } | apply
	bound a574
	until_true 30 says node n1 '.metadata.labels' '"fluid_exclusive":"default_a574"'
	{ dataset b574 | sed 's/Shared/Exclusive/'; runtime b574 '' 'worker: {nodeSelector: {kubernetes.io/hostname: n1}}' | grep -v podMetadata; } | apply
	until_true 40 says reservoirruntime b574 '.status.conditions[?(@.type=="WorkersInitialized")].message' "0/2 nodes can take a worker"
	is dataset b574 .status.phase NotBound
	kubectl delete dataset a574 --timeout=60s
	bound b574
	until_true 30 says node n1 '.metadata.labels' '"fluid_exclusive":"default_b574"'
	kubectl delete dataset b574 --timeout=60s
	nothing_left b574
	held=$(value node n1 .metadata.labels)
	[[ $held != *fluid_exclusive* ]]
}

@test "1260: a Dataset is bound when its workers are ready, and not before" {
	{ dataset a1260; runtime a1260 'script/state: unready'; } | apply
	await reservoirruntime a1260 .status.workerPhase NotReady
	await pod a1260-worker-0 .status.phase Running
	is dataset a1260 .status.phase NotBound
	script a1260 ''
	bound a1260
	kubectl delete dataset a1260 --wait=false
}

# What a cache system said of its sources outlives the workers that said it.
@test "totals are right, and stay so while workers are made anew" {
	{ dataset totals; runtime totals; } | apply
	await dataset totals .status.ufsTotal 2.00KiB
	is dataset totals .status.fileNum 3
	script totals 'script/note: changed'
	await pod totals-worker-0 '.metadata.annotations.script/note' changed
	bound totals
	is dataset totals .status.ufsTotal 2.00KiB
	kubectl delete dataset totals --wait=false
}

# Its load is still running when a Dataset is deleted: what it names is not there any more, and still it must end.
@test "1419: a DataLoad can be deleted after its Dataset, and a Dataset although a DataLoad is at work on it" {
	{ dataset a1419; runtime a1419; } | apply
	bound a1419
	kubectl apply -f - >/dev/null <<-'YAML'
		apiVersion: data.fluid.io/v1alpha1
		kind: DataLoad
		metadata: {name: load1419}
		spec: {dataset: {name: a1419, namespace: default}}
	YAML
	kubectl patch dataset a1419 --subresource=status --type=merge -p '{"status":{"operationRef":{"DataLoad":"load1419"}}}'
	kubectl delete dataset a1419 --timeout=60s
	nothing_left a1419
	kubectl delete dataload load1419 --ignore-not-found --timeout=20s
	gone dataload load1419
}

# Controllers of operations write to the same status.
@test "others who write to a Dataset's status while it is bound lose nothing, and hinder nothing" {
	{ dataset others; runtime others; } | apply
	local i
	for i in 1 2 3 4 5 6; do
		kubectl patch dataset others --subresource=status --type=merge -p "{\"status\":{\"conditions\":[],\"operationRef\":{\"DataLoad\":\"load$i\"}}}" || true
	done
	bound others
	is dataset others .status.operationRef.DataLoad load6
	await dataset others '.status.conditions[?(@.type=="Ready")].status' True
	kubectl delete dataset others --wait=false
}

# The thread could not be found. What is followed: nodes that hold several datasets keep labels of those that have gone.
@test "1461: nodes count the datasets they hold, and keep nothing of those that went" {
	{ dataset a1461; runtime a1461; dataset b1461; runtime b1461; } | apply
	bound a1461
	bound b1461
	kubectl delete dataset a1461 b1461 --timeout=60s
	nothing_left a1461
	nothing_left b1461
}

@test "1540: a pod that does not end is named, and everything goes when it ends" {
	{ dataset a1540; runtime a1540 'script/ending: stuck'; } | apply
	bound a1540
	kubectl delete dataset a1540 --wait=false
	until_true 40 says reservoirruntime a1540 '.status.conditions[?(@.type=="Deleted")].message' "waiting for pod a1540-worker-0 to end"
	kubectl annotate pod a1540-worker-0 --overwrite script/ending=at-once
	nothing_left a1540
}

# The thread could not be found. What is followed: a cache system's answer that cannot be understood, taken for a total.
@test "1697: a cache system that prints garbage costs its own Dataset an Event, and is heard when it speaks sense" {
	{ dataset a1697; runtime a1697 'script/answer: garbage'; } | apply
	bound a1697
	until_true 60 event_on a1697 EngineDoesNotAnswer
	script a1697 'script/answer: good'
	await dataset a1697 .status.ufsTotal 2.00KiB
	kubectl delete dataset a1697 --wait=false
}

@test "1970: what was deleted while the controller was down goes when it is up again" {
	{ dataset a1970; runtime a1970; } | apply
	bound a1970
	stop_process controller KILL
	kubectl delete reservoirruntime a1970 --wait=false
	kubectl delete dataset a1970 --wait=false
	start_controller
	nothing_left a1970
}

@test "2164: Dataset and runtime may come in either order, with anything between them" {
	dataset a2164 | apply
	await dataset a2164 .status.phase NotBound
	runtime b2164 | apply
	until_true 30 event_on b2164 ErrorProcessRuntime
	runtime a2164 | apply
	dataset b2164 | apply
	bound a2164
	bound b2164
	kubectl delete dataset a2164 b2164 --wait=false
}

@test "2165: a bound Dataset can be deleted, and takes its runtime with it" {
	{ dataset a2165; runtime a2165; } | apply
	bound a2165
	kubectl delete dataset a2165 --timeout=60s
	nothing_left a2165
}

@test "2283: a Dataset that was never bound can be deleted" {
	dataset a2283 | apply
	await dataset a2283 .status.phase NotBound
	kubectl delete dataset a2283 --timeout=20s
	nothing_left a2283
}

@test "2389: workloads that somebody deleted come back" {
	{ dataset a2389; runtime a2389; } | apply
	bound a2389
	local uid
	uid=$(value statefulset a2389-worker .metadata.uid)
	kubectl delete statefulset/a2389-worker daemonset/a2389-fuse configmap/a2389-config
	until_true 40 value statefulset a2389-worker .metadata.uid
	[ "$(value statefulset a2389-worker .metadata.uid)" != "$uid" ]
	until_true 40 value configmap a2389-config .metadata.uid
	await reservoirruntime a2389 .status.workerPhase Ready
	bound a2389
	kubectl delete dataset a2389 --wait=false
}

@test "2397: a runtime whose spec was refused can be deleted and made again" {
	{ dataset a2397; runtime a2397 | sed 's/quota: 1Gi/quota: 0/'; } | apply
	until_true 40 says reservoirruntime a2397 '.status.conditions[*].message' 'spec.tieredstore.levels[0]'
	kubectl delete reservoirruntime a2397 --timeout=20s
	runtime a2397 | apply
	bound a2397
	kubectl delete dataset a2397 --wait=false
}

# The release of a runtime's chart stayed "pending-install", so nothing was done for it any more.
@test "2764: an installation that was cut short is finished: a controller that is killed in the middle of Setup goes on where it was" {
	local i
	for i in 1 2 3; do
		{ dataset "a2764x$i"; runtime "a2764x$i"; } | apply
		stop_process controller KILL
		start_controller
	done
	for i in 1 2 3; do
		bound "a2764x$i"
		kubectl delete dataset "a2764x$i" --wait=false
	done
	stop_process controller KILL
	start_controller
	for i in 1 2 3; do
		nothing_left "a2764x$i"
	done
}

@test "3334: a runtime whose Dataset was removed by force can be deleted" {
	{ dataset a3334; runtime a3334; } | apply
	bound a3334
	stop_process controller KILL
	kubectl patch dataset a3334 --type=merge -p '{"metadata":{"finalizers":null}}'
	kubectl delete dataset a3334 --timeout=20s
	kubectl delete reservoirruntime a3334 --wait=false
	start_controller
	nothing_left a3334
}

# What was kept of the runtime before was asked and used for one of the same name.
@test "4328: a Dataset made again under its name is served by its new runtime, of another kind even, and not by what is remembered" {
	{ dataset a4328; runtime a4328; } | apply
	bound a4328
	await dataset a4328 .status.ufsTotal 2.00KiB
	local uid
	uid=$(value configmap a4328-config .metadata.uid)
	kubectl delete dataset a4328 --timeout=60s
	dataset a4328 | apply
	kubectl apply -f - >/dev/null <<-'YAML'
		apiVersion: data.fluid.io/v1alpha1
		kind: RcloneRuntime
		metadata: {name: a4328}
		spec: {replicas: 1, cacheSize: 64Mi}
	YAML
	bound a4328
	is dataset a4328 '.status.runtimes[*].type' rclone
	kubectl delete dataset a4328 --timeout=60s
	until_true 40 gone rcloneruntime a4328
	dataset a4328 | apply
	runtime a4328 '' | sed 's/quota: 1Gi/quota: 3Gi/' | apply
	bound a4328
	is dataset a4328 '.status.runtimes[*].type' reservoir
	await dataset a4328 .status.ufsTotal 2.00KiB
	[ "$(value configmap a4328-config .metadata.uid)" != "$uid" ]
	kubectl delete dataset a4328 --timeout=60s
	nothing_left a4328
}

@test "a cache system that hangs costs its own Dataset an Event, and the others nothing" {
	{ dataset hangs; runtime hangs 'script/answer: hang'; } | apply
	bound hangs
	{ dataset beside; runtime beside; } | apply
	bound beside
	await dataset beside .status.ufsTotal 2.00KiB
	until_true 60 event_on hangs EngineDoesNotAnswer
	kubectl delete dataset hangs beside --timeout=60s
	nothing_left hangs
}

@test "5099: workers that somebody scaled away come back" {
	{ dataset a5099; runtime a5099; } | apply
	bound a5099
	kubectl scale statefulset a5099-worker --replicas=0
	await statefulset a5099-worker .spec.replicas 1
	await reservoirruntime a5099 .status.workerPhase Ready
	bound a5099
	kubectl delete dataset a5099 --wait=false
}

@test "6136: a Dataset made again while its old runtime still ends is bound to the new one" {
	{ dataset a6136; runtime a6136; } | apply
	bound a6136
	kubectl patch reservoirruntime a6136 --type=json -p '[{"op":"add","path":"/metadata/finalizers/-","value":"example.org/hold"}]'
	kubectl delete dataset a6136 --timeout=60s
	dataset a6136 | apply
	await dataset a6136 .status.phase NotBound
	until_true 40 value reservoirruntime a6136 .metadata.deletionTimestamp
	until_true 40 gone statefulset a6136-worker
	kubectl patch reservoirruntime a6136 --type=merge -p '{"metadata":{"finalizers":null}}'
	until_true 40 gone reservoirruntime a6136
	runtime a6136 | apply
	bound a6136
	kubectl delete dataset a6136 --timeout=60s
	nothing_left a6136
}

@test "6160: a Dataset whose workers were away is bound again when they are back" {
	{ dataset a6160; runtime a6160; } | apply
	bound a6160
	script a6160 'script/state: unready'
	await reservoirruntime a6160 .status.workerPhase NotReady
	script a6160 ''
	await reservoirruntime a6160 .status.workerPhase Ready
	bound a6160
	is dataset a6160 '.status.conditions[?(@.type=="Ready")].status' True
	kubectl delete dataset a6160 --timeout=60s
	nothing_left a6160
}
