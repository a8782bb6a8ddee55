#include "kube/exec_credential.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/arena.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/process.h"
#include "base/str.h"
#include "base/strbuf.h"
#include "json/json.h"

#define API_GROUP  "client.authentication.k8s.io/"
#define OUTPUT_MAX 65536
#define WORDS_MAX  256 /* arguments, and variables */

extern char **environ;

struct exec_credential {
	atomic_uint refs;
	struct arena arena; /* holds everything below */
	const char **argv;
	const char **env; /* "NAME=value": the plug-in's own, then KUBERNETES_EXEC_INFO */
	size_t n_env;
	const char *version; /* of the API that it speaks: one of the two below; the answer has the same */
	const char *hint;    /* "" for none */
};

static const char *const versions[] = {API_GROUP "v1", API_GROUP "v1beta1"};

struct exec_credential *exec_credential_ref(struct exec_credential *x)
{
	if (x != NULL)
		atomic_fetch_add_explicit(&x->refs, 1, memory_order_relaxed);
	return x;
}

void exec_credential_unref(struct exec_credential *x)
{
	if (x == NULL || atomic_fetch_sub_explicit(&x->refs, 1, memory_order_acq_rel) != 1)
		return;
	arena_free(&x->arena);
	free(x);
}

static int no_memory(struct error *err)
{
	return error_set(err, -ENOMEM, "credential plug-in: out of memory");
}

static int bad(struct error *err, const char *path, const char *what)
{
	return error_set(err, -EINVAL, "kubeconfig '%s': exec: %s", path, what);
}

/** A command with a '/' is found beside the kubeconfig, another one in PATH. */
static char *resolve_command(struct arena *a, const char *config_path, const char *command)
{
	const char *slash = strrchr(config_path, '/');
	if (command[0] == '/' || strchr(command, '/') == NULL || slash == NULL)
		return arena_strdup(a, command);
	return arena_printf(a, "%.*s/%s", (int)(slash - config_path), config_path, command);
}

static int parse_argv(struct exec_credential *x, const json_t *exec, const char *path, struct error *err)
{
	const char *command = json_str(exec, "command", "");
	const json_t *args = json_object_get(exec, "args");
	const size_t n = json_array_size(args);
	if (command[0] == '\0')
		return bad(err, path, "there is no command");
	if (n > WORDS_MAX)
		return bad(err, path, "too many args");
	x->argv = arena_alloc_array(&x->arena, n + 2, sizeof *x->argv);
	if (x->argv == NULL || (x->argv[0] = resolve_command(&x->arena, path, command)) == NULL)
		return no_memory(err);
	for (size_t i = 0; i < n; i++) {
		const char *arg = json_string_value(json_array_get(args, i));
		if (arg == NULL)
			return bad(err, path, "an arg is no string");
		if ((x->argv[i + 1] = arena_strdup(&x->arena, arg)) == NULL)
			return no_memory(err);
	}
	return 0;
}

/** What the plug-in is told about us, as a variable. */
static char *exec_info(struct exec_credential *x, const json_t *exec, const json_t *cluster)
{
	JSON_AUTO info = json_pack("{s:s, s:s, s:{s:b}}", "apiVersion", x->version, "kind", "ExecCredential", "spec",
				   "interactive", 0);
	if (info == NULL)
		return NULL;
	if (json_bool(exec, "provideClusterInfo", false)) {
		static const char *const members[] = {"server", "tls-server-name", "insecure-skip-tls-verify",
						      "certificate-authority-data"};
		JSON_AUTO told = json_object();
		for (size_t i = 0; told != NULL && i < ARRAY_LEN(members); i++) {
			json_t *v = json_object_get(cluster, members[i]);
			if (v != NULL && json_object_set(told, members[i], v) < 0)
				return NULL;
		}
		if (json_put(info, "spec.cluster", TAKE(told)) < 0)
			return NULL;
	}
	CLEANUP(free_p) char *text = json_to_text(info, NULL);
	return text != NULL ? arena_printf(&x->arena, "KUBERNETES_EXEC_INFO=%s", text) : NULL;
}

