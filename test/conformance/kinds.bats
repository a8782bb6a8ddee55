#!/usr/bin/env bats
# Kinds of apps, batch, rbac, policy and scheduling: what the server fills in, what kubectl shows of them, what is refused.

load suite

POD='{metadata: {labels: {a: b}}, spec: {containers: [{name: c, image: i}]}}'

@test "a Deployment gets its defaults, is scaled and shown" {
	k create deployment d --image=i:1
	equal '1 RollingUpdate 25% 25% 10 600 Always ClusterFirst' k get deployment d -o 'jsonpath={.spec.replicas} {.spec.strategy.type} {.spec.strategy.rollingUpdate.maxUnavailable} {.spec.strategy.rollingUpdate.maxSurge} {.spec.revisionHistoryLimit} {.spec.progressDeadlineSeconds} {.spec.template.spec.restartPolicy} {.spec.template.spec.dnsPolicy}'
	k scale deployment d --replicas 3
	equal 3 k get deploy d -o 'jsonpath={.spec.replicas}'
	k get deploy d -o wide --no-headers | grep -Eq '^d +0/3 +[0-3] +0 +[0-9]+s +i +i:1 +app=d$'
	k set image deployment/d i=i:2
	equal 3 k get deploy d -o 'jsonpath={.metadata.generation}'
}

@test "a Deployment that contradicts itself is refused" {
	refused '`selector` does not match template `labels`' k create -f - < <(flow "{apiVersion: apps/v1, kind: Deployment, metadata: {name: d}, spec: {selector: {matchLabels: {a: c}}, template: $POD}}")
	refused "may not be specified when strategy \`type\` is 'Recreate'" k create -f - < <(flow "{apiVersion: apps/v1, kind: Deployment, metadata: {name: d}, spec: {strategy: {type: Recreate, rollingUpdate: {maxSurge: 1}}, selector: {matchLabels: {a: b}}, template: $POD}}")
	refused 'supported values: "Always"' k create -f - < <(flow "{apiVersion: apps/v1, kind: Deployment, metadata: {name: d}, spec: {selector: {matchLabels: {a: b}}, template: {metadata: {labels: {a: b}}, spec: {restartPolicy: Never, containers: [{name: c, image: i}]}}}}")
	k create deployment d --image=i
	refused 'field is immutable' k patch deployment d --type merge -p '{"spec":{"selector":{"matchLabels":{"x":"y"}},"template":{"metadata":{"labels":{"x":"y"}}}}}'
}

@test "ReplicaSet and ControllerRevision" {
	flow "{apiVersion: apps/v1, kind: ReplicaSet, metadata: {name: r}, spec: {selector: {matchLabels: {a: b}}, template: $POD}}" | k create -f -
	equal 1 k get rs r -o 'jsonpath={.spec.replicas}'
	k scale rs r --replicas 2
	k get rs r --no-headers | grep -Eq '^r +2 +[0-2] +0 '
	flow '{apiVersion: apps/v1, kind: ControllerRevision, metadata: {name: v}, revision: 3, data: {spec: [1, two]}}' | k create -f -
	k get controllerrevision v --no-headers | grep -Eq '^v +<none> +3 '
	refused 'data: Invalid value' k patch controllerrevision v --type merge -p '{"data":{"spec":[2]}}'
	k patch controllerrevision v --type merge -p '{"revision":4}'
}

@test "a Job gets a selector of its own" {
	needs_server 29
	k create job j --image=i
	local uid
	uid=$(k get job j -o 'jsonpath={.metadata.uid}')
	equal "$uid" k get job j -o 'jsonpath={.spec.selector.matchLabels.batch\.kubernetes\.io/controller-uid}'
	equal "$uid j" k get job j -o 'jsonpath={.spec.template.metadata.labels.controller-uid} {.spec.template.metadata.labels.job-name}'
	equal '1 1 6 NonIndexed false TerminatingOrFailed' k get job j -o 'jsonpath={.spec.parallelism} {.spec.completions} {.spec.backoffLimit} {.spec.completionMode} {.spec.suspend} {.spec.podReplacementPolicy}'
	k get job j --no-headers | grep -Eq '^j +Running +0/1 +[0-9]+s$'
	refused 'spec.template: Invalid value' k patch job j --type merge -p '{"spec":{"template":{"spec":{"priority":1}}}}'
	refused 'valid values: "OnFailure", "Never"' k create -f - < <(flow "{apiVersion: batch/v1, kind: Job, metadata: {name: k}, spec: {template: $POD}}")
}

