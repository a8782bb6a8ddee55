#include "kube/packed.h"

#include <assert.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define ZLIB_CONST
#include <zlib.h>

#include "base/cleanup.h"

#define WINDOW_BITS                                                                                                    \
	(-14) /* raw deflate: a text and the one it is compared to of 8 KiB each; longer ones are seen in part */
#define MEMORY   7
#define LEVEL    1   /* against a good pattern there is little that searching longer finds */
#define POOR_MAX 64u /* texts in a row that the pattern does not suit, until another one is tried */

/* Kept as it is when @n equals @stored, else deflated, with @pattern as the dictionary. */
struct packed {
	atomic_uint refs;
	uint32_t n, stored;
	struct packed *pattern; /* a plain one; NULL: none */
	unsigned char data[];
};

struct packer {
	struct packed *pattern; /* NULL: none yet */
	unsigned poor;
	z_stream z;
	bool z_made;
	unsigned char *scratch;
	size_t scratch_n;
};

struct packer *packer_new(void)
{
	return calloc(1, sizeof(struct packer));
}

void packer_free(struct packer *p)
{
	if (p == NULL)
		return;
	if (p->z_made)
		(void)deflateEnd(&p->z); /* a stream given up in its midst says so: nothing is lost */
	packed_unref(p->pattern);
	free(p->scratch);
	free(p);
}

static struct packed *make(const void *data, size_t stored, size_t n, struct packed *pattern)
{
	struct packed *t = malloc(sizeof *t + stored);
	if (t == NULL)
		return NULL;
	atomic_init(&t->refs, 1);
	t->n = (uint32_t)n;
	t->stored = (uint32_t)stored;
	t->pattern = pattern != NULL ? packed_ref(pattern) : NULL;
	memcpy(t->data, data, stored);
	return t;
}

/* The compressed size in scratch; 0: no memory, or it would not be smaller. */
static size_t squeeze(struct packer *p, const char *text, size_t n)
{
	if (!p->z_made && deflateInit2(&p->z, LEVEL, Z_DEFLATED, WINDOW_BITS, MEMORY, Z_DEFAULT_STRATEGY) != Z_OK)
		return 0;
	p->z_made = true;
	if (p->scratch_n < n) {
		unsigned char *more = realloc(p->scratch, n);
		if (more == NULL)
			return 0;
		p->scratch = more;
		p->scratch_n = n;
	}
	if (deflateReset(&p->z) != Z_OK || deflateSetDictionary(&p->z, p->pattern->data, p->pattern->n) != Z_OK)
		return 0;
	p->z.next_in = (const unsigned char *)text;
	p->z.avail_in = (unsigned)n;
	p->z.next_out = p->scratch;
	p->z.avail_out = (unsigned)n - 1;
	return deflate(&p->z, Z_FINISH) == Z_STREAM_END ? (size_t)p->z.total_out : 0;
}

/* The first text of all, and one after many that resemble the old pattern no more. */
static struct packed *new_pattern(struct packer *p, const char *text, size_t n)
{
	struct packed *t = make(text, n, n, NULL);
	if (t == NULL)
		return NULL;
	packed_unref(p->pattern);
	p->pattern = packed_ref(t);
	p->poor = 0;
	return t;
}

struct packed *packed_new(struct packer *p, const char *text, size_t n, bool want_squeeze)
{
	if (n > UINT32_MAX)
		return NULL;
	if (!want_squeeze || n < 2)
		return make(text, n, n, NULL);
	if (p->pattern == NULL || p->poor >= POOR_MAX)
		return new_pattern(p, text, n);
	const size_t small = squeeze(p, text, n);
	p->poor = small == 0 || small > n / 2 ? p->poor + 1 : 0;
	return small != 0 ? make(p->scratch, small, n, p->pattern) : make(text, n, n, NULL);
}

char *packed_text(const struct packed *t, size_t *ret_n)
{
	CLEANUP(free_p) char *text = malloc(t->n > 0 ? t->n : 1);
	if (text == NULL)
		return NULL;
	*ret_n = t->n;
	if (t->stored == t->n) {
		memcpy(text, t->data, t->n);
		return TAKE(text);
	}
	z_stream z = {.next_in = t->data, .avail_in = t->stored, .next_out = (unsigned char *)text, .avail_out = t->n};
	if (inflateInit2(&z, WINDOW_BITS) != Z_OK)
		return NULL;
	int rc = inflateSetDictionary(&z, t->pattern->data, t->pattern->n);
	if (rc == Z_OK)
		rc = inflate(&z, Z_FINISH);
	(void)inflateEnd(&z);                                                 /* fails only for a stream that is none */
	assert(rc == Z_STREAM_END || rc == Z_MEM_ERROR || rc == Z_BUF_ERROR); /* our own bytes */
	return rc == Z_STREAM_END ? TAKE(text) : NULL;
}

size_t packed_size(const struct packed *t)
{
	return t->n;
}

struct packed *packed_ref(struct packed *t)
{
	(void)atomic_fetch_add_explicit(&t->refs, 1, memory_order_relaxed);
	return t;
}

void packed_unref(struct packed *t)
{
	if (t == NULL || atomic_fetch_sub_explicit(&t->refs, 1, memory_order_acq_rel) != 1)
		return;
	packed_unref(t->pattern); /* a pattern has none itself */
	free(t);
}