static int parse_env(struct exec_credential *x, const json_t *exec, const json_t *cluster, const char *path,
		     struct error *err)
{
	const json_t *env = json_object_get(exec, "env");
	const size_t n = json_array_size(env);
	if (n > WORDS_MAX)
		return bad(err, path, "too many variables");
	x->env = arena_alloc_array(&x->arena, n + 1, sizeof *x->env);
	if (x->env == NULL)
		return no_memory(err);
	for (size_t i = 0; i < n; i++) {
		const json_t *v = json_array_get(env, i);
		const char *name = json_str(v, "name", ""), *value = json_str(v, "value", "");
		if (name[0] == '\0' || strchr(name, '=') != NULL)
			return bad(err, path, "a variable of env has no proper name");
		if ((x->env[i] = arena_printf(&x->arena, "%s=%s", name, value)) == NULL)
			return no_memory(err);
	}
	if ((x->env[n] = exec_info(x, exec, cluster)) == NULL)
		return no_memory(err);
	x->n_env = n + 1;
	return 0;
}

int exec_credential_parse(const json_t *exec, const json_t *cluster, const char *config_path,
			  struct exec_credential **ret, struct error *err)
{
	const char *said = json_str(exec, "apiVersion", ""), *version = NULL;
	for (size_t i = 0; i < ARRAY_LEN(versions); i++)
		version = strcmp(said, versions[i]) == 0 ? versions[i] : version;
	if (version == NULL)
		return error_set(err, -ENOTSUP,
				 "kubeconfig '%s': exec: apiVersion '%s' is not supported; only %s and %s are",
				 config_path, said, versions[0], versions[1]);
	if (strcmp(json_str(exec, "interactiveMode", ""), "Always") == 0)
		return error_set(
			err, -ENOTSUP,
			"kubeconfig '%s': exec: the plug-in needs a terminal (interactiveMode: Always), which it does "
			"not get",
			config_path);
	struct exec_credential *x = malloc(sizeof *x);
	if (x == NULL)
		return no_memory(err);
	*x = (struct exec_credential){.refs = 1, .arena = ARENA_INIT(4u << 20), .version = version};
	int rc = parse_argv(x, exec, config_path, err);
	if (rc == 0)
		rc = parse_env(x, exec, cluster, config_path, err);
	if (rc == 0 && (x->hint = arena_strdup(&x->arena, json_str(exec, "installHint", ""))) == NULL)
		rc = no_memory(err);
	if (rc < 0) {
		exec_credential_unref(x);
		return rc;
	}
	*ret = x;
	return 0;
}

/* --- running --- */

/** Whether "NAME=..." of ours replaces @var. */
static bool replaced(const struct exec_credential *x, const char *var)
{
	const size_t name_n = strcspn(var, "=");
	for (size_t i = 0; i < x->n_env; i++)
		if (strcspn(x->env[i], "=") == name_n && strncmp(x->env[i], var, name_n) == 0)
			return true;
	return false;
}

/** The environment of the plug-in: a malloc'ed list of borrowed strings. */
static const char **make_env(const struct exec_credential *x)
{
	size_t n = 0, k = 0;
	while (environ != NULL && environ[n] != NULL)
		n++;
	const char **env = calloc(n + x->n_env + 1, sizeof *env);
	if (env == NULL)
		return NULL;
	for (size_t i = 0; i < n; i++)
		if (!replaced(x, environ[i]))
			env[k++] = environ[i];
	for (size_t i = 0; i < x->n_env; i++)
		env[k++] = x->env[i];
	return env;
}

/** Everything that comes out of @fd. */
static int read_output(int fd, const char *command, int64_t deadline, struct strbuf *out, struct error *err)
{
	char buf[4096];
	for (;;) {
		const int64_t left = deadline - clock_mono_ns();
		struct pollfd p = {.fd = fd, .events = POLLIN};
		if (left <= 0)
			return error_set(err, -ETIMEDOUT, "credential plug-in '%s': no answer in time", command);
		if (poll(&p, 1, (int)(left / NSEC_PER_MSEC) + 1) <= 0)
			continue; /* the deadline decides */
		const ssize_t k = read(fd, buf, sizeof buf);
		if (k == 0)
			break;
		if (k < 0 && errno != EINTR && errno != EAGAIN)
			return error_set(err, -errno, "credential plug-in '%s': %s", command, strerror(errno));
		if (k > 0)
			strbuf_add(out, buf, (size_t)k);
		explicit_bzero(buf, sizeof buf);
		if (out->failed)
			return error_set(err, -EFBIG, "credential plug-in '%s': more than %d bytes of output", command,
					 OUTPUT_MAX);
	}
	return 0;
}

