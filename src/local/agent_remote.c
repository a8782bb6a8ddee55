#include "local/agent_remote.h"

#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/str.h"
#include "local/agent_private.h"
#include "net/http_server.h"
#include "json/json.h"

#define CLIENTS_MAX 64
#define WORDS_MAX   4096

struct remote_server {
	struct agent *agent;
	pthread_mutex_t lock;
	pthread_cond_t none;
	size_t clients; /* [lock] */
};

struct client {
	struct remote_server *server;
	struct command *command; /* one of the two */
	struct forward *forward;
};

__attribute__((format(printf, 4, 5))) static void fail(struct http_exchange *x, int code, const char *reason,
						       const char *fmt, ...)
{
	char message[600];
	va_list ap;
	va_start(ap, fmt);
	(void)vsnprintf(message, sizeof message, fmt, ap);
	va_end(ap);
	JSON_AUTO status = json_pack("{s:s, s:s, s:{}, s:s, s:o, s:s, s:i}", "kind", "Status", "apiVersion", "v1",
				     "metadata", "status", "Failure", "message",
				     json_string(message) ?: json_string(reason), "reason", reason, "code", code);
	CLEANUP(free_p) char *text = status != NULL ? json_to_text(status, NULL) : NULL;
	http_reply(x, code, "application/json", text != NULL ? text : "", text != NULL ? strlen(text) : 0);
}

/* One client less; whoever ends the server may wait for that. */
static void release(struct remote_server *s)
{
	pthread_mutex_lock(&s->lock);
	s->clients--;
	(void)pthread_cond_broadcast(&s->none);
	pthread_mutex_unlock(&s->lock);
}

static void *client_main(void *arg)
{
	struct client *c = arg;
	struct remote_server *s = c->server;
	if (c->command != NULL)
		command_run(c->command);
	else
		forward_run(c->forward);
	command_free(c->command);
	forward_free(c->forward);
	free(c);
	release(s);
	return NULL;
}

static bool reserve(struct remote_server *s)
{
	pthread_mutex_lock(&s->lock);
	const bool ok = s->clients < CLIENTS_MAX;
	s->clients += ok;
	pthread_mutex_unlock(&s->lock);
	return ok;
}

/* Takes @c and what is in it. */
static void begin(struct client *c)
{
	pthread_t thread;
	pthread_attr_t attr;
	(void)pthread_attr_init(&attr);
	(void)pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
	const int rc = pthread_create(&thread, &attr, client_main, c);
	(void)pthread_attr_destroy(&attr);
	if (rc == 0)
		return;
	/* The protocols are switched: all that is left is to end. */
	struct remote_server *s = c->server;
	command_free(c->command);
	forward_free(c->forward);
	free(c);
	release(s);
}

/* --- what is asked for --- */

static bool flag(struct http_exchange *x, const char *name)
{
	const char *v = http_exchange_query(x, name);
	return v != NULL && (strcmp(v, "true") == 0 || strcmp(v, "1") == 0);
}

static void free_words(char **words)
{
	for (char **w = words; w != NULL && *w != NULL; w++)
		free(*w);
	free(words);
}

/* The command, or NULL when there is none or no memory. */
static char **read_words(struct http_exchange *x)
{
	size_t n = 0;
	while (n < WORDS_MAX && http_exchange_query_at(x, "command", n) != NULL)
		n++;
	char **words = n > 0 ? calloc(n + 1, sizeof *words) : NULL;
	for (size_t i = 0; words != NULL && i < n; i++) {
		words[i] = strdup(http_exchange_query_at(x, "command", i));
		if (words[i] == NULL) {
			free_words(words);
			return NULL;
		}
	}
	return words;
}

