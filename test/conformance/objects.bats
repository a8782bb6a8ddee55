#!/usr/bin/env bats
# What kubectl does with the objects of a cluster: create, apply, get, watch, patch, scale, wait, delete.

load suite

@test "create configmap and secret (protobuf bodies of new clients) and read them back" {
	k create configmap c --from-literal=a=b --from-literal=x=y
	k create secret generic s --from-literal=password=hidden
	equal b k get configmap c -o 'jsonpath={.data.a}'
	equal aGlkZGVu k get secret s -o 'jsonpath={.data.password}'
	equal Opaque k get secret s -o 'jsonpath={.type}'
	refused '"c" already exists' k create configmap c
}

@test "client-side apply twice, with a change" {
	k apply -f - <<-'Y'
		apiVersion: v1
		kind: ConfigMap
		metadata: {name: c}
		data: {a: "1", b: "2"}
	Y
	k apply -f - <<-'Y'
		apiVersion: v1
		kind: ConfigMap
		metadata: {name: c}
		data: {a: "3"}
	Y
	equal '{"a":"3"}' k get configmap c -o 'jsonpath={.data}'
}

@test "server-side apply: fields dropped, conflicts, force" {
	apply_as() {
		k apply --server-side --field-manager="$1" "${@:3}" -f - < <(flow "{apiVersion: v1, kind: ConfigMap, metadata: {name: c}, data: $2}")
	}
	apply_as one '{a: "1", b: "2"}'
	apply_as one '{a: "3"}'
	equal '{"a":"3"}' k get configmap c -o 'jsonpath={.data}'
	refused 'conflict with "one": .data.a' apply_as two '{a: "4"}'
	apply_as two '{a: "4"}' --force-conflicts
	equal 4 k get configmap c -o 'jsonpath={.data.a}'
	"$KUBECTL" get --raw "/api/v1/namespaces/$NS/configmaps/c" >"$BATS_TEST_TMPDIR/c"
	equal 'two Apply' jq -r '.metadata.managedFields[] | select(.manager == "two") | .manager + " " + .operation' "$BATS_TEST_TMPDIR/c"
}

@test "server-side apply: lists by their keys" {
	needs_server 21 # before, a port's protocol had no default there
	service() {
		k apply --server-side --field-manager="$1" -f - < <(flow "{apiVersion: v1, kind: Service, metadata: {name: s}, spec: {clusterIP: None, ports: $2}}")
	}
	service one '[{name: a, port: 80}]'
	service two '[{name: b, port: 81}]'
	equal '80 81' k get service s -o 'jsonpath={.spec.ports[*].port}'
	service one '[]'
	equal '81' k get service s -o 'jsonpath={.spec.ports[*].port}'
}

@test "get: yaml, json, wide, selectors" {
	k create configmap a && k create configmap b
	k label configmap a tier=cache
	equal a k get configmap -l tier=cache -o 'jsonpath={.items[*].metadata.name}'
	equal b k get configmap --field-selector metadata.name=b -o 'jsonpath={.items[*].metadata.name}'
	k get configmap a -o yaml | grep -q '^kind: ConfigMap$'
	k get configmap a -o json | jq -en 'input | .metadata.uid | length == 36'
	k get configmap -o wide | grep -q '^NAME *DATA *AGE$'
	refused 'is not a known field selector' k get configmap --field-selector data.a=b
	refused 'not found' k get configmap none
}

@test "get -w tells of changes" {
	"$KUBECTL" --namespace "$NS" get configmap -w --no-headers >"$BATS_TEST_TMPDIR/watch" 3>&- &
	watcher=$!
	k create configmap first
	until_true 10 grep -q '^first ' "$BATS_TEST_TMPDIR/watch"
	k patch configmap first --type merge -p '{"data":{"a":"b"}}'
	until_true 10 grep -q '^first *1 ' "$BATS_TEST_TMPDIR/watch"
	kill "$watcher"
}

@test "three kinds of patch" {
	k create configmap c --from-literal=a=1
	k patch configmap c --type merge -p '{"data":{"b":"2","a":null}}'
	equal '{"b":"2"}' k get configmap c -o 'jsonpath={.data}'
	k patch configmap c --type json -p '[{"op":"replace","path":"/data/b","value":"3"}]'
	equal '{"b":"3"}' k get configmap c -o 'jsonpath={.data}'
	k patch configmap c --type strategic -p '{"metadata":{"labels":{"x":"y"}}}'
	equal y k get configmap c -o 'jsonpath={.metadata.labels.x}'
	refused 'request' k patch configmap c --type json -p '[{"op":"test","path":"/data/b","value":"no"}]'
}

