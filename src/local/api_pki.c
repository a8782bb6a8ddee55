/* Keys: a CA and the administrator's pair are kept, the server's own pair lives in memory only. */
#include "local/api_pki.h"

#include <assert.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/base64.h"
#include "base/cleanup.h"
#include "base/error.h"
#include "base/file.h"
#include "base/str.h"
#include "local/api_internal.h"
#include "json/json.h"
#include "json/yaml.h"

#define PEM_MAX    (64u << 10)
#define RENEW_DAYS 30
#define LEAF_DAYS  365
#define ADMIN_DAYS 3600 /* whoever can read it reads the CA's key beside it; it must outlive the longest uptime */

void api_pki_clear(struct api_pki *p)
{
	cert_pair_clear(&p->ca);
	cert_pair_clear(&p->server);
	cert_pair_clear(&p->admin);
	cert_pair_clear(&p->accounts);
}

static char *pem_path(const char *dir, const char *name, const char *suffix)
{
	return str_printf("%s/pki/%s.%s", dir, name, suffix);
}

/** Both files, or -ENOENT. */
static int load_pair(const char *dir, const char *name, struct cert_pair *ret, struct error *err)
{
	CLEANUP(free_p) char *crt = pem_path(dir, name, "crt");
	CLEANUP(free_p) char *key = pem_path(dir, name, "key");
	if (crt == NULL || key == NULL)
		return error_set(err, -ENOMEM, "out of memory");
	if (!file_exists(crt) || !file_exists(key))
		return -ENOENT;
	CLEANUP(cert_pair_clear) struct cert_pair p = {0};
	int rc = file_read(crt, PEM_MAX, &p.cert_pem, NULL, err);
	if (rc == 0)
		rc = file_read(key, PEM_MAX, &p.key_pem, NULL, err);
	if (rc < 0)
		return rc;
	*ret = TAKE_STRUCT(p);
	return 0;
}

static int save_pair(const char *dir, const char *name, const struct cert_pair *p, struct error *err)
{
	CLEANUP(free_p) char *crt = pem_path(dir, name, "crt");
	CLEANUP(free_p) char *key = pem_path(dir, name, "key");
	if (crt == NULL || key == NULL)
		return error_set(err, -ENOMEM, "out of memory");
	assert(p->key_pem != NULL && p->cert_pem != NULL);
	int rc = file_write_atomic(key, 0600, p->key_pem, strlen(p->key_pem), err);
	return rc < 0 ? rc : file_write_atomic(crt, 0644, p->cert_pem, strlen(p->cert_pem), err);
}

static int open_ca(const char *dir, struct cert_pair *ret, struct error *err)
{
	int rc = load_pair(dir, "ca", ret, err);
	if (rc == 0 && cert_is_fresh(ret, ret, RENEW_DAYS))
		return 0;
	if (rc < 0 && rc != -ENOENT)
		return rc;
	cert_pair_clear(ret);
	*ret = (struct cert_pair){0};
	rc = cert_make_ca("sluice-ca", ret, err);
	return rc < 0 ? rc : save_pair(dir, "ca", ret, err);
}

static int open_admin(const char *dir, const struct cert_pair *ca, struct cert_pair *ret, struct error *err)
{
	int rc = load_pair(dir, "admin", ret, err);
	if (rc == 0 && cert_is_fresh(ca, ret, RENEW_DAYS))
		return 0;
	if (rc < 0 && rc != -ENOENT)
		return rc;
	cert_pair_clear(ret);
	*ret = (struct cert_pair){0};
	const struct cert_options o = {.cn = "sluice-admin",
				       .organizations = (const char *const[]){"system:masters", NULL},
				       .client = true,
				       .days = ADMIN_DAYS};
	rc = cert_issue(ca, &o, ret, err);
	return rc < 0 ? rc : save_pair(dir, "admin", ret, err);
}

/** Only its key is used. It stays: a new one would make all tokens void. */
static int open_accounts(const char *dir, struct cert_pair *ret, struct error *err)
{
	int rc = load_pair(dir, "sa", ret, err);
	if (rc != -ENOENT)
		return rc;
	rc = cert_make_ca("sluice-service-accounts", ret, err);
	return rc < 0 ? rc : save_pair(dir, "sa", ret, err);
}

