/* The server's certificate is made anew while it serves, so that a server that runs for years is still believed. */
#include "local/api_keys.h"

#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/log.h"
#include "local/api_pki.h"
#include "local/api_server.h"
#include "net/http_server.h"

#define RENEW_EVERY (7 * 24 * 3600 * NSEC_PER_SEC)

struct api_keys {
	char *data_dir, *address, *kubeconfig;
	struct http_server *http;
	int64_t made_ns; /* wall clock; the keeper's thread alone */
};

int api_keys_new(const struct api_server_options *o, struct http_server *http, struct api_keys **ret, struct error *err)
{
	struct api_keys *k = calloc(1, sizeof *k);
	if (k == NULL)
		return error_set(err, -ENOMEM, "out of memory");
	*k = (struct api_keys){.data_dir = strdup(o->data_dir),
			       .address = strdup(o->address),
			       .kubeconfig = strdup(o->kubeconfig),
			       .http = http,
			       .made_ns = clock_wall_ns()};
	if (k->data_dir == NULL || k->address == NULL || k->kubeconfig == NULL) {
		api_keys_free(k);
		return error_set(err, -ENOMEM, "out of memory");
	}
	*ret = k;
	return 0;
}

void api_keys_free(struct api_keys *k)
{
	if (k == NULL)
		return;
	free(k->data_dir);
	free(k->address);
	free(k->kubeconfig);
	free(k);
}

int api_keys_keep(struct api_keys *k, struct error *err)
{
	const int64_t now = clock_wall_ns();
	if (now >= k->made_ns && now - k->made_ns < RENEW_EVERY)
		return 0; /* a clock that was put back makes what it made a thing of the future */
	CLEANUP(api_pki_clear) struct api_pki pki = {0};
	int rc = api_pki_open(k->data_dir, k->address, &pki, err);
	if (rc == 0)
		rc = http_server_renew(k->http, pki.server.cert_pem, pki.server.key_pem, pki.ca.cert_pem, err);
	if (rc == 0)
		rc = api_pki_write_kubeconfig(&pki, k->kubeconfig, k->address, http_server_port(k->http), err);
	if (rc < 0)
		return error_wrap(err, rc, "renew the server's certificate");
	k->made_ns = now;
	LOG(NULL, LOG_LVL_INFO, "the server's certificate was renewed");
	return 0;
}
