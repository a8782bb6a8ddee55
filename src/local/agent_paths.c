#include "local/agent_paths.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/file.h"
#include "base/str.h"

int path_set(struct path *path, struct error *err, const char *fmt, ...)
{
	va_list ap;
	va_start(ap, fmt);
	const int n = vsnprintf(path->p, sizeof path->p, fmt, ap);
	va_end(ap);
	if (n < 0 || (size_t)n >= sizeof path->p)
		return error_set(err, -ENAMETOOLONG, "path '%.80s...' is longer than %zu bytes", path->p,
				 sizeof path->p - 1);
	return 0;
}

/* Trees of the machine that every pod of the host image sees. */
static const char *const visible_trees[] = {"/usr",    "/bin", "/sbin", "/lib", "/lib32", "/lib64",
					    "/libx32", "/etc", "/proc", "/sys", "/dev"};

static int check_root(const char *what, const char *dir, struct error *err)
{
	if (strlen(dir) > AGENT_ROOT_MAX)
		return error_set(err, -ENAMETOOLONG, "%s '%.60s...' is longer than %d bytes: choose a shorter one",
				 what, dir, AGENT_ROOT_MAX);
	if (strcmp(dir, "/") == 0)
		return error_set(err, -EINVAL, "%s cannot be '/': choose a directory", what);
	for (size_t i = 0; i < ARRAY_LEN(visible_trees); i++) {
		const size_t n = strlen(visible_trees[i]);
		if (strncmp(dir, visible_trees[i], n) == 0 && (dir[n] == '/' || dir[n] == '\0'))
			return error_set(err, -EINVAL,
					 "%s '%s' lies in %s, which pods see: choose another, /var/lib/sluice say",
					 what, dir, visible_trees[i]);
	}
	return 0;
}

/* The real path, so that mounts beneath it are found in the kernel's table by comparing strings. */
static int real_dir(const char *what, const char *dir, char **ret, struct error *err)
{
	int rc = check_root(what, dir, err); /* before anything is made there; links are looked through below */
	if (rc < 0)
		return rc;
	rc = file_mkdir_all(dir, 0755, err);
	if (rc < 0)
		return error_wrap(err, rc, "%s", what);
	CLEANUP(free_p) char *real = realpath(dir, NULL);
	if (real == NULL)
		return error_set(err, -errno, "%s '%s': %s", what, dir, strerror(errno));
	rc = check_root(what, real, err);
	if (rc < 0)
		return rc;
	*ret = TAKE(real);
	return 0;
}

/* root's PATH may lack sbin, where runc lies. */
static int find_program(const char *name, const char *package, char **ret, struct error *err)
{
	const char *env = getenv("PATH");
	CLEANUP(free_p) char *dirs = str_printf("%s:/usr/sbin:/usr/bin:/sbin:/bin", env != NULL ? env : "");
	if (dirs == NULL)
		return error_set(err, -ENOMEM, "find '%s': out of memory", name);
	struct str rest = str_from(dirs), dir;
	while (str_split_next(&rest, ':', &dir)) {
		if (dir.n == 0 || dir.p[0] != '/')
			continue;
		CLEANUP(free_p) char *path = str_printf("%.*s/%s", (int)dir.n, dir.p, name);
		if (path != NULL && access(path, X_OK) == 0) {
			*ret = TAKE(path);
			return 0;
		}
	}
	return error_set(err, -ENOENT, "the program '%s' is not installed: apt-get install %s", name, package);
}

static int make_dirs(const struct agent_paths *p, struct error *err)
{
	static const struct {
		const char *name;
		mode_t mode;
	} dirs[] = {
		{"containers", 0700}, {"containers/runc", 0700}, {"agent", 0700}, {"agent/exits", 0700},
		{"agent/pods", 0700}, {"agent/bin", 0755},       {"logs", 0750},  {"logs/pods", 0750},
	};
	static const char *const kubelet_dirs[] = {"pods", "csi-plugins", "plugins/kubernetes.io/csi"};
	struct path path;
	for (size_t i = 0; i < ARRAY_LEN(dirs); i++) {
		int rc = path_set(&path, err, "%s/%s", p->data_dir, dirs[i].name);
		rc = rc ?: file_mkdir_all(path.p, dirs[i].mode, err);
		if (rc < 0)
			return rc;
	}
	for (size_t i = 0; i < ARRAY_LEN(kubelet_dirs); i++) {
		int rc = path_set(&path, err, "%s/%s", p->kubelet_root, kubelet_dirs[i]);
		rc = rc ?: file_mkdir_all(path.p, 0750, err);
		if (rc < 0)
			return rc;
	}
	return 0;
}

int agent_paths_init(struct agent_paths *p, const char *data_dir, const char *kubelet_root, struct error *err)
{
	*p = (struct agent_paths){0};
	CLEANUP(free_p) char *dflt = str_printf("%s/kubelet", data_dir);
	if (dflt == NULL)
		return error_set(err, -ENOMEM, "data directory: out of memory");
	int rc = real_dir("data directory", data_dir, &p->data_dir, err);
	rc = rc ?: real_dir("kubelet root", kubelet_root != NULL ? kubelet_root : dflt, &p->kubelet_root, err);
	rc = rc ?: find_program("runc", "runc", &p->runc, err);
	rc = rc ?: find_program("conmon", "conmon", &p->conmon, err);
	rc = rc ?: make_dirs(p, err);
	if (rc < 0)
		agent_paths_clear(p);
	return rc;
}

void agent_paths_clear(struct agent_paths *p)
{
	free(p->data_dir);
	free(p->kubelet_root);
	free(p->runc);
	free(p->conmon);
	*p = (struct agent_paths){0};
}
