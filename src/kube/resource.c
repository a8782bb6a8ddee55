#include "kube/resource.h"

#include <stdio.h>

const char *kube_api_version(const struct kube_resource *r, char out[static 128])
{
	(void)snprintf(out, 128, "%s%s%s", r->group, r->group[0] != '\0' ? "/" : "",
		       r->version); /* names of ours: they fit */
	return out;
}

#define RESOURCE(id, g, v, k, p, ns)                                                                                   \
	const struct kube_resource id = {.group = (g), .version = (v), .kind = (k), .plural = (p), .namespaced = (ns)}

RESOURCE(KUBE_NAMESPACE, "", "v1", "Namespace", "namespaces", false);
RESOURCE(KUBE_NODE, "", "v1", "Node", "nodes", false);
RESOURCE(KUBE_POD, "", "v1", "Pod", "pods", true);
RESOURCE(KUBE_CONFIGMAP, "", "v1", "ConfigMap", "configmaps", true);
RESOURCE(KUBE_SECRET, "", "v1", "Secret", "secrets", true);
RESOURCE(KUBE_SERVICE_ACCOUNT, "", "v1", "ServiceAccount", "serviceaccounts", true);
RESOURCE(KUBE_SERVICE, "", "v1", "Service", "services", true);
RESOURCE(KUBE_ENDPOINTS, "", "v1", "Endpoints", "endpoints", true);
RESOURCE(KUBE_EVENT, "", "v1", "Event", "events", true);
RESOURCE(KUBE_PV, "", "v1", "PersistentVolume", "persistentvolumes", false);
RESOURCE(KUBE_PVC, "", "v1", "PersistentVolumeClaim", "persistentvolumeclaims", true);
RESOURCE(KUBE_STATEFULSET, "apps", "v1", "StatefulSet", "statefulsets", true);
RESOURCE(KUBE_DAEMONSET, "apps", "v1", "DaemonSet", "daemonsets", true);
RESOURCE(KUBE_DEPLOYMENT, "apps", "v1", "Deployment", "deployments", true);
RESOURCE(KUBE_REPLICASET, "apps", "v1", "ReplicaSet", "replicasets", true);
RESOURCE(KUBE_JOB, "batch", "v1", "Job", "jobs", true);
RESOURCE(KUBE_CRONJOB, "batch", "v1", "CronJob", "cronjobs", true);
RESOURCE(KUBE_STORAGE_CLASS, "storage.k8s.io", "v1", "StorageClass", "storageclasses", false);
RESOURCE(KUBE_CSI_DRIVER, "storage.k8s.io", "v1", "CSIDriver", "csidrivers", false);
RESOURCE(KUBE_CSI_NODE, "storage.k8s.io", "v1", "CSINode", "csinodes", false);
RESOURCE(KUBE_LEASE, "coordination.k8s.io", "v1", "Lease", "leases", true);
RESOURCE(KUBE_CRD, "apiextensions.k8s.io", "v1", "CustomResourceDefinition", "customresourcedefinitions", false);
