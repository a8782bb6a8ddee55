/*
 * What the server keeps in order by itself, on one thread of its own: instances of a definition that is being deleted, the default
 * ServiceAccount of each namespace, Events and certificates that have grown old, its own Endpoints when they could not be written at once.
 * Woken by the changes that concern it, and now and then; what fails is tried again after a second.
 */
#include <pthread.h>
#include <string.h>
#include <time.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/log.h"
#include "base/random.h"
#include "base/str.h"
#include "local/api_admission.h"
#include "local/api_internal.h"
#include "local/api_keys.h"
#include "local/api_rbac_cache.h"
#include "json/json.h"

#define CRD_GROUP         "apiextensions.k8s.io"
#define CRD_PLURAL        "customresourcedefinitions"
#define CLEANUP_FINALIZER "customresourcecleanup.apiextensions.k8s.io"

#define IDLE_S  300
#define RETRY_S 1

struct api_janitor {
	struct api_server *server;
	pthread_t thread;
	int64_t events_at;    /* when Events (and keys) are looked through next; the thread's alone */
	pthread_mutex_t lock; /* guards all below */
	pthread_cond_t wake;
	bool stopping, work;
	struct api_keys *keys; /* NULL: none yet */
};

static const char *const first_namespaces[] = {"default", "kube-system", "kube-public", "kube-node-lease"};

int api_create_internal(struct api_server *s, const char *group, const char *plural, const char *ns, json_t *obj,
			struct error *err)
{
	char uid[37], now[32];
	random_uuid(uid);
	api_now(now);
	if (json_put_str(obj, "metadata.uid", uid) < 0 || json_put_str(obj, "metadata.creationTimestamp", now) < 0)
		return error_set(err, -ENOMEM, "out of memory");
	struct objstore_key key = {group, plural, ns, json_str(obj, "metadata.name", "")};
	int rc = api_store_object(s, &key, obj, 0, false, err);
	return rc == -EEXIST ? 0 : rc;
}

static int make_namespace(struct api_server *s, const char *name, struct error *err)
{
	JSON_AUTO ns = json_pack("{s:s, s:s, s:{s:s, s:{s:s}}, s:{s:[s]}, s:{s:s}}", "apiVersion", "v1", "kind",
				 "Namespace", "metadata", "name", name, "labels", "kubernetes.io/metadata.name", name,
				 "spec", "finalizers", "kubernetes", "status", "phase", "Active");
	return ns != NULL ? api_create_internal(s, "", "namespaces", "", ns, err)
			  : error_set(err, -ENOMEM, "out of memory");
}

static int make_account(struct api_server *s, const char *ns, struct error *err)
{
	struct objstore_key key = {"", "serviceaccounts", ns, "default"};
	CLEANUP(free_p) char *there = NULL;
	if (objstore_get(s->store, &key, &there, NULL, NULL, NULL) == 0)
		return 0;
	JSON_AUTO sa = json_pack("{s:s, s:s, s:{s:s, s:s}}", "apiVersion", "v1", "kind", "ServiceAccount", "metadata",
				 "name", "default", "namespace", ns);
	return sa != NULL ? api_create_internal(s, "", "serviceaccounts", ns, sa, err)
			  : error_set(err, -ENOMEM, "out of memory");
}

/** Gather [[ns, name, deleting], ...]: nothing is written while the store is being read. */
static int collect(void *ctx, const struct objstore_item *item)
{
	JSON_AUTO obj = NULL;
	if (json_parse(item->data, item->n, &obj, NULL) < 0)
		return -EIO;
	bool deleting = json_at(obj, "metadata.deletionTimestamp") != NULL;
	return json_array_append_new(ctx, json_pack("[s, s, b]", item->ns, item->name, deleting)) == 0 ? 0 : -ENOMEM;
}

static int gather(struct api_server *s, const char *group, const char *plural, json_t *list, struct error *err)
{
	struct objstore_range range = {.group = group, .plural = plural};
	return objstore_list(s->store, &range, collect, list, NULL, NULL, err);
}

