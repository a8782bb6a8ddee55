/* Inside src/kube only: cuts the body of a watch into events, however the bytes arrive. A pure function of its input: fuzzed. */
#pragma once

#include "base/strbuf.h"
#include "kube/client.h"

#define WATCH_LINE_MAX (8u << 20)

struct watch_lines {
	struct strbuf partial; /* the beginning of a line whose end has not come yet */
	kube_watch_fn fn;
	void *ctx;
	const char *what;
	struct error *err;
	int rc; /* the first failure; nothing is done after it */
};

#define WATCH_LINES_INIT(fn_, ctx_, what_, err_)                                                                       \
	((struct watch_lines){                                                                                         \
		.partial = STRBUF_INIT(WATCH_LINE_MAX), .fn = (fn_), .ctx = (ctx_), .what = (what_), .err = (err_)})

/** Take the next bytes; 0 or the first negative code (of a malformed line, of an ERROR event, or what @fn returned). */
int watch_lines_feed(struct watch_lines *w, const void *data, size_t n);
/** The body has ended; -ECONNRESET when that was within an event. */
int watch_lines_end(struct watch_lines *w);
void watch_lines_clear(struct watch_lines *w);
