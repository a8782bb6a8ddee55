#include "kit/world.h"

#include <stdio.h>
#include <string.h>

#include "api/dataset.h"
#include "base/cleanup.h"
#include "base/file.h"
#include "base/log.h"
#include "base/str.h"
#include "controllers/dataset.h"
#include "local/api_server.h"
#include "runtime/objects.h"
#include "json/json.h"

#define NODES 3

/* --- the API as controllers see it: straight to the server, every write counted ------------------------------------------------- */

/* Remembered once each; a note that is lost for want of memory is one check less. */
static void note_use(struct world *w, const struct kube_resource *r, const char *sub, const char *verb)
{
	json_t *use = sub == NULL ? json_pack("[s,s,s]", r->group, r->plural, verb)
				  : json_pack("[s,o,s]", r->group, json_sprintf("%s/%s", r->plural, sub), verb);
	for (size_t i = 0; i < json_array_size(w->used); i++)
		if (json_equal(json_array_get(w->used, i), use)) {
			json_decref(use);
			return;
		}
	(void)json_array_append_new(w->used, use);
}

static json_t *api_get(void *ctx, const struct kube_resource *r, const char *ns, const char *name)
{
	struct world *w = ctx;
	json_t *obj = NULL;
	return kube_get(w->client, r, ns, name, &obj, NULL) == 0 ? obj : NULL;
}

static json_t *api_list(void *ctx, const struct kube_resource *r, const char *ns, const char *label, const char *value)
{
	struct world *w = ctx;
	JSON_AUTO list = NULL;
	CLEANUP(free_p)
	char *fields =
		label != NULL && strcmp(label, ENGINE_LIST_CACHES) == 0 ? str_printf("spec.nodeName=%s", value) : NULL;
	if (label != NULL && strcmp(label, ENGINE_LIST_CLAIMS) == 0)
		label = NULL; /* more than asked for: whoever asks looks at each */
	if (fields != NULL) {
		label = LABEL_DATASET;
		value = NULL;
	}
	CLEANUP(free_p)
	char *selector = label == NULL ? NULL : value == NULL ? strdup(label) : str_printf("%s=%s", label, value);
	if (kube_list(w->client, r, ns,
		      &(struct kube_list_options){.label_selector = selector, .field_selector = fields}, &list,
		      NULL) < 0)
		return NULL;
	json_t *items = json_object_get(list, "items"), *obj;
	char version[128];
	size_t i;
	json_array_foreach (items, i, obj) /* a list of one type does not repeat it */
		if (json_put_str(obj, "kind", r->kind) < 0 ||
		    json_put_str(obj, "apiVersion", kube_api_version(r, version)) < 0)
			return NULL;
	return json_incref(items);
}

static int api_visit(void *ctx, const struct kube_resource *r, bool (*fn)(void *arg, const json_t *obj), void *arg)
{
	JSON_AUTO all = api_list(ctx, r, NULL, NULL, NULL);
	size_t i;
	json_t *obj;
	json_array_foreach (all, i, obj)
		if (!fn(arg, obj))
			break;
	return all != NULL ? 0 : -ENOMEM;
}

static int before_write(struct world *w, struct error *err)
{
	const long n = atomic_fetch_add(&w->writes, 1);
	if (w->crash_after < 0 || n < w->crash_after)
		return 0;
	w->crashed = true;
	return error_set(err, -EIO, "the kit has killed this controller before its write number %ld", n + 1);
}

static int api_apply(void *ctx, const struct kube_resource *r, const char *ns, const char *name, const json_t *obj,
		     struct error *err)
{
	struct world *w = ctx;
	const int rc = before_write(w, err);
	note_use(w, r, NULL, "create");
	note_use(w, r, NULL, "patch");
	return rc < 0 ? rc : kube_apply(w->client, r, ns, name, NULL, obj, NULL, err);
}

static int api_patch(void *ctx, const struct kube_resource *r, const char *ns, const char *name, const char *sub,
		     const json_t *patch, struct error *err)
{
	struct world *w = ctx;
	const int rc = before_write(w, err);
	note_use(w, r, sub, "patch");
	return rc < 0 ? rc : kube_patch(w->client, r, ns, name, sub, KUBE_PATCH_MERGE, patch, NULL, err);
}

static int api_remove(void *ctx, const struct kube_resource *r, const char *ns, const char *name, struct error *err)
{
	struct world *w = ctx;
	int rc = before_write(w, err);
	note_use(w, r, NULL, "delete");
	if (rc == 0)
		rc = kube_delete(w->client, r, ns, name,
				 &(struct kube_delete_options){.grace_seconds = -1, .propagation = "Background"}, err);
	return rc == -ENOENT ? 0 : rc;
}

