#include "reservoir/s3_list.h"

#include <errno.h>
#include <expat.h>
#include <string.h>
#include <time.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/str.h"
#include "base/strbuf.h"

#define DEPTH_MAX 16
#define TEXT_MAX  8192 /* of one element: a key has at most 1024 bytes */

enum place { AT_OTHER, AT_OBJECT, AT_PREFIXES };

struct reading {
	XML_Parser parser;
	const char *prefix;
	int (*fn)(void *ctx, const struct source_entry *e);
	void *ctx;
	struct s3_page *page;
	struct error *err;
	int rc; /* the first failure */
	size_t depth;
	bool known; /* the root is what it must be */
	bool truncated;
	enum place place;
	struct strbuf text; /* of the element that is open */
	/* the object that is open */
	struct source_stat st;
	char key[TEXT_MAX];
};

static void fail(struct reading *r, int rc, const char *why)
{
	if (r->rc == 0)
		r->rc = error_set(r->err, rc, "the listing: %s", why);
	(void)XML_StopParser(r->parser, XML_FALSE);
}

/* One component that may be a name here. */
static bool is_name(const char *s, size_t n)
{
	return n > 0 && n <= 255 && memchr(s, '/', n) == NULL && !(n == 1 && s[0] == '.') &&
	       !(n == 2 && memcmp(s, "..", 2) == 0);
}

/* @key as seen from the directory that was asked for. A directory's own marker is no entry. */
static void hand_on(struct reading *r, const char *key, bool dir)
{
	const size_t prefix_n = strlen(r->prefix);
	if (strncmp(key, r->prefix, prefix_n) != 0) {
		fail(r, -EPROTO, "a key is outside of what was asked for");
		return;
	}
	const char *name = key + prefix_n;
	size_t n = strlen(name);
	if (!dir && n == 0)
		return;
	if (dir && n > 0 && name[n - 1] == '/')
		n--;
	char copy[256];
	if (!is_name(name, n) || n >= sizeof copy) {
		r->page->skipped++;
		return;
	}
	memcpy(copy, name, n);
	copy[n] = '\0';
	struct source_entry e = {.name = copy, .st = {.type = SOURCE_DIR, .size_exact = true, .exact = true}};
	if (!dir)
		e.st = r->st;
	const int rc = r->fn(r->ctx, &e);
	if (rc < 0) {
		r->rc = r->rc != 0 ? r->rc : rc;
		(void)XML_StopParser(r->parser, XML_FALSE);
		return;
	}
	r->page->entries++;
}

static void XMLCALL on_start(void *ctx, const XML_Char *name, const XML_Char **attributes)
{
	struct reading *r = ctx;
	(void)attributes;
	if (++r->depth > DEPTH_MAX)
		fail(r, -EPROTO, "it is nested too deeply");
	if (r->depth == 1)
		r->known = strcmp(name, "ListBucketResult") == 0;
	if (r->depth == 2) {
		r->place = strcmp(name, "Contents") == 0         ? AT_OBJECT
			   : strcmp(name, "CommonPrefixes") == 0 ? AT_PREFIXES
								 : AT_OTHER;
		r->st = (struct source_stat){.type = SOURCE_FILE, .size_exact = true, .exact = true};
		r->key[0] = '\0';
	}
	strbuf_reset(&r->text);
}

static void XMLCALL on_text(void *ctx, const XML_Char *s, int n)
{
	struct reading *r = ctx;
	strbuf_add(&r->text, s, (size_t)n);
	if (r->text.failed)
		fail(r, r->text.too_big ? -EPROTO : -ENOMEM, "a text is too long");
}

static void object_part(struct reading *r, const char *name, const char *text)
{
	if (strcmp(name, "Key") == 0)
		(void)str_copy(r->key, sizeof r->key, text); /* as long as a text may be */
	else if (strcmp(name, "Size") == 0 && (str_to_u64(text, &r->st.size) < 0 || r->st.size > INT64_MAX))
		fail(r, -EPROTO, "a size is no number");
	else if (strcmp(name, "LastModified") == 0 && s3_time_parse(text, &r->st.mtime_ns) < 0)
		fail(r, -EPROTO, "a time is none");
	else if (strcmp(name, "ETag") == 0 && strlen(text) < sizeof r->st.etag)
		(void)str_copy(r->st.etag, sizeof r->st.etag, text);
}

static void XMLCALL on_end(void *ctx, const XML_Char *name)
{
	struct reading *r = ctx;
	const char *text = r->text.p != NULL ? r->text.p : "";
	if (r->depth == 3 && r->place == AT_OBJECT)
		object_part(r, name, text);
	else if (r->depth == 3 && r->place == AT_PREFIXES && strcmp(name, "Prefix") == 0)
		hand_on(r, text, true);
	else if (r->depth == 2 && r->place == AT_OBJECT)
		hand_on(r, r->key, false);
	else if (r->depth == 2 && strcmp(name, "IsTruncated") == 0)
		r->truncated = strcmp(text, "true") == 0;
	else if (r->depth == 2 && strcmp(name, "NextContinuationToken") == 0 &&
		 str_copy(r->page->token, sizeof r->page->token, text) < 0)
		fail(r, -EPROTO, "its continuation token is too long");
	r->depth--;
	strbuf_reset(&r->text);
}

