#include "local/api_rbac_cache.h"

#include <pthread.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/map.h"
#include "base/str.h"
#include "local/api_internal.h"
#include "json/json.h"

#define RBAC "rbac.authorization.k8s.io"

struct api_rbac {
	atomic_bool dirty;
	pthread_mutex_t lock; /* guards table; held while it is made, so that it is made once */
	struct api_rbac_table *table;
};

struct api_rbac *api_rbac_new(void)
{
	struct api_rbac *c = calloc(1, sizeof *c);
	if (c == NULL)
		return NULL;
	atomic_init(&c->dirty, true);
	(void)pthread_mutex_init(&c->lock, NULL);
	return c;
}

void api_rbac_free(struct api_rbac *c)
{
	if (c == NULL)
		return;
	(void)api_rbac_table_unref(c->table);
	(void)pthread_mutex_destroy(&c->lock);
	free(c);
}

void api_rbac_changed(struct api_rbac *c)
{
	atomic_store_explicit(&c->dirty, true, memory_order_release);
}

struct api_rbac_table *api_rbac_table_unref(struct api_rbac_table *t)
{
	if (t == NULL || atomic_fetch_sub_explicit(&t->refs, 1, memory_order_acq_rel) != 1)
		return NULL;
	json_decref(t->cluster);
	map_free(t->spaces);
	free(t);
	return NULL;
}

static void table_unref_p(struct api_rbac_table **t)
{
	(void)api_rbac_table_unref(*t);
}

static void free_list(void *list)
{
	json_decref(list);
}

/* ---- making the table ---- */

struct making {
	struct api_rbac_table *table;
	json_t *roles; /* "NS/NAME" or, of a ClusterRole, "/NAME", to rules */
};

static int add_role(void *ctx, const struct objstore_item *item)
{
	struct making *m = ctx;
	JSON_AUTO role = NULL;
	CLEANUP(free_p) char *key = str_printf("%s/%s", item->ns, item->name);
	if (key == NULL || json_parse(item->data, item->n, &role, NULL) < 0)
		return -ENOMEM;
	json_t *rules = json_object_get(role, "rules");
	return !json_is_array(rules) || json_object_set(m->roles, key, rules) == 0 ? 0 : -ENOMEM;
}

/** The list that a binding of @ns belongs to. Borrowed; NULL on no memory. */
static json_t *list_of(struct api_rbac_table *t, const char *ns)
{
	if (ns[0] == '\0')
		return t->cluster;
	json_t *list = map_get(t->spaces, ns);
	if (list != NULL)
		return list;
	list = json_array();
	if (list == NULL || map_set(t->spaces, ns, list) < 0) {
		json_decref(list);
		return NULL;
	}
	return list;
}

/** A binding of a role that is not there gives nothing. */
static int add_binding(void *ctx, const struct objstore_item *item)
{
	struct making *m = ctx;
	JSON_AUTO binding = NULL;
	if (json_parse(item->data, item->n, &binding, NULL) < 0)
		return -EIO;
	bool cluster = strcmp(json_str(binding, "roleRef.kind", ""), "ClusterRole") == 0;
	CLEANUP(free_p)
	char *key = str_printf("%s/%s", cluster ? "" : item->ns, json_str(binding, "roleRef.name", ""));
	json_t *subjects = json_object_get(binding, "subjects"),
	       *rules = key != NULL ? json_object_get(m->roles, key) : NULL;
	if (key == NULL)
		return -ENOMEM;
	if (rules == NULL || json_array_size(subjects) == 0)
		return 0;
	json_t *list = list_of(m->table, item->ns);
	return list != NULL && json_array_append_new(list,
						     json_pack("{s:O, s:O}", "subjects", subjects, "rules", rules)) == 0
		       ? 0
		       : -ENOMEM;
}

static int make_table(struct api_server *s, struct api_rbac_table **ret, struct error *err)
{
	static const struct {
		const char *plural;
		int (*add)(void *ctx, const struct objstore_item *item);
	} steps[] = {{"clusterroles", add_role},
		     {"roles", add_role},
		     {"clusterrolebindings", add_binding},
		     {"rolebindings", add_binding}};
	CLEANUP(table_unref_p) struct api_rbac_table *t = calloc(1, sizeof *t);
	JSON_AUTO roles = json_object();
	if (t == NULL || roles == NULL)
		return error_set(err, -ENOMEM, "out of memory");
	atomic_init(&t->refs, 1);
	t->cluster = json_array();
	t->spaces = map_new(free_list);
	struct making m = {t, roles};
	int rc = t->cluster != NULL && t->spaces != NULL ? 0 : error_set(err, -ENOMEM, "out of memory");
	for (size_t i = 0; i < ARRAY_LEN(steps) && rc == 0; i++) {
		struct objstore_range range = {.group = RBAC, .plural = steps[i].plural};
		rc = objstore_list(s->store, &range, steps[i].add, &m, NULL, NULL, err);
	}
	if (rc == 0)
		*ret = TAKE(t);
	return rc;
}

int api_rbac_table_get(struct api_server *s, struct api_rbac_table **ret, struct error *err)
{
	struct api_rbac *c = s->rbac;
	int rc = 0;
	pthread_mutex_lock(&c->lock);
	if (atomic_exchange_explicit(&c->dirty, false, memory_order_acq_rel)) {
		struct api_rbac_table *fresh = NULL;
		rc = make_table(s, &fresh, err);
		if (rc < 0) {
			api_rbac_changed(c);
		} else {
			(void)api_rbac_table_unref(c->table);
			c->table = fresh;
		}
	}
	if (rc == 0) {
		atomic_fetch_add_explicit(&c->table->refs, 1, memory_order_relaxed);
		*ret = c->table;
	}
	pthread_mutex_unlock(&c->lock);
	return rc;
}
