#include "kube/config.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/base64.h"
#include "base/cleanup.h"
#include "base/error.h"
#include "base/file.h"
#include "base/str.h"
#include "kube/client.h"
#include "kube/exec_credential.h"
#include "json/json.h"
#include "json/yaml.h"

#define FILES_MAX   16
#define PEM_MAX     (1u << 20)
#define ACCOUNT_DIR "/var/run/secrets/kubernetes.io/serviceaccount"

void kube_config_free(struct kube_config *cfg)
{
	if (cfg == NULL)
		return;
	free(cfg->server);
	free(cfg->ns);
	free(cfg->ca_pem);
	free(cfg->cert_pem);
	if (cfg->key_pem != NULL)
		explicit_bzero(cfg->key_pem, strlen(cfg->key_pem));
	free(cfg->key_pem);
	if (cfg->token != NULL)
		explicit_bzero(cfg->token, strlen(cfg->token));
	free(cfg->token);
	free(cfg->token_file);
	exec_credential_unref(cfg->exec);
	free(cfg);
}

static void config_free_p(struct kube_config **cfg)
{
	kube_config_free(*cfg);
}

const char *kube_config_namespace(const struct kube_config *cfg)
{
	return cfg->ns;
}

const char *kube_config_server(const struct kube_config *cfg)
{
	return cfg->server;
}

static int no_memory(struct error *err)
{
	return error_set(err, -ENOMEM, "kubeconfig: out of memory");
}

static int dup_into(char **dst, const char *s, struct error *err)
{
	*dst = strdup(s);
	return *dst != NULL ? 0 : no_memory(err);
}

/* White space between the characters is allowed, as Go's decoder allows line ends. */
static int base64_text(const char *in, char **ret)
{
	const size_t n = strlen(in);
	if (n > PEM_MAX)
		return -EFBIG;
	CLEANUP(free_p) char *packed = malloc(n + 1);
	if (packed == NULL)
		return -ENOMEM;
	size_t m = 0;
	for (size_t i = 0; i < n; i++) {
		if (strchr(" \t\r\n", in[i]) == NULL)
			packed[m++] = in[i];
	}
	packed[m] = '\0';
	CLEANUP(free_p) char *out = NULL;
	size_t len = 0;
	const int rc = base64_decode(packed, &out, &len);
	if (rc < 0)
		return rc;
	if (memchr(out, '\0', len) != NULL)
		return -EINVAL; /* PEM is text */
	*ret = TAKE(out);
	return 0;
}

/* "x" relative to the kubeconfig's folder, as kubectl resolves it. */
static char *beside(const char *config_path, const char *file)
{
	const char *slash = strrchr(config_path, '/');
	if (file[0] == '/' || slash == NULL)
		return strdup(file);
	return str_printf("%.*s/%s", (int)(slash - config_path), config_path, file);
}

/* The PEM text of "<key>-data" (base64) or "<key>" (a file); *@ret stays NULL when there is neither. */
static int load_pem(const json_t *from, const char *key, const char *path, char **ret, struct error *err)
{
	CLEANUP(free_p) char *data_key = str_printf("%s-data", key);
	if (data_key == NULL)
		return no_memory(err);
	const char *data = json_string_value(json_object_get(from, data_key));
	if (data != NULL && data[0] != '\0') {
		int rc = base64_text(data, ret);
		return rc == 0 ? 0 : error_set(err, rc, "kubeconfig '%s': %s is not base64 text", path, data_key);
	}
	const char *file = json_string_value(json_object_get(from, key));
	if (file == NULL || file[0] == '\0')
		return 0;
	CLEANUP(free_p) char *full = beside(path, file);
	if (full == NULL)
		return no_memory(err);
	int rc = file_read(full, PEM_MAX, ret, NULL, err);
	return rc == 0 ? 0 : error_wrap(err, rc, "kubeconfig '%s': %s", path, key);
}

/* The member @what of the item called @name in the list @list ("clusters", "contexts", "users"). Borrowed. */
static json_t *named(const json_t *doc, const char *list, const char *name, const char *what)
{
	size_t i;
	json_t *item;
	json_array_foreach (json_object_get(doc, list), i, item) {
		if (str_same(json_string_value(json_object_get(item, "name")), name))
			return json_object_get(item, what);
	}
	return NULL;
}

