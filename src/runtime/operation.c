#include "runtime/operation.h"

#include <errno.h>
#include <string.h>

#include "base/error.h"
#include "runtime/reconciler.h"

int runtime_set_add(struct runtime_set *s, struct reconciler *r, struct error *err)
{
	if (s->n == RUNTIMES_MAX)
		return error_set(err, -ENOSPC, "more than %d runtimes in one process", RUNTIMES_MAX);
	s->v[s->n++] = r;
	return 0;
}

static struct reconciler *find(const struct runtime_set *s, const char *type)
{
	for (size_t i = 0; i < s->n; i++)
		if (strcmp(reconciler_runtime_type(s->v[i]), type) == 0)
			return s->v[i];
	return NULL;
}

bool runtime_set_serves(void *runtime_set, const char *type)
{
	return find(runtime_set, type) != NULL;
}

int runtime_set_ask(void *runtime_set, const char *type, const char *ns, const char *name, const json_t *operation,
		    json_t **ret, struct error *err)
{
	struct reconciler *r = find(runtime_set, type);
	if (r == NULL)
		return error_set(err, -ENOENT, "runtimes of type '%s' are not served here", type);
	return reconciler_operation(r, ns, name, operation, ret, err);
}
