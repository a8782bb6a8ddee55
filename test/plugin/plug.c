/*
 * A runtime plug-in for tests, built several times: one that is well and one for each way of going wrong. Its engine implements the outer
 * interface itself: it makes no objects, Setup says hello in a condition of the runtime.
 *
 * PLUG, PLUG_KIND, PLUG_PLURAL: names. PLUG_ABI: the contract it claims. PLUG_SETUP: what Setup does first.
 */
#include <stdlib.h>
#include <string.h>

#include "api/common.h"
#include "base/cleanup.h"
#include "base/str.h"
#include "kube/client.h"
#include "runtime/status.h"
#include "sluice/plugin.h"
#include "json/json.h"

struct plug_runtime {
	struct object_meta metadata;
};

struct plug_spec {
	const char *greeting;
};

static const struct field plug_spec_fields[] = {
	FIELD_STRING(struct plug_spec, greeting, "greeting", .doc = "What to say."),
	FIELD_END,
};
static const struct schema plug_spec_schema =
	OBJECT(struct plug_spec, "PlugSpec", plug_spec_fields, .doc = "What is wanted.");

static const struct field plug_fields[] = {
	FIELDS_OF_TYPE,
	{.name = "metadata", .schema = &object_meta_schema, .offset = FIELD_NO_OFFSET},
	{.name = "spec", .schema = &plug_spec_schema, .offset = FIELD_NO_OFFSET},
	{.name = "status", .schema = &runtime_status_schema, .offset = FIELD_NO_OFFSET},
	FIELD_END,
};
static const struct schema plug_schema =
	OBJECT(struct plug_runtime, PLUG_KIND, plug_fields, .doc = "A runtime for tests.");

static const struct kind plug_kind = {
	.resource = {SLUICE_GROUP, SLUICE_API_VERSION, PLUG_KIND, PLUG_PLURAL, true},
	.list_kind = PLUG_KIND "List",
	.singular = PLUG "runtime",
	.schema = &plug_schema,
	.subresources = SUB_STATUS,
	.verbs = VERBS_ALL,
	.doc = "A runtime for tests.",
};

/* --- ways of going wrong -------------------------------------------------------------------------------------------------------- */

__attribute__((unused)) static void do_exit(void)
{
	exit(7);
}

__attribute__((unused)) static void do_loop(void)
{
	for (volatile unsigned i = 0;; i++)
		;
}

__attribute__((unused)) static void do_corrupt(void)
{
	/* What the allocator keeps before a block is overwritten, which it finds when the block is freed. */
	volatile char *block = malloc(100);
	for (int i = -16; block != NULL && i < 48; i++)
		block[i] = 0x5a;
	free((char *)block);
}

__attribute__((unused)) static void do_nothing(void)
{
}

/* --- the engine ----------------------------------------------------------------------------------------------------------------- */

static const char *plug_id(const struct engine *e)
{
	return e->id;
}

static int plug_nothing(struct engine *e, struct reconcile_ctx *ctx, struct error *err)
{
	(void)e, (void)ctx, (void)err;
	return 0;
}

static int plug_done(struct engine *e, struct reconcile_ctx *ctx, struct error *err)
{
	(void)e, (void)ctx, (void)err;
	return 1;
}

static int plug_setup(struct engine *e, struct reconcile_ctx *ctx, struct error *err)
{
	(void)e;
	PLUG_SETUP();
	const char *greeting = json_str(ctx->runtime, "spec.greeting", "hello");
	return runtime_condition_set(ctx, "Greeted", true, "Hello", greeting) < 0
		       ? error_set(err, -ENOMEM, "greeting: out of memory")
		       : 0; /* never ready to be bound */
}

static void plug_free(struct engine *e)
{
	free(e->id);
	free(e->runtime_uid);
	free(e);
}

static const struct engine_lifecycle plug_lifecycle = {.id = plug_id,
						       .validate = plug_nothing,
						       .setup = plug_setup,
						       .create_volume = plug_nothing,
						       .sync = plug_nothing,
						       .delete_volume = plug_done,
						       .shutdown = plug_done,
						       .free = plug_free};

static int plug_build(const struct engine_factory *f, struct reconcile_ctx *ctx, const char *id, struct engine **ret,
		      struct error *err)
{
	(void)f;
	struct engine *e = calloc(1, sizeof *e);
	if (e == NULL)
		return error_set(err, -ENOMEM, "engine %s: out of memory", id);
	e->lifecycle = &plug_lifecycle;
	e->id = strdup(id);
	e->runtime_uid = strdup(obj_uid(ctx->runtime));
	*ret = e;
	return 0;
}

#ifdef PLUG_HALF_ENGINE
static const struct engine_traits plug_traits = {.app = PLUG};
static int half_build(struct engine *e, struct reconcile_ctx *ctx, struct error *err)
{
	return plug_nothing(e, ctx, err);
}
static const struct engine_ops half_engine = {.abi = SLUICE_ENGINE_ABI,
					      .size = sizeof(struct engine_ops),
					      .name = PLUG,
					      .traits = &plug_traits,
					      .build = half_build,
					      .free = plug_free};
#define PLUG_OPS &half_engine
#else
#define PLUG_OPS NULL
#endif

static const struct engine_factory plug_engines[] = {{.name = PLUG, .ops = PLUG_OPS, .build = plug_build},
						     {.name = NULL}};

static const struct kube_resource *const plug_kinds[] = {NULL};

static const struct permission plug_permissions[] = {
	{SLUICE_GROUP, PLUG_PLURAL, "get,list,watch,patch"},
	{SLUICE_GROUP, PLUG_PLURAL "/status", "get,patch"},
	{.resources = NULL},
};

RUNTIME_STEP_DEFAULT(plug, get_or_create_engine);
RUNTIME_STEP_DEFAULT(plug, remove_engine);
RUNTIME_STEP_DEFAULT(plug, reconcile_runtime);
RUNTIME_STEP_DEFAULT(plug, reconcile_deletion);
RUNTIME_STEP_DEFAULT(plug, add_owner_and_finalizer);
RUNTIME_STEP_DEFAULT(plug, get_runtime_status);
static const struct runtime_steps plug_steps = RUNTIME_CONTROLLER_STEPS(plug);

static const struct runtime_controller plug_controller = {.resource = &plug_kind.resource,
							  .name = PLUG_KIND,
							  .finalizer = PLUG "-runtime-controller-finalizer",
							  .category = "Accelerate",
							  .runtime_type = PLUG,
							  .default_engine = PLUG,
							  .engines = plug_engines,
							  .kinds = plug_kinds,
							  .permissions = plug_permissions,
							  .steps = &plug_steps};

SLUICE_PUBLIC extern const struct sluice_runtime_plugin sluice_runtime;
const struct sluice_runtime_plugin sluice_runtime = {.abi = PLUG_ABI,
						     .size = sizeof(struct sluice_runtime_plugin),
						     .kind_size = sizeof(struct kind),
						     .controller_size = sizeof(struct runtime_controller),
						     .name = PLUG,
						     .kind = &plug_kind,
						     .controller = &plug_controller};
