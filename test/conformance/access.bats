#!/usr/bin/env bats
# Roles that gather rules of others, the roles every cluster has, and tokens that die with what they are bound to.

load suite

setup() {
	make_namespace
	USER_NAME=user-$NS
}

teardown() {
	"$KUBECTL" delete clusterrole,clusterrolebinding -l "test=$NS" >/dev/null
	drop_namespace
}

as_user() {
	k --as "$USER_NAME" "$@"
}

role() {
	flow "{apiVersion: rbac.authorization.k8s.io/v1, kind: ClusterRole, metadata: {name: $1, labels: {test: $NS$2}}, $3}" | "$KUBECTL" apply -f - >/dev/null
}

can() {
	[ "$(as_user auth can-i "$@" || true)" = yes ]
}

@test "a ClusterRole gathers the rules of those it selects" {
	role "all-$NS" '' "aggregationRule: {clusterRoleSelectors: [{matchLabels: {gather: $NS}}]}"
	k create rolebinding b --clusterrole="all-$NS" --user="$USER_NAME"
	cannot list pods
	role "one-$NS" ", gather: $NS" 'rules: [{apiGroups: [""], resources: [pods], verbs: [list]}]'
	until_true 20 can list pods
	role "two-$NS" ", gather: $NS" 'rules: [{apiGroups: [""], resources: [configmaps], verbs: [get]}]'
	until_true 20 can get configmaps
	"$KUBECTL" delete clusterrole "one-$NS"
	until_true 20 cannot list pods
	can get configmaps
}

cannot() {
	! can "$@"
}

@test "who has rules gathered must have them all" {
	"$KUBECTL" create clusterrole "$NS" --verb=create,update,patch,get,list --resource=clusterroles
	"$KUBECTL" create clusterrolebinding "$NS" --clusterrole="$NS" --user="$USER_NAME"
	"$KUBECTL" label clusterrole,clusterrolebinding "$NS" "test=$NS"
	refused 'must have cluster-admin privileges to use the aggregationRule' as_user create -f - < <(flow "{apiVersion: rbac.authorization.k8s.io/v1, kind: ClusterRole, metadata: {name: x-$NS}, aggregationRule: {clusterRoleSelectors: [{matchLabels: {a: b}}]}}")
	refused 'at least one clusterRoleSelector required if aggregationRule is non-nil' "$KUBECTL" create -f - < <(flow "{apiVersion: rbac.authorization.k8s.io/v1, kind: ClusterRole, metadata: {name: x-$NS}, aggregationRule: {}}")
}

@test "view, edit and admin" {
	k create rolebinding v --clusterrole=view --user="$USER_NAME"
	can list pods
	can get deployments.apps
	cannot get secrets
	cannot create pods
	k create rolebinding e --clusterrole=edit --user="$USER_NAME"
	can get secrets
	can create pods
	can list pods
	cannot create roles.rbac.authorization.k8s.io
	k create rolebinding a --clusterrole=admin --user="$USER_NAME"
	can create roles.rbac.authorization.k8s.io
	k delete rolebinding v e a
	cannot list pods
}

with_token() {
	"$KUBECTL" config view --raw --minify >"$BATS_TEST_TMPDIR/config"
	"$KUBECTL" --kubeconfig "$BATS_TEST_TMPDIR/config" config set-credentials holder --token="$1" >/dev/null
	"$KUBECTL" --kubeconfig "$BATS_TEST_TMPDIR/config" --user holder --namespace "$NS" "${@:2}"
}

no_credential() {
	refused 'Unauthorized' with_token "$1" get --raw /api 2>/dev/null
}

@test "a token dies with the pod or secret it is bound to" {
	needs_kubectl 24
	flow '{apiVersion: v1, kind: Pod, metadata: {name: p}, spec: {containers: [{name: c, image: i}]}}' | k create -f -
	k create secret generic s
	local pod secret
	pod=$(k create token default --bound-object-kind Pod --bound-object-name p)
	secret=$(k create token default --bound-object-kind Secret --bound-object-name s)
	with_token "$pod" get --raw /api >/dev/null
	with_token "$secret" get --raw /api >/dev/null
	k delete secret s
	k delete pod p --grace-period=0 --force
	until_true 60 no_credential "$pod" # a real server remembers for some seconds who a token was
	until_true 60 no_credential "$secret"
}

@test "bindings of tokens that are refused" {
	needs_kubectl 24
	k create serviceaccount other
	flow '{apiVersion: v1, kind: Pod, metadata: {name: p}, spec: {containers: [{name: c, image: i}]}}' | k create -f -
	refused 'pods "none" not found' k create token default --bound-object-kind Pod --bound-object-name none
	refused 'cannot bind token for serviceaccount "other" to pod running with different serviceaccount name.' k create token other --bound-object-kind Pod --bound-object-name p
	refused 'the UID in the bound object reference (12345) does not match the UID in record' k create token default --bound-object-kind Pod --bound-object-name p --bound-object-uid 12345
}
