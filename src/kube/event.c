#include "kube/event.h"

#include <errno.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/log.h"
#include "base/map.h"
#include "base/metrics.h"
#include "base/str.h"
#include "kube/client.h"
#include "kube/event_spam.h"
#include "kube/request.h"
#include "json/json.h"

#define WAITING_MAX 1000
#define SENT_MAX    4096
#define MESSAGE_MAX 1024
#define SAME_NS     (600 * NSEC_PER_SEC)
#define FLUSH_NS    (2 * NSEC_PER_SEC)
#define SEND_NS     (10 * NSEC_PER_SEC)
#define ATTEMPTS    3
#define COMBINED    "(combined from similar events): " /* client-go's words: people look for them */

/* One event to send, or a count to add to one that waits or was sent. */
struct item {
	struct item *next;
	char *key;             /* everything that makes two events equal */
	char *about, *similar; /* the object; the object, type and reason: event_spam.h */
	bool combined;         /* the message is the newest of many */
	json_t *object;        /* involvedObject */
	char *ns, *type, *reason, *message;
	int64_t first_ns, last_ns, count;
};

struct sent {
	char *name, *ns;
	int64_t count, last_ns;
};

struct event_recorder {
	struct kube_client *client;
	char *component;
	pthread_t thread;
	atomic_bool cut; /* ends the call that is under way */

	pthread_mutex_t lock; /* guards all below */
	pthread_cond_t wake;  /* something waits, stopping, or the thread has ended */
	struct item *head, **tail;
	struct map *waiting; /* key -> struct item, borrowed */
	struct event_spam *spam;
	struct series *dropped;
	bool stopping, ended;

	struct map *sent; /* the thread alone: key -> struct sent */
	uint64_t serial;
};

static void item_free(struct item *it)
{
	if (it == NULL)
		return;
	json_decref(it->object);
	free(it->key);
	free(it->about);
	free(it->similar);
	free(it->ns);
	free(it->type);
	free(it->reason);
	free(it->message);
	free(it);
}

static void item_free_p(struct item **it)
{
	item_free(*it);
}

static void sent_free(void *p)
{
	struct sent *s = p;
	free(s->name);
	free(s->ns);
	free(s);
}

/* --- emitting: any thread --- */

static json_t *involved(const json_t *obj)
{
	json_t *o = json_pack("{s:s, s:s, s:s, s:s, s:s}", "apiVersion", json_str(obj, "apiVersion", ""), "kind",
			      json_str(obj, "kind", ""), "name", obj_name(obj), "uid", obj_uid(obj), "resourceVersion",
			      obj_resource_version(obj));
	if (o != NULL && obj_namespace(obj)[0] != '\0' && json_put_str(o, "namespace", obj_namespace(obj)) < 0) {
		json_decref(o);
		return NULL;
	}
	return o;
}

/* Cut at a character's border. */
static void cut_message(char *s, size_t max)
{
	size_t n = strlen(s);
	if (n <= max)
		return;
	for (n = max; n > 0 && ((unsigned char)s[n] & 0xc0) == 0x80;)
		n--;
	s[n] = '\0';
}

__attribute__((format(printf, 4, 0))) static struct item *item_new(const json_t *obj, const char *type,
								   const char *reason, const char *fmt, va_list ap)
{
	CLEANUP(item_free_p) struct item *it = calloc(1, sizeof *it);
	if (it == NULL)
		return NULL;
	if (vasprintf(&it->message, fmt, ap) < 0) {
		it->message = NULL;
		return NULL;
	}
	cut_message(it->message, MESSAGE_MAX);
	const char *ns = obj_namespace(obj);
	it->object = involved(obj);
	it->ns = strdup(ns[0] != '\0' ? ns : "default");
	it->type = strdup(type);
	it->reason = strdup(reason);
	it->about = str_printf("%s\x1f%s\x1f%s\x1f%s", ns, json_str(obj, "kind", ""), obj_name(obj), obj_uid(obj));
	it->similar = it->about != NULL ? str_printf("%s\x1f%s\x1f%s", it->about, type, reason) : NULL;
	it->key = it->similar != NULL ? str_printf("%s\x1f%s", it->similar, it->message) : NULL;
	it->first_ns = it->last_ns = clock_wall_ns();
	it->count = 1;
	if (it->object == NULL || it->ns == NULL || it->type == NULL || it->reason == NULL || it->key == NULL)
		return NULL;
	return TAKE(it);
}

