/*
 * What the API server serves: Kubernetes' built-in kinds, and those that CustomResourceDefinitions add while it runs.
 * Threads: any. A kind that was found stays valid until api_kind_unref().
 */
#pragma once

#include <jansson.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "api/kind.h"
#include "base/arena.h"

struct api_registry;
struct error;

/** A served kind in one version. Immutable. */
struct api_kind {
	const struct kind *k;
	bool custom;                 /* from a CustomResourceDefinition */
	const char *stored_group;    /* group under which its objects are stored; its own but for events.k8s.io */
	const char *storage_version; /* version that its objects are stored in */
	bool one_version;            /* stored bytes are what is served */
	json_t *crd; /* the definition as of its newest spec or the beginning of its deletion; NULL for built-in kinds */
	struct arena arena; /* of a custom kind */
	atomic_uint refs;
};

struct api_kind *api_kind_ref(struct api_kind *k);
/** Always returns NULL. Accepts NULL. */
struct api_kind *api_kind_unref(struct api_kind *k);

static inline void api_kind_unref_p(struct api_kind **k)
{
	(void)api_kind_unref(*k);
}

/** A registry with the built-in kinds. NULL on no memory. */
struct api_registry *api_registry_new(void);
void api_registry_free(struct api_registry *reg);

/** A new reference, or NULL. @version NULL: the storage version. */
struct api_kind *api_registry_find(struct api_registry *reg, const char *group, const char *version,
				   const char *plural);
/** Whether anything is served in that group and version. */
bool api_registry_serves(struct api_registry *reg, const char *group, const char *version);
/** All kinds, built-in ones first, as a malloc'ed array of references: api_kinds_free(). */
int api_registry_all(struct api_registry *reg, struct api_kind ***ret, size_t *ret_n);
void api_kinds_free(struct api_kind **kinds, size_t n);
/** Changes whenever the set of kinds does. */
uint64_t api_registry_generation(struct api_registry *reg);

/** Serve what @crd defines (replacing what it defined before). -EINVAL with Kubernetes' wording when the schema is unusable. */
int api_registry_add_crd(struct api_registry *reg, const json_t *crd, struct error *err);
/** Stop serving the kinds of @group and @plural. */
void api_registry_remove_crd(struct api_registry *reg, const char *group, const char *plural);
/** Build the kinds of @crd without serving them, to see whether it is acceptable. */
int api_registry_check_crd(const json_t *crd, struct error *err);