static bool has_name(const json_t *doc, const char *list, const char *name)
{
	size_t i;
	json_t *item;
	json_array_foreach (json_object_get(doc, list), i, item) {
		if (str_same(json_string_value(json_object_get(item, "name")), name))
			return true;
	}
	return false;
}

static int refuse_members(const json_t *j, const char *path, const char *const *names, struct error *err)
{
	for (; *names != NULL; names++) {
		const json_t *v = json_object_get(j, *names);
		if (v != NULL && !json_is_null(v) && !str_same(json_string_value(v), ""))
			return error_set(err, -ENOTSUP,
					 "kubeconfig '%s': '%s' is not supported; use a client certificate or a token",
					 path, *names);
	}
	return 0;
}

static int load_cluster(struct kube_config *cfg, const json_t *cluster, const char *path, struct error *err)
{
	static const char *const refused[] = {"tls-server-name", "proxy-url", NULL};
	int rc = refuse_members(cluster, path, refused, err);
	if (rc < 0)
		return rc;
	const char *server = json_str(cluster, "server", "");
	if (!str_has_prefix(server, "https://") && !str_has_prefix(server, "http://"))
		return error_set(err, -EINVAL, "kubeconfig '%s': server '%s' is no http(s) URL", path, server);
	if ((rc = dup_into(&cfg->server, server, err)) < 0)
		return rc;
	for (size_t n = strlen(cfg->server); n > 0 && cfg->server[n - 1] == '/'; n--)
		cfg->server[n - 1] = '\0';
	cfg->insecure = json_bool(cluster, "insecure-skip-tls-verify", false);
	return load_pem(cluster, "certificate-authority", path, &cfg->ca_pem, err);
}

static int load_user(struct kube_config *cfg, const json_t *user, const json_t *cluster, const char *path,
		     struct error *err)
{
	static const char *const refused[] = {"auth-provider", "username", "password", "as", NULL};
	int rc = refuse_members(user, path, refused, err);
	if (rc < 0 || (rc = load_pem(user, "client-certificate", path, &cfg->cert_pem, err)) < 0 ||
	    (rc = load_pem(user, "client-key", path, &cfg->key_pem, err)) < 0)
		return rc;
	if ((cfg->cert_pem == NULL) != (cfg->key_pem == NULL))
		return error_set(err, -EINVAL, "kubeconfig '%s': client-certificate and client-key belong together",
				 path);
	const char *file = json_string_value(json_object_get(user, "tokenFile"));
	if (file != NULL && file[0] != '\0') {
		cfg->token_file = beside(path, file);
		return cfg->token_file != NULL ? 0 : no_memory(err);
	}
	const char *token = json_string_value(json_object_get(user, "token"));
	if (token != NULL && token[0] != '\0')
		return dup_into(&cfg->token, token, err);
	const json_t *exec = json_object_get(user, "exec");
	return json_is_object(exec) ? exec_credential_parse(exec, cluster, path, &cfg->exec, err) : 0;
}

static int load_doc(struct kube_config *cfg, const json_t *doc, const char *path, const char *context,
		    struct error *err)
{
	if (context == NULL)
		context = json_string_value(json_object_get(doc, "current-context"));
	if (context == NULL || context[0] == '\0')
		return error_set(err, -EINVAL, "kubeconfig '%s': no current-context; set one or name a context", path);
	const json_t *ctx = named(doc, "contexts", context, "context");
	if (ctx == NULL)
		return error_set(err, -ENOENT, "kubeconfig '%s': there is no context '%s'", path, context);
	const char *cluster_name = json_str(ctx, "cluster", ""), *user_name = json_str(ctx, "user", "");
	const json_t *cluster = named(doc, "clusters", cluster_name, "cluster");
	if (cluster == NULL)
		return error_set(err, -ENOENT, "kubeconfig '%s': context '%s' names cluster '%s', which is not there",
				 path, context, cluster_name);
	const json_t *user = user_name[0] != '\0' ? named(doc, "users", user_name, "user") : NULL;
	if (user == NULL && user_name[0] != '\0')
		return error_set(err, -ENOENT, "kubeconfig '%s': context '%s' names user '%s', which is not there",
				 path, context, user_name);
	int rc = load_cluster(cfg, cluster, path, err);
	if (rc == 0 && user != NULL)
		rc = load_user(cfg, user, cluster, path, err);
	const char *ns = json_str(ctx, "namespace", "");
	return rc == 0 ? dup_into(&cfg->ns, ns[0] != '\0' ? ns : "default", err) : rc;
}

