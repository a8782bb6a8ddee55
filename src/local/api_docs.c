/* OpenAPI documents, made when first asked for and again after the set of kinds has changed. */
#include <openssl/evp.h>
#include <pthread.h>
#include <string.h>

#include "api/openapi.h"
#include "base/cleanup.h"
#include "base/error.h"
#include "base/map.h"
#include "base/str.h"
#include "base/strbuf.h"
#include "local/api_internal.h"
#include "json/json.h"

/* Clients ask for ...spec.v2@v1.0+protobuf, but a media type may not hold an @: answers that do are refused by Go. */
#define V2_PROTOBUF "application/com.github.proto-openapi.spec.v2.v1.0+protobuf"

struct text {
	char *p;
	size_t n;
};

struct api_docs {
	pthread_mutex_t lock; /* guards all below; held while a document is made, so that it is made once */
	uint64_t generation;
	struct text v2_json, v2_protobuf;
	struct map *v3; /* "api/v1", "apis/apps/v1" to malloc'ed texts */
};

struct api_docs *api_docs_new(void)
{
	struct api_docs *d = calloc(1, sizeof *d);
	if (d != NULL)
		(void)pthread_mutex_init(&d->lock, NULL);
	return d;
}

static void forget_locked(struct api_docs *d)
{
	free(d->v2_json.p);
	free(d->v2_protobuf.p);
	d->v2_json = d->v2_protobuf = (struct text){0};
	map_free(d->v3);
	d->v3 = NULL;
}

void api_docs_free(struct api_docs *d)
{
	if (d == NULL)
		return;
	forget_locked(d);
	(void)pthread_mutex_destroy(&d->lock);
	free(d);
}

/** All kinds as the generators want them. */
struct all_kinds {
	struct api_kind **held;
	const struct kind **v;
	size_t n;
};

static void all_kinds_clear(struct all_kinds *a)
{
	api_kinds_free(a->held, a->n);
	free(a->v);
}

static int all_kinds_get(struct api_server *s, struct all_kinds *a)
{
	if (api_registry_all(s->registry, &a->held, &a->n) < 0)
		return -ENOMEM;
	a->v = calloc(a->n + 1, sizeof(struct kind *));
	for (size_t i = 0; i < a->n && a->v != NULL; i++)
		a->v[i] = a->held[i]->k;
	return a->v != NULL ? 0 : -ENOMEM;
}

static int make_v2_locked(struct api_server *s, struct error *err)
{
	struct api_docs *d = s->docs;
	CLEANUP(all_kinds_clear) struct all_kinds all = {0};
	if (all_kinds_get(s, &all) < 0)
		return error_set(err, -ENOMEM, "out of memory");
	JSON_AUTO doc = openapi_v2(all.v, all.n);
	if (doc == NULL)
		return error_set(err, -ENOMEM, "out of memory");
	uint8_t *bytes = NULL;
	size_t n = 0;
	int rc = openapi_v2_protobuf(doc, &bytes, &n, err);
	if (rc < 0)
		return rc;
	d->v2_protobuf = (struct text){(char *)bytes, n};
	d->v2_json.p = json_to_text(doc, &d->v2_json.n);
	return d->v2_json.p != NULL ? 0 : error_set(err, -ENOMEM, "out of memory");
}

static int add_v3_locked(struct api_docs *d, const struct all_kinds *all, const struct kube_resource *res)
{
	CLEANUP(free_p)
	char *key = res->group[0] != '\0' ? str_printf("apis/%s/%s", res->group, res->version)
					  : str_printf("api/%s", res->version);
	if (key == NULL)
		return -ENOMEM;
	if (map_has(d->v3, key))
		return 0;
	JSON_AUTO doc = openapi_v3(all->v, all->n, res->group, res->version);
	CLEANUP(free_p) char *text = doc != NULL ? json_to_text(doc, NULL) : NULL;
	if (text == NULL || map_set(d->v3, key, text) < 0)
		return -ENOMEM;
	text = NULL; /* the map's */
	return 0;
}

