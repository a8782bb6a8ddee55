/* Any JSON as one of our objects, as a Pod, and as the schema of a CRD that is then applied to another part of the input. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/dataset.h"
#include "api/kind.h"
#include "api/reservoir_runtime.h"
#include "base/arena.h"
#include "base/error.h"
#include "json/json.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void check(const struct schema *s, json_t *value)
{
	struct arena arena = ARENA_INIT(1u << 20);
	struct violations *vs = calloc(1, sizeof *vs);
	if (vs != NULL) {
		vs->arena = &arena;
		schema_prune(s, value, NULL, NULL);
		if (schema_default(s, value) == 0)
			schema_validate(s, value, "", vs);
		schema_validate_update(s, json_object_get(value, "before"), value, "", vs);
	}
	free(vs);
	arena_free(&arena);
}

static void decode(const struct schema *s, const json_t *value, void *dst)
{
	struct arena arena = ARENA_INIT(1u << 16);
	struct error err;
	(void)schema_decode(s, value, &arena, dst, &err); /* only that it comes back */
	arena_free(&arena);
}

static void as_crd(const json_t *value)
{
	struct arena arena = ARENA_INIT(1u << 20);
	struct error err;
	const struct schema *s;
	JSON_AUTO object = json_deep_copy(json_object_get(value, "object"));
	if (schema_from_openapi(json_object_get(value, "schema"), &arena, &s, &err) == 0 && object != NULL)
		check(s, object);
	arena_free(&arena);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct error err;
	JSON_AUTO value = NULL;
	if (json_parse((const char *)data, n, &value, &err) != 0)
		return 0;
	struct dataset dataset;
	struct reservoir_runtime runtime;
	decode(dataset_kind.schema, value, &dataset);
	decode(reservoir_runtime_kind.schema, value, &runtime);
	as_crd(value);
	JSON_AUTO pod = json_deep_copy(value);
	JSON_AUTO ours = json_deep_copy(value);
	if (pod != NULL)
		check(kubernetes_schema("core.v1.Pod"), pod);
	if (ours != NULL)
		check(reservoir_runtime_kind.schema, ours);
	check(dataset_kind.schema, value);
	return 0;
}