static void api_event(void *ctx, const json_t *obj, const char *type, const char *reason, const char *message)
{
	struct world *w = ctx;
	(void)obj;
	(void)json_array_append_new(w->events,
				    json_sprintf("%s %s: %s", type, reason, message)); /* missed: its case fails */
}

static int api_exec(void *ctx, const struct engine_question *q, const struct engine_exec *x, struct engine_output *ret,
		    struct error *err)
{
	struct world *w = ctx;
	return answers_exec(w->answers, q, x, ret, err);
}

/* --- objects -------------------------------------------------------------------------------------------------------------------- */

json_t *world_get(struct world *w, const struct kube_resource *r, const char *name)
{
	return api_get(w, r, KIT_NS, name);
}

json_t *world_list(struct world *w, const struct kube_resource *r)
{
	json_t *list = api_list(w, r, KIT_NS, NULL, NULL);
	return list != NULL ? list : json_array();
}

int world_patch(struct world *w, const struct kube_resource *r, const char *name, const char *sub, const json_t *patch,
		struct error *err)
{
	return kube_patch(w->client, r, KIT_NS, name, sub, KUBE_PATCH_MERGE, patch, NULL, err);
}

int world_delete(struct world *w, const struct kube_resource *r, const char *name, struct error *err)
{
	const int rc = kube_delete(w->client, r, KIT_NS, name, NULL, err);
	return rc == -ENOENT ? 0 : rc;
}

static int create_object(struct world *w, const struct kube_resource *r, const char *spec, struct error *err)
{
	char version[128];
	json_t *want = json_object_get(w->o->script, spec);
	JSON_AUTO obj = json_pack("{s:s,s:s,s:{s:s},s:O}", "apiVersion", kube_api_version(r, version), "kind", r->kind,
				  "metadata", "name", KIT_NAME, "spec", want);
	return obj != NULL ? kube_create(w->client, r, KIT_NS, obj, NULL, err)
			   : error_set(err, -ENOMEM, "out of memory");
}

int world_create_dataset(struct world *w, struct error *err)
{
	return create_object(w, &dataset_kind.resource, "dataset", err);
}

int world_create_runtime(struct world *w, struct error *err)
{
	return create_object(w, w->o->controller->resource, "runtime", err);
}

/* --- the world ------------------------------------------------------------------------------------------------------------------ */

static void stop_controllers(struct world *w)
{
	for (size_t i = 0; i < ARRAY_LEN(w->reconcilers); i++) {
		reconciler_free(w->reconcilers[i]);
		w->reconcilers[i] = NULL;
	}
	dataset_controller_free(w->datasets);
	w->datasets = NULL;
}

int world_restart(struct world *w, size_t n, struct error *err)
{
	stop_controllers(w);
	w->crashed = false;
	w->crash_after = -1;
	int rc = dataset_controller_new(&(struct dataset_controller_options){.api = &w->api, .log = log_root()},
					&w->datasets, err);
	for (size_t i = 0; i < n && rc == 0; i++)
		rc = reconciler_new(&(struct reconciler_options){.runtime = record_controller(w, w->o->controller),
								 .kind = w->o->kind,
								 .api = &w->api,
								 .limits = &w->limits,
								 .log = log_root(),
								 .ask_figures = true},
				    &w->reconcilers[i], err);
	return rc;
}

int world_step(struct world *w, size_t i, struct error *err)
{
	struct reconcile_result again = {0};
	w->last = (struct error){0};
	if (reconciler_reconcile(w->reconcilers[i], KIT_NS, KIT_NAME, &again, &w->last) == 0)
		w->last.code = 0; /* a reason of waiting is no error */
	struct error unused;
	if (!w->crashed)
		(void)dataset_reconcile(w->datasets, KIT_NS, KIT_NAME, &again,
					&unused); /* it is tried again in the next step */
	return world_others(w, err);
}

