/* NodePublishVolume and NodeUnpublishVolume: the dataset's mount at a pod's path. */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/str.h"
#include "csi/mounts.h"
#include "csi/plugin_internal.h"
#include "net/proto/csi.pb-c.h"

#define WAIT_NS     (60 * NSEC_PER_SEC) /* for the fuse mount; the kubelet calls again */
#define TARGET_MODE 0750

typedef Csi__V1__NodePublishVolumeRequest publish_request;

/* --- what is asked for --- */

static int parse_volume(const struct csi_plugin *p, const publish_request *r, struct volume *ret, struct error *err)
{
	CLEANUP(free_p) struct volume_attribute *a = calloc(r->n_volume_context + 1, sizeof *a);
	if (a == NULL)
		return error_set(err, -ENOMEM, "out of memory");
	for (size_t i = 0; i < r->n_volume_context; i++)
		a[i] = (struct volume_attribute){r->volume_context[i]->key, r->volume_context[i]->value};
	return volume_parse(p->mount_root, p->publish_method, a, r->n_volume_context, ret, err);
}

static int parse_mount_flag(const char *flag, struct bind_options *o, struct error *err)
{
	if (strcmp(flag, "ro") == 0)
		o->read_only = true;
	else if (strcmp(flag, "noexec") == 0)
		o->no_exec = true;
	else if (strcmp(flag, "rw") != 0 && strcmp(flag, "nosuid") != 0 &&
		 strcmp(flag, "nodev") != 0) /* these change nothing */
		return error_set(err, -EINVAL,
				 "mount option '%s': only ro, rw, noexec, nosuid and nodev are known here; options of "
				 "the fuse process go into its runtime",
				 flag);
	return 0;
}

static int parse_capability(const publish_request *r, struct bind_options *ret, struct error *err)
{
	const Csi__V1__VolumeCapability *c = r->volume_capability;
	struct bind_options o = {.read_only = r->readonly};
	if (c == NULL || c->access_mode == NULL)
		return error_set(err, -EINVAL, "volume_capability with an access mode is missing");
	if (c->access_type_case == CSI__V1__VOLUME_CAPABILITY__ACCESS_TYPE_BLOCK)
		return error_set(err, -EINVAL, "a dataset cannot be a block device; use volumeMode Filesystem");
	const int mode = (int)c->access_mode->mode;
	if (mode == CSI__V1__VOLUME_CAPABILITY__ACCESS_MODE__MODE__MULTI_NODE_READER_ONLY ||
	    mode == CSI__V1__VOLUME_CAPABILITY__ACCESS_MODE__MODE__SINGLE_NODE_READER_ONLY)
		o.read_only = true;
	if (c->access_type_case == CSI__V1__VOLUME_CAPABILITY__ACCESS_TYPE_MOUNT) {
		for (size_t i = 0; i < c->mount->n_mount_flags; i++) {
			const int rc = parse_mount_flag(c->mount->mount_flags[i], &o, err);
			if (rc < 0)
				return rc;
		}
	}
	*ret = o;
	return 0;
}

/* --- symbolic links --- */

static int link_text(const struct volume *v, char **ret, struct error *err)
{
	*ret = v->sub_path[0] == '\0' ? strdup(v->fluid_path) : str_printf("%s/%s", v->fluid_path, v->sub_path);
	return *ret == NULL ? error_set(err, -ENOMEM, "out of memory") : 0;
}

static bool link_is(const struct target *t, const char *text)
{
	char have[PATH_MAX + 1];
	const ssize_t n = readlinkat(t->dir_fd, t->name, have, sizeof have - 1);
	if (n < 0)
		return false;
	have[n] = '\0';
	return strcmp(have, text) == 0;
}

static int remove_target(const struct target *t, int kind, struct error *err)
{
	if (kind == TARGET_OTHER)
		return error_set(err, -EEXIST, "target '%s' is a file, which is not ours to remove", t->name);
	if (kind == TARGET_ABSENT || unlinkat(t->dir_fd, t->name, kind == TARGET_DIRECTORY ? AT_REMOVEDIR : 0) == 0 ||
	    errno == ENOENT)
		return 0;
	return error_set(err, -errno, "remove target '%s': %s", t->name, strerror(errno));
}

static int publish_link(const struct target *t, int kind, const char *text, struct error *err)
{
	const int rc = remove_target(t, kind, err);
	if (rc < 0)
		return rc;
	if (symlinkat(text, t->dir_fd, t->name) < 0)
		return error_set(err, -errno, "link target '%s': %s", t->name, strerror(errno));
	return 0;
}

/* --- bind mounts --- */