static int make_v3_locked(struct api_server *s, struct error *err)
{
	CLEANUP(all_kinds_clear) struct all_kinds all = {0};
	s->docs->v3 = map_new(free);
	if (s->docs->v3 == NULL || all_kinds_get(s, &all) < 0)
		return error_set(err, -ENOMEM, "out of memory");
	for (size_t i = 0; i < all.n; i++)
		if (add_v3_locked(s->docs, &all, &all.v[i]->resource) < 0)
			return error_set(err, -ENOMEM, "out of memory");
	return 0;
}

/** Forget what is older than the set of kinds. */
static void refresh_locked(struct api_server *s)
{
	uint64_t now = api_registry_generation(s->registry);
	if (now != s->docs->generation)
		forget_locked(s->docs);
	s->docs->generation = now;
}

static int v2_copy(struct api_server *s, bool protobuf, struct text *ret, struct error *err)
{
	struct api_docs *d = s->docs;
	pthread_mutex_lock(&d->lock);
	refresh_locked(s);
	int rc = d->v2_json.p == NULL ? make_v2_locked(s, err) : 0;
	if (rc == 0) {
		const struct text *from = protobuf ? &d->v2_protobuf : &d->v2_json;
		ret->p = malloc(from->n + 1);
		ret->n = from->n;
		if (ret->p != NULL)
			memcpy(ret->p, from->p, from->n);
		else
			rc = error_set(err, -ENOMEM, "out of memory");
	} else {
		forget_locked(d);
	}
	pthread_mutex_unlock(&d->lock);
	return rc;
}

int api_openapi_v2(struct api_request *r)
{
	const char *accept = http_exchange_header(r->x, "accept");
	bool protobuf = accept != NULL && (strstr(accept, "proto-openapi.spec.v2@v1.0+protobuf") != NULL ||
					   strstr(accept, V2_PROTOBUF) != NULL);
	struct text t = {0};
	struct error err = {0};
	if (v2_copy(r->server, protobuf, &t, &err) < 0)
		return api_fail_internal(r, &err);
	r->answered = true;
	http_reply(r->x, 200, protobuf ? V2_PROTOBUF : "application/json", t.p, t.n);
	free(t.p);
	return 0;
}

/** Changes with the text; clients keep a document as long as it does not. */
static void text_hash(const char *text, char out[static 65])
{
	unsigned char digest[EVP_MAX_MD_SIZE] = {0};
	unsigned n = 0;
	(void)EVP_Digest(text, strlen(text), digest, &n, EVP_sha256(),
			 NULL); /* SHA-256 of memory fails only without memory */
	static const char hex[] = "0123456789ABCDEF";
	for (size_t i = 0; i < 32; i++) {
		out[2 * i] = hex[digest[i] >> 4];
		out[2 * i + 1] = hex[digest[i] & 15];
	}
	out[64] = '\0';
}

static json_t *v3_index_locked(struct api_docs *d)
{
	JSON_AUTO paths = json_object();
	size_t pos = 0;
	const char *key;
	void *text;
	while (map_next(d->v3, &pos, &key, &text)) {
		char hash[65];
		text_hash(text, hash);
		(void)json_object_set_new(
			paths, key,
			json_pack("{s:o}", "serverRelativeURL", json_sprintf("/openapi/v3/%s?hash=%s", key, hash)));
	}
	return json_pack("{s:O}", "paths", paths);
}

int api_openapi_v3(struct api_request *r, const char *rest)
{
	struct api_docs *d = r->server->docs;
	struct error err = {0};
	CLEANUP(free_p) char *text = NULL;
	rest += strspn(rest, "/");
	pthread_mutex_lock(&d->lock);
	refresh_locked(r->server);
	int rc = d->v3 == NULL ? make_v3_locked(r->server, &err) : 0;
	if (rc == 0 && rest[0] == '\0') {
		JSON_AUTO index = v3_index_locked(d);
		text = json_to_text(index, NULL);
	} else if (rc == 0) {
		const char *found = map_get(d->v3, rest);
		text = found != NULL ? strdup(found) : NULL;
	} else {
		forget_locked(d);
	}
	pthread_mutex_unlock(&d->lock);
	if (rc < 0)
		return api_fail_internal(r, &err);
	if (text == NULL)
		return api_fail(r, 404, "NotFound", json_object(), "the server could not find the requested resource");
	r->answered = true;
	http_reply(r->x, 200, "application/json", text, strlen(text));
	return 0;
}