static int start_server(struct world *w, struct error *err)
{
	char kubeconfig[sizeof w->dir + 16];
	struct kube_config *cfg = NULL;
	const char *tmp = getenv("TMPDIR");
	if (tmp == NULL || *tmp != '/')
		tmp = "/tmp";
	if (snprintf(w->dir, sizeof w->dir, "%s/sluice-kit-XXXXXX", tmp) >= (int)sizeof w->dir ||
	    mkdtemp(w->dir) == NULL) {
		w->dir[0] = '\0'; /* nothing of it is to be removed */
		return error_set(err, -EINVAL, "no temporary directory can be made in '%s' (TMPDIR)", tmp);
	}
	(void)snprintf(kubeconfig, sizeof kubeconfig, "%s/kubeconfig", w->dir); /* there is room */
	int rc = api_server_new(
		&(struct api_server_options){.data_dir = w->dir, .address = "127.0.0.1", .kubeconfig = kubeconfig},
		&w->server, err);
	if (rc == 0)
		rc = kube_config_load(kubeconfig, NULL, &cfg, err);
	if (rc == 0)
		rc = kube_client_new(cfg, "sluice-kit", &w->client, err);
	kube_config_free(cfg);
	return rc;
}

static int create_surroundings(struct world *w, struct error *err)
{
	const struct kind *const kinds[] = {&dataset_kind, w->o->kind};
	JSON_AUTO ns =
		json_pack("{s:s,s:s,s:{s:s}}", "apiVersion", "v1", "kind", "Namespace", "metadata", "name", KIT_NS);
	int rc = kube_create(w->client, &KUBE_NAMESPACE, NULL, ns, NULL, err);
	for (size_t i = 0; i < ARRAY_LEN(kinds) && rc == 0; i++) {
		JSON_AUTO crd = kind_to_crd(kinds[i]);
		rc = crd != NULL ? kube_apply(w->client, &KUBE_CRD, NULL, obj_name(crd), NULL, crd, NULL, err)
				 : -ENOMEM;
	}
	JSON_AUTO ready =
		json_pack("{s:{s:[{s:s,s:s,s:s,s:s}]}}", "status", "conditions", "type", "Ready", "status", "True",
			  "lastTransitionTime", "2026-01-01T00:00:00Z", "lastHeartbeatTime", "2026-01-01T00:00:00Z");
	for (int i = 1; i <= NODES && rc == 0; i++) {
		char name[16];
		(void)snprintf(name, sizeof name, "n%d", i); /* one digit */
		JSON_AUTO node = json_pack("{s:s,s:s,s:{s:s,s:{s:s}}}", "apiVersion", "v1", "kind", "Node", "metadata",
					   "name", name, "labels", "kubernetes.io/hostname", name);
		rc = kube_create(w->client, &KUBE_NODE, NULL, node, NULL, err);
		if (rc == 0)
			rc = kube_patch(w->client, &KUBE_NODE, NULL, name, "status", KUBE_PATCH_MERGE, ready, NULL,
					err);
	}
	return rc;
}

int world_new(const struct kit_options *o, struct world **ret, struct error *err)
{
	static const char *const images[] = {"sluice.local/", NULL}, *const paths[] = {"/", NULL};
	struct world *w = calloc(1, sizeof *w);
	if (w == NULL)
		return error_set(err, -ENOMEM, "kit: out of memory");
	w->o = o;
	w->crash_after = -1;
	w->calls = json_array();
	w->events = json_array();
	w->used = json_array();
	w->api = (struct engine_api){.get = api_get,
				     .list = api_list,
				     .apply = api_apply,
				     .patch = api_patch,
				     .remove = api_remove,
				     .event = api_event,
				     .exec = api_exec,
				     .ctx = w,
				     .visit = api_visit};
	const int ports = (int)json_int(o->script, "ports", 1);
	int rc = answers_new(json_object_get(o->script, "answers"), ports, &w->answers, err);
	if (rc == 0) {
		/* The ports that workers may get are the scripted cache system's. */
		const int port = answers_port(w->answers);
		w->limits = (struct engine_limits){.mount_root = "/runtime-mnt",
						   .allowed_images = images,
						   .allowed_host_paths = paths,
						   .port_min = port,
						   .port_max = port + ports};
		rc = start_server(w, err);
	}
	if (rc == 0)
		rc = create_surroundings(w, err);
	if (rc == 0)
		rc = world_restart(w, 1, err);
	if (rc < 0) {
		world_free(w);
		return rc;
	}
	*ret = w;
	return 0;
}

void world_free(struct world *w)
{
	if (w == NULL)
		return;
	if (w->answers != NULL)
		answers_mode(w->answers, ANSWER_GOOD); /* nobody may wait for it while the pools end */
	stop_controllers(w);
	answers_free(w->answers);
	kube_client_free(w->client);
	api_server_free(w->server);
	if (w->dir[0] != '\0')
		(void)file_remove_all(w->dir, NULL); /* what is left of it, the machine cleans */
	json_decref(w->calls);
	json_decref(w->targets);
	json_decref(w->events);
	json_decref(w->used);
	free(w);
}
