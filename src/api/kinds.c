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