@test "strategic merge patch: list items by their keys" {
	k create -f - <<-'Y'
		apiVersion: v1
		kind: Service
		metadata: {name: s}
		spec: {clusterIP: None, ports: [{name: a, port: 80}, {name: b, port: 81}]}
	Y
	k patch service s -p '{"spec":{"ports":[{"port":80,"targetPort":8080}]}}'
	equal '8080 81' k get service s -o 'jsonpath={.spec.ports[*].targetPort}'
	k patch service s -p '{"spec":{"ports":[{"port":80,"$patch":"delete"}]}}'
	equal 81 k get service s -o 'jsonpath={.spec.ports[*].port}'
}

@test "label and annotate, add and remove" {
	k create configmap c
	k label configmap c a=b && k annotate configmap c 'note=some words'
	equal 'b some words' k get configmap c -o 'jsonpath={.metadata.labels.a} {.metadata.annotations.note}'
	refused 'already has a value' k label configmap c a=c
	k label configmap c a-
	equal '' k get configmap c -o 'jsonpath={.metadata.labels.a}'
}

stateful_set() {
	k create -f - <<-'Y'
		apiVersion: apps/v1
		kind: StatefulSet
		metadata: {name: s}
		spec:
		  serviceName: s
		  replicas: 0
		  selector: {matchLabels: {app: s}}
		  template:
		    metadata: {labels: {app: s}}
		    spec:
		      nodeSelector: {conformance/nowhere: "true"}
		      containers: [{name: c, image: "registry.invalid/none:1"}]
	Y
}

@test "defaults, generation and scale of a StatefulSet" {
	stateful_set
	equal '1 OrderedReady RollingUpdate 10' k get sts s -o 'jsonpath={.metadata.generation} {.spec.podManagementPolicy} {.spec.updateStrategy.type} {.spec.revisionHistoryLimit}'
	equal 'IfNotPresent Always' k get sts s -o 'jsonpath={.spec.template.spec.containers[0].imagePullPolicy} {.spec.template.spec.restartPolicy}'
	k scale sts s --replicas 1
	equal '1 2' k get sts s -o 'jsonpath={.spec.replicas} {.metadata.generation}'
	k scale sts s --current-replicas 1 --replicas 0
	"$KUBECTL" get --raw "/apis/apps/v1/namespaces/$NS/statefulsets/s/scale" | jq -en 'input | .kind == "Scale" and (.spec.replicas // 0) == 0 and .status.selector == "app=s"'
	k label sts s x=y
	equal 3 k get sts s -o 'jsonpath={.metadata.generation}'
	refused 'are forbidden' k patch sts s -p '{"spec":{"serviceName":"other"}}'
}

@test "a status write leaves the spec alone and the reverse" {
	stateful_set
	k patch sts s --type merge -p '{"spec":{"replicas":0},"status":{"replicas":9}}'
	equal 0 k get sts s -o 'jsonpath={.status.replicas}'
	needs_kubectl 24
	k patch sts s --subresource status --type merge -p '{"spec":{"replicas":7},"status":{"observedGeneration":0}}'
	equal 0 k get sts s -o 'jsonpath={.spec.replicas}'
}

@test "a pod that no node takes: defaults, describe, wait, delete" {
	k create -f - <<-'Y'
		apiVersion: v1
		kind: Pod
		metadata: {name: p}
		spec:
		  nodeSelector: {conformance/nowhere: "true"}
		  containers: [{name: c, image: "registry.invalid/none:1", resources: {limits: {cpu: 100m, memory: 1Mi}}}]
	Y
	equal 'Pending Guaranteed ClusterFirst 30' k get pod p -o 'jsonpath={.status.phase} {.status.qosClass} {.spec.dnsPolicy} {.spec.terminationGracePeriodSeconds}'
	k describe pod p | grep -q '^QoS Class: *Guaranteed$'
	k get pods | grep -q '^p  *0/1  *Pending'
	refused 'timed out' k wait --for=condition=Ready pod/p --timeout=1s
	refused 'may not change fields' k patch pod p -p '{"spec":{"restartPolicy":"Never"}}'
	equal '' k logs p
	k delete pod p --timeout=20s
	refused 'not found' k get pod p
}