/* Definitions of entities are how small texts become large ones; no server of S3 sends them. */
static void XMLCALL on_doctype(void *ctx, const XML_Char *name, const XML_Char *sysid, const XML_Char *pubid,
			       int internal)
{
	(void)name;
	(void)sysid;
	(void)pubid;
	(void)internal;
	fail(ctx, -EPROTO, "it has a document type");
}

static int parse(struct reading *r, const char *xml, size_t n)
{
	r->parser = XML_ParserCreate("UTF-8");
	if (r->parser == NULL)
		return error_set(r->err, -ENOMEM, "the listing: out of memory");
	XML_SetUserData(r->parser, r);
	XML_SetElementHandler(r->parser, on_start, on_end);
	XML_SetCharacterDataHandler(r->parser, on_text);
	XML_SetStartDoctypeDeclHandler(r->parser, on_doctype);
	const enum XML_Status status = n <= INT32_MAX ? XML_Parse(r->parser, xml, (int)n, XML_TRUE) : XML_STATUS_ERROR;
	if (r->rc == 0 && status != XML_STATUS_OK)
		r->rc = error_set(r->err, -EPROTO, "the listing: line %lu: %s",
				  (unsigned long)XML_GetCurrentLineNumber(r->parser),
				  XML_ErrorString(XML_GetErrorCode(r->parser)));
	XML_ParserFree(r->parser);
	return r->rc;
}

int s3_list_parse(const char *xml, size_t n, const char *prefix, int (*fn)(void *ctx, const struct source_entry *e),
		  void *ctx, struct s3_page *ret, struct error *err)
{
	*ret = (struct s3_page){0};
	CLEANUP(free_p) struct reading *r = calloc(1, sizeof *r);
	if (r == NULL)
		return error_set(err, -ENOMEM, "the listing: out of memory");
	*r = (struct reading){
		.prefix = prefix, .fn = fn, .ctx = ctx, .page = ret, .err = err, .text = STRBUF_INIT(TEXT_MAX - 1)};
	const int rc = parse(r, xml, n);
	strbuf_clear(&r->text);
	if (rc < 0)
		return rc;
	if (!r->known)
		return error_set(err, -EPROTO, "the answer is no listing of a bucket: is this an S3 endpoint?");
	if (r->truncated && ret->token[0] == '\0')
		return error_set(err, -EPROTO, "the listing goes on, but has no continuation token");
	if (!r->truncated)
		ret->token[0] = '\0';
	return 0;
}

struct code_reading {
	size_t depth;
	bool here;
	char *out;
	size_t size;
};

static void XMLCALL code_start(void *ctx, const XML_Char *name, const XML_Char **attributes)
{
	struct code_reading *c = ctx;
	(void)attributes;
	c->here = ++c->depth == 2 && strcmp(name, "Code") == 0;
}

static void XMLCALL code_text(void *ctx, const XML_Char *s, int n)
{
	struct code_reading *c = ctx;
	const size_t have = strlen(c->out);
	if (c->here && (size_t)n < c->size - have) {
		memcpy(c->out + have, s, (size_t)n);
		c->out[have + (size_t)n] = '\0';
	}
}

static void XMLCALL code_end(void *ctx, const XML_Char *name)
{
	struct code_reading *c = ctx;
	(void)name;
	c->here = false;
	c->depth--;
}

void s3_error_code(const char *xml, size_t n, char *out, size_t size)
{
	struct code_reading c = {.out = out, .size = size};
	out[0] = '\0';
	XML_Parser p = n <= 65536 ? XML_ParserCreate("UTF-8") : NULL;
	if (p == NULL)
		return;
	XML_SetUserData(p, &c);
	XML_SetElementHandler(p, code_start, code_end);
	XML_SetCharacterDataHandler(p, code_text);
	(void)XML_Parse(p, xml, (int)n, XML_TRUE); /* what was read before it went wrong is good */
	XML_ParserFree(p);
	for (char *ch = out; *ch != '\0'; ch++) {
		if (*ch < ' ' || *ch > '~')
			*ch = '?';
	}
}

int s3_time_parse(const char *s, int64_t *ret_ns)
{
	struct tm tm = {0};
	const char *rest = strptime(s, "%Y-%m-%dT%H:%M:%S", &tm);
	if (rest == NULL || tm.tm_year < 70 || tm.tm_year > 300)
		return -EINVAL;
	int64_t ns = 0, unit = NSEC_PER_SEC / 10;
	if (*rest == '.')
		for (rest++; *rest >= '0' && *rest <= '9'; rest++, unit /= 10)
			ns += (*rest - '0') * unit;
	if (strcmp(rest, "Z") != 0)
		return -EINVAL;
	const time_t t = timegm(&tm);
	if (t < 0 || t > INT64_MAX / NSEC_PER_SEC - 1)
		return -EINVAL;
	*ret_ns = (int64_t)t * NSEC_PER_SEC + ns;
	return 0;
}