/* One of many alike: a combined Event stands for all from here on. 0 or -ENOMEM. */
static int combine(struct item *it)
{
	CLEANUP(free_p) char *message = str_printf(COMBINED "%s", it->message);
	CLEANUP(free_p) char *key = str_printf("%s\x1f" COMBINED, it->similar);
	if (message == NULL || key == NULL)
		return -ENOMEM;
	cut_message(message, MESSAGE_MAX);
	free(it->message);
	free(it->key);
	it->message = TAKE(message);
	it->key = TAKE(key);
	it->combined = true;
	return 0;
}

/* Add @it to @same, which waits: one request tells of both. */
static void join(struct item *same, struct item *it)
{
	char *message = same->message;
	same->count++;
	same->last_ns = it->last_ns;
	same->message = it->message; /* of combined ones, the newest is told */
	it->message = message;
	item_free(it);
}

/* Takes @it. False: there is no room. */
static bool queue_locked(struct event_recorder *r, struct item *it)
{
	struct item *same = map_get(r->waiting, it->key);
	if (same != NULL) {
		join(same, it);
		return true;
	}
	/* Only what makes a request of its own counts. */
	const enum event_verdict v = event_spam_judge(r->spam, it->about, it->similar, it->message, clock_mono_ns());
	if (v == EVENT_DROP || (v == EVENT_COMBINE && combine(it) < 0)) {
		item_free(it);
		return false;
	}
	if (v == EVENT_COMBINE && (same = map_get(r->waiting, it->key)) != NULL) {
		join(same, it);
		return true;
	}
	if (r->stopping || map_size(r->waiting) >= WAITING_MAX || map_set(r->waiting, it->key, it) < 0) {
		item_free(it);
		return false;
	}
	*r->tail = it;
	r->tail = &it->next;
	pthread_cond_broadcast(&r->wake);
	return true;
}

void event_emit(struct event_recorder *r, const json_t *obj, const char *type, const char *reason, const char *fmt, ...)
{
	va_list ap;
	va_start(ap, fmt);
	struct item *it = item_new(obj, type, reason, fmt, ap);
	va_end(ap);
	pthread_mutex_lock(&r->lock);
	const bool queued = it != NULL && queue_locked(r, it);
	pthread_mutex_unlock(&r->lock);
	series_add(r->dropped, queued ? 0 : 1);
}

/* --- sending: the recorder's thread --- */

/* The name kubectl users know: the object's, a dot and a number that does not come again. */
static char *event_name(struct event_recorder *r, const struct item *it)
{
	const uint64_t stamp = (uint64_t)clock_wall_ns() + r->serial++;
	return str_printf("%.236s.%016llx", json_str(it->object, "name", ""), (unsigned long long)stamp);
}

static json_t *event_object(const struct event_recorder *r, const struct item *it, const char *name)
{
	char first[32], last[32];
	clock_format_rfc3339(it->first_ns, first);
	clock_format_rfc3339(it->last_ns, last);
	return json_pack("{s:s, s:s, s:{s:s, s:s}, s:O, s:s, s:s, s:{s:s}, s:s, s:s, s:I, s:s, s:s, s:s}", "apiVersion",
			 "v1", "kind", "Event", "metadata", "name", name, "namespace", it->ns, "involvedObject",
			 it->object, "reason", it->reason, "message", it->message, "source", "component", r->component,
			 "firstTimestamp", first, "lastTimestamp", last, "count", (json_int_t)it->count, "type",
			 it->type, "reportingComponent", r->component, "reportingInstance", "");
}