static int run(const struct exec_credential *x, int64_t deadline, struct strbuf *out, struct error *err)
{
	const char *command = x->argv[0];
	int ends[2];
	CLEANUP(free_p) const char **env = make_env(x);
	if (env == NULL)
		return no_memory(err);
	if (pipe2(ends, O_CLOEXEC) < 0)
		return error_set(err, -errno, "credential plug-in '%s': pipe: %s", command, strerror(errno));
	CLEANUP(close_fd) int rd = ends[0];
	CLEANUP(close_fd) int wr = ends[1];
	const struct process_options o = {.argv = x->argv, .envp = env, .fd_out = wr, .die_with_parent = false};
	struct process p = PROCESS_NONE;
	int rc = process_spawn(&o, &p, err);
	if (rc == -ENOENT)
		return error_set(err, rc, "credential plug-in '%s' is not there%s%s", command,
				 x->hint[0] != '\0' ? ": " : "", x->hint);
	if (rc < 0)
		return error_wrap(err, rc, "credential plug-in");
	(void)close(TAKE_FD(wr)); /* a pipe's end: nothing to lose */
	int status = 0;
	rc = read_output(rd, command, deadline, out, err);
	if (rc == 0 && (rc = process_wait(&p, deadline, &status)) < 0)
		error_set(err, rc, "credential plug-in '%s': does not end", command);
	if (rc < 0) {
		process_kill(&p);
		return rc;
	}
	if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
		return error_set(err, -EACCES, "credential plug-in '%s' failed: %s %d", command,
				 WIFEXITED(status) ? "exit status" : "signal",
				 WIFEXITED(status) ? WEXITSTATUS(status) : WTERMSIG(status));
	return 0;
}

static int parse_answer(const struct exec_credential *x, const struct strbuf *out, char **ret_token,
			int64_t *ret_expires, struct error *err)
{
	const char *command = x->argv[0];
	JSON_AUTO j = NULL;
	if (json_parse(out->p != NULL ? out->p : "", out->n, &j, NULL) < 0) /* the text may hold secrets: not quoted */
		return error_set(err, -EPROTO, "credential plug-in '%s': its output is no JSON", command);
	if (strcmp(json_str(j, "apiVersion", ""), x->version) != 0 ||
	    strcmp(json_str(j, "kind", ""), "ExecCredential") != 0)
		return error_set(err, -EPROTO, "credential plug-in '%s': its output is no ExecCredential of %s",
				 command, x->version);
	const char *token = json_str(j, "status.token", "");
	if (json_str(j, "status.clientCertificateData", "")[0] != '\0')
		return error_set(
			err, -ENOTSUP,
			"credential plug-in '%s': it gives a client certificate, which is not supported; a token is",
			command);
	if (token[0] == '\0' || strpbrk(token, "\r\n") != NULL)
		return error_set(err, -EPROTO, "credential plug-in '%s': there is no token in its output", command);
	int64_t expires = INT64_MAX;
	const char *at = json_str(j, "status.expirationTimestamp", NULL);
	if (at != NULL && clock_parse_rfc3339(at, &expires) < 0)
		return error_set(err, -EPROTO, "credential plug-in '%s': expirationTimestamp is no time", command);
	char *copy = strdup(token);
	explicit_bzero((char *)token, strlen(token)); /* the tree is ours and goes */
	if (copy == NULL)
		return no_memory(err);
	*ret_token = copy;
	*ret_expires = expires;
	return 0;
}

int exec_credential_run(const struct exec_credential *x, int64_t timeout_ns, char **ret_token, int64_t *ret_expires,
			struct error *err)
{
	CLEANUP(strbuf_clear) struct strbuf out = STRBUF_INIT(OUTPUT_MAX);
	int rc = run(x, clock_mono_ns() + timeout_ns, &out, err);
	if (rc == 0)
		rc = parse_answer(x, &out, ret_token, ret_expires, err);
	if (out.p != NULL)
		explicit_bzero(out.p, out.n);
	return rc;
}
