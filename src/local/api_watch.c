/*
 * Watches. A watcher first replays (what exists, or history) on the worker that began it, while the committing thread queues what is
 * new; once the queue is drained it is live, and the committing thread writes to its stream directly, which never blocks.
 */
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/strbuf.h"
#include "local/api_convert.h"
#include "local/api_internal.h"
#include "local/api_table.h"
#include "json/json.h"
#include "json/selector.h"

#define PENDING_MAX    20000
#define LINE_MAX_BYTES (16u << 20)
#define BOOKMARK_NS    (60 * NSEC_PER_SEC)

struct watcher {
	struct watcher *next, **link; /* in the hub's list; link NULL: not in it. Hub's lock. */
	bool closed;                  /* hub's lock */
	atomic_uint refs;
	struct api_hub *hub;
	struct http_stream *stream;
	struct api_kind *kind;
	char *ns;
	struct label_selector *labels;
	struct field_selector *fields;
	enum api_form form;
	char include_object[16];
	bool bookmarks;
	int64_t deadline;

	pthread_mutex_t lock; /* guards all below; held while writing, so that lines keep their order */
	bool live, columns_sent;
	int64_t after; /* every change up to here was sent or is of no interest */
	int64_t bookmark_at;
	struct objstore_event **pending;
	size_t n_pending, cap_pending;
};

struct api_hub {
	struct objstore *store;
	pthread_t timer;
	bool timer_started;
	void (*listener)(void *ctx, const struct objstore_event *e);
	void *listener_ctx;

	pthread_mutex_t lock; /* guards all below */
	pthread_cond_t wake;
	bool stopping;
	struct watcher *watchers;
	size_t n;
	int64_t published; /* handed out to the watchers of that moment */
	int64_t delivered; /* with every watcher that was live then */
};

/** One change with what watchers need of it, made when the first needs it. */
struct prepared {
	struct objstore_event *e;
	json_t *obj, *prev;
};

static void prepared_clear(struct prepared *p)
{
	json_decref(p->obj);
	json_decref(p->prev);
}

static void watcher_unref(struct watcher *w)
{
	if (atomic_fetch_sub_explicit(&w->refs, 1, memory_order_acq_rel) != 1)
		return;
	for (size_t i = 0; i < w->n_pending; i++)
		(void)objstore_event_unref(w->pending[i]);
	free(w->pending);
	if (w->stream != NULL)
		(void)http_stream_unref(w->stream);
	(void)api_kind_unref(w->kind);
	label_selector_free(w->labels);
	field_selector_free(w->fields);
	(void)pthread_mutex_destroy(&w->lock);
	free(w->ns);
	free(w);
}

static struct watcher *watcher_ref(struct watcher *w)
{
	atomic_fetch_add_explicit(&w->refs, 1, memory_order_relaxed);
	return w;
}

/** The peer is gone, or the stream ended. On the server's loop thread. */
static void watcher_closed(void *ctx)
{
	struct watcher *w = ctx;
	struct api_hub *hub = w->hub;
	pthread_mutex_lock(&hub->lock);
	w->closed = true;
	if (w->link != NULL) {
		*w->link = w->next;
		if (w->next != NULL)
			w->next->link = w->link;
		w->link = NULL;
		hub->n--;
	}
	pthread_mutex_unlock(&hub->lock);
	watcher_unref(w);
}

/** @obj as it is stored. */
static bool selects(const struct watcher *w, const json_t *obj)
{
	if (obj == NULL)
		return false;
	if (w->labels != NULL && !label_selector_matches(w->labels, json_at(obj, "metadata.labels")))
		return false;
	if (w->fields == NULL || w->kind->one_version)
		return w->fields == NULL || field_selector_matches(w->fields, obj);
	JSON_AUTO view = json_copy((json_t *)obj);
	return view != NULL && api_from_stored(w->kind, view) == 0 && field_selector_matches(w->fields, view);
}

static json_t *parsed(json_t **slot, const char *data, size_t n)
{
	if (*slot == NULL && data != NULL)
		(void)json_parse(data, n, slot,
				 NULL); /* what we stored is JSON; without memory the watcher is cut below */
	return *slot;
}

/** {"type":T,"object":@text}\n */
static int write_line(struct watcher *w, const char *type, const char *text, size_t n)
{
	struct strbuf b = STRBUF_INIT(LINE_MAX_BYTES);
	strbuf_addf(&b, "{\"type\":\"%s\",\"object\":", type);
	strbuf_add(&b, text, n);
	strbuf_adds(&b, "}\n");
	int rc = b.failed ? -ENOMEM : http_stream_write(w->stream, b.p, b.n);
	strbuf_clear(&b);
	return rc;
}