/* The container's id into @o. Answers when there is none that runs. */
static bool find_container(struct remote_server *s, struct http_exchange *x, char part[][AGENT_PART_MAX],
			   struct command_options *o)
{
	struct pod_run *p = agent_find_named(s->agent, part[1], part[2]);
	const struct container_run *c = p != NULL ? pod_container(p, part[3]) : NULL;
	bool running = false;
	if (c != NULL) {
		pthread_mutex_lock(&p->lock);
		running = c->phase == CONTAINER_RUNNING;
		(void)str_copy(o->id, sizeof o->id, c->id);
		pthread_mutex_unlock(&p->lock);
	}
	pod_run_unref(p);
	if (c == NULL)
		fail(x, 404, "NotFound", "container \"%s\" of pod \"%s\" does not run on this node", part[3], part[2]);
	else if (!running)
		fail(x, 400, "BadRequest", "container \"%s\" of pod \"%s\" is not running", part[3], part[2]);
	return running;
}

/* 0 and the client, or what the exchange still has to be told; -ENOMEM: it has an answer. */
static int make_command(struct remote_server *s, struct http_exchange *x, char part[][AGENT_PART_MAX], struct client *c,
			struct error *err)
{
	struct command_options o = {.paths = &s->agent->paths,
				    .in = flag(x, "stdin"),
				    .out = flag(x, "stdout"),
				    .err = flag(x, "stderr"),
				    .tty = flag(x, "tty")};
	if (!find_container(s, x, part, &o))
		return -ENOMEM;
	if (!o.in && !o.out && !o.err)
		return error_set(err, -EINVAL, "you must specify at least 1 of stdin, stdout, stderr");
	if (strcmp(part[0], "exec") == 0 && (o.argv = read_words(x)) == NULL)
		return error_set(err, -EINVAL, "you must specify at least one command for the container");
	const int rc = command_new(x, &o, &c->command, err);
	if (rc < 0)
		free_words(o.argv);
	return rc;
}

static int make_forward(struct remote_server *s, struct http_exchange *x, char part[][AGENT_PART_MAX], struct client *c,
			struct error *err)
{
	struct pod_run *p = agent_find_named(s->agent, part[1], part[2]);
	pod_run_unref(p);
	if (p == NULL) {
		fail(x, 404, "NotFound", "pod \"%s\" does not run on this node", part[2]);
		return -ENOMEM;
	}
	return forward_new(x, &c->forward, err);
}

bool remote_handle(struct remote_server *s, struct http_exchange *x)
{
	char part[4][AGENT_PART_MAX];
	const size_t n = agent_split_path(http_exchange_request(x)->path, part, ARRAY_LEN(part));
	const bool command = n == 4 && (strcmp(part[0], "exec") == 0 || strcmp(part[0], "attach") == 0);
	if (!command && !(n == 3 && strcmp(part[0], "portForward") == 0))
		return false;
	struct client *c = calloc(1, sizeof *c);
	if (c == NULL || !reserve(s)) {
		free(c);
		fail(x, 429, "TooManyRequests", "%d clients run commands or forward ports already", CLIENTS_MAX);
		return true;
	}
	c->server = s;
	struct error err = {0};
	const int rc = command ? make_command(s, x, part, c, &err) : make_forward(s, x, part, c, &err);
	if (rc == 0) {
		begin(c);
		return true;
	}
	free(c);
	release(s);
	if (rc != -ENOMEM)
		fail(x, 400, "BadRequest", "%s", err.msg);
	return true;
}

int remote_server_new(struct agent *a, struct remote_server **ret, struct error *err)
{
	struct remote_server *s = calloc(1, sizeof *s);
	if (s == NULL)
		return error_set(err, -ENOMEM, "remote commands: out of memory");
	s->agent = a;
	(void)pthread_mutex_init(&s->lock, NULL);
	(void)pthread_cond_init(&s->none, NULL);
	*ret = s;
	return 0;
}

void remote_server_free(struct remote_server *s)
{
	if (s == NULL)
		return;
	pthread_mutex_lock(&s->lock);
	while (s->clients > 0)
		(void)pthread_cond_wait(&s->none, &s->lock);
	pthread_mutex_unlock(&s->lock);
	(void)pthread_cond_destroy(&s->none);
	(void)pthread_mutex_destroy(&s->lock);
	free(s);
}