# Clients before 1.21 create CronJobs of a version that is gone: so from a document.
cron() {
	k create -f - < <(flow "{apiVersion: batch/v1, kind: CronJob, metadata: {name: $1}, spec: {schedule: '$2', jobTemplate: {spec: {template: {spec: {restartPolicy: OnFailure, containers: [{name: c, image: i}]}}}}}}")
}

@test "a CronJob and what is no schedule" {
	needs_server 21
	cron c '*/5 1-3,7 * jan-mar mon'
	equal 'Allow false 3 1 OnFailure' k get cj c -o 'jsonpath={.spec.concurrencyPolicy} {.spec.suspend} {.spec.successfulJobsHistoryLimit} {.spec.failedJobsHistoryLimit} {.spec.jobTemplate.spec.template.spec.restartPolicy}'
	k get cj c --no-headers | grep -Eq 'False +0 +<none> '
	cron d @daily
	refused 'expected exactly 5 fields, found 1' cron e now
	refused 'end of range (61) above maximum (59)' cron e '61 * * * *'
	refused 'Invalid value' cron e '* * 5-3 * *'
}

@test "roles and bindings" {
	k create role r --verb=get,list --resource=pods,configmaps
	k create rolebinding b --role=r --user=u --serviceaccount="$NS:default"
	equal 'rbac.authorization.k8s.io rbac.authorization.k8s.io' k get rolebinding b -o 'jsonpath={.roleRef.apiGroup} {.subjects[0].apiGroup}'
	k get rolebinding b -o wide --no-headers | grep -Eq "^b +Role/r +[0-9]+s +u +$NS/default\$"
	refused 'cannot change roleRef' k patch rolebinding b --type merge -p '{"roleRef":{"name":"other"}}'
	refused 'rules[0].verbs: Required value: verbs must contain at least one value' k create -f - < <(flow '{apiVersion: rbac.authorization.k8s.io/v1, kind: Role, metadata: {name: x}, rules: [{apiGroups: [""], resources: [pods], verbs: []}]}')
	refused 'namespaced rules cannot apply to non-resource URLs' k create -f - < <(flow '{apiVersion: rbac.authorization.k8s.io/v1, kind: Role, metadata: {name: x}, rules: [{nonResourceURLs: ["/x"], verbs: [get]}]}')
	k create clusterrole "$NS:x" --verb=get --resource=nodes
	k create clusterrolebinding "$NS" --clusterrole="$NS:x" --group=g
	refused 'supported values: "ClusterRole"' "$KUBECTL" create -f - < <(flow '{apiVersion: rbac.authorization.k8s.io/v1, kind: ClusterRoleBinding, metadata: {name: bad}, roleRef: {kind: Role, name: x, apiGroup: rbac.authorization.k8s.io}}')
	"$KUBECTL" delete clusterrole "$NS:x"
	"$KUBECTL" delete clusterrolebinding "$NS"
}

@test "a disruption budget" {
	needs_server 21
	flow '{apiVersion: policy/v1, kind: PodDisruptionBudget, metadata: {name: p}, spec: {minAvailable: 50%, selector: {matchLabels: {a: b}}}}' | k create -f -
	k get pdb p --no-headers | grep -Eq '^p +50% +N/A +0 '
	refused 'cannot be both set' k patch pdb p --type merge -p '{"spec":{"maxUnavailable":1}}'
	refused 'must not be greater than 100%' k patch pdb p --type merge -p '{"spec":{"minAvailable":"101%"}}'
}

@test "priorities reach the pods" {
	"$KUBECTL" create priorityclass "$NS" --value=7 --preemption-policy=Never
	flow "{apiVersion: v1, kind: Pod, metadata: {name: p}, spec: {priorityClassName: $NS, containers: [{name: c, image: i}]}}" | k create -f -
	equal '7 Never' k get pod p -o 'jsonpath={.spec.priority} {.spec.preemptionPolicy}'
	refused 'no PriorityClass with name none was found' k create -f - < <(flow "{apiVersion: v1, kind: Pod, metadata: {name: q}, spec: {priorityClassName: none, containers: [{name: c, image: i}]}}")
	refused 'may not be changed in an update' "$KUBECTL" patch priorityclass "$NS" --type merge -p '{"value":8}'
	equal 2000001000 "$KUBECTL" get priorityclass system-node-critical -o 'jsonpath={.value}'
	"$KUBECTL" delete priorityclass "$NS"
}
