/* Files of a pod that its containers see in /etc, and the termination log of each. */
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/file.h"
#include "base/str.h"
#include "base/strbuf.h"
#include "kube/client.h"
#include "kube/informer.h"
#include "local/agent_hosts.h"
#include "local/agent_private.h"
#include "json/json.h"

#define RESOLV_MAX (64u << 10)

bool pod_host_network(const json_t *obj)
{
	return json_bool(obj, "spec.hostNetwork", false);
}

const char *pod_hostname(const struct pod_run *p)
{
	return pod_host_network(p->obj) ? p->agent->host_name : json_str(p->obj, "spec.hostname", p->name);
}

static int pod_path(const struct pod_run *p, const char *name, struct path *ret, struct error *err)
{
	return path_set(ret, err, "%s/pods/%s/%s", p->agent->paths.kubelet_root, p->uid, name);
}

/* In place: the file is bound into containers, which would go on seeing the old one after a rename. */
static int write_in_place(const char *path, const char *text, mode_t mode, struct error *err)
{
	CLEANUP(close_fd) int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW, mode);
	if (fd < 0)
		return error_set(err, -errno, "write '%s': %s", path, strerror(errno));
	const size_t n = strlen(text);
	int rc = file_pwrite_all(fd, text, n, 0);
	if (rc == 0 && (ftruncate(fd, (off_t)n) < 0 || fchmod(fd, mode) < 0))
		rc = -errno;
	return rc < 0 ? error_set(err, rc, "write '%s': %s", path, strerror(-rc)) : 0;
}

int pod_files_refresh(struct pod_run *p, struct error *err)
{
	const unsigned version = atomic_load_explicit(&p->agent->names_version, memory_order_acquire);
	if (p->hosts_text != NULL && p->hosts_version == version)
		return 0;
	JSON_AUTO services = informer_list(p->agent->services, NULL);
	JSON_AUTO pods = informer_list(p->agent->pods, NULL);
	const struct hosts_input in = {.pod = p->obj,
				       .hostname = pod_hostname(p),
				       .address = AGENT_ADDRESS,
				       .services = services,
				       .pods = pods};
	CLEANUP(free_p) char *text = NULL;
	struct path path;
	int rc = hosts_text(&in, &text, err);
	rc = rc ?: pod_path(p, "", &path, err);
	rc = rc ?: file_mkdir_all(path.p, 0750, err);
	rc = rc ?: pod_path(p, "etc-hosts", &path, err);
	if (rc == 0 && !str_same(text, p->hosts_text))
		rc = write_in_place(path.p, text, 0644, err);
	if (rc == 0) {
		free(p->hosts_text);
		p->hosts_text = TAKE(text);
		p->hosts_version = version;
	}
	return rc;
}

static void add_list(struct strbuf *b, const json_t *list, const char *word, bool one_line)
{
	size_t i;
	const json_t *v;
	if (one_line && json_array_size(list) > 0)
		strbuf_adds(b, word);
	json_array_foreach (list, i, v) {
		if (one_line)
			strbuf_addf(b, " %s", json_string_value(v));
		else
			strbuf_addf(b, "%s %s\n", word, json_string_value(v));
	}
	if (one_line && json_array_size(list) > 0)
		strbuf_addc(b, '\n');
}

static void add_options(struct strbuf *b, const json_t *options)
{
	size_t i;
	const json_t *o;
	json_array_foreach (options, i, o) {
		const char *value = json_str(o, "value", "");
		strbuf_addf(b, "options %s%s%s\n", json_str(o, "name", ""), *value != '\0' ? ":" : "", value);
	}
}

static int write_resolv(const struct pod_run *p, const char *path, struct error *err)
{
	struct strbuf b = STRBUF_INIT(RESOLV_MAX);
	CLEANUP(free_p) char *machine = NULL;
	/* No name server serves cluster names here: those stand in /etc/hosts, everything else is asked where the machine asks. */
	if (strcmp(json_str(p->obj, "spec.dnsPolicy", "ClusterFirst"), "None") != 0 &&
	    file_read("/etc/resolv.conf", RESOLV_MAX / 2, &machine, NULL, NULL) == 0)
		strbuf_adds(&b, machine);
	const json_t *config = json_at(p->obj, "spec.dnsConfig");
	add_list(&b, json_object_get(config, "nameservers"), "nameserver", false);
	add_list(&b, json_object_get(config, "searches"), "search", true);
	add_options(&b, json_object_get(config, "options"));
	CLEANUP(free_p) char *text = NULL;
	int rc = strbuf_take(&b, &text);
	strbuf_clear(&b);
	if (rc < 0)
		return error_set(err, rc, "spec.dnsConfig: larger than %u KiB", RESOLV_MAX >> 10);
	return write_in_place(path, text, 0644, err);
}

static bool is_mounted_by_user(const json_t *container, const char *dest)
{
	size_t i;
	const json_t *m;
	json_array_foreach (json_object_get(container, "volumeMounts"), i, m)
		if (strcmp(json_str(m, "mountPath", ""), dest) == 0)
			return true;
	return false;
}

static int add_file(json_t *list, const json_t *container, const char *source, const char *dest, struct error *err)
{
	if (is_mounted_by_user(container, dest))
		return 0;
	return json_array_append_new(list, json_pack("{s:s, s:s, s:s, s:[s, s]}", "destination", dest, "type", "bind",
						     "source", source, "options", "rbind", "rprivate")) < 0
		       ? error_set(err, -ENOMEM, "pod's files: out of memory")
		       : 0;
}

/* Empty at each attempt: what it holds at the end is the message. */
static int termination_log(const struct pod_run *p, const struct container_run *c, struct path *ret, struct error *err)
{
	struct path dir;
	int rc = path_set(&dir, err, "%s/pods/%s/containers/%s", p->agent->paths.kubelet_root, p->uid, c->name);
	rc = rc ?: file_mkdir_all(dir.p, 0755, err);
	rc = rc ?: path_set(ret, err, "%s/termination-log", dir.p);
	return rc ?: write_in_place(ret->p, "", 0666, err);
}

int pod_files(struct pod_run *p, const struct container_run *c, json_t **ret, struct error *err)
{
	const json_t *spec = container_spec(p, c);
	JSON_AUTO list = json_array();
	struct path path;
	int rc = pod_files_refresh(p, err);
	rc = rc ?: pod_path(p, "etc-hosts", &path, err);
	rc = rc ?: add_file(list, spec, path.p, "/etc/hosts", err);
	rc = rc ?: pod_path(p, "resolv.conf", &path, err);
	rc = rc ?: write_resolv(p, path.p, err);
	rc = rc ?: add_file(list, spec, path.p, "/etc/resolv.conf", err);
	CLEANUP(free_p) char *name = str_printf("%s\n", pod_hostname(p));
	rc = rc ?: pod_path(p, "hostname", &path, err);
	rc = rc ?: name != NULL ? write_in_place(path.p, name, 0644, err) : error_set(err, -ENOMEM, "out of memory");
	rc = rc ?: add_file(list, spec, path.p, "/etc/hostname", err);
	rc = rc ?: termination_log(p, c, &path, err);
	const char *dest = json_str(spec, "terminationMessagePath", "/dev/termination-log");
	rc = rc ?: add_file(list, spec, path.p, *dest == '/' ? dest : "/dev/termination-log", err);
	if (rc == 0)
		*ret = TAKE(list);
	return rc;
}
