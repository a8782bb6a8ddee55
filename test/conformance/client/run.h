/* Running cases against one server. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "client/script.h"

struct error;
struct http_client;
struct map;

/** The server under test. */
struct server {
	char *url, *token;          /* token NULL: the certificate says who we are */
	struct http_client *client; /* the administrator */
	struct http_client *nobody; /* the same without credentials */
	int64_t minor;              /* of its version */
	bool core;                  /* serves core/v1 (a server of custom resources alone does not) */
	bool cluster;               /* controllers run: deletions of namespaces end, garbage is collected */
};

/** Find the server of $KUBECONFIG and what it is. */
int server_open(struct server *ret, struct error *err);
void server_close(struct server *s);
/** What @needs asks for and @s has not, or NULL. */
const char *server_lacks(const struct server *s, const char *needs);

/** What a case made outside its namespace and has to remove; kept apart so that a file's setup may outlive its cases. */
struct made {
	char *paths[64];
	size_t n;
};

/** Run the steps of @c with @vars. 0, or a negative errno and "LINE: what was wanted and what came". */
int case_run(const struct server *s, const struct test_case *c, struct map *vars, struct made *made, struct error *err);
/** Set ${u}, a name nobody else uses, and make the namespaces that @text speaks of (${ns}, ${other}), unless that is done. */
int case_prepare(const struct server *s, const char *text, struct map *vars, struct made *made, struct error *err);
/** Delete everything in @made, newest first. */
void made_remove(const struct server *s, struct made *made);
