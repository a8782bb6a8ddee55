/* What a kubeconfig (or a pod's service account) says, resolved: everything is text in memory except a token file, which rotates. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

struct error;
struct exec_credential;

struct kube_config {
	char *server;                 /* "https://host:port[/path]", no '/' at its end */
	char *ns;                     /* never NULL */
	char *ca_pem;                 /* NULL: the system's */
	char *cert_pem, *key_pem;     /* both or none */
	char *token;                  /* NULL: none */
	char *token_file;             /* wins over token: read again as it rotates */
	struct exec_credential *exec; /* a plug-in that gives the token; NULL: none. A reference */
	bool insecure;
};

/** kube_config_load() of a text; @path names it in errors and is where relative files are looked for. */
int kube_config_parse(const char *text, size_t n, const char *path, const char *context, struct kube_config **ret,
		      struct error *err);