/** Send @stored in the watcher's form. */
static int write_object(struct watcher *w, const char *type, json_t *stored)
{
	JSON_AUTO view = NULL;
	JSON_AUTO obj = json_copy(stored);
	if (obj == NULL || api_from_stored(w->kind, obj) < 0)
		return -ENOMEM;
	if (w->form == API_FORM_PARTIAL) {
		view = api_partial_metadata(obj);
	} else if (w->form == API_FORM_TABLE) {
		view = api_table_new(w->kind, !w->columns_sent);
		if (view != NULL && api_table_add(w->kind, view, obj, w->include_object) < 0)
			return -ENOMEM;
		w->columns_sent = true;
	} else {
		view = json_incref(obj);
	}
	size_t n = 0;
	CLEANUP(free_p) char *text = view != NULL ? json_to_text(view, &n) : NULL;
	return text != NULL ? write_line(w, type, text, n) : -ENOMEM;
}

static bool plain(const struct watcher *w)
{
	return w->form == API_FORM_OBJECT && w->kind->one_version;
}

/** What the change looks like to @w: its type, or NULL when it does not concern it; *@ret_old: the object as it was before. */
static const char *seen_as(const struct watcher *w, struct prepared *p, bool *ret_old)
{
	static const char *const types[] = {"ADDED", "MODIFIED", "DELETED"};
	const struct objstore_event *e = p->e;
	*ret_old = false;
	if (w->labels == NULL && w->fields == NULL)
		return types[e->type];
	bool now = e->type != STORE_DELETED && selects(w, parsed(&p->obj, e->data, e->n));
	bool before = e->prev != NULL && selects(w, parsed(&p->prev, e->prev, e->prev_n));
	*ret_old = before && !now && e->type != STORE_DELETED;
	return now ? before ? "MODIFIED" : "ADDED" : before ? "DELETED" : NULL;
}

/** Send one change if it concerns @w. Needs the watcher's lock, or that it is not live yet. */
static int send_change(struct watcher *w, struct prepared *p)
{
	const struct objstore_event *e = p->e;
	if (w->ns[0] != '\0' && strcmp(w->ns, e->key.ns) != 0)
		return 0;
	bool old = false;
	const char *type = seen_as(w, p, &old);
	if (type == NULL)
		return 0;
	if (!old && plain(w))
		return write_line(w, type, e->data, e->n);
	if (!old) {
		json_t *obj = parsed(&p->obj, e->data, e->n);
		return obj != NULL ? write_object(w, type, obj) : -ENOMEM;
	}
	/* It left the selection: the state before, with this change's version. */
	JSON_AUTO obj = p->prev != NULL ? json_deep_copy(p->prev) : NULL;
	if (obj == NULL || api_set_revision(obj, e->revision) < 0)
		return -ENOMEM;
	return write_object(w, type, obj);
}

static void watcher_end(struct watcher *w)
{
	http_stream_end(w->stream);
}

static bool concerns(const struct watcher *w, const struct objstore_event *e)
{
	return strcmp(w->kind->k->resource.plural, e->key.plural) == 0 &&
	       strcmp(w->kind->stored_group, e->key.group) == 0;
}

static int queue_locked(struct watcher *w, struct objstore_event *e)
{
	if (w->n_pending == w->cap_pending) {
		size_t cap = w->cap_pending > 0 ? w->cap_pending * 2 : 16;
		struct objstore_event **p = cap <= PENDING_MAX ? reallocarray(w->pending, cap, sizeof *p) : NULL;
		if (p == NULL)
			return -ENOMEM;
		w->pending = p;
		w->cap_pending = cap;
	}
	w->pending[w->n_pending++] = objstore_event_ref(e);
	return 0;
}

static void deliver(struct watcher *w, struct prepared *p)
{
	int rc = 0;
	pthread_mutex_lock(&w->lock);
	if (!w->live)
		rc = queue_locked(w, p->e);
	else if (p->e->revision > w->after)
		rc = send_change(w, p);
	if (w->live)
		w->after = p->e->revision;
	pthread_mutex_unlock(&w->lock);
	if (rc < 0)
		watcher_end(w); /* it cannot be told everything: it must begin anew */
}

/** The watchers that a change may concern (@e NULL: all), each with a reference; malloc'ed. */
static struct watcher **interested(struct api_hub *hub, const struct objstore_event *e, size_t *ret_n)
{
	size_t n = 0;
	pthread_mutex_lock(&hub->lock);
	struct watcher **all = hub->n > 0 ? calloc(hub->n, sizeof(struct watcher *)) : NULL;
	for (struct watcher *w = hub->watchers; w != NULL && all != NULL; w = w->next)
		if (e == NULL || concerns(w, e))
			all[n++] = watcher_ref(w);
	if (e != NULL)
		hub->published = e->revision;
	pthread_mutex_unlock(&hub->lock);
	*ret_n = n;
	return all;
}

