/* The runtimes of a process as those who run data operations ask them. Threads: any, once all are added. */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

struct error;
struct reconciler;

#define RUNTIMES_MAX 32

/** Reconcilers are borrowed. */
struct runtime_set {
	struct reconciler *v[RUNTIMES_MAX];
	size_t n;
};

/** -ENOSPC past RUNTIMES_MAX. */
int runtime_set_add(struct runtime_set *s, struct reconciler *r, struct error *err);
/** Whether runtimes of @type ("reservoir") are in @runtime_set. */
bool runtime_set_serves(void *runtime_set, const char *type);
/** reconciler_operation() of the one that reconciles @type; -ENOENT when there is none. */
int runtime_set_ask(void *runtime_set, const char *type, const char *ns, const char *name, const json_t *operation,
		    json_t **ret, struct error *err);
