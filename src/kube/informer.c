#include "kube/informer.h"

#include <assert.h>
#include <errno.h>
#include <malloc.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/log.h"
#include "base/random.h"
#include "base/str.h"
#include "kube/client.h"
#include "kube/informer_store.h"
#include "kube/request.h"
#include "kube/resource.h"
#include "json/json.h"

#define PAGE           100 /* what a page's text and tree take is gone soon, but lies between objects that stay: keep it small */
#define TRIM_PAGES     10 /* lists from this size on leave holes worth giving back */
#define HANDLERS_MAX   64
#define BACKOFF_BASE   (200 * NSEC_PER_MSEC)
#define BACKOFF_MAX    (10 * NSEC_PER_SEC)
#define SHORT_WATCH_NS NSEC_PER_SEC

enum state { IDLE, LISTING, STREAMING, BACKOFF, STOPPED, STATES };

static const unsigned next_of[STATES] = {
	[IDLE] = 1u << LISTING | 1u << STOPPED,
	[LISTING] = 1u << STREAMING | 1u << BACKOFF | 1u << STOPPED,
	[STREAMING] = 1u << STREAMING | 1u << LISTING | 1u << BACKOFF | 1u << STOPPED, /* 410 Gone: list again */
	[BACKOFF] = 1u << LISTING | 1u << STREAMING | 1u << STOPPED,
};

struct informer {
	struct kube_client *client;
	const struct kube_resource *resource;
	char *ns, *labels, *fields;
	void (*transform)(json_t *obj);
	struct logger *log;
	struct informer_store *store;
	struct {
		informer_handler fn;
		void *ctx;
	} handler[HANDLERS_MAX];
	size_t n_handlers;
	pthread_t thread;
	bool started;
	atomic_bool stop;

	/* The informer's thread alone: */
	enum state state, after_backoff;
	char *version; /* watch from here */
	unsigned failures;
	bool progress;     /* this watch brought something */
	atomic_uint pages; /* of lists that came in; any thread may look */
	int reported;      /* the kind of failure that was logged last; 0: all is well */

	pthread_mutex_t lock; /* guards the wait on wake */
	pthread_cond_t wake;

	atomic_bool synced;
	int news_fd; /* an eventfd: readable once synced or stopping */
};

static void move_to(struct informer *inf, enum state to)
{
	assert(next_of[inf->state] & 1u << to);
	inf->state = to;
}

/* --- making --- */

static char *dup_or_null(const char *s, bool *failed)
{
	char *copy = s != NULL ? strdup(s) : NULL;
	*failed = *failed || (s != NULL && copy == NULL);
	return copy;
}

static void informer_free_p(struct informer **inf)
{
	informer_free(*inf);
}

int informer_new(struct kube_client *c, const struct kube_resource *r, const struct informer_options *o,
		 struct informer **ret, struct error *err)
{
	CLEANUP(informer_free_p) struct informer *inf = calloc(1, sizeof *inf);
	bool failed = inf == NULL;
	if (failed)
		return error_set(err, -ENOMEM, "informer of %s: out of memory", r->plural);
	pthread_mutex_init(&inf->lock, NULL);
	pthread_condattr_t attr;
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&inf->wake, &attr);
	pthread_condattr_destroy(&attr);
	inf->client = c;
	inf->resource = r;
	if (o != NULL) {
		inf->ns = dup_or_null(o->ns, &failed);
		inf->labels = dup_or_null(o->label_selector, &failed);
		inf->fields = dup_or_null(o->field_selector, &failed);
		inf->transform = o->transform;
		inf->log = o->log;
	}
	inf->store = informer_store_new();
	inf->news_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (inf->news_fd < 0)
		return error_set(err, -errno, "informer of %s: eventfd: %s", r->plural, strerror(errno));
	if (failed || inf->store == NULL)
		return error_set(err, -ENOMEM, "informer of %s: out of memory", r->plural);
	*ret = TAKE(inf);
	return 0;
}

int informer_add_handler(struct informer *inf, informer_handler fn, void *ctx)
{
	assert(!inf->started);
	if (inf->n_handlers == HANDLERS_MAX)
		return -ENOSPC;
	inf->handler[inf->n_handlers].fn = fn;
	inf->handler[inf->n_handlers++].ctx = ctx;
	return 0;
}

int informer_add_index(struct informer *inf, const char *name, char *(*key_of)(const json_t *obj))
{
	assert(!inf->started);
	return informer_store_add_index(inf->store, name, key_of);
}

/* --- what a change does --- */

