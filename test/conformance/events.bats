#!/usr/bin/env bats
# Events in both of their groups, evictions, and where a cluster's programs find its API.

load suite

@test "an Event of core is seen in events.k8s.io" {
	flow "{apiVersion: v1, kind: Event, metadata: {name: e}, involvedObject: {kind: Pod, name: p, namespace: $NS, apiVersion: v1}, reason: Fell, message: it fell over, type: Warning, count: 3, source: {component: c}, firstTimestamp: '2026-01-02T03:04:05Z', lastTimestamp: '2026-01-02T03:05:05Z'}" | k create -f -
	equal 'Pod p Fell|it fell over|3|c|2026-01-02T03:04:05Z' k get events.events.k8s.io e -o 'jsonpath={.regarding.kind} {.regarding.name} {.reason}|{.note}|{.deprecatedCount}|{.deprecatedSource.component}|{.deprecatedFirstTimestamp}'
	equal events.k8s.io/v1 k get events.events.k8s.io e -o 'jsonpath={.apiVersion}'
	k get events.events.k8s.io --no-headers | grep -Eq 'Warning +Fell +pod/p +it fell over$'
	equal e k get events.events.k8s.io --field-selector regarding.name=p -o 'jsonpath={.items[*].metadata.name}'
	equal '' k get events.events.k8s.io --field-selector regarding.name=q -o 'jsonpath={.items[*].metadata.name}'
	k delete events.events.k8s.io e
	refused 'events "e" not found' k get event e
}

@test "an Event of events.k8s.io is seen in core" {
	flow "{apiVersion: events.k8s.io/v1, kind: Event, metadata: {name: e}, regarding: {kind: Pod, name: p, namespace: $NS}, eventTime: '2026-01-02T03:04:05.000006Z', reason: Grew, action: Grow, note: it grew, type: Normal, reportingController: x.y/z, reportingInstance: z-1}" | k create -f -
	equal 'v1 Pod it grew x.y/z Grow' k get events e -o 'jsonpath={.apiVersion} {.involvedObject.kind} {.message} {.reportingComponent} {.action}'
	equal e k get events --field-selector involvedObject.name=p -o 'jsonpath={.items[*].metadata.name}'
	k patch events.events.k8s.io e --type merge -p '{"series":{"count":2,"lastObservedTime":"2026-01-02T03:05:05.000000Z"}}'
	equal 2 k get events e -o 'jsonpath={.series.count}'
}

@test "Events that are refused" {
	refused 'does not match event.namespace' k create -f - < <(flow "{apiVersion: v1, kind: Event, metadata: {name: e}, involvedObject: {kind: Pod, name: p, namespace: elsewhere}}")
	refused 'reportingController: Required value' k create -f - < <(flow "{apiVersion: events.k8s.io/v1, kind: Event, metadata: {name: e}, regarding: {kind: Pod, name: p, namespace: $NS}, eventTime: '2026-01-02T03:04:05.000006Z', reason: Grew, action: Grow, type: Normal}")
}

pod() {
	flow "{apiVersion: v1, kind: Pod, metadata: {name: $1, labels: {app: a}}, spec: {containers: [{name: c, image: i}]}}" | k create -f -
}

evict() {
	printf '{"apiVersion":"policy/v1","kind":"Eviction","metadata":{"name":"%s","namespace":"%s"}}' "$1" "$NS" >"$BATS_TEST_TMPDIR/eviction"
	"$KUBECTL" create --raw "/api/v1/namespaces/$NS/pods/$1/eviction" -f "$BATS_TEST_TMPDIR/eviction"
}

@test "evictions ask the disruption budget" {
	needs_kubectl 30
	needs_server 22
	pod p
	evict p
	refused 'pods "p" not found' k get pod p
	pod q
	k patch pod q --subresource status --type merge -p '{"status":{"phase":"Running","conditions":[{"type":"Ready","status":"True"}]}}'
	flow '{apiVersion: policy/v1, kind: PodDisruptionBudget, metadata: {name: b}, spec: {minAvailable: 1, selector: {matchLabels: {app: a}}}}' | k create -f -
	refused "Cannot evict pod as it would violate the pod's disruption budget." evict q
	k patch pdb b --subresource status --type merge -p '{"status":{"observedGeneration":1,"disruptionsAllowed":1,"currentHealthy":2,"desiredHealthy":1,"expectedPods":2}}'
	evict q
	refused 'pods "q" not found' k get pod q
	equal 0 k get pdb b -o 'jsonpath={.status.disruptionsAllowed}'
	k get pdb b -o 'jsonpath={.status.disruptedPods}' | grep -q '"q":'
}

@test "an eviction of no pod, and of another name" {
	needs_server 22
	refused 'pods "p" not found' evict p
	pod p
	printf '{"apiVersion":"policy/v1","kind":"Eviction","metadata":{"name":"other"}}' >"$BATS_TEST_TMPDIR/other"
	refused 'name in URL does not match name in Eviction object' "$KUBECTL" create --raw "/api/v1/namespaces/$NS/pods/p/eviction" -f "$BATS_TEST_TMPDIR/other"
}

@test "the cluster's own Service leads to the API" {
	[ -n "${API_DIR:-}" ] || skip 'a server may be told to leave its Endpoints to others'
	equal '443 https' "$KUBECTL" -n default get service kubernetes -o 'jsonpath={.spec.ports[0].port} {.spec.ports[0].name}'
	local port
	port=$("$KUBECTL" -n default get endpoints kubernetes -o 'jsonpath={.subsets[0].ports[0].port}')
	"$KUBECTL" config view --raw --minify -o 'jsonpath={.clusters[0].cluster.server}' | grep -q ":$port$"
}

raw() {
	"$KUBECTL" get --raw "/api/v1/namespaces/$NS/configmaps?$1"
}

@test "options of lists and watches that contradict themselves" {
	refused 'resourceVersionMatch is forbidden unless resourceVersion is provided' raw resourceVersionMatch=Exact
	refused 'resourceVersionMatch "exact" is forbidden for resourceVersion "0"' raw 'resourceVersionMatch=Exact&resourceVersion=0'
	refused 'Unsupported value: "Newest"' raw 'resourceVersionMatch=Newest&resourceVersion=1'
	refused 'Too large resource version' raw 'resourceVersion=99999999999&resourceVersionMatch=NotOlderThan'
}

@test "options of watches that begin with everything" {
	needs_server 27
	refused 'sendInitialEvents is forbidden for list' raw sendInitialEvents=true
	refused 'sendInitialEvents requires setting resourceVersionMatch to NotOlderThan' raw 'watch=true&sendInitialEvents=true'
	refused 'resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided' raw 'watch=true&resourceVersionMatch=NotOlderThan'
}