static int send_new(struct event_recorder *r, const struct item *it, struct error *err)
{
	CLEANUP(free_p) char *name = event_name(r, it);
	JSON_AUTO ev = name != NULL ? event_object(r, it, name) : NULL;
	if (ev == NULL)
		return error_set(err, -ENOMEM, "event: out of memory");
	const struct kube_limits lim = {.timeout_ns = SEND_NS, .cancel = &r->cut, .unfenced = true};
	int rc = kube_create_within(r->client, &KUBE_EVENT, it->ns, ev, &lim, err);
	if (rc < 0)
		return rc;
	if (map_size(r->sent) >= SENT_MAX) { /* only equal ones are lost: they begin anew */
		map_free(r->sent);
		r->sent = map_new(sent_free);
	}
	struct sent *s = calloc(1, sizeof *s);
	if (s != NULL)
		*s = (struct sent){
			.name = TAKE(name), .ns = strdup(it->ns), .count = it->count, .last_ns = it->last_ns};
	if (s != NULL && (r->sent == NULL || s->ns == NULL || map_set(r->sent, it->key, s) < 0))
		sent_free(s); /* no memory: the next equal one becomes an event of its own */
	return 0;
}

static int send_count(struct event_recorder *r, const struct item *it, struct sent *s, struct error *err)
{
	char last[32];
	clock_format_rfc3339(it->last_ns, last);
	JSON_AUTO patch = json_pack("{s:I, s:s}", "count", (json_int_t)(s->count + it->count), "lastTimestamp", last);
	if (patch == NULL || (it->combined && json_put_str(patch, "message", it->message) < 0))
		return error_set(err, -ENOMEM, "event: out of memory");
	const struct kube_limits lim = {.timeout_ns = SEND_NS, .cancel = &r->cut, .unfenced = true};
	int rc = kube_merge_within(r->client, &KUBE_EVENT, s->ns, s->name, patch, &lim, err);
	if (rc == 0) {
		s->count += it->count;
		s->last_ns = it->last_ns;
	}
	return rc;
}

static int send_item(struct event_recorder *r, const struct item *it, struct error *err)
{
	struct sent *s = r->sent != NULL ? map_get(r->sent, it->key) : NULL;
	if (s != NULL && it->first_ns - s->last_ns <= SAME_NS) {
		int rc = send_count(r, it, s, err);
		if (rc != -ENOENT)
			return rc;
	}
	return send_new(r, it, err);
}

/* Worth another try: the server may come back. A refusal (a namespace that ends, say) is final. */
static bool passing(int rc)
{
	return rc != -EINVAL && rc != -EPERM && rc != -ENOENT && rc != -EACCES && rc != -EOPNOTSUPP &&
	       rc != -ECANCELED && rc != -EEXIST;
}

static void pause_or_stop(struct event_recorder *r, int64_t ns)
{
	const int64_t until = clock_mono_ns() + ns;
	const struct timespec at = {.tv_sec = until / NSEC_PER_SEC, .tv_nsec = until % NSEC_PER_SEC};
	int rc = 0;
	pthread_mutex_lock(&r->lock);
	while (!r->stopping && rc == 0)
		rc = pthread_cond_timedwait(&r->wake, &r->lock, &at);
	pthread_mutex_unlock(&r->lock);
}

static void send_or_drop(struct event_recorder *r, const struct item *it)
{
	struct error err = {0};
	int rc = 0;
	for (int i = 0; i < ATTEMPTS; i++) {
		rc = send_item(r, it, &err);
		if (rc == 0 || !passing(rc))
			break;
		if (i + 1 < ATTEMPTS)
			pause_or_stop(r, (i + 1) * 300 * NSEC_PER_MSEC);
	}
	if (rc == 0)
		return;
	LOG(NULL, LOG_LVL_DEBUG, "event is lost", LOG_STR("reason", it->reason), LOG_STR("err", err.msg));
	series_add(r->dropped, 1);
}