int kube_config_parse(const char *text, size_t n, const char *path, const char *context, struct kube_config **ret,
		      struct error *err)
{
	CLEANUP(config_free_p) struct kube_config *cfg = calloc(1, sizeof *cfg);
	JSON_AUTO docs = NULL;
	if (cfg == NULL)
		return no_memory(err);
	int rc = yaml_parse(text, n, &docs, err);
	if (rc < 0)
		return error_wrap(err, rc, "kubeconfig '%s'", path);
	const json_t *doc = json_array_get(docs, 0);
	if (!json_is_object(doc) || json_array_size(docs) != 1)
		return error_set(err, -EINVAL, "kubeconfig '%s': not one Config document", path);
	rc = load_doc(cfg, doc, path, context, err);
	if (rc == 0)
		*ret = TAKE(cfg);
	return rc;
}

static int load_file(const char *path, const char *context, struct kube_config **ret, struct error *err)
{
	CLEANUP(free_p) char *text = NULL;
	size_t n = 0;
	int rc = file_read(path, YAML_MAX_BYTES, &text, &n, err);
	if (rc < 0)
		return error_wrap(err, rc, "kubeconfig");
	rc = kube_config_parse(text, n, path, context, ret, err);
	explicit_bzero(text, n);
	return rc;
}

static int load_in_cluster(const char *host, struct kube_config **ret, struct error *err)
{
	CLEANUP(config_free_p) struct kube_config *cfg = calloc(1, sizeof *cfg);
	const char *port = getenv("KUBERNETES_SERVICE_PORT");
	if (cfg == NULL)
		return no_memory(err);
	const bool v6 = strchr(host, ':') != NULL;
	cfg->server = str_printf(v6 ? "https://[%s]:%s" : "https://%s:%s", host, port != NULL ? port : "443");
	cfg->token_file = strdup(ACCOUNT_DIR "/token");
	if (cfg->server == NULL || cfg->token_file == NULL)
		return no_memory(err);
	int rc = file_read(ACCOUNT_DIR "/ca.crt", PEM_MAX, &cfg->ca_pem, NULL, err);
	if (rc < 0)
		return error_wrap(err, rc, "in-cluster config");
	if (file_read(ACCOUNT_DIR "/namespace", 256, &cfg->ns, NULL, NULL) < 0 || cfg->ns[0] == '\0') {
		free(TAKE(cfg->ns));
		rc = dup_into(&cfg->ns, "default", err);
	}
	if (rc == 0)
		*ret = TAKE(cfg);
	return rc;
}

/* --- a list of files --- */

/* Put the folder of @path, which is absolute, in front of the relative file at @member. */
static int make_absolute(json_t *j, const char *member, const char *path)
{
	const char *file = json_string_value(json_object_get(j, member));
	if (file == NULL || file[0] == '\0' || file[0] == '/')
		return 0;
	CLEANUP(free_p) char *full = beside(path, file);
	return full != NULL && json_object_set_new(j, member, json_string(full)) == 0 ? 0 : -ENOMEM;
}

/* Files named in @doc are found beside it; in the merged document that is no longer known. */
static int make_files_absolute(json_t *doc, const char *path)
{
	size_t i;
	json_t *item;
	int rc = 0;
	json_array_foreach (json_object_get(doc, "clusters"), i, item)
		rc = rc < 0 ? rc : make_absolute(json_object_get(item, "cluster"), "certificate-authority", path);
	json_array_foreach (json_object_get(doc, "users"), i, item) {
		static const char *const members[] = {"client-certificate", "client-key", "tokenFile"};
		json_t *user = json_object_get(item, "user"), *exec = json_object_get(user, "exec");
		for (size_t k = 0; k < ARRAY_LEN(members) && rc == 0; k++)
			rc = make_absolute(user, members[k], path);
		const char *command = json_string_value(json_object_get(exec, "command"));
		if (rc == 0 && command != NULL && strchr(command, '/') != NULL)
			rc = make_absolute(exec, "command", path);
	}
	return rc;
}

