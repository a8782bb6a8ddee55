/* How a kind is addressed over HTTP. */
#pragma once

#include <stdbool.h>

struct kube_resource {
	const char *group;   /* "" for core */
	const char *version; /* "v1" */
	const char *kind;    /* "StatefulSet" */
	const char *plural;  /* "statefulsets" */
	bool namespaced;
};

/** "v1" or "group/version" into @out of at least 128 bytes; returns @out. */
const char *kube_api_version(const struct kube_resource *r, char out[static 128]);

/* Kubernetes' own resources that controllers use. Ours are in src/api/. */
extern const struct kube_resource KUBE_NAMESPACE, KUBE_NODE, KUBE_POD, KUBE_CONFIGMAP, KUBE_SECRET,
	KUBE_SERVICE_ACCOUNT, KUBE_SERVICE, KUBE_ENDPOINTS, KUBE_EVENT, KUBE_PV, KUBE_PVC, KUBE_STATEFULSET,
	KUBE_DAEMONSET, KUBE_DEPLOYMENT, KUBE_REPLICASET, KUBE_JOB, KUBE_CRONJOB, KUBE_STORAGE_CLASS, KUBE_CSI_DRIVER,
	KUBE_CSI_NODE, KUBE_LEASE, KUBE_CRD;
