#include "kube/informer_store.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/map.h"
#include "base/str.h"
#include "kube/client.h"
#include "kube/packed.h"
#include "json/json.h"

#define INDEX_MAX 8
/* Small caches are kept plain and read quickly; large ones are packed. */
#define PLAIN_BYTES (1u << 20)
#define KEY_MAX     576 /* namespace 63, name 253, and room for what other servers allow */

/* One object. Its key, version and index keys lie behind it, in one piece of memory. */
struct kept {
	struct packed *text;
	uint64_t generation;
	const char *key, *rv;
	const char *index_keys[]; /* for each index of the store strings one behind the other, the last one empty */
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
	struct packer *packer; /* the writer alone, as what follows */
	size_t bytes;          /* of all texts */
};

static json_t *decode(const struct packed *t)
{
	size_t n = 0;
	CLEANUP(free_p) char *text = packed_text(t, &n);
	json_t *tree = NULL;
	return text != NULL && json_parse(text, n, &tree, NULL) == 0 ? tree
								     : NULL; /* our own text: only memory fails */
}

static void kept_free(void *p)
{
	struct kept *k = p;
	if (k == NULL)
		return;
	packed_unref(k->text);
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
	s->packer = packer_new();
	if (s->objects == NULL || s->packer == NULL) {
		map_free(s->objects);
		packer_free(s->packer);
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
	packer_free(s->packer);
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

#define for_each_key(at, keys) for (const char *at = (keys); at != NULL && *at != '\0'; at += strlen(at) + 1)

static int group_add_locked(struct map *groups, const char *name, struct kept *k)
{
	struct map *group = map_get(groups, name);
	if (group == NULL) {
		group = map_new(NULL);
		if (group == NULL)
			return -ENOMEM;
		if (map_set(groups, name, group) < 0) {
			map_free(group);
			return -ENOMEM;
		}
	}
	return map_set(group, k->key, k);
}

static int index_add_locked(struct informer_store *s, struct kept *k)
{
	for (size_t i = 0; i < s->n_index; i++)
		for_each_key (name, k->index_keys[i])
			if (group_add_locked(s->index[i].groups, name, k) < 0)
				return -ENOMEM;
	return 0;
}

static bool has_index_key(const struct kept *k, size_t index, const char *want)
{
	for_each_key (name, k->index_keys[index])
		if (strcmp(name, want) == 0)
			return true;
	return false;
}

/* @k is in this group no more; @before (NULL: nothing) is in its place where that was so. */
static void group_put_back_locked(struct map *groups, const char *name, const struct kept *k, struct kept *before)
{
	struct map *group = map_get(groups, name);
	if (group == NULL)
		return;
	if (map_get(group, k->key) == k && before != NULL)
		(void)map_set(group, k->key, before); /* replacing takes no memory */
	else if (map_get(group, k->key) == k)
		(void)map_remove(group, k->key); /* it is there */
	if (map_size(group) == 0)
		(void)map_remove(groups, name); /* as above */
}

/* After a failed index_add_locked(): the groups are as they were, when @before (NULL: nothing) was there. */
static void index_undo_locked(struct informer_store *s, const struct kept *k, struct kept *before)
{
	for (size_t i = 0; i < s->n_index; i++)
		for_each_key (name, k->index_keys[i])
			group_put_back_locked(s->index[i].groups, name, k,
					      before != NULL && has_index_key(before, i, name) ? before : NULL);
}

static void index_remove_locked(struct informer_store *s, const struct kept *k)
{
	for (size_t i = 0; i < s->n_index; i++)
		for_each_key (name, k->index_keys[i])
			group_put_back_locked(s->index[i].groups, name, k, NULL);
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

static struct packed *pack(struct informer_store *s, const json_t *obj)
{
	size_t n = 0;
	CLEANUP(free_p) char *text = json_to_text(obj, &n);
	return text != NULL ? packed_new(s->packer, text, n, s->bytes > PLAIN_BYTES) : NULL;
}

static const char *put_string(char **at, const char *s)
{
	const size_t n = strlen(s) + 1;
	char *copy = memcpy(*at, s, n);
	*at += n;
	return copy;
}

/* Lines (NULL: none) become strings one behind the other. */
static const char *put_lines(char **at, const char *lines)
{
	char *copy = (char *)put_string(at, lines != NULL ? lines : "");
	for (char *c = copy; *c != '\0'; c++)
		if (*c == '\n')
			*c = '\0';
	*(*at)++ = '\0';
	return copy;
}

static struct kept *kept_new(struct informer_store *s, const char *key, const json_t *obj)
{
	char *lines[INDEX_MAX];
	const char *rv = obj_resource_version(obj);
	size_t n = sizeof(struct kept) + s->n_index * sizeof(char *) + strlen(key) + 1 + strlen(rv) + 1;
	for (size_t i = 0; i < s->n_index; i++) {
		lines[i] = s->index[i].key_of(obj);
		n += (lines[i] != NULL ? strlen(lines[i]) : 0) + 2;
	}
	CLEANUP(kept_free_p) struct kept *k = malloc(n);
	if (k != NULL) {
		char *at = (char *)&k->index_keys[s->n_index];
		*k = (struct kept){.generation = s->generation};
		k->key = put_string(&at, key);
		k->rv = put_string(&at, rv);
		for (size_t i = 0; i < s->n_index; i++)
			k->index_keys[i] = put_lines(&at, lines[i]);
		k->text = pack(s, obj);
	}
	for (size_t i = 0; i < s->n_index; i++)
		free(lines[i]);
	return k != NULL && k->text != NULL ? TAKE(k) : NULL;
}

int informer_store_put(struct informer_store *s, const json_t *obj, bool want_old, bool *ret_existed, json_t **ret_old)
{
	char key[KEY_MAX];
	if (obj_name(obj)[0] == '\0' || !make_key(key, obj_namespace(obj), obj_name(obj)))
		return -EINVAL;
	CLEANUP(kept_free_p) struct kept *k = kept_new(s, key, obj);
	if (k == NULL)
		return -ENOMEM;
	struct kept *before = map_get(s->objects, key);
	JSON_AUTO old = before != NULL && want_old ? decode(before->text) : NULL;
	const bool existed = before != NULL;
	if (existed && want_old && old == NULL)
		return -ENOMEM;

	const size_t was = existed ? packed_size(before->text) : 0, is = packed_size(k->text);
	pthread_mutex_lock(&s->lock);
	int rc = index_add_locked(s, k);
	if (rc == 0)
		rc = existed ? 0 : map_set(s->objects, key, k);
	if (rc < 0)
		index_undo_locked(s, k, before);
	if (rc == 0 && existed) {
		index_remove_locked(s, before);
		rc = map_set(s->objects, key, k); /* frees `before`; replacing takes no memory */
		assert(rc == 0);
	}
	pthread_mutex_unlock(&s->lock);
	if (rc < 0)
		return rc;
	(void)TAKE(k); /* the map has it */
	s->bytes += is - was;
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
	s->bytes -= packed_size(k->text);
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
		json_t *obj = decode(k->text);
		pthread_mutex_lock(&s->lock);
		s->bytes -= packed_size(k->text);
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
	struct packed *t = k != NULL ? packed_ref(k->text) : NULL;
	pthread_mutex_unlock(&s->lock);
	json_t *obj = t != NULL ? decode(t) : NULL;
	packed_unref(t);
	return obj;
}

/* References to the texts in @from whose key starts with @prefix; NULL on no memory. */
static struct packed **collect_locked(const struct map *from, const char *prefix, size_t *ret_n)
{
	const size_t prefix_n = strlen(prefix);
	struct packed **list = calloc(map_size(from) + 1, sizeof(struct packed *));
	size_t n = 0, pos = 0;
	const char *key;
	void *value;
	while (list != NULL && map_next(from, &pos, &key, &value)) {
		if (strncmp(key, prefix, prefix_n) == 0)
			list[n++] = packed_ref(((struct kept *)value)->text);
	}
	*ret_n = n;
	return list;
}

/* Decode and release; a new array, NULL on no memory. */
static json_t *decode_all(struct packed **list, size_t n)
{
	json_t *all = list != NULL ? json_array() : NULL;
	for (size_t i = 0; list != NULL && i < n; i++) {
		if (all != NULL && json_array_append_new(all, decode(list[i])) < 0) {
			json_decref(all);
			all = NULL;
		}
		packed_unref(list[i]);
	}
	free(list);
	return all;
}

int informer_store_visit(struct informer_store *s, bool (*fn)(void *ctx, const json_t *obj), void *ctx)
{
	size_t n = 0;
	bool more = true;
	pthread_mutex_lock(&s->lock);
	struct packed **list = collect_locked(s->objects, "", &n);
	pthread_mutex_unlock(&s->lock);
	int rc = list != NULL ? 0 : -ENOMEM;
	for (size_t i = 0; i < n && list != NULL; i++) {
		JSON_AUTO obj = more && rc == 0 ? decode(list[i]) : NULL;
		if (more && obj == NULL)
			rc = -ENOMEM;
		more = obj != NULL && fn(ctx, obj);
		packed_unref(list[i]);
	}
	free(list);
	return rc;
}

json_t *informer_store_list(struct informer_store *s, const char *ns)
{
	char prefix[KEY_MAX] = "";
	size_t n = 0;
	if (ns != NULL && ns[0] != '\0' && !make_key(prefix, ns, ""))
		return json_array();
	pthread_mutex_lock(&s->lock);
	struct packed **list = collect_locked(s->objects, prefix, &n);
	pthread_mutex_unlock(&s->lock);
	return decode_all(list, n);
}

json_t *informer_store_list_by(struct informer_store *s, const char *index, const char *key)
{
	struct packed **list = NULL;
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
