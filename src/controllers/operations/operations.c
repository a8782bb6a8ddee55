#include "controllers/operations/operations.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "api/dataset.h"
#include "base/cleanup.h"
#include "base/error.h"
#include "base/str.h"
#include "controllers/operations/internal.h"
#include "kube/client.h"
#include "json/json.h"

#define INDEX_DATASET "operations/dataset" /* namespace and name of the Dataset that an operation is for */

static const struct operation_kind *const kinds[] = {&data_load_operation, &data_process_operation};

const struct permission operation_permissions[] = {
	{SLUICE_GROUP, "dataloads,dataprocesses", "list,watch,patch,delete"},
	{SLUICE_GROUP, "dataloads/status,dataprocesses/status", "patch"},
	{SLUICE_GROUP, "datasets", "list,watch"},
	{SLUICE_GROUP, "datasets/status", "patch"},
	{"batch", "jobs,cronjobs", "list,watch,create,patch,delete"},
	{"", "configmaps", "get,create,patch,delete"},
	{"", "pods", "list,watch"},
	{"", "pods/log", "get"},
	{.resources = NULL},
};

int operation_controller_new(const struct operation_options *o, const struct kind *kind,
			     struct operation_controller **ret, struct error *err)
{
	struct operation_controller *c = calloc(1, sizeof *c);
	if (c == NULL)
		return error_set(err, -ENOMEM, "%s: out of memory", kind->resource.kind);
	c->o = *o;
	for (size_t i = 0; i < ARRAY_LEN(kinds); i++)
		if (kinds[i]->kind == kind)
			c->k = kinds[i];
	if (c->k == NULL) {
		free(c);
		return error_set(err, -ENOENT, "%s has no controller", kind->resource.kind);
	}
	*ret = c;
	return 0;
}

void operation_controller_free(struct operation_controller *c)
{
	free(c);
}

static char *dataset_of(const json_t *op)
{
	return str_printf("%s/%s", obj_namespace(op), operation_target(op));
}

/* A Dataset that comes, is bound or goes: those that wait for it or work on it. What has ended and runs once waits for nothing. */
static void map_dataset(void *ctx, struct controller *controller, const json_t *dataset)
{
	struct operation_controller *c = ctx;
	CLEANUP(free_p) char *key = str_printf("%s/%s", obj_namespace(dataset), obj_name(dataset));
	JSON_AUTO list = key != NULL ? informer_list_by(c->informer, INDEX_DATASET, key) : NULL;
	size_t i;
	json_t *op;
	json_array_foreach (list, i, op) {
		const char *phase = json_str(op, "status.phase", "");
		if (operation_is_cron(op) || (strcmp(phase, "Complete") != 0 && strcmp(phase, "Failed") != 0))
			controller_enqueue(controller, obj_namespace(op), obj_name(op));
	}
}

static int set_up(struct operation_controller *c, struct manager *m)
{
	const struct kube_resource *r = &c->k->kind->resource;
	c->informer = manager_informer(m, r);
	int rc = c->informer != NULL ? informer_add_index(c->informer, INDEX_DATASET, dataset_of) : -ENOMEM;
	if (rc == 0)
		rc = controller_watch(c->controller, r);
	if (rc == 0)
		rc = controller_watch_owned(c->controller, &KUBE_JOB, r);
	if (rc == 0)
		rc = controller_watch_owned(c->controller, &KUBE_CRONJOB, r);
	return rc == 0 ? controller_watch_mapped(c->controller, &dataset_kind.resource, map_dataset, c) : rc;
}

int operation_controller_register(struct operation_controller *c, struct manager *m, int workers, struct error *err)
{
	int rc = controller_new(m,
				&(struct controller_options){.name = c->k->kind->singular,
							     .workers = workers,
							     .reconcile = operation_reconcile,
							     .ctx = c,
							     .free_ctx = free},
				&c->controller, err);
	if (rc < 0) {
		operation_controller_free(c);
		return rc;
	}
	rc = set_up(c, m);
	return rc < 0 ? error_set(err, rc, "%s: cannot set up its watches", c->k->kind->resource.kind) : 0;
}