void api_hub_commit(void *ctx, struct objstore_event *const *events, size_t n)
{
	struct api_hub *hub = ctx;
	for (size_t i = 0; i < n; i++) {
		struct prepared p = {.e = events[i]};
		size_t count = 0;
		struct watcher **all = interested(hub, p.e, &count);
		for (size_t k = 0; k < count; k++) {
			deliver(all[k], &p);
			watcher_unref(all[k]);
		}
		free(all);
		prepared_clear(&p);
		pthread_mutex_lock(&hub->lock);
		hub->delivered = events[i]->revision;
		pthread_mutex_unlock(&hub->lock);
		if (hub->listener != NULL)
			hub->listener(hub->listener_ctx, events[i]);
	}
}

/** Tell @w that it has seen everything up to @revision. Needs its lock. */
static int send_bookmark(struct watcher *w, int64_t revision, bool initial)
{
	const struct kube_resource *res = &w->kind->k->resource;
	char version[128];
	struct strbuf b = STRBUF_INIT(4096);
	strbuf_addf(&b,
		    "{\"kind\":\"%s\",\"apiVersion\":\"%s\",\"metadata\":{\"resourceVersion\":\"%lld\","
		    "\"creationTimestamp\":null%s}}",
		    res->kind, kube_api_version(res, version), (long long)revision,
		    initial ? ",\"annotations\":{\"k8s.io/initial-events-end\":\"true\"}" : "");
	int rc = b.failed ? -ENOMEM : write_line(w, "BOOKMARK", b.p, b.n);
	strbuf_clear(&b);
	return rc;
}

static int send_initial(void *ctx, const struct objstore_item *item)
{
	struct watcher *w = ctx;
	if (plain(w) && w->labels == NULL && w->fields == NULL)
		return write_line(w, "ADDED", item->data, item->n);
	JSON_AUTO obj = NULL;
	if (json_parse(item->data, item->n, &obj, NULL) < 0)
		return -EIO;
	return selects(w, obj) ? write_object(w, "ADDED", obj) : 0;
}

static int send_past(void *ctx, struct objstore_event *e)
{
	struct prepared p = {.e = e};
	int rc = send_change(ctx, &p);
	prepared_clear(&p);
	return rc;
}

static void send_error(struct watcher *w, int code, const char *reason, const char *message)
{
	JSON_AUTO status = api_status_new(code, reason, NULL, message);
	size_t n = 0;
	CLEANUP(free_p) char *text = json_to_text(status, &n);
	if (text != NULL)
		(void)write_line(w, "ERROR", text, n); /* the stream ends anyway */
}

static int replay(struct watcher *w, const struct api_watch_options *o, int64_t published, struct error *err)
{
	const struct kube_resource *res = &w->kind->k->resource;
	if (!o->initial) {
		w->after = published > o->from ? published : o->from;
		return published > o->from ? objstore_history(w->hub->store, w->kind->stored_group, res->plural,
							      o->from, published, send_past, w, err)
					   : 0;
	}
	struct objstore_range range = {.group = w->kind->stored_group, .plural = res->plural, .ns = w->ns};
	int rc = objstore_list(w->hub->store, &range, send_initial, w, &w->after, NULL, err);
	if (rc == 0 && o->initial_bookmark)
		rc = send_bookmark(w, w->after, true);
	return rc;
}

/** Send what came meanwhile, until nothing is left and the watcher is live. */
static int catch_up(struct watcher *w)
{
	int rc = 0;
	pthread_mutex_lock(&w->lock);
	for (size_t i = 0; i < w->n_pending; i++) {
		struct objstore_event *e = w->pending[i];
		if (rc == 0 && e->revision > w->after)
			rc = send_past(w, e);
		if (e->revision > w->after)
			w->after = e->revision;
		(void)objstore_event_unref(e);
	}
	w->n_pending = 0;
	w->live = true;
	pthread_mutex_unlock(&w->lock);
	return rc;
}

static struct watcher *watcher_new(struct api_request *r, const struct api_watch_options *o)
{
	struct watcher *w = calloc(1, sizeof *w);
	if (w == NULL)
		return NULL;
	(void)pthread_mutex_init(&w->lock, NULL);
	atomic_init(&w->refs, 1);
	w->hub = r->server->hub;
	w->kind = api_kind_ref(r->kind);
	w->labels = o->labels;
	w->fields = o->fields;
	w->form = r->form;
	(void)snprintf(w->include_object, sizeof w->include_object, "%s", r->include_object);
	w->bookmarks = o->bookmarks;
	w->deadline = clock_mono_ns() + o->timeout_ns;
	w->bookmark_at = clock_mono_ns() + BOOKMARK_NS;
	w->ns = strdup(r->ns);
	if (w->ns == NULL) {
		watcher_unref(w);
		return NULL;
	}
	return w;
}

