#!/usr/bin/env bats
# Tokens of service accounts: asked for, used, reviewed, and void when their account is gone.

load suite

setup() {
	make_namespace
	needs_kubectl 24
	CONFIG=$BATS_TEST_TMPDIR/config
	"$KUBECTL" config view --raw --minify >"$CONFIG"
}

# with_token TOKEN ARGUMENT...: kubectl with these credentials alone.
with_token() {
	"$KUBECTL" --kubeconfig "$CONFIG" config set-credentials holder --token="$1" >/dev/null
	"$KUBECTL" --kubeconfig "$CONFIG" --user holder --namespace "$NS" "${@:2}"
}

review() {
	flow "{apiVersion: authentication.k8s.io/v1, kind: TokenReview, spec: {token: \"$1\"${2:+, audiences: [$2]}}}" |
		"$KUBECTL" create -f - -o 'jsonpath={.status.authenticated} {.status.user.username}'
}

@test "a token is its account's, with what that may do" {
	local token
	token=$(k create token default)
	refused "configmaps is forbidden: User \"system:serviceaccount:$NS:default\" cannot list resource" with_token "$token" get configmaps
	k create role r --verb=list --resource=configmaps
	k create rolebinding b --role=r --serviceaccount="$NS:default"
	with_token "$token" get configmaps
	needs_server 28
	equal "system:serviceaccount:$NS:default" with_token "$token" auth whoami -o 'jsonpath={.status.userInfo.username}'
}

@test "what is no token is no credential" {
	local token
	token=$(k create token default)
	refused 'Unauthorized' with_token "x$token" get --raw /api
	refused 'Unauthorized' with_token nonsense get --raw /api
	refused 'Unauthorized' with_token "$(k create token default --audience elsewhere)" get --raw /api
}

@test "a token ends with its account" {
	k create serviceaccount sa
	local token
	token=$(k create token sa)
	with_token "$token" get --raw /api
	k delete serviceaccount sa
	until_true 20 refused 'Unauthorized' with_token "$token" get --raw /api
	k create serviceaccount sa
	refused 'Unauthorized' with_token "$token" get --raw /api
}

@test "reviews of tokens" {
	local token
	token=$(k create token default --audience elsewhere)
	equal ' ' review "$token"
	equal "true system:serviceaccount:$NS:default" review "$token" elsewhere
	equal ' ' review nonsense
}

@test "requests that are refused" {
	refused 'may not specify a duration less than 10 minutes' k create token default --duration 1m
	refused 'serviceaccounts "none" not found' k create token none
	refused 'cannot create resource "serviceaccounts/token"' k --as nobody create token default
}