static int publish_bind(const struct target *t, int kind, int src_fd, const struct bind_options *o, struct error *err)
{
	int rc = kind == TARGET_DIRECTORY ? 0 : remove_target(t, kind, err);
	if (rc < 0)
		return rc;
	const bool made = mkdirat(t->dir_fd, t->name, TARGET_MODE) == 0;
	if (!made && errno != EEXIST)
		return error_set(err, -errno, "make target '%s': %s", t->name, strerror(errno));
	rc = target_bind(t, src_fd, o, err);
	if (rc < 0 && made)
		(void)unlinkat(t->dir_fd, t->name, AT_REMOVEDIR); /* the mount's error is the one that counts */
	return rc;
}

/* Whether the target is published already. 1, 0 (to do, *@kind is what is there now) or -errno. */
static int is_published(const struct target *t, const struct volume *v, const char *link, int64_t deadline, int *kind,
			struct error *err)
{
	*kind = target_look(t);
	if (*kind < 0)
		return error_set(err, *kind, "look at target '%s': %s", t->name, strerror(-*kind));
	if (*kind == TARGET_LINK)
		return v->method == PUBLISH_SYMLINK && link_is(t, link);
	if (*kind != TARGET_MOUNT)
		return 0;
	const int rc = target_probe(t, deadline);
	if (rc != -ENOTCONN)
		return rc == 0 ? 1
			       : error_set(err, rc, "what is mounted at target '%s' does not answer: %s", t->name,
					   strerror(-rc));
	const int unmounted = target_unmount(t, deadline, err); /* a dead fuse process's mount */
	if (unmounted < 0)
		return unmounted;
	*kind = target_look(t);
	return 0;
}

static int publish_at(struct csi_plugin *p, const struct target *t, const struct volume *v,
		      const struct bind_options *o, int64_t deadline, struct error *err)
{
	CLEANUP(free_p) char *link = NULL;
	int kind = TARGET_ABSENT;
	int rc = link_text(v, &link, err);
	if (rc == 0)
		rc = is_published(t, v, link, deadline, &kind, err);
	if (rc != 0)
		return rc > 0 ? 0 : rc;
	const int64_t wait = clock_mono_ns() + WAIT_NS;
	CLEANUP(close_fd) int src = -1;
	rc = volume_wait(p->mount_root, v, wait < deadline ? wait : deadline, &src, err);
	if (rc == -ETIMEDOUT)
		rc = -EAGAIN; /* not an answer that hangs but one that says: not yet (Internal, as Fluid's) */
	if (rc < 0)
		return rc;
	return v->method == PUBLISH_SYMLINK ? publish_link(t, kind, link, err) : publish_bind(t, kind, src, o, err);
}

int csi_publish(struct csi_plugin *p, const publish_request *r, int64_t deadline, struct error *err)
{
	struct volume v;
	struct bind_options o;
	struct target t = TARGET_NONE;
	if (*r->volume_id == '\0' || *r->target_path == '\0')
		return error_set(err, -EINVAL, "volume_id and target_path are needed");
	int rc = parse_volume(p, r, &v, err);
	if (rc == 0)
		rc = parse_capability(r, &o, err);
	if (rc < 0)
		return rc;
	rc = busy_enter(&p->targets, r->target_path);
	if (rc < 0)
		return error_set(err, rc, "another call works on target path %s", r->target_path);
	rc = target_open(p->kubelet_root, r->target_path, deadline, &t, err);
	if (rc == 0)
		rc = publish_at(p, &t, &v, &o, deadline, err);
	target_close(&t);
	busy_leave(&p->targets, r->target_path);
	return rc;
}

static int unpublish_at(const struct target *t, int64_t deadline, struct error *err)
{
	int rc = target_unmount(t, deadline, err);
	if (rc < 0)
		return rc;
	const int kind = target_look(t);
	if (kind < 0)
		return error_set(err, kind, "look at target '%s': %s", t->name, strerror(-kind));
	return remove_target(t, kind, err);
}

int csi_unpublish(struct csi_plugin *p, const Csi__V1__NodeUnpublishVolumeRequest *r, int64_t deadline,
		  struct error *err)
{
	struct target t = TARGET_NONE;
	if (*r->volume_id == '\0' || *r->target_path == '\0')
		return error_set(err, -EINVAL, "volume_id and target_path are needed");
	int rc = busy_enter(&p->targets, r->target_path);
	if (rc < 0)
		return error_set(err, rc, "another call works on target path %s", r->target_path);
	rc = target_open(p->kubelet_root, r->target_path, deadline, &t, err);
	if (rc == 0)
		rc = unpublish_at(&t, deadline, err);
	else if (rc == -ENOENT)
		rc = 0; /* unpublished before, and the pod's directory is gone */
	target_close(&t);
	busy_leave(&p->targets, r->target_path);
	return rc;
}
