#!/usr/bin/env bats
# Definitions that want the same names, and fields that may be selected by.

load suite

setup() {
	make_namespace
	GROUP=$NS.example.com
}

teardown() {
	"$KUBECTL" delete crd -l "test=$NS" >/dev/null
	drop_namespace
}

# crd PLURAL NAMES [VERSION-MEMBERS]
crd() {
	flow "{apiVersion: apiextensions.k8s.io/v1, kind: CustomResourceDefinition, metadata: {name: $1.$GROUP, labels: {test: $NS}}, spec: {group: $GROUP, scope: Namespaced, names: {plural: $1, $2}, versions: [{name: v1, served: true, storage: true, schema: {openAPIV3Schema: {type: object, properties: {spec: {type: object, properties: {color: {type: string}}}}}}${3:-}}]}}" | "$KUBECTL" apply -f - >/dev/null
}

condition() {
	"$KUBECTL" get crd "$1.$GROUP" -o "jsonpath={.status.conditions[?(@.type==\"$2\")].$3}"
}

is_established() {
	[ "$(condition "$1" Established status)" = True ]
}

is_refused() {
	[ "$(condition "$1" NamesAccepted status)" = False ]
}

@test "a name that is taken is given when it is free" {
	crd ones 'kind: One, shortNames: [x]'
	until_true 20 is_established ones
	crd twos 'kind: One'
	until_true 20 is_refused twos
	equal ListKindConflict condition twos NamesAccepted reason
	equal '"OneList" is already in use' condition twos NamesAccepted message
	equal 'False NotAccepted' condition twos Established 'status} {.status.conditions[?(@.type=="Established")].reason'
	refused 'could not find the requested resource' "$KUBECTL" get --raw "/apis/$GROUP/v1/twos"
	crd threes 'kind: Three, shortNames: [x]'
	until_true 20 is_refused threes
	equal ShortNamesConflict condition threes NamesAccepted reason
	"$KUBECTL" delete crd "ones.$GROUP"
	until_true 20 is_established twos
	until_true 20 is_established threes
	equal 'True NoConflicts' condition twos NamesAccepted 'status} {.status.conditions[?(@.type=="NamesAccepted")].reason'
	until_true 20 "$KUBECTL" get --raw "/apis/$GROUP/v1/twos"
}

@test "selectable fields" {
	needs_server 31
	crd ones 'kind: One' ', selectableFields: [{jsonPath: .spec.color}]'
	until_true 20 is_established ones
	until_true 20 "$KUBECTL" get --raw "/apis/$GROUP/v1/ones"
	for color in red blue; do
		flow "{apiVersion: $GROUP/v1, kind: One, metadata: {name: $color}, spec: {color: $color}}" | k create -f -
	done
	equal blue k get "ones.$GROUP" --field-selector spec.color=blue -o 'jsonpath={.items[*].metadata.name}'
	equal red k get "ones.$GROUP" --field-selector spec.color!=blue -o 'jsonpath={.items[*].metadata.name}'
	refused 'spec.size' k get "ones.$GROUP" --field-selector spec.size=1
}