/* Add to @merged what it does not have yet: the first file that says something counts. */
static int merge_doc(json_t *merged, const json_t *doc)
{
	static const char *const lists[] = {"clusters", "contexts", "users"};
	const json_t *current = json_object_get(doc, "current-context");
	if (json_string_length(current) > 0 && json_object_get(merged, "current-context") == NULL &&
	    json_object_set(merged, "current-context", (json_t *)current) < 0)
		return -ENOMEM;
	for (size_t k = 0; k < ARRAY_LEN(lists); k++) {
		size_t i;
		json_t *item;
		json_array_foreach (json_object_get(doc, lists[k]), i, item) {
			const char *name = json_string_value(json_object_get(item, "name"));
			if (name != NULL && !has_name(merged, lists[k], name) &&
			    json_push(merged, lists[k], json_incref(item)) < 0)
				return -ENOMEM;
		}
	}
	return 0;
}

static int merge_file(json_t *merged, const char *path, struct error *err)
{
	CLEANUP(free_p) char *full = NULL;
	CLEANUP(free_p) char *text = NULL;
	CLEANUP(free_p) char *cwd = path[0] != '/' ? getcwd(NULL, 0) : strdup("");
	JSON_AUTO docs = NULL;
	size_t n = 0;
	if (cwd == NULL || (full = path[0] != '/' ? str_printf("%s/%s", cwd, path) : strdup(path)) == NULL)
		return no_memory(err);
	int rc = file_read(path, YAML_MAX_BYTES, &text, &n, err);
	if (rc == 0 && (rc = yaml_parse(text, n, &docs, err)) < 0)
		rc = error_wrap(err, rc, "kubeconfig '%s'", path);
	else if (rc == 0 && (json_array_size(docs) > 1 ||
			     (json_array_size(docs) == 1 && !json_is_object(json_array_get(docs, 0)))))
		rc = error_set(err, -EINVAL, "kubeconfig '%s': not one Config document", path);
	json_t *doc = json_array_get(docs, 0);
	if (rc == 0 && doc != NULL && (make_files_absolute(doc, full) < 0 || merge_doc(merged, doc) < 0))
		rc = no_memory(err);
	if (text != NULL)
		explicit_bzero(text, n);
	return rc;
}

/* The files of a list that are there, merged; those that are not are left out, as kubectl does. */
static int load_list(const char *list, const char *context, struct kube_config **ret, struct error *err)
{
	CLEANUP(config_free_p) struct kube_config *cfg = calloc(1, sizeof *cfg);
	JSON_AUTO merged = json_object();
	struct str rest = str_from(list), part;
	size_t found = 0;
	if (cfg == NULL || merged == NULL)
		return no_memory(err);
	while (str_split_next(&rest, ':', &part)) {
		CLEANUP(free_p) char *path = strndup(part.p, part.n);
		if (path == NULL)
			return no_memory(err);
		if (path[0] == '\0' || !file_exists(path))
			continue;
		if (++found > FILES_MAX)
			return error_set(err, -E2BIG, "KUBECONFIG names more than %d files", FILES_MAX);
		const int rc = merge_file(merged, path, err);
		if (rc < 0)
			return rc;
	}
	if (found == 0)
		return error_set(err, -ENOENT, "kubeconfig: none of the files of KUBECONFIG ('%s') is there", list);
	const int rc = load_doc(cfg, merged, list, context, err);
	if (rc == 0)
		*ret = TAKE(cfg);
	return rc;
}

/* ~/.kube/config when it is there, or NULL: malloc'ed. */
static char *home_path(void)
{
	const char *home = getenv("HOME");
	CLEANUP(free_p) char *path = home != NULL ? str_printf("%s/.kube/config", home) : NULL;
	return path != NULL && file_exists(path) ? TAKE(path) : NULL;
}

int kube_config_load(const char *path, const char *context, struct kube_config **ret, struct error *err)
{
	if (path != NULL)
		return load_file(path, context, ret, err);
	const char *env = getenv("KUBECONFIG");
	if (env != NULL && env[0] != '\0')
		return strchr(env, ':') != NULL ? load_list(env, context, ret, err) : load_file(env, context, ret, err);
	CLEANUP(free_p) char *found = home_path();
	if (found != NULL)
		return load_file(found, context, ret, err);
	const char *host = getenv("KUBERNETES_SERVICE_HOST");
	if (host != NULL && host[0] != '\0')
		return load_in_cluster(host, ret, err);
	return error_set(
		err, -ENOENT,
		"no kubeconfig: set KUBECONFIG, write ~/.kube/config, or give --kubeconfig (and this is no pod)");
}