@test "finalizers hold an object until they are gone" {
	k create configmap c
	k patch configmap c --type merge -p '{"metadata":{"finalizers":["example.com/hold"]}}'
	k delete configmap c --wait=false
	k get configmap c -o 'jsonpath={.metadata.deletionTimestamp}' | grep -q T
	refused 'no new finalizers can be added' k patch configmap c --type merge -p '{"metadata":{"finalizers":["example.com/hold","example.com/more"]}}'
	k patch configmap c --type merge -p '{"metadata":{"finalizers":null}}'
	refused 'not found' k get configmap c
}

@test "a stale version is a conflict" {
	k create configmap c
	k get configmap c -o json >"$BATS_TEST_TMPDIR/c"
	k label configmap c a=b
	refused 'the object has been modified' k replace -f "$BATS_TEST_TMPDIR/c"
}

@test "dry run on the server changes nothing" {
	k create configmap c --dry-run=server
	refused 'not found' k get configmap c
	k create configmap c
	k delete configmap c --dry-run=server
	k get configmap c
}

@test "unknown and duplicate fields" {
	needs_kubectl 25
	needs_server 25
	refused 'unknown field "metadata.nam"' k create -f - < <(flow '{apiVersion: v1, kind: ConfigMap, metadata: {name: c, nam: d}}')
	run k create --validate=warn -f - < <(flow '{apiVersion: v1, kind: ConfigMap, metadata: {name: c, nam: d}}')
	[ "$status" -eq 0 ]
	[[ $output == *'unknown field "metadata.nam"'* ]]
}

@test "invalid objects are refused with their field" {
	refused 'metadata.name: Invalid value' k create configmap Bad_Name
	refused 'spec.selector' k create --validate=false -f - < <(flow '{apiVersion: apps/v1, kind: StatefulSet, metadata: {name: s}, spec: {serviceName: s, template: {spec: {containers: [{name: c, image: i}]}}}}')
	refused 'selector` does not match template `labels`' k create --validate=false -f - < <(flow '{apiVersion: apps/v1, kind: DaemonSet, metadata: {name: d}, spec: {selector: {matchLabels: {a: b}}, template: {metadata: {labels: {a: c}}, spec: {containers: [{name: c, image: i}]}}}}')
	NS=none refused 'namespaces "none" not found' k create configmap c
}

@test "lists in chunks show one moment" {
	for i in 1 2 3 4 5; do
		echo "{\"apiVersion\":\"v1\",\"kind\":\"ConfigMap\",\"metadata\":{\"name\":\"c$i\"}}"
	done | k create -f -
	first=$("$KUBECTL" get --raw "/api/v1/namespaces/$NS/configmaps?limit=2&labelSelector=!none")
	token=$(jq -r .metadata.continue <<<"$first")
	k delete configmap c4
	names=$(jq -r '.items[].metadata.name' <<<"$first")
	while [ -n "$token" ] && [ "$token" != null ]; do
		page=$("$KUBECTL" get --raw "/api/v1/namespaces/$NS/configmaps?limit=2&labelSelector=!none&continue=$token")
		names="$names $(jq -r '.items[].metadata.name' <<<"$page")"
		token=$(jq -r .metadata.continue <<<"$page")
	done
	for i in 1 2 3 4 5; do
		[[ $names == *"c$i"* ]]
	done
}

@test "volumes are protected, services have addresses" {
	k create -f - <<-'Y'
		apiVersion: v1
		kind: PersistentVolumeClaim
		metadata: {name: v}
		spec: {storageClassName: conformance-none, accessModes: [ReadOnlyMany], resources: {requests: {storage: 1Gi}}}
	Y
	equal 'Pending kubernetes.io/pvc-protection Filesystem' k get pvc v -o 'jsonpath={.status.phase} {.metadata.finalizers[0]} {.spec.volumeMode}'
	refused 'immutable' k patch pvc v -p '{"spec":{"accessModes":["ReadWriteOnce"]}}'
	k create service clusterip s --tcp 80
	k get service s -o 'jsonpath={.spec.clusterIP}' | grep -Eq '^[0-9a-f.:]+$'
}

@test "auth can-i, api-resources, explain, version" {
	equal yes k auth can-i create pods
	"$KUBECTL" api-resources --no-headers | grep -q '^statefulsets *sts *apps/v1 *true *StatefulSet$'
	"$KUBECTL" api-versions | grep -qx 'storage.k8s.io/v1'
	"$KUBECTL" explain pod.spec.containers | grep -q imagePullPolicy
	"$KUBECTL" get --raw /readyz | grep -q ok
}
