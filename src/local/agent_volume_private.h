/* What the files of the volume module share. */
#pragma once

#include "local/agent_volume.h"

struct path;

/** Directory of a volume of the pod, KUBELET_ROOT/pods/<uid>/volumes/<plugin>/<name>, made with mode @mode (0: not made). */
int volume_dir(const struct volume_host *h, const json_t *pod, const char *plugin, const char *name, unsigned mode,
	       struct path *ret, struct error *err);
/** fsGroup of @pod, or -1. */
int64_t volume_group(const json_t *pod);

/** configMap, secret, downwardAPI and projected. @plugin names the directory; @tmpfs: on memory. */
int volume_project(const struct volume_host *h, const json_t *pod, const json_t *volume, struct path *ret,
		   struct error *err);
/** Whether @volume is one of these. */
bool volume_is_projected(const json_t *volume);
