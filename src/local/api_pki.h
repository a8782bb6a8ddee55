/* Keys and certificates of the API server, and the kubeconfig that uses them. */
#pragma once

#include <stdint.h>

#include "net/cert.h"

struct error;

struct api_pki {
	struct cert_pair ca, server, admin;
	struct cert_pair accounts; /* signs the tokens of service accounts */
};

/** Load DATA-DIR/pki, making or renewing what is missing or stale. The server's certificate is made anew each time. */
int api_pki_open(const char *data_dir, const char *address, struct api_pki *ret, struct error *err);
void api_pki_clear(struct api_pki *p);
/** Write a kubeconfig of mode 0600 with the administrator's certificate. */
int api_pki_write_kubeconfig(const struct api_pki *p, const char *path, const char *address, uint16_t port,
			     struct error *err);
