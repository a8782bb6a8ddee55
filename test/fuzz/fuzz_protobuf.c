/* Request bodies in Kubernetes' protobuf form: envelope, object, then defaults and validation of what came out. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/kind.h"
#include "api/protobuf.h"
#include "base/arena.h"
#include "base/error.h"
#include "json/json.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static const struct schema *schema_of(const char *kind)
{
	for (const struct kind *const *k = kubernetes_kinds; *k != NULL; k++)
		if (strcmp((*k)->resource.kind, kind) == 0)
			return (*k)->schema;
	return kubernetes_schema("apiextensions.v1.JSONSchemaProps");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	CLEANUP(free_p) char *api_version = NULL;
	CLEANUP(free_p) char *kind = NULL;
	const uint8_t *raw;
	size_t raw_n;
	struct error err;
	JSON_AUTO object = NULL;
	if (protobuf_envelope(data, n, &api_version, &kind, &raw, &raw_n, &err) != 0)
		return 0;
	const struct schema *s = schema_of(kind);
	if (protobuf_decode(s, raw, raw_n, &object, &err) != 0)
		return 0;
	struct arena arena = ARENA_INIT(1u << 20);
	struct violations *vs = calloc(1, sizeof *vs);
	if (vs != NULL && schema_default(s, object) == 0) {
		vs->arena = &arena;
		schema_validate(s, object, "", vs);
	}
	free(vs);
	arena_free(&arena);
	return 0;
}
