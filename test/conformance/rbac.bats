#!/usr/bin/env bats
# Who may do what: roles and bindings enforced, reviews, refusals as Kubernetes words them. Users are impersonated by the administrator.

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

@test "without a binding nothing is allowed but discovery" {
	refused "configmaps is forbidden: User \"$USER_NAME\" cannot list resource \"configmaps\" in API group \"\" in the namespace \"$NS\"" as_user get configmaps
	refused "statefulsets.apps \"x\" is forbidden: User \"$USER_NAME\" cannot get resource \"statefulsets\" in API group \"apps\" in the namespace \"$NS\"" as_user get statefulset x
	refused "nodes is forbidden: User \"$USER_NAME\" cannot list resource \"nodes\" in API group \"\" at the cluster scope" as_user get nodes
	refused 'forbidden: User' as_user get --raw /metrics
	as_user get --raw /version
	as_user api-resources --api-group apps | grep -q deployments
	equal no run_no as_user auth can-i list pods
}

# auth can-i says no with status 1.
run_no() {
	"$@" || true
}

@test "a role in one namespace" {
	k create role r --verb=get,list,create --resource=configmaps
	k create rolebinding b --role=r --user="$USER_NAME"
	as_user create configmap c --from-literal=a=b
	equal b as_user get configmap c -o 'jsonpath={.data.a}'
	refused 'cannot delete resource "configmaps"' as_user delete configmap c
	refused 'cannot list resource "configmaps" in API group "" in the namespace "default"' "$KUBECTL" --as "$USER_NAME" -n default get configmaps
	equal yes as_user auth can-i create configmaps
	equal no run_no as_user auth can-i create secrets
	as_user auth can-i --list | grep -Eq '^configmaps +\[\] +\[\] +\[get list create\]'
}

@test "names of objects and subresources" {
	k create role r --verb=get --resource=configmaps --resource-name=one
	k create role s --verb=get --resource=pods/log
	k create rolebinding r --role=r --user="$USER_NAME"
	k create rolebinding s --role=s --user="$USER_NAME"
	k create configmap one
	k create configmap two
	as_user get configmap one
	refused 'configmaps "two" is forbidden' as_user get configmap two
	refused 'configmaps is forbidden' as_user get configmaps
	equal yes as_user auth can-i get pods --subresource=log
	equal no run_no as_user auth can-i get pods
	refused 'resource "deployments/scale" in API group "apps"' as_user get --raw "/apis/apps/v1/namespaces/$NS/deployments/x/scale"
}

@test "groups, service accounts and the whole cluster" {
	"$KUBECTL" create clusterrole "$NS" --verb=list --resource=nodes,pods
	"$KUBECTL" create clusterrolebinding "$NS" --clusterrole="$NS" --group="group-$NS" --serviceaccount="$NS:default"
	"$KUBECTL" label clusterrole,clusterrolebinding "$NS" "test=$NS"
	as_user --as-group "group-$NS" get nodes
	refused 'nodes is forbidden' as_user --as-group other get nodes
	"$KUBECTL" --as "system:serviceaccount:$NS:default" get pods -A
	refused 'cannot delete resource "nodes"' "$KUBECTL" --as "system:serviceaccount:$NS:default" delete node x
	k create rolebinding v --clusterrole="$NS" --user="$USER_NAME"
	as_user get pods
	refused 'at the cluster scope' as_user get pods -A
}

@test "paths that are no resources" {
	"$KUBECTL" create clusterrole "$NS" --verb=get --non-resource-url='/metrics'
	"$KUBECTL" create clusterrolebinding "$NS" --clusterrole="$NS" --user="$USER_NAME"
	"$KUBECTL" label clusterrole,clusterrolebinding "$NS" "test=$NS"
	as_user get --raw /metrics >/dev/null
}

@test "nobody gives away what he has not" {
	k create role r --verb=get,list,create --resource=roles
	k create rolebinding r --role=r --user="$USER_NAME"
	refused 'is attempting to grant RBAC permissions not currently held' as_user create role x --verb=get --resource=secrets
	as_user create role y --verb=get --resource=roles
}

@test "a role is bound by those who hold its rules" {
	k create role r --verb=get,create,list --resource=rolebindings,configmaps
	k create role reader --verb=get --resource=secrets
	k create role maps --verb=get --resource=configmaps
	k create rolebinding r --role=r --user="$USER_NAME"
	refused 'is attempting to grant RBAC permissions not currently held' as_user create rolebinding x --role=reader --user=other
	as_user create rolebinding y --role=maps --user=other
}

@test "reviews of others and of oneself" {
	k create role r --verb=get --resource=configmaps
	k create rolebinding b --role=r --user="$USER_NAME"
	review() {
		flow "{apiVersion: authorization.k8s.io/v1, kind: SubjectAccessReview, spec: {user: $1, resourceAttributes: {namespace: $NS, verb: get, resource: configmaps}}}" |
			"$KUBECTL" create -f - -o 'jsonpath={.status.allowed}'
	}
	equal true review "$USER_NAME"
	equal false review nobody
	needs_server 28
	flow '{apiVersion: authentication.k8s.io/v1, kind: SelfSubjectReview}' >"$BATS_TEST_TMPDIR/self"
	equal "$USER_NAME system:authenticated" as_user create --validate=false -f "$BATS_TEST_TMPDIR/self" -o 'jsonpath={.status.userInfo.username} {.status.userInfo.groups[0]}'
}

@test "a review of nothing" {
	needs_kubectl 21 # older ones keep the message to themselves
	refused 'exactly one of nonResourceAttributes or resourceAttributes must be specified' "$KUBECTL" create -f - < <(flow "{apiVersion: authorization.k8s.io/v1, kind: SubjectAccessReview, spec: {user: u}}")
}
