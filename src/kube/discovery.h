/*
 * What a server serves: its groups, versions and resources, kept and asked for again when something is missing.
 *
 * Threads: any. A resource that was returned stays valid until discovery_free(), also when the server serves it no more.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "kube/resource.h"

struct discovery;
struct error;
struct kube_client;

/** Most resources that one discovery ever keeps. */
#define DISCOVERY_RESOURCES_MAX 5000

enum discovery_verb {
	DISCOVERY_GET = 1,
	DISCOVERY_LIST = 2,
	DISCOVERY_WATCH = 4,
	DISCOVERY_CREATE = 8,
	DISCOVERY_UPDATE = 16,
	DISCOVERY_PATCH = 32,
	DISCOVERY_DELETE = 64,
};

/** One resource in one version. Immutable. */
struct discovered {
	struct kube_resource r;
	const char *names; /* singular and short names: "statefulset,sts" */
	unsigned verbs;    /* of enum discovery_verb */
	bool preferred;    /* the version that the server prefers for this resource */
};

/** Nothing is asked yet. Borrows @c, which must outlive it. 0 or -ENOMEM. */
int discovery_new(struct kube_client *c, struct discovery **ret, struct error *err);
/**
 * Ask for everything now. A group version that cannot be read (an aggregated server that is down) keeps what was known of it, and its
 * error is returned when the others have been taken. One thread at a time does the asking; others wait.
 */
int discovery_refresh(struct discovery *d, struct error *err);
/** Whether a refresh has been complete once. */
bool discovery_known(struct discovery *d);
/** Whether @x was served at the last refresh. */
bool discovery_serves(struct discovery *d, const struct discovered *x);
/**
 * The resource of @kind in @api_version ("apps/v1", "v1"; version "*" or none behind the group: the preferred one, as for owner references).
 * One that is not there is asked for again, at most every 10 s. 0, -ENOENT, or why asking failed.
 */
int discovery_find_kind(struct discovery *d, const char *api_version, const char *kind, const struct discovered **ret,
			struct error *err);
/** What a user calls "sts", "statefulset", "statefulsets", "statefulsets.apps" or "statefulsets.v1.apps" (any case). As above. */
int discovery_find_name(struct discovery *d, const char *name, const struct discovered **ret, struct error *err);
/** Call @fn with each resource served now, each group's preferred version first, until it returns non-zero; that is returned. */
int discovery_each(struct discovery *d, int (*fn)(void *ctx, const struct discovered *x), void *ctx);
/** Accepts NULL. */
void discovery_free(struct discovery *d);
