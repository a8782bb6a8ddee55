/* X.509 with OpenSSL: a CA and the leaves it signs, ECDSA P-256, as PEM text. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

struct error;

/** A certificate and its private key, PEM text, malloc'ed; free with cert_pair_clear(). The key is wiped. */
struct cert_pair {
	char *cert_pem, *key_pem;
};

void cert_pair_clear(struct cert_pair *p);

/** A self-signed CA, valid for 10 years. */
int cert_make_ca(const char *cn, struct cert_pair *ret, struct error *err);

struct cert_options {
	const char *cn;
	const char *const *organizations; /* NULL-terminated; may be NULL */
	const char *const *sans;          /* DNS names and IP addresses, NULL-terminated; may be NULL */
	bool server, client;              /* extended key usages */
	int days;
};

/** A leaf signed by @ca. */
int cert_issue(const struct cert_pair *ca, const struct cert_options *o, struct cert_pair *ret, struct error *err);
/** Whether @pair's certificate is valid now, for at least @days more, and signed by @ca. */
bool cert_is_fresh(const struct cert_pair *ca, const struct cert_pair *pair, int days);
