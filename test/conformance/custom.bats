#!/usr/bin/env bats
# CustomResourceDefinitions as kubectl sees them.

load suite

setup_file() {
	start_api
	GROUP=c$(od -An -N4 -tx4 /dev/urandom | tr -d ' ').example.com
	export GROUP
	"$KUBECTL" create --validate=false -f - <<-Y
		apiVersion: apiextensions.k8s.io/v1
		kind: CustomResourceDefinition
		metadata: {name: widgets.$GROUP}
		spec:
		  group: $GROUP
		  scope: Namespaced
		  names: {plural: widgets, kind: Widget, shortNames: [wgt]}
		  versions:
		  - name: v1
		    served: true
		    storage: true
		    subresources:
		      status: {}
		      scale: {specReplicasPath: .spec.replicas, statusReplicasPath: .status.replicas, labelSelectorPath: .status.selector}
		    additionalPrinterColumns:
		    - {name: Size, type: string, jsonPath: .spec.size}
		    - {name: Ready, type: string, jsonPath: '.status.conditions[?(@.type=="Ready")].status'}
		    - {name: Age, type: date, jsonPath: .metadata.creationTimestamp}
		    schema:
		      openAPIV3Schema:
		        type: object
		        description: A thing for tests.
		        properties:
		          spec:
		            type: object
		            required: [size]
		            properties:
		              size: {type: string, enum: [small, big], description: How large it is.}
		              replicas: {type: integer, default: 1, minimum: 0}
		              ports:
		                type: array
		                x-kubernetes-list-type: map
		                x-kubernetes-list-map-keys: [name]
		                items: {type: object, required: [name], properties: {name: {type: string}, port: {type: integer}}}
		          status:
		            type: object
		            x-kubernetes-preserve-unknown-fields: true
	Y
	"$KUBECTL" wait --for=condition=Established "crd/widgets.$GROUP" --timeout=20s
}

teardown_file() {
	"$KUBECTL" delete crd "widgets.$GROUP" --ignore-not-found --timeout=20s
	end_api
}

teardown() {
	k delete widgets --all >/dev/null 2>&1 || true
	drop_namespace
}

widget() {
	flow "{apiVersion: $GROUP/v1, kind: Widget, metadata: {name: $1}, spec: $2}"
}

@test "defaults, pruning and columns" {
	widget w '{size: small, extra: 1}' | k create --validate=false -f -
	equal '{"replicas":1,"size":"small"}' k get widget w -o 'jsonpath={.spec}'
	k get wgt | grep -q '^NAME *SIZE *READY *AGE$'
	k get wgt | grep -Eq '^w +small +[^ ]* *[0-9]+s$'
}

@test "validation names the field" {
	refused 'spec.size: Unsupported value: "huge"' k create --validate=false -f - < <(widget w '{size: huge}')
	refused 'spec.size: Required value' k create --validate=false -f - < <(widget w '{}')
	widget w '{size: big}' | k create -f -
	refused 'spec.replicas in body should be greater than or equal to 0' k patch widget w --type merge -p '{"spec":{"replicas":-1}}'
	refused 'spec.replicas in body must be of type integer' k patch widget w --type merge -p '{"spec":{"replicas":"x"}}'
}

@test "status and generation" {
	widget w '{size: big}' | k create -f -
	needs_kubectl 24
	k patch widget w --subresource status --type merge -p '{"spec":{"size":"small"},"status":{"conditions":[{"type":"Ready","status":"True"}]}}'
	equal 'big True 1' k get widget w -o 'jsonpath={.spec.size} {.status.conditions[0].status} {.metadata.generation}'
	k wait --for=condition=Ready widget/w --timeout=5s
	k patch widget w --type merge -p '{"spec":{"size":"small"},"status":{"conditions":[]}}'
	equal 'small True 2' k get widget w -o 'jsonpath={.spec.size} {.status.conditions[0].status} {.metadata.generation}'
}

@test "scale by the paths of the definition" {
	widget w '{size: big}' | k create -f -
	k scale widget w --replicas 4
	equal 4 k get widget w -o 'jsonpath={.spec.replicas}'
}

@test "apply on both sides, list-map keys" {
	widget w '{size: big}' | k apply -f -
	widget w '{size: small}' | k apply -f -
	equal small k get widget w -o 'jsonpath={.spec.size}'
	widget v '{size: big, ports: [{name: a, port: 1}]}' | k apply --server-side --field-manager one -f -
	widget v '{size: big, ports: [{name: b, port: 2}]}' | k apply --server-side --field-manager two -f -
	equal 'a b' k get widget v -o 'jsonpath={.spec.ports[*].name}'
	widget v '{size: big}' | k apply --server-side --field-manager one -f -
	equal 'b' k get widget v -o 'jsonpath={.spec.ports[*].name}'
}

@test "explain speaks of the definition" {
	"$KUBECTL" explain "widgets.$GROUP" >/dev/null 2>&1 || true
	until_true 20 explained
}

explained() {
	"$KUBECTL" explain widget.spec --api-version "$GROUP/v1" | grep -q 'How large it is'
}

@test "strategic merge patch is refused" {
	widget w '{size: big}' | k create -f -
	refused 'application/merge-patch+json' "$KUBECTL" patch widget w --namespace "$NS" --type strategic -p '{}'
}

@test "a definition goes with its objects" {
	"$KUBECTL" create --validate=false -f - <<-Y
		apiVersion: apiextensions.k8s.io/v1
		kind: CustomResourceDefinition
		metadata: {name: gadgets.$GROUP}
		spec:
		  group: $GROUP
		  scope: Namespaced
		  names: {plural: gadgets, kind: Gadget}
		  versions: [{name: v1, served: true, storage: true, schema: {openAPIV3Schema: {type: object, x-kubernetes-preserve-unknown-fields: true}}}]
	Y
	"$KUBECTL" wait --for=condition=Established "crd/gadgets.$GROUP" --timeout=20s
	flow "{apiVersion: $GROUP/v1, kind: Gadget, metadata: {name: g}, any: {thing: 1}}" | k create --validate=false -f -
	equal 1 k get gadget g -o 'jsonpath={.any.thing}'
	"$KUBECTL" delete crd "gadgets.$GROUP" --timeout=20s
	run "$KUBECTL" get --raw "/apis/$GROUP/v1/namespaces/$NS/gadgets/g"
	[ "$status" -ne 0 ]
}

@test "definitions that cannot be served are refused" {
	crd() {
		"$KUBECTL" create --validate=false -f - < <(flow "{apiVersion: apiextensions.k8s.io/v1, kind: CustomResourceDefinition, metadata: {name: $1}, spec: {group: $GROUP, scope: Namespaced, names: {plural: things, kind: Thing}, versions: $2}}")
	}
	refused 'metadata.name' crd "other.$GROUP" '[{name: v1, served: true, storage: true, schema: {openAPIV3Schema: {type: object}}}]'
	refused 'exactly one version' crd "things.$GROUP" '[{name: v1, served: true, storage: false, schema: {openAPIV3Schema: {type: object}}}]'
	refused 'schema' crd "things.$GROUP" '[{name: v1, served: true, storage: true}]'
}
