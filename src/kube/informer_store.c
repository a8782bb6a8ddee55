#include "kube/informer_store.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/map.h"
#include "kube/client.h"
#include "json/json.h"

#define INDEX_MAX 8
#define KEY_MAX   576 /* namespace 63, name 253, and room for what other servers allow */

/* One object's text. Immutable; readers hold a reference while they decode outside the lock. */
struct blob {
	atomic_uint refs;
	size_t n;
	char text[];
};

struct kept {
	struct blob *blob;
	char *key, *rv;
	char *index_key[INDEX_MAX];
	uint64_t generation;
};

struct index {
	const char *name;
	char *(*key_of)(const json_t *obj);
	struct map *groups; /* key -> struct map of object key -> struct kept (borrowed) */
};

struct informer_store {
	pthread_mutex_t
		lock; /* guards objects, the groups of indexes and what they reach; the one writer reads without it */
	struct map *objects; /* key -> struct kept */
	struct index index[INDEX_MAX];
	size_t n_index;
	uint64_t generation;
	size_t stale_pos;
};

static struct blob *blob_ref(struct blob *b)
{
	atomic_fetch_add_explicit(&b->refs, 1, memory_order_relaxed);
	return b;
}

static void blob_unref(struct blob *b)
{
	if (b != NULL && atomic_fetch_sub_explicit(&b->refs, 1, memory_order_acq_rel) == 1)
		free(b);
}

static struct blob *blob_new(const json_t *obj)
{
	size_t n;
	CLEANUP(free_p) char *text = json_to_text(obj, &n);
	struct blob *b = text != NULL ? malloc(sizeof *b + n) : NULL;
	if (b == NULL)
		return NULL;
	atomic_init(&b->refs, 1);
	b->n = n;
	memcpy(b->text, text, n);
	return b;
}

static json_t *blob_decode(const struct blob *b)
{
	json_t *tree = NULL;
	return json_parse(b->text, b->n, &tree, NULL) == 0 ? tree : NULL; /* our own text: only memory can fail */
}

static void kept_free(void *p)
{
	struct kept *k = p;
	if (k == NULL)
		return;
	blob_unref(k->blob);
	free(k->key);
	free(k->rv);
	for (size_t i = 0; i < INDEX_MAX; i++)
		free(k->index_key[i]);
	free(k);
}

static void kept_free_p(struct kept **k)
{
	kept_free(*k);
}

static void group_free(void *m)
{
	map_free(m);
}

struct informer_store *informer_store_new(void)
{
	struct informer_store *s = calloc(1, sizeof *s);
	if (s == NULL)
		return NULL;
	s->objects = map_new(kept_free);
	if (s->objects == NULL) {
		free(s);
		return NULL;
	}
	pthread_mutex_init(&s->lock, NULL);
	return s;
}

void informer_store_free(struct informer_store *s)
{
	if (s == NULL)
		return;
	for (size_t i = 0; i < s->n_index; i++)
		map_free(s->index[i].groups);
	map_free(s->objects);
	pthread_mutex_destroy(&s->lock);
	free(s);
}

int informer_store_add_index(struct informer_store *s, const char *name, char *(*key_of)(const json_t *obj))
{
	assert(s->n_index < INDEX_MAX && map_size(s->objects) == 0);
	struct map *groups = map_new(group_free);
	if (groups == NULL)
		return -ENOMEM;
	s->index[s->n_index++] = (struct index){.name = name, .key_of = key_of, .groups = groups};
	return 0;
}

/* False when the names are longer than any server allows. */
static bool make_key(char out[static KEY_MAX], const char *ns, const char *name)
{
	return snprintf(out, KEY_MAX, "%s/%s", ns != NULL ? ns : "", name) < KEY_MAX;
}

/* --- indexes --- */

static int index_add_locked(struct informer_store *s, struct kept *k)
{
	for (size_t i = 0; i < s->n_index; i++) {
		if (k->index_key[i] == NULL)
			continue;
		struct map *group = map_get(s->index[i].groups, k->index_key[i]);
		if (group == NULL) {
			group = map_new(NULL);
			if (group == NULL)
				return -ENOMEM;
			if (map_set(s->index[i].groups, k->index_key[i], group) < 0) {
				map_free(group);
				return -ENOMEM;
			}
		}
		if (map_set(group, k->key, k) < 0)
			return -ENOMEM;
	}
	return 0;
}

static void index_remove_locked(struct informer_store *s, const struct kept *k)
{
	for (size_t i = 0; i < s->n_index; i++) {
		struct map *group = k->index_key[i] != NULL ? map_get(s->index[i].groups, k->index_key[i]) : NULL;
		if (group == NULL)
			continue;
		if (map_get(group, k->key) == k)
			(void)map_remove(group, k->key);
		if (map_size(group) == 0)
			(void)map_remove(s->index[i].groups, k->index_key[i]);
	}
}

/* --- the writer --- */

void informer_store_begin(struct informer_store *s)
{
	s->generation++;
	s->stale_pos = 0;
}

bool informer_store_touch(struct informer_store *s, const char *ns, const char *name, const char *rv)
{
	char key[KEY_MAX];
	struct kept *k = make_key(key, ns, name) ? map_get(s->objects, key) : NULL;
	if (k == NULL || rv[0] == '\0' || strcmp(k->rv, rv) != 0)
		return false;
	k->generation = s->generation; /* only the writer looks at it */
	return true;
}