static int make_server(const struct cert_pair *ca, const char *address, struct cert_pair *ret, struct error *err)
{
	char host[HOST_NAME_MAX + 1] = "";
	if (gethostname(host, sizeof host) < 0 || host[0] == '\0')
		(void)str_copy(host, sizeof host, "localhost");
	host[sizeof host - 1] = '\0';
	const char *const sans[] = {
		"localhost", "127.0.0.1", "::1", "kubernetes", "kubernetes.default", "kubernetes.default.svc",
		address,     host,        NULL};
	const struct cert_options o = {.cn = "sluice-api", .sans = sans, .server = true, .days = LEAF_DAYS};
	return cert_issue(ca, &o, ret, err);
}

int api_pki_open(const char *data_dir, const char *address, struct api_pki *ret, struct error *err)
{
	CLEANUP(api_pki_clear) struct api_pki p = {0};
	CLEANUP(free_p) char *dir = str_printf("%s/pki", data_dir);
	if (dir == NULL)
		return error_set(err, -ENOMEM, "out of memory");
	int rc = file_mkdir_all(dir, 0700, err);
	if (rc == 0)
		rc = open_ca(data_dir, &p.ca, err);
	if (rc == 0)
		rc = open_admin(data_dir, &p.ca, &p.admin, err);
	if (rc == 0)
		rc = open_accounts(data_dir, &p.accounts, err);
	if (rc == 0)
		rc = make_server(&p.ca, address, &p.server, err);
	if (rc < 0)
		return error_wrap(err, rc, "keys in '%s'", dir);
	*ret = TAKE_STRUCT(p);
	return 0;
}

static json_t *encoded(const char *pem)
{
	CLEANUP(free_p) char *text = base64_encode(pem, strlen(pem));
	return text != NULL ? json_string(text) : NULL;
}

/** Whether @path holds @text already, for its owner alone. */
static bool holds(const char *path, const char *text)
{
	CLEANUP(free_p) char *old = NULL;
	struct stat st;
	return stat(path, &st) == 0 && (st.st_mode & 0777) == 0600 && (size_t)st.st_size == strlen(text) &&
	       file_read(path, strlen(text), &old, NULL, NULL) == 0 && strcmp(old, text) == 0;
}

int api_pki_write_kubeconfig(const struct api_pki *p, const char *path, const char *address, uint16_t port,
			     struct error *err)
{
	bool v6 = strchr(address, ':') != NULL;
	JSON_AUTO server = json_sprintf(v6 ? "https://[%s]:%u" : "https://%s:%u", address, port);
	JSON_AUTO cfg =
		json_pack("{s:s, s:s, s:[{s:s, s:{s:O, s:o}}], s:[{s:s, s:{s:o, s:o}}], s:[{s:s, s:{s:s, s:s}}], s:s}",
			  "apiVersion", "v1", "kind", "Config", "clusters", "name", "sluice", "cluster", "server",
			  server, "certificate-authority-data", encoded(p->ca.cert_pem), "users", "name",
			  "sluice-admin", "user", "client-certificate-data", encoded(p->admin.cert_pem),
			  "client-key-data", encoded(p->admin.key_pem), "contexts", "name", "sluice", "context",
			  "cluster", "sluice", "user", "sluice-admin", "current-context", "sluice");
	CLEANUP(free_p) char *text = cfg != NULL ? yaml_to_text(cfg) : NULL;
	if (text == NULL)
		return error_set(err, -ENOMEM, "kubeconfig: out of memory");
	if (holds(path, text))
		return 0; /* needs no room on the disk */
	const char *slash = strrchr(path, '/');
	CLEANUP(free_p) char *dir = slash != NULL && slash != path ? strndup(path, (size_t)(slash - path)) : NULL;
	int rc = dir != NULL ? file_mkdir_all(dir, 0755, err) : 0;
	return rc < 0 ? rc : file_write_atomic(path, 0600, text, strlen(text), err);
}