static struct item *next_item(struct event_recorder *r)
{
	pthread_mutex_lock(&r->lock);
	while (r->head == NULL && !r->stopping)
		pthread_cond_wait(&r->wake, &r->lock);
	struct item *it = r->head;
	if (it != NULL) {
		r->head = it->next;
		if (r->head == NULL)
			r->tail = &r->head;
		(void)map_remove(r->waiting, it->key); /* it is there: queued items are */
	}
	pthread_mutex_unlock(&r->lock);
	return it;
}

static void *sender(void *arg)
{
	struct event_recorder *r = arg;
	for (struct item *it; (it = next_item(r)) != NULL; item_free(it)) {
		if (!atomic_load_explicit(&r->cut, memory_order_relaxed))
			send_or_drop(r, it);
	}
	pthread_mutex_lock(&r->lock);
	r->ended = true;
	pthread_cond_broadcast(&r->wake);
	pthread_mutex_unlock(&r->lock);
	return NULL;
}

static void recorder_destroy(struct event_recorder *r)
{
	event_spam_free(r->spam);
	map_free(r->waiting);
	map_free(r->sent);
	free(r->component);
	pthread_cond_destroy(&r->wake);
	pthread_mutex_destroy(&r->lock);
	free(r);
}

int event_recorder_new(struct kube_client *c, const char *component, struct event_recorder **ret, struct error *err)
{
	struct event_recorder *r = calloc(1, sizeof *r);
	if (r == NULL)
		return error_set(err, -ENOMEM, "event recorder: out of memory");
	pthread_mutex_init(&r->lock, NULL);
	pthread_condattr_t attr;
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&r->wake, &attr);
	pthread_condattr_destroy(&attr);
	r->client = c;
	r->tail = &r->head;
	r->component = strdup(component);
	r->waiting = map_new(NULL);
	r->spam = event_spam_new();
	static const char *const by_component[] = {"component", NULL};
	r->dropped = metric_series(metrics_counter(metrics_root(), "sluice_events_dropped_total",
						   "Events that were not sent: too many, or refused by the server.",
						   by_component),
				   (const char *const[]){component});
	r->sent = map_new(sent_free);
	int rc = r->component == NULL || r->waiting == NULL || r->sent == NULL || r->spam == NULL ? ENOMEM : 0;
	if (rc == 0)
		rc = pthread_create(&r->thread, NULL, sender, r);
	if (rc != 0) {
		recorder_destroy(r);
		return error_set(err, -rc, "event recorder: %s", strerror(rc));
	}
	(void)pthread_setname_np(r->thread, "events"); /* only for people who look */
	*ret = r;
	return 0;
}

void event_recorder_free(struct event_recorder *r)
{
	if (r == NULL)
		return;
	const int64_t until = clock_mono_ns() + FLUSH_NS;
	const struct timespec at = {.tv_sec = until / NSEC_PER_SEC, .tv_nsec = until % NSEC_PER_SEC};
	int rc = 0;
	pthread_mutex_lock(&r->lock);
	r->stopping = true;
	pthread_cond_broadcast(&r->wake);
	while (!r->ended && rc == 0)
		rc = pthread_cond_timedwait(&r->wake, &r->lock, &at);
	pthread_mutex_unlock(&r->lock);
	atomic_store_explicit(&r->cut, true, memory_order_relaxed);
	(void)pthread_join(r->thread, NULL); /* cannot fail: we own it and it was not joined */
	recorder_destroy(r);
}

const struct permission event_permissions[] = {
	{"", "events", "create,patch"},
	{.resources = NULL},
};