static struct kept *kept_new(const struct informer_store *s, const char *key, const json_t *obj)
{
	CLEANUP(kept_free_p) struct kept *k = calloc(1, sizeof *k);
	if (k == NULL)
		return NULL;
	k->key = strdup(key);
	k->rv = strdup(obj_resource_version(obj));
	k->blob = blob_new(obj);
	k->generation = s->generation;
	if (k->key == NULL || k->rv == NULL || k->blob == NULL)
		return NULL;
	for (size_t i = 0; i < s->n_index; i++)
		k->index_key[i] = s->index[i].key_of(obj);
	return TAKE(k);
}

int informer_store_put(struct informer_store *s, const json_t *obj, bool want_old, bool *ret_existed, json_t **ret_old)
{
	char key[KEY_MAX];
	if (obj_name(obj)[0] == '\0' || !make_key(key, obj_namespace(obj), obj_name(obj)))
		return -EINVAL;
	CLEANUP(kept_free_p) struct kept *k = kept_new(s, key, obj);
	if (k == NULL)
		return -ENOMEM;
	const struct kept *before = map_get(s->objects, key);
	JSON_AUTO old = before != NULL && want_old ? blob_decode(before->blob) : NULL;
	const bool existed = before != NULL;
	if (existed && want_old && old == NULL)
		return -ENOMEM;

	pthread_mutex_lock(&s->lock);
	if (existed)
		index_remove_locked(s, before);
	int rc = map_set(s->objects, key, k);
	if (rc == 0)
		rc = index_add_locked(s, TAKE(k));
	pthread_mutex_unlock(&s->lock);
	if (rc < 0)
		return rc;
	*ret_existed = existed;
	*ret_old = TAKE(old);
	return 0;
}

bool informer_store_remove(struct informer_store *s, const char *ns, const char *name)
{
	char key[KEY_MAX];
	const struct kept *k = make_key(key, ns, name) ? map_get(s->objects, key) : NULL;
	if (k == NULL)
		return false;
	pthread_mutex_lock(&s->lock);
	index_remove_locked(s, k);
	(void)map_remove(s->objects, key);
	pthread_mutex_unlock(&s->lock);
	return true;
}

json_t *informer_store_take_stale(struct informer_store *s)
{
	const char *key;
	void *value;
	while (map_next(s->objects, &s->stale_pos, &key, &value)) {
		const struct kept *k = value;
		if (k->generation == s->generation)
			continue;
		json_t *obj = blob_decode(k->blob);
		pthread_mutex_lock(&s->lock);
		index_remove_locked(s, k);
		kept_free(map_steal(s->objects, k->key)); /* the entry just returned may be removed */
		pthread_mutex_unlock(&s->lock);
		if (obj != NULL)
			return obj;
	}
	return NULL;
}

/* --- readers --- */

json_t *informer_store_get(struct informer_store *s, const char *ns, const char *name)
{
	char key[KEY_MAX];
	if (!make_key(key, ns, name))
		return NULL;
	pthread_mutex_lock(&s->lock);
	const struct kept *k = map_get(s->objects, key);
	struct blob *b = k != NULL ? blob_ref(k->blob) : NULL;
	pthread_mutex_unlock(&s->lock);
	json_t *obj = b != NULL ? blob_decode(b) : NULL;
	blob_unref(b);
	return obj;
}

/* References to the texts in @from whose key starts with @prefix; NULL on no memory. */
static struct blob **collect_locked(const struct map *from, const char *prefix, size_t *ret_n)
{
	const size_t prefix_n = strlen(prefix);
	struct blob **list = calloc(map_size(from) + 1, sizeof(struct blob *));
	size_t n = 0, pos = 0;
	const char *key;
	void *value;
	while (list != NULL && map_next(from, &pos, &key, &value)) {
		if (strncmp(key, prefix, prefix_n) == 0)
			list[n++] = blob_ref(((struct kept *)value)->blob);
	}
	*ret_n = n;
	return list;
}

/* Decode and release; a new array, NULL on no memory. */
static json_t *decode_all(struct blob **list, size_t n)
{
	json_t *all = list != NULL ? json_array() : NULL;
	for (size_t i = 0; i < n; i++) {
		if (all != NULL && json_array_append_new(all, blob_decode(list[i])) < 0) {
			json_decref(all);
			all = NULL;
		}
		blob_unref(list[i]);
	}
	free(list);
	return all;
}

json_t *informer_store_list(struct informer_store *s, const char *ns)
{
	char prefix[KEY_MAX] = "";
	size_t n = 0;
	if (ns != NULL && ns[0] != '\0' && !make_key(prefix, ns, ""))
		return json_array();
	pthread_mutex_lock(&s->lock);
	struct blob **list = collect_locked(s->objects, prefix, &n);
	pthread_mutex_unlock(&s->lock);
	return decode_all(list, n);
}

json_t *informer_store_list_by(struct informer_store *s, const char *index, const char *key)
{
	struct blob **list = NULL;
	size_t n = 0, i = 0;
	while (i < s->n_index && strcmp(s->index[i].name, index) != 0)
		i++;
	assert(i < s->n_index); /* an index nobody added: a bug of the caller */
	pthread_mutex_lock(&s->lock);
	const struct map *group = map_get(s->index[i].groups, key);
	if (group != NULL)
		list = collect_locked(group, "", &n);
	pthread_mutex_unlock(&s->lock);
	return group != NULL ? decode_all(list, n) : json_array();
}
