/* Where the agent keeps things, and paths of a fixed maximum. */
#pragma once

#include <limits.h>
#include <stddef.h>

struct error;

struct path {
	char p[PATH_MAX];
};

/** Fill @path. 0, or -ENAMETOOLONG with the beginning of the path in @err (may be NULL). */
__attribute__((format(printf, 3, 4))) int path_set(struct path *path, struct error *err, const char *fmt, ...);

/*
 * Beneath the data directory:
 *   containers/<id>/            bundle of a container: config.json, rootfs/, record.json, conmon's pipes
 *   containers/runc/            runc's state
 *   agent/exits/<id>            exit codes, written by conmon
 *   agent/pods/<uid>.json       the pod as last seen, kept until everything of it is gone
 *   agent/bin/sluice            our binary as pods see it
 *   agent/agent.sock            logs
 *   agent/shared-mounts.json    directories that we made shared mounts
 *   logs/pods/<ns>_<pod>_<uid>/<container>/<attempt>.log
 * Beneath the kubelet root: what a kubelet keeps there (pods/, plugins/kubernetes.io/csi/, csi-plugins/).
 */
struct agent_paths {
	char *data_dir, *kubelet_root; /* absolute, no trailing slash, at most AGENT_ROOT_MAX bytes */
	char *runc, *conmon;           /* absolute paths of the programs */
};

/* Container ids, uids and names (at most 253) still fit behind it. */
#define AGENT_ROOT_MAX 1024

/**
 * Make both absolute, create what lies beneath, find runc and conmon in PATH. @kubelet_root NULL: DATA_DIR/kubelet.
 * -EINVAL for a directory that pods would see (/usr ...), -ENOENT: a program is missing, with the package's name.
 */
int agent_paths_init(struct agent_paths *p, const char *data_dir, const char *kubelet_root, struct error *err);
void agent_paths_clear(struct agent_paths *p);
