/*
 * HTTP/1.1 client on libcurl: pooled connections, deadlines, streaming, body limits, TLS with client certificates.
 *
 * Threads: a client may be used by any number of threads at once; each call blocks its thread.
 * Proxy settings of the environment (https_proxy, no_proxy ...) are honoured unless @no_proxy.
 */
#pragma once

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct error;
struct http_client;

struct http_client_options {
	const char *user_agent;
	const char *ca_pem;             /* PEM text of the trusted CAs; NULL: the system's */
	const char *cert_pem, *key_pem; /* client certificate and key, PEM text; NULL: none */
	const char *unix_socket;        /* connect there instead of the URL's host; NULL: TCP */
	bool insecure;                  /* no verification of the server (only when the user asked for it) */
	bool no_proxy;                  /* ignore the environment's proxy settings */
	size_t max_idle;                /* idle connections kept; 0: 16 */
};

/** Create a client; strings are copied. */
int http_client_new(const struct http_client_options *o, struct http_client **ret, struct error *err);
/** All calls must have ended. Accepts NULL. */
void http_client_free(struct http_client *c);

struct http_header {
	const char *name, *value;
};

struct http_call {
	const char *method, *url;
	const struct http_header *headers;
	size_t n_headers;
	const void *body;
	size_t body_n;
	/** "ADDRESS:PORT" to connect to in place of the URL's host, whose name the certificate must still have; NULL: none. */
	const char *connect_to;
	const char *bearer;         /* token, sent as Authorization; never logged; NULL: none */
	int64_t connect_timeout_ns; /* 0: 10 s */
	int64_t timeout_ns;         /* of the whole call; 0: none */
	int64_t stall_timeout_ns;   /* no byte for so long ends the call with -ETIMEDOUT; 0: none */
	int64_t max_bytes_per_sec;  /* receive rate limit; 0: none */
	size_t max_body;            /* larger answers are -EFBIG; 0: 64 MiB; not applied with on_data */
	bool follow_redirects;      /* at most 10, http(s) only, credentials stay with the host */
	/** When set, the body goes here instead of into the answer; a negative return ends the call with it. Only for status 2xx. */
	int (*on_data)(void *ctx, const void *data, size_t n);
	/** Called once the head is there, before any on_data; a negative return ends the call. May be NULL. */
	int (*on_head)(void *ctx, int status, const struct http_header *headers, size_t n);
	void *ctx;
	/** Becomes true: the call ends with -ECANCELED within a second, at once by http_client_interrupt(). May be NULL. */
	const atomic_bool *cancel;
};

struct http_answer {
	int status;
	struct http_header *headers; /* owned by the answer; names in lower case */
	size_t n_headers;
	char *body; /* NUL-terminated, "" when empty */
	size_t body_n;
	char *effective_url; /* after redirects */
};

/**
 * Do one call. 0 whenever the server answered, whatever its status. Otherwise nothing in @ret needs clearing and the code is
 * -ECONNREFUSED, -EHOSTUNREACH (name or route), -ETIMEDOUT, -ECONNRESET (cut), -EPROTO, -EKEYREJECTED (TLS), -EFBIG, -ECANCELED or -EIO,
 * the message naming method and URL (never credentials).
 */
int http_client_do(struct http_client *c, const struct http_call *call, struct http_answer *ret, struct error *err);
/** Make every call under way look at its cancel flag now. Any thread. */
void http_client_interrupt(struct http_client *c);
/** Value of header @name (any case), or NULL. */
const char *http_answer_header(const struct http_answer *a, const char *name);
void http_answer_clear(struct http_answer *a);