static void tell(struct informer *inf, enum informer_event ev, const json_t *old, const json_t *obj)
{
	for (size_t i = 0; i < inf->n_handlers; i++)
		inf->handler[i].fn(inf->handler[i].ctx, ev, old, obj);
}

/* Leave only what is kept; items of a list come without apiVersion and kind. */
static int prepare(struct informer *inf, json_t *obj)
{
	char api_version[128];
	(void)json_object_del(json_object_get(obj, "metadata"), "managedFields"); /* absent is fine */
	if (json_object_get(obj, "kind") == NULL &&
	    (json_object_set_new(obj, "kind", json_string(inf->resource->kind)) < 0 ||
	     json_object_set_new(obj, "apiVersion", json_string(kube_api_version(inf->resource, api_version))) < 0))
		return -ENOMEM;
	if (inf->transform != NULL)
		inf->transform(obj);
	return 0;
}

static int take_in(struct informer *inf, json_t *obj)
{
	JSON_AUTO old = NULL;
	bool existed = false;
	if (informer_store_touch(inf->store, obj_namespace(obj), obj_name(obj), obj_resource_version(obj)))
		return 0;
	int rc = prepare(inf, obj);
	if (rc == 0)
		rc = informer_store_put(inf->store, obj, inf->n_handlers > 0, &existed, &old);
	if (rc == 0)
		tell(inf, existed ? INFORMER_UPDATED : INFORMER_ADDED, old, obj);
	return rc;
}

static int take_out(struct informer *inf, json_t *obj)
{
	int rc = prepare(inf, obj);
	if (rc == 0 && informer_store_remove(inf->store, obj_namespace(obj), obj_name(obj)))
		tell(inf, INFORMER_DELETED, NULL, obj);
	return rc;
}

static bool stopping(const struct informer *inf)
{
	return atomic_load_explicit(&inf->stop, memory_order_acquire);
}

static int remember_version(struct informer *inf, const char *version)
{
	char *copy = strdup(version);
	if (copy == NULL)
		return -ENOMEM;
	free(inf->version);
	inf->version = copy;
	return 0;
}

/* --- list --- */

static int list_page(struct informer *inf, const char *cont, json_t **ret, struct error *err)
{
	const struct kube_list_options o = {
		.label_selector = inf->labels, .field_selector = inf->fields, .limit = PAGE, .cont = cont};
	JSON_AUTO page = NULL;
	int rc = kube_list_cancelable(inf->client, inf->resource, inf->ns, &o, &inf->stop, &page, err);
	if (rc < 0)
		return rc;
	const char *version = json_str(page, "metadata.resourceVersion", "");
	if (version[0] == '\0')
		return error_set(err, -EPROTO, "list %s: the server's answer has no resourceVersion",
				 inf->resource->plural);
	size_t i;
	json_t *item;
	json_array_foreach (json_object_get(page, "items"), i, item) {
		if (stopping(inf))
			return error_set(err, -ECANCELED, "list %s: stopped", inf->resource->plural);
		if ((rc = take_in(inf, item)) < 0)
			return error_set(err, rc, "list %s: an item cannot be kept: %s", inf->resource->plural,
					 strerror(-rc));
	}
	if ((rc = remember_version(inf, version)) < 0)
		return error_set(err, rc, "list %s: out of memory", inf->resource->plural);
	*ret = TAKE(page);
	return 0;
}

static void set_synced(struct informer *inf)
{
	atomic_store_explicit(&inf->synced, true, memory_order_release);
	(void)eventfd_write(inf->news_fd, 1); /* it can only fail when it is readable anyway */
}

static int list_all(struct informer *inf, struct error *err)
{
	CLEANUP(free_p) char *cont = NULL;
	unsigned pages = 0;
	informer_store_begin(inf->store);
	do {
		JSON_AUTO page = NULL;
		pages++;
		int rc = list_page(inf, cont, &page, err);
		if (rc < 0)
			return rc;
		atomic_fetch_add_explicit(&inf->pages, 1, memory_order_relaxed);
		free(TAKE(cont));
		const char *next = json_str(page, "metadata.continue", "");
		if (next[0] != '\0' && (cont = strdup(next)) == NULL)
			return error_set(err, -ENOMEM, "list %s: out of memory", inf->resource->plural);
	} while (cont != NULL);
	for (json_t *gone; (gone = informer_store_take_stale(inf->store)) != NULL; json_decref(gone))
		tell(inf, INFORMER_DELETED, NULL, gone);
	if (pages >= TRIM_PAGES)
		(void)malloc_trim(0); /* whether there was something makes no difference */
	set_synced(inf);
	return 0;
}

