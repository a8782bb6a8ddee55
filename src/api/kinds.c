/* The kinds of data.fluid.io that this program has. A new kind is one line here. */
#include <string.h>

#include "api/kind.h"
#include "api/rclone_runtime.h"
/* +scaffold:headers */

const struct kind *const sluice_kinds[] = {
	&dataset_kind,
	&alluxio_runtime_kind,
	&jindo_runtime_kind,
	&rclone_runtime_kind,
	&reservoir_runtime_kind,
	&data_load_kind,
	&data_process_kind,
	&data_backup_kind,
	&data_migrate_kind,
	/* +scaffold:kinds */
	NULL,
};

const struct kind *sluice_kind_find(const char *group, const char *kind)
{
	for (const struct kind *const *k = sluice_kinds; *k != NULL; k++)
		if (strcmp((*k)->resource.group, group) == 0 && strcmp((*k)->resource.kind, kind) == 0)
			return *k;
	return NULL;
}

const struct kind_subresource kind_subresources[] = {
	{SUB_REMOTE, "attach", "", "v1", "PodAttachOptions", VERB_CREATE | VERB_GET},
	{SUB_BINDING, "binding", "", "v1", "Binding", VERB_CREATE},
	{SUB_EVICTION, "eviction", "policy", "v1", "Eviction", VERB_CREATE},
	{SUB_REMOTE, "exec", "", "v1", "PodExecOptions", VERB_CREATE | VERB_GET},
	{SUB_FINALIZE, "finalize", NULL, NULL, NULL, VERB_UPDATE},
	{SUB_LOG, "log", NULL, NULL, NULL, VERB_GET},
	{SUB_REMOTE, "portforward", "", "v1", "PodPortForwardOptions", VERB_CREATE | VERB_GET},
	{SUB_SCALE, "scale", "autoscaling", "v1", "Scale", VERB_GET | VERB_PATCH | VERB_UPDATE},
	{SUB_TOKEN, "token", "authentication.k8s.io", "v1", "TokenRequest", VERB_CREATE},
	{SUB_STATUS, "status", NULL, NULL, NULL, VERB_GET | VERB_PATCH | VERB_UPDATE},
	{.name = NULL},
};