static int keep_accounts(struct api_server *s, struct error *err)
{
	JSON_AUTO list = json_array();
	int rc = gather(s, "", "namespaces", list, err);
	size_t i;
	json_t *entry;
	json_array_foreach (list, i, entry)
		if (rc == 0 && !json_is_true(json_array_get(entry, 2)))
			rc = make_account(s, json_string_value(json_array_get(entry, 1)), err);
	return rc;
}

/** Delete one instance, or only mark it when finalizers hold it. */
static int delete_instance(struct api_server *s, const struct objstore_key *key, struct error *err)
{
	JSON_AUTO obj = NULL;
	int64_t revision = 0;
	int rc = api_load_other(s, key->group, key->plural, key->ns, key->name, &obj, &revision);
	if (rc == -ENOENT)
		return 0;
	if (rc < 0)
		return error_set(err, rc, "read %s '%s'", key->plural, key->name);
	bool held = json_array_size(json_at(obj, "metadata.finalizers")) > 0;
	if (held && json_at(obj, "metadata.deletionTimestamp") != NULL)
		return 0;
	char now[32];
	api_now(now);
	if (held && (json_put_str(obj, "metadata.deletionTimestamp", now) < 0 ||
		     json_put_int(obj, "metadata.deletionGracePeriodSeconds", 0) < 0))
		return error_set(err, -ENOMEM, "out of memory");
	return api_store_object(s, key, obj, revision, !held, err);
}

static int drop_finalizer(struct api_server *s, const char *name, struct error *err)
{
	JSON_AUTO crd = NULL;
	int64_t revision = 0;
	int rc = api_load_other(s, CRD_GROUP, CRD_PLURAL, "", name, &crd, &revision);
	if (rc < 0)
		return rc == -ENOENT ? 0 : error_set(err, rc, "read definition '%s'", name);
	json_t *list = json_at(crd, "metadata.finalizers");
	for (size_t i = json_array_size(list); i-- > 0;)
		if (str_same(json_string_value(json_array_get(list, i)), CLEANUP_FINALIZER))
			(void)json_array_remove(list, i);
	struct objstore_key key = {CRD_GROUP, CRD_PLURAL, "", name};
	return api_store_object(s, &key, crd, revision, json_array_size(list) == 0, err);
}

/** A definition goes when its last instance has gone. */
static int clean_definition(struct api_server *s, const char *name, struct error *err)
{
	const char *dot = strchr(name, '.');
	if (dot == NULL)
		return 0;
	CLEANUP(free_p) char *plural = strndup(name, (size_t)(dot - name));
	JSON_AUTO list = json_array();
	if (plural == NULL)
		return error_set(err, -ENOMEM, "out of memory");
	int rc = gather(s, dot + 1, plural, list, err);
	size_t i;
	json_t *entry;
	json_array_foreach (list, i, entry) {
		struct objstore_key key = {dot + 1, plural, json_string_value(json_array_get(entry, 0)),
					   json_string_value(json_array_get(entry, 1))};
		if (rc == 0)
			rc = delete_instance(s, &key, err);
	}
	JSON_AUTO left = json_array();
	if (rc == 0)
		rc = gather(s, dot + 1, plural, left, err);
	return rc == 0 && json_array_size(left) == 0 ? drop_finalizer(s, name, err) : rc;
}

static int clean_definitions(struct api_server *s, struct error *err)
{
	JSON_AUTO list = json_array();
	int rc = gather(s, CRD_GROUP, CRD_PLURAL, list, err);
	size_t i;
	json_t *entry;
	json_array_foreach (list, i, entry)
		if (rc == 0 && json_is_true(json_array_get(entry, 2)))
			rc = clean_definition(s, json_string_value(json_array_get(entry, 1)), err);
	return rc;
}