/** Enter the hub's list; from now on changes are queued. False when the peer is gone already. */
static bool enter(struct watcher *w, int64_t *ret_published)
{
	struct api_hub *hub = w->hub;
	pthread_mutex_lock(&hub->lock);
	bool ok = !w->closed;
	if (ok) {
		w->next = hub->watchers;
		w->link = &hub->watchers;
		if (w->next != NULL)
			w->next->link = &w->next;
		hub->watchers = w;
		hub->n++;
	}
	*ret_published = hub->published;
	pthread_mutex_unlock(&hub->lock);
	return ok;
}

int api_watch_begin(struct api_request *r, const struct api_watch_options *o)
{
	struct watcher *w = watcher_new(r, o);
	if (w == NULL) {
		label_selector_free(o->labels);
		field_selector_free(o->fields);
		return api_fail_memory(r);
	}
	(void)watcher_ref(w); /* for watcher_closed() */
	r->answered = true;
	struct http_stream *stream = http_stream_begin(r->x, 200, "application/json", watcher_closed, w);
	if (stream == NULL) { /* answered with an error; watcher_closed() will not come */
		watcher_unref(w);
		watcher_unref(w);
		return 0;
	}
	w->stream = http_stream_ref(stream);
	int64_t published = 0;
	if (enter(w, &published)) {
		struct error err = {0};
		int rc = replay(w, o, published, &err);
		if (rc == -EKEYEXPIRED)
			send_error(w, 410, "Expired", err.msg);
		if (rc == 0)
			rc = catch_up(w);
		if (rc < 0)
			watcher_end(w);
	}
	watcher_unref(w);
	return 0;
}

static void tick(struct watcher *w, int64_t now, int64_t delivered)
{
	if (now >= w->deadline) {
		watcher_end(w);
		return;
	}
	pthread_mutex_lock(&w->lock);
	if (w->bookmarks && w->live && now >= w->bookmark_at) {
		w->bookmark_at = now + BOOKMARK_NS;
		int64_t revision = w->after > delivered ? w->after : delivered;
		(void)send_bookmark(w, revision, false); /* a closed stream tells by watcher_closed() */
	}
	pthread_mutex_unlock(&w->lock);
}

static void *timer_main(void *arg)
{
	struct api_hub *hub = arg;
	pthread_mutex_lock(&hub->lock);
	while (!hub->stopping) {
		struct timespec until;
		(void)clock_gettime(CLOCK_MONOTONIC, &until);
		until.tv_sec += 1;
		(void)pthread_cond_timedwait(&hub->wake, &hub->lock, &until); /* a timeout is what it is for */
		int64_t delivered = hub->delivered;
		pthread_mutex_unlock(&hub->lock);
		size_t n = 0;
		struct watcher **all = interested(hub, NULL, &n);
		for (size_t i = 0; i < n; i++) {
			tick(all[i], clock_mono_ns(), delivered);
			watcher_unref(all[i]);
		}
		free(all);
		pthread_mutex_lock(&hub->lock);
	}
	pthread_mutex_unlock(&hub->lock);
	return NULL;
}

struct api_hub *api_hub_new(void)
{
	struct api_hub *hub = calloc(1, sizeof *hub);
	if (hub == NULL)
		return NULL;
	pthread_condattr_t attr;
	(void)pthread_condattr_init(&attr);
	(void)pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	(void)pthread_cond_init(&hub->wake, &attr);
	(void)pthread_condattr_destroy(&attr);
	(void)pthread_mutex_init(&hub->lock, NULL);
	return hub;
}

int api_hub_start(struct api_hub *hub, struct objstore *store, struct error *err)
{
	hub->store = store;
	hub->published = hub->delivered = objstore_revision(store);
	int rc = pthread_create(&hub->timer, NULL, timer_main, hub);
	if (rc != 0)
		return error_set(err, -rc, "start the watch timer: %s", strerror(rc));
	hub->timer_started = true;
	return 0;
}

void api_hub_listen(struct api_hub *hub, void (*fn)(void *ctx, const struct objstore_event *e), void *ctx)
{
	hub->listener = fn;
	hub->listener_ctx = ctx;
}

size_t api_hub_size(struct api_hub *hub)
{
	pthread_mutex_lock(&hub->lock);
	size_t n = hub->n;
	pthread_mutex_unlock(&hub->lock);
	return n;
}

void api_hub_free(struct api_hub *hub)
{
	if (hub == NULL)
		return;
	if (hub->timer_started) {
		pthread_mutex_lock(&hub->lock);
		hub->stopping = true;
		pthread_cond_signal(&hub->wake);
		pthread_mutex_unlock(&hub->lock);
		(void)pthread_join(hub->timer, NULL);
	}
	(void)pthread_cond_destroy(&hub->wake);
	(void)pthread_mutex_destroy(&hub->lock);
	free(hub);
}
