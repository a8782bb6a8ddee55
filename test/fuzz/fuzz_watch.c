/* The body of a watch, cut anywhere: the same events however it is cut. The first byte says how large the pieces are. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "kube/watch_lines.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

struct tally {
	size_t events, hash;
};

static int on_event(void *ctx, const char *type, json_t *object)
{
	struct tally *t = ctx;
	t->events++;
	for (; *type != '\0'; type++)
		t->hash = t->hash * 31 + (unsigned char)*type;
	t->hash = t->hash * 31 + json_object_size(object);
	return 0;
}

static struct tally run(const uint8_t *data, size_t n, size_t piece)
{
	struct tally t = {0};
	struct error err = {0};
	CLEANUP(watch_lines_clear) struct watch_lines w = WATCH_LINES_INIT(on_event, &t, "watch", &err);
	int rc = 0;
	for (size_t at = 0; rc == 0 && at < n; at += piece)
		rc = watch_lines_feed(&w, data + at, n - at < piece ? n - at : piece);
	(void)watch_lines_end(&w); /* only that it does not fall */
	return t;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	if (n < 2)
		return 0;
	const struct tally whole = run(data + 1, n - 1, n);
	const struct tally cut = run(data + 1, n - 1, (size_t)data[0] + 1);
	if (whole.events != cut.events || whole.hash != cut.hash)
		abort();
	return 0;
}
