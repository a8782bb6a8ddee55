#include "cli/session.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/file.h"
#include "base/str.h"
#include "cli/machine.h"
#include "json/json.h"
#include "json/yaml.h"

int session_open(const struct session_options *o, struct session *ret, struct error *err)
{
	struct session s = {0};
	CLEANUP(free_p)
	char *local = str_printf("%s/admin.kubeconfig", o->data_dir != NULL ? o->data_dir : MACHINE_DATA_DIR);
	if (local == NULL)
		return error_set(err, -ENOMEM, "out of memory");
	const char *path = o->kubeconfig;
	const bool named = getenv("KUBECONFIG") != NULL && o->data_dir == NULL;
	if (path == NULL && !named && (o->data_dir != NULL || access(local, R_OK) == 0))
		path = local;
	int rc = kube_config_load(path, NULL, &s.config, err);
	if (rc == 0)
		rc = kube_client_new(s.config, "sluice-cli/" SLUICE_VERSION, &s.client, err);
	if (rc == 0)
		rc = discovery_new(s.client, &s.discovery, err);
	if (rc != 0) {
		session_close(&s);
		return rc;
	}
	if (!o->all_namespaces)
		s.ns = o->ns != NULL ? o->ns : kube_config_namespace(s.config);
	*ret = s;
	return 0;
}

void session_close(struct session *s)
{
	discovery_free(s->discovery);
	kube_client_free(s->client);
	kube_config_free(s->config);
	*s = (struct session){0};
}

int session_resource(struct session *s, const char *word, const struct kube_resource **ret, struct error *err)
{
	const struct discovered *d = NULL;
	const int rc = discovery_find_name(s->discovery, word, &d, err);
	if (rc == -ENOENT)
		return error_set(err, rc,
				 "the server has no resource '%s': 'sluice get crds' lists those that were added",
				 word);
	if (rc == 0)
		*ret = &d->r;
	return rc;
}

char *session_object_name(const struct kube_resource *r, const char *name)
{
	char *text = str_printf("%s%s%s/%s", r->kind, r->group[0] != '\0' ? "." : "", r->group, name);
	for (char *p = text; p != NULL && *p != '\0' && *p != '.' && *p != '/'; p++)
		*p = (char)tolower((unsigned char)*p);
	return text;
}

int session_read_file(const char *path, json_t **ret, struct error *err)
{
	CLEANUP(free_p) char *text = NULL;
	size_t n = 0;
	const bool in = strcmp(path, "-") == 0;
	int rc = in ? file_read_fd(STDIN_FILENO, "standard input", YAML_MAX_BYTES, &text, &n, err)
		    : file_read(path, YAML_MAX_BYTES, &text, &n, err);
	if (rc != 0)
		return rc;
	JSON_AUTO docs = NULL;
	rc = yaml_parse(text, n, &docs, err);
	if (rc != 0)
		return error_wrap(err, rc, "%s", in ? "standard input" : path);
	JSON_AUTO all = json_array();
	size_t i, k;
	json_t *doc, *item;
	json_array_foreach (docs, i, doc) {
		const bool is_list = str_same(json_str(doc, "kind", ""), "List");
		json_array_foreach (is_list ? json_at(doc, "items") : NULL, k, item)
			rc |= json_array_append(all, item);
		if (!is_list)
			rc |= json_array_append(all, doc);
	}
	if (all == NULL || rc != 0)
		return error_set(err, -ENOMEM, "out of memory");
	*ret = TAKE(all);
	return 0;
}

int session_place(struct session *s, const json_t *obj, const struct kube_resource **ret, const char **ret_ns,
		  struct error *err)
{
	const char *version = json_str(obj, "apiVersion", ""), *kind = json_str(obj, "kind", "");
	if (version[0] == '\0' || kind[0] == '\0' || obj_name(obj)[0] == '\0')
		return error_set(err, -EINVAL, "an object needs apiVersion, kind and metadata.name");
	const struct discovered *d = NULL;
	const int rc = discovery_find_kind(s->discovery, version, kind, &d, err);
	if (rc == -ENOENT)
		return error_set(err, rc, "%s '%s': the server knows no kind %s in %s", kind, obj_name(obj), kind,
				 version);
	if (rc != 0)
		return rc;
	*ret = &d->r;
	*ret_ns = !d->r.namespaced ? NULL : obj_namespace(obj)[0] != '\0' ? obj_namespace(obj) : s->ns;
	return 0;
}
