/* Whom connections belong to, so that none of them takes all connections or the whole queue. */
#include <errno.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "net/http_server_internal.h"

#define NAME_MAX_ 320 /* a CN has 64 characters */

/* One of them has at most three quarters of the connections, and half of the queue. */
static size_t conns_max(const struct http_server *s)
{
	return s->o.max_connections - s->o.max_connections / 4;
}

/* The holder of a certificate by its name; of a token by its hash, so that tokens are kept nowhere. */
static void party_name(const struct http_conn *c, const char *authorization, char out[static NAME_MAX_])
{
	unsigned char digest[EVP_MAX_MD_SIZE] = {0};
	unsigned n = 0;
	if (c->peer_cn != NULL) {
		(void)snprintf(out, NAME_MAX_, "cn:%s", c->peer_cn); /* cut when absurdly long */
		return;
	}
	/* Fails only without memory: then those without a certificate share one name. */
	(void)EVP_Digest(authorization != NULL ? authorization : "", authorization != NULL ? strlen(authorization) : 0,
			 digest, &n, EVP_sha256(), NULL);
	size_t used = (size_t)snprintf(out, NAME_MAX_, "token:");
	for (size_t i = 0; i < 16; i++)
		used += (size_t)snprintf(out + used, NAME_MAX_ - used, "%02x", digest[i]);
}

static struct http_party *party_new(struct http_server *s, const char *name)
{
	const size_t n = strlen(name) + 1;
	struct http_party *p = calloc(1, sizeof *p + n);
	if (p == NULL)
		return NULL;
	p->flow.max = s->o.max_pending / 2 > 0 ? s->o.max_pending / 2 : 1;
	atomic_init(&p->refs, 0);
	memcpy(p->name, name, n);
	if (map_set(s->parties, p->name, p) == 0)
		return p;
	free(p);
	return NULL;
}

int http_party_join(struct http_conn *c, const char *authorization)
{
	struct http_server *s = c->server;
	char name[NAME_MAX_];
	if (s->parties == NULL || c->party != NULL)
		return 0;
	party_name(c, authorization, name);
	/* Anybody can make up tokens, so those who bring one count together. */
	if (c->peer_cn == NULL && s->unnamed_conns >= conns_max(s))
		return -EDQUOT;
	struct http_party *p = map_get(s->parties, name);
	if (p == NULL)
		p = party_new(s, name);
	if (p == NULL)
		return -ENOMEM;
	if (p->conns >= conns_max(s))
		return -EDQUOT;
	p->conns++;
	s->unnamed_conns += c->peer_cn == NULL;
	atomic_fetch_add_explicit(&p->refs, 1, memory_order_relaxed);
	c->party = p;
	return 0;
}

void http_party_leave(struct http_conn *c)
{
	struct http_server *s = c->server;
	if (c->party == NULL)
		return;
	s->unnamed_conns -= c->peer_cn == NULL;
	if (--c->party->conns == 0)
		(void)map_steal(s->parties, c->party->name); /* connections that others still hold keep it alive */
}

void http_party_unref(struct http_party *p)
{
	if (p != NULL && atomic_fetch_sub_explicit(&p->refs, 1, memory_order_acq_rel) == 1)
		free(p);
}
