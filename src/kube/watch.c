/* Watch: one GET whose body is a line of JSON for each event, for as long as the server likes. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/random.h"
#include "base/str.h"
#include "base/strbuf.h"
#include "kube/client.h"
#include "kube/request.h"
#include "kube/watch_lines.h"
#include "net/http_client.h"
#include "json/json.h"

/* The server is asked to end the watch after 5 to 10 minutes (so that many watchers do not come back at once). */
#define WATCH_MIN_S 300u
/* Bookmarks come about once a minute; so long without a byte means that the other side is gone without a word. */
#define WATCH_STALL_NS (180 * NSEC_PER_SEC)

/* --- the splitter --- */

static int one_line(struct watch_lines *w, const char *line, size_t n)
{
	while (n > 0 && (line[n - 1] == '\r' || line[n - 1] == ' '))
		n--;
	if (n == 0)
		return 0;
	JSON_AUTO event = NULL;
	int rc = json_parse(line, n, &event, w->err);
	if (rc < 0)
		return error_wrap(w->err, rc == -EINVAL ? -EPROTO : rc, "%s: an event", w->what);
	const char *type = json_string_value(json_object_get(event, "type"));
	json_t *object = json_object_get(event, "object");
	if (type == NULL || !json_is_object(object))
		return error_set(w->err, -EPROTO, "%s: an event without type or object", w->what);
	rc = w->fn(w->ctx, type, object);
	if (rc < 0 || strcmp(type, "ERROR") != 0)
		return rc;
	rc = kube_status_error(w->err, (int)json_int(object, "code", 500), object, w->what);
	return rc < 0 ? rc : -EPROTO;
}

static int too_long(struct watch_lines *w)
{
	return error_set(w->err, -EFBIG, "%s: an event is longer than %u bytes", w->what, WATCH_LINE_MAX);
}

int watch_lines_feed(struct watch_lines *w, const void *data, size_t n)
{
	const char *p = data;
	while (n > 0 && w->rc == 0) {
		const char *nl = memchr(p, '\n', n);
		const size_t part = nl != NULL ? (size_t)(nl - p) : n;
		if (w->partial.n + part > WATCH_LINE_MAX) {
			w->rc = too_long(w);
		} else if (nl != NULL && w->partial.n == 0) {
			w->rc = one_line(w, p, part); /* the usual case: whole lines, no copy */
		} else {
			strbuf_add(&w->partial, p, part);
			if (w->partial.failed)
				w->rc = error_set(w->err, -ENOMEM, "%s: out of memory", w->what);
			else if (nl != NULL) {
				w->rc = one_line(w, w->partial.p, w->partial.n);
				strbuf_reset(&w->partial);
			}
		}
		const size_t used = nl != NULL ? part + 1 : part;
		p += used;
		n -= used;
	}
	return w->rc;
}

int watch_lines_end(struct watch_lines *w)
{
	if (w->rc == 0 && w->partial.n > 0)
		w->rc = error_set(w->err, -ECONNRESET, "%s: the connection was cut within an event", w->what);
	return w->rc;
}

void watch_lines_clear(struct watch_lines *w)
{
	strbuf_clear(&w->partial);
}

/* --- the call --- */

static int feed(void *ctx, const void *data, size_t n)
{
	return watch_lines_feed(ctx, data, n);
}

static int watch_path(const struct kube_resource *r, const char *ns, const struct kube_list_options *o, char **ret)
{
	struct kube_list_options lo = o != NULL ? *o : (struct kube_list_options){0};
	lo.limit = 0;
	lo.cont = NULL;
	CLEANUP(free_p) char *list = NULL;
	int rc = kube_list_path(r, ns, &lo, &list);
	if (rc < 0)
		return rc;
	*ret = str_printf("%s%cwatch=true&allowWatchBookmarks=true&timeoutSeconds=%u", list,
			  strchr(list, '?') != NULL ? '&' : '?', WATCH_MIN_S + random_below(WATCH_MIN_S));
	return *ret != NULL ? 0 : -ENOMEM;
}

int kube_watch(struct kube_client *c, const struct kube_resource *r, const char *ns, const struct kube_list_options *o,
	       kube_watch_fn fn, void *ctx, const atomic_bool *cancel, struct error *err)
{
	char what[300];
	struct error line_err = {0};
	(void)snprintf(what, sizeof what, "watch %s%s%s", r->plural, ns != NULL && ns[0] != '\0' ? " " : "",
		       ns != NULL ? ns : "");
	CLEANUP(watch_lines_clear) struct watch_lines w = WATCH_LINES_INIT(fn, ctx, what, &line_err);
	CLEANUP(free_p) char *path = NULL;
	int rc = watch_path(r, ns, o, &path);
	if (rc < 0)
		return error_set(err, rc, "%s: %s", what,
				 rc == -ENOMEM ? "out of memory" : "the request's path is too long");
	const struct kube_request q = {.method = "GET",
				       .path_query = path,
				       .what = what,
				       .stall_ns = WATCH_STALL_NS,
				       .cancel = cancel,
				       .on_data = feed,
				       .ctx = &w};
	struct http_answer a = {0};
	rc = kube_request_do(c, &q, &a, err);
	if (rc == 0)
		http_answer_clear(&a);
	if (w.rc == 0 && rc == 0)
		(void)watch_lines_end(&w); /* its result stays in w.rc */
	if (w.rc == 0)
		return rc;
	if (err != NULL && line_err.code != 0)
		*err = line_err; /* says more than "the body's receiver ended the call" */
	return w.rc;
}