/** The two classes that every cluster has. */
static int make_priorities(struct api_server *s, struct error *err)
{
	static const struct {
		const char *name;
		json_int_t value;
	} classes[] = {{"system-cluster-critical", 2000000000}, {"system-node-critical", 2000001000}};
	int rc = 0;
	for (size_t i = 0; i < ARRAY_LEN(classes) && rc == 0; i++) {
		JSON_AUTO c = json_pack("{s:s, s:s, s:{s:s, s:i}, s:I, s:s, s:s}", "apiVersion", "scheduling.k8s.io/v1",
					"kind", "PriorityClass", "metadata", "name", classes[i].name, "generation", 1,
					"value", classes[i].value, "description",
					"For pods that a cluster cannot do without.", "preemptionPolicy",
					"PreemptLowerPriority");
		rc = c != NULL ? api_create_internal(s, "scheduling.k8s.io", "priorityclasses", "", c, err)
			       : error_set(err, -ENOMEM, "out of memory");
	}
	return rc;
}

int api_bootstrap(struct api_server *s, struct error *err)
{
	for (size_t i = 0; i < ARRAY_LEN(first_namespaces); i++) {
		int rc = make_namespace(s, first_namespaces[i], err);
		if (rc < 0)
			return rc;
	}
	int rc = make_priorities(s, err);
	if (rc == 0)
		rc = api_rbac_bootstrap(s, err);
	return rc < 0 ? rc : keep_accounts(s, err);
}

/** The last time that an Event was heard of. */
static bool is_older(const json_t *event, int64_t than)
{
	static const char *const times[] = {"metadata.creationTimestamp", "lastTimestamp", "eventTime",
					    "series.lastObservedTime"};
	int64_t last = 0;
	for (size_t i = 0; i < ARRAY_LEN(times); i++) {
		int64_t t = 0;
		const char *text = json_str(event, times[i], NULL);
		if (text != NULL && clock_parse_rfc3339(text, &t) == 0 && t > last)
			last = t;
	}
	return last < than;
}

struct old_events {
	json_t *list;
	int64_t than;
};

static int collect_old(void *ctx, const struct objstore_item *item)
{
	struct old_events *old = ctx;
	JSON_AUTO obj = NULL;
	if (json_parse(item->data, item->n, &obj, NULL) < 0)
		return -EIO;
	if (!is_older(obj, old->than))
		return 0;
	return json_array_append_new(old->list, json_pack("[s, s]", item->ns, item->name)) == 0 ? 0 : -ENOMEM;
}

static int drop_old_events(struct api_server *s, struct error *err)
{
	JSON_AUTO list = json_array();
	struct objstore_range range = {.group = "", .plural = "events"};
	struct old_events old = {list, clock_wall_ns() - s->event_ttl_ns};
	int rc = objstore_list(s->store, &range, collect_old, &old, NULL, NULL, err);
	size_t i;
	json_t *entry;
	json_array_foreach (list, i, entry) {
		struct objstore_key key = {"", "events", json_string_value(json_array_get(entry, 0)),
					   json_string_value(json_array_get(entry, 1))};
		if (rc == 0)
			rc = delete_instance(s, &key, err);
	}
	return rc;
}

/** Events go a twelfth of their time too late at most, and nothing looks for them more often than each second. */
static int idle_seconds(const struct api_server *s)
{
	int64_t seconds = s->event_ttl_ns / 12 / NSEC_PER_SEC;
	return seconds < 1 ? 1 : seconds > IDLE_S ? IDLE_S : (int)seconds;
}

static int keep_order(struct api_janitor *j, struct error *err)
{
	int rc = api_publish_self_again(j->server, err);
	if (rc == 0)
		rc = clean_definitions(j->server, err);
	if (rc == 0)
		rc = api_crd_settle_names(j->server, err);
	if (rc == 0)
		rc = keep_accounts(j->server, err);
	if (rc == 0)
		rc = api_rbac_aggregate(j->server, err);
	if (rc < 0 || clock_mono_ns() < j->events_at)
		return rc;
	j->events_at = clock_mono_ns() + idle_seconds(j->server) * NSEC_PER_SEC;
	rc = drop_old_events(j->server, err);
	pthread_mutex_lock(&j->lock);
	struct api_keys *keys = j->keys;
	pthread_mutex_unlock(&j->lock);
	return rc < 0 || keys == NULL ? rc : api_keys_keep(keys, err);
}