/* --- watch --- */

static void report_well(struct informer *inf)
{
	if (inf->reported != 0)
		LOG(inf->log, LOG_LVL_INFO, "watch works again", LOG_STR("resource", inf->resource->plural));
	inf->reported = 0;
	inf->failures = 0;
}

static int on_event(void *ctx, const char *type, json_t *obj)
{
	struct informer *inf = ctx;
	int rc = 0;
	if (stopping(inf))
		return -ECANCELED;
	if (strcmp(type, "ERROR") == 0)
		return 0; /* kube_watch() makes an error of it */
	/* the version first: prepare() and transform may leave nothing of it */
	CLEANUP(free_p) char *version = strdup(obj_resource_version(obj));
	if (version == NULL)
		return -ENOMEM;
	if (strcmp(type, "ADDED") == 0 || strcmp(type, "MODIFIED") == 0)
		rc = take_in(inf, obj);
	else if (strcmp(type, "DELETED") == 0)
		rc = take_out(inf, obj);
	if (rc == 0 && version[0] != '\0')
		rc = remember_version(inf, version);
	if (rc == 0) {
		inf->progress = true;
		report_well(inf);
	}
	return rc;
}

static int watch_once(struct informer *inf, struct error *err)
{
	const struct kube_list_options o = {
		.label_selector = inf->labels, .field_selector = inf->fields, .resource_version = inf->version};
	const int64_t start = clock_mono_ns();
	inf->progress = false;
	int rc = kube_watch(inf->client, inf->resource, inf->ns, &o, on_event, inf, &inf->stop, err);
	if (rc == -ETIMEDOUT && clock_mono_ns() - start > SHORT_WATCH_NS)
		rc = 0; /* quiet for long: perhaps the other side is gone; ask anew from the same version */
	if (rc == 0 && !inf->progress && clock_mono_ns() - start < SHORT_WATCH_NS)
		return error_set(err, -EAGAIN, "watch %s: the server ended it at once", inf->resource->plural);
	return rc;
}

/* --- the thread --- */

/* Once for each kind of failure: the server cannot be reached, or it answers with this status. */
static void report_failure(struct informer *inf, int rc, const struct error *err)
{
	const int kind = err->status != 0 ? err->status : -1;
	const bool cut = inf->state == STREAMING && rc == -ECONNRESET && inf->failures == 0;
	if (inf->reported == kind || stopping(inf))
		return;
	if (cut || rc == -EAGAIN) { /* connections end: only if no new one comes is that worth a line */
		LOG(inf->log, LOG_LVL_DEBUG, "watch ended", LOG_STR("resource", inf->resource->plural),
		    LOG_STR("err", err->msg));
		return;
	}
	inf->reported = kind;
	LOG(inf->log, LOG_LVL_WARN, "watch fails, trying again", LOG_STR("resource", inf->resource->plural),
	    LOG_STR("err", err->msg));
}

static void fail(struct informer *inf, int rc, const struct error *err, enum state then)
{
	report_failure(inf, rc, err);
	inf->after_backoff = then;
	move_to(inf, BACKOFF);
}

/* Doubles from the base to the maximum; half of it is chance, so that many clients do not come back at once. */
static void back_off(struct informer *inf)
{
	int64_t d = BACKOFF_BASE;
	for (unsigned i = 0; i < inf->failures && d < BACKOFF_MAX; i++)
		d *= 2;
	if (d > BACKOFF_MAX)
		d = BACKOFF_MAX;
	d = d / 2 + (int64_t)random_below((uint32_t)(d / 2 / 1000) + 1) * 1000;
	if (inf->failures < 32)
		inf->failures++;
	const int64_t until = clock_mono_ns() + d;
	const struct timespec at = {.tv_sec = until / NSEC_PER_SEC, .tv_nsec = until % NSEC_PER_SEC};
	int rc = 0;
	pthread_mutex_lock(&inf->lock);
	while (!stopping(inf) && rc == 0)
		rc = pthread_cond_timedwait(&inf->wake, &inf->lock, &at);
	pthread_mutex_unlock(&inf->lock);
}

static void step_listing(struct informer *inf)
{
	struct error err = {0};
	int rc = list_all(inf, &err);
	if (rc < 0) {
		fail(inf, rc, &err, LISTING);
		return;
	}
	report_well(inf);
	move_to(inf, STREAMING);
}

