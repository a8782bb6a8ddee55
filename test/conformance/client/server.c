#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/str.h"
#include "client/run.h"
#include "kube/client.h"
#include "kube/config.h"
#include "net/http_client.h"
#include "json/json.h"

static int get(const struct server *s, const char *path, json_t **ret, struct error *err)
{
	CLEANUP(free_p) char *url = str_printf("%s%s", s->url, path);
	struct http_answer answer;
	const struct http_call call = {
		.method = "GET", .url = url, .bearer = s->token, .timeout_ns = INT64_C(30000000000)};
	int rc = url == NULL ? -ENOMEM : http_client_do(s->client, &call, &answer, err);
	if (rc < 0)
		return rc;
	rc = answer.status;
	if (json_parse(answer.body, answer.body_n, ret, NULL) < 0)
		*ret = NULL;
	http_answer_clear(&answer);
	return rc;
}

static int find_out(struct server *s, struct error *err)
{
	JSON_AUTO version = NULL;
	JSON_AUTO core = NULL;
	JSON_AUTO account = NULL;
	int rc = get(s, "/version", &version, err);
	if (rc < 0)
		return rc;
	s->minor = strtol(json_str(version, "minor", "0"), NULL, 10);
	rc = get(s, "/api/v1", &core, err);
	s->core = rc == 200;
	if (rc < 0 || !s->core)
		return rc < 0 ? rc : 0;
	rc = get(s, "/api/v1/namespaces/default/serviceaccounts/default", &account, err);
	s->cluster = rc == 200;
	return rc < 0 ? rc : 0;
}

int server_open(struct server *ret, struct error *err)
{
	struct kube_config *cfg = NULL;
	int rc = kube_config_load(NULL, NULL, &cfg, err);
	if (rc < 0)
		return rc;
	if (cfg->exec != NULL || cfg->token_file != NULL)
		rc = error_set(err, -EOPNOTSUPP,
			       "KUBECONFIG: give the administrator a certificate or a token; plug-ins and token files "
			       "are not supported here");
	struct server s = {0};
	struct http_client_options o = {.user_agent = "conformance",
					.ca_pem = cfg->ca_pem,
					.cert_pem = cfg->cert_pem,
					.key_pem = cfg->key_pem,
					.insecure = cfg->insecure};
	s.url = strdup(cfg->server);
	s.token = cfg->token == NULL ? NULL : strdup(cfg->token);
	if (rc == 0)
		rc = http_client_new(&o, &s.client, err);
	o.cert_pem = o.key_pem = NULL;
	if (rc == 0)
		rc = http_client_new(&o, &s.nobody, err);
	if (rc == 0)
		rc = find_out(&s, err);
	kube_config_free(cfg);
	if (rc < 0)
		server_close(&s);
	else
		*ret = s;
	return rc;
}

void server_close(struct server *s)
{
	http_client_free(s->client);
	http_client_free(s->nobody);
	free(s->url);
	free(s->token);
}

static bool has(const struct server *s, const char *need, long number)
{
	if (strcmp(need, "core") == 0)
		return s->core;
	if (strcmp(need, "cluster") == 0)
		return s->cluster;
	if (strcmp(need, "server") == 0)
		return s->minor >= number;
	return strcmp(need, "below") == 0 && s->minor < number;
}

const char *server_lacks(const struct server *s, const char *needs)
{
	static _Thread_local char what[64];
	struct str rest = str_from(needs), one;
	while (rest.p != NULL && str_split_next(&rest, ',', &one)) {
		long number = 0;
		char text[64], word[32] = "";
		(void)snprintf(text, sizeof text, "%.*s", (int)one.n, one.p);
		if (sscanf(text, " %31s %ld", word, &number) >= 1 && !has(s, word, number)) {
			(void)snprintf(what, sizeof what, number > 0 ? "%s 1.%ld" : "%s", word, number);
			return what;
		}
	}
	return NULL;
}