/** Wait at most @seconds for work. */
static void wait_locked(struct api_janitor *j, int seconds)
{
	struct timespec until;
	(void)clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += seconds;
	(void)pthread_cond_timedwait(&j->wake, &j->lock, &until); /* a timeout is what it is for */
}

static void *janitor_main(void *arg)
{
	struct api_janitor *j = arg;
	pthread_mutex_lock(&j->lock);
	while (!j->stopping) {
		j->work = false;
		pthread_mutex_unlock(&j->lock);
		struct error err = {0};
		int rc = keep_order(j, &err);
		bool raced = rc == -ESTALE || rc == -ENOENT; /* somebody else wrote meanwhile */
		if (rc < 0 && !raced)
			LOG(NULL, LOG_LVL_WARN, "keeping order failed, trying again", LOG_STR("err", err.msg));
		pthread_mutex_lock(&j->lock);
		if (!j->stopping && (rc < 0 || !j->work))
			wait_locked(j, rc < 0 ? RETRY_S : idle_seconds(j->server));
	}
	pthread_mutex_unlock(&j->lock);
	return NULL;
}

void api_janitor_wake(struct api_janitor *j)
{
	pthread_mutex_lock(&j->lock);
	j->work = true;
	pthread_cond_signal(&j->wake);
	pthread_mutex_unlock(&j->lock);
}

/** On the committing thread: serve definitions at once, leave the rest to the janitor's own thread. */
static void changed(void *ctx, const struct objstore_event *e)
{
	struct api_server *s = ctx;
	const struct objstore_key *k = &e->key;
	bool definition = strcmp(k->group, CRD_GROUP) == 0 && strcmp(k->plural, CRD_PLURAL) == 0;
	if (definition) {
		JSON_AUTO crd = NULL;
		if (json_parse(e->data, e->n, &crd, NULL) == 0)
			api_crd_changed(s, crd, e->type == STORE_DELETED);
	}
	if (strcmp(k->group, "admissionregistration.k8s.io") == 0)
		api_admission_changed(s->admission);
	bool rbac = strcmp(k->group, "rbac.authorization.k8s.io") == 0;
	if (rbac)
		api_rbac_changed(s->rbac);
	bool gone = e->type == STORE_DELETED;
	bool instance_gone = gone && k->group[0] != '\0' && !definition;
	bool account = k->group[0] == '\0' && ((strcmp(k->plural, "namespaces") == 0 && e->type == STORE_ADDED) ||
					       (gone && strcmp(k->plural, "serviceaccounts") == 0));
	if (definition || instance_gone || account || (rbac && strcmp(k->plural, "clusterroles") == 0))
		api_janitor_wake(s->janitor);
}

int api_janitor_start(struct api_server *s, struct error *err)
{
	struct api_janitor *j = calloc(1, sizeof *j);
	if (j == NULL)
		return error_set(err, -ENOMEM, "out of memory");
	j->server = s;
	(void)pthread_mutex_init(&j->lock, NULL);
	(void)pthread_cond_init(&j->wake, NULL);
	s->janitor = j;
	api_hub_listen(s->hub, changed, s);
	int rc = pthread_create(&j->thread, NULL, janitor_main, j);
	if (rc != 0) {
		api_hub_listen(s->hub, NULL, NULL);
		s->janitor = NULL;
		free(j);
		return error_set(err, -rc, "start the janitor: %s", strerror(rc));
	}
	return 0;
}

void api_janitor_keep_keys(struct api_janitor *j, struct api_keys *k)
{
	pthread_mutex_lock(&j->lock);
	j->keys = k;
	pthread_mutex_unlock(&j->lock);
}

void api_janitor_stop(struct api_server *s)
{
	struct api_janitor *j = s->janitor;
	if (j == NULL)
		return;
	pthread_mutex_lock(&j->lock);
	j->stopping = true;
	pthread_cond_signal(&j->wake);
	pthread_mutex_unlock(&j->lock);
	(void)pthread_join(j->thread, NULL);
}

void api_janitor_free(struct api_janitor *j)
{
	if (j == NULL)
		return;
	(void)pthread_cond_destroy(&j->wake);
	(void)pthread_mutex_destroy(&j->lock);
	free(j);
}