/* Whether watching from this version again would not help: the server refuses it, or what comes next cannot be read. */
static bool version_refused(int rc, const struct error *err)
{
	return rc == -EKEYEXPIRED || rc == -EINVAL || rc == -ENOENT || rc == -EPROTO || rc == -EFBIG ||
	       err->status == 504;
}

static void step_streaming(struct informer *inf)
{
	struct error err = {0};
	int rc = watch_once(inf, &err);
	if (rc == 0) {
		report_well(inf);
		move_to(inf, STREAMING);
	} else if (rc == -EKEYEXPIRED && inf->failures == 0) {
		inf->failures++; /* a second refusal without progress waits */
		move_to(inf, LISTING);
	} else {
		fail(inf, rc, &err, version_refused(rc, &err) ? LISTING : STREAMING);
	}
}

static void *informer_thread(void *arg)
{
	struct informer *inf = arg;
	move_to(inf, LISTING);
	while (!stopping(inf)) {
		switch (inf->state) {
		case LISTING:
			step_listing(inf);
			break;
		case STREAMING:
			step_streaming(inf);
			break;
		default:
			back_off(inf);
			move_to(inf, inf->after_backoff);
			break;
		}
	}
	move_to(inf, STOPPED);
	return NULL;
}

int informer_start(struct informer *inf, struct error *err)
{
	assert(!inf->started);
	int rc = pthread_create(&inf->thread, NULL, informer_thread, inf);
	if (rc != 0)
		return error_set(err, -rc, "informer of %s: start thread: %s", inf->resource->plural, strerror(rc));
	inf->started = true;
	char name[16];
	(void)snprintf(name, sizeof name, "inf-%.11s", inf->resource->plural); /* the kernel allows 15 bytes */
	(void)pthread_setname_np(inf->thread, name);                           /* only for people who look */
	return 0;
}

void informer_stop(struct informer *inf)
{
	atomic_store_explicit(&inf->stop, true, memory_order_release);
	pthread_mutex_lock(&inf->lock);
	pthread_cond_broadcast(&inf->wake);
	pthread_mutex_unlock(&inf->lock);
	(void)eventfd_write(inf->news_fd, 1);
	kube_client_interrupt(inf->client);
}

void informer_free(struct informer *inf)
{
	if (inf == NULL)
		return;
	if (inf->started) {
		informer_stop(inf);
		(void)pthread_join(inf->thread, NULL); /* cannot fail: we own it and it was not joined */
	}
	informer_store_free(inf->store);
	free(inf->ns);
	free(inf->labels);
	free(inf->fields);
	free(inf->version);
	if (inf->news_fd >= 0)
		(void)close(inf->news_fd); /* an eventfd */
	pthread_cond_destroy(&inf->wake);
	pthread_mutex_destroy(&inf->lock);
	free(inf);
}

/* --- readers --- */

bool informer_synced(const struct informer *inf)
{
	return atomic_load_explicit(&inf->synced, memory_order_acquire);
}

int informer_wait_synced(struct informer *inf, int64_t deadline_mono_ns, int stop_fd)
{
	struct pollfd p[] = {{.fd = inf->news_fd, .events = POLLIN}, {.fd = stop_fd, .events = POLLIN}};
	for (int64_t left; !informer_synced(inf);) {
		if (stopping(inf) || p[1].revents != 0)
			return -ECANCELED;
		if ((left = deadline_mono_ns - clock_mono_ns()) <= 0)
			return -ETIMEDOUT;
		const struct timespec wait = {.tv_sec = left / NSEC_PER_SEC, .tv_nsec = left % NSEC_PER_SEC};
		if (ppoll(p, ARRAY_LEN(p), &wait, NULL) < 0)
			assert(errno == EINTR); /* anything else is a bad descriptor */
	}
	return 0;
}

unsigned informer_pages(const struct informer *inf)
{
	return atomic_load_explicit(&inf->pages, memory_order_relaxed);
}

json_t *informer_get(struct informer *inf, const char *ns, const char *name)
{
	return informer_store_get(inf->store, inf->resource->namespaced ? ns : "", name);
}

json_t *informer_list(struct informer *inf, const char *ns)
{
	return informer_store_list(inf->store, inf->resource->namespaced ? ns : NULL);
}

int informer_visit(struct informer *inf, bool (*fn)(void *ctx, const json_t *obj), void *ctx)
{
	return informer_store_visit(inf->store, fn, ctx);
}

json_t *informer_list_by(struct informer *inf, const char *name, const char *key)
{
	return informer_store_list_by(inf->store, name, key);
}

const struct kube_resource *informer_resource(const struct informer *inf)
{
	return inf->resource;
}
