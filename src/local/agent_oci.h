/*
 * One container of a pod as the OCI runtime's config.json: a pure function of the pod, so that tests read its answer.
 * Threads: any. Nothing here touches the machine; what depends on it (capabilities, devices, mounts) comes in as input.
 */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

struct error;

struct oci_input {
	const json_t *pod, *container; /* API objects */
	const json_t *args;            /* strings: command and arguments, expanded */
	const json_t *env;             /* strings "NAME=value", expanded */
	const json_t *image_mounts;    /* OCI mounts that make the image */
	const json_t *volume_mounts;   /* OCI mounts of the pod's volumes and files, in any order */
	const json_t *devices;         /* every device of the machine in OCI's form; used by privileged containers */
	const char *cgroups_path;      /* absolute, from the root of the hierarchies */
	const char *hostname;          /* of a pod with a host name of its own; NULL: the machine's */
	uint64_t capabilities;         /* bit mask of what this process may pass on */
	int oom_score_adj;
	bool cgroup_v2; /* one unified hierarchy, no named ones */
};

/** *@ret is a new tree. -EINVAL with the field's path for a value that is wrong or cannot be had here. */
int oci_config(const struct oci_input *in, json_t **ret, struct error *err);

/** Whether @container runs privileged. */
bool oci_privileged(const json_t *container);
/** Number of capability @name ("SYS_ADMIN", "CAP_SYS_ADMIN"), or -1. */
int oci_capability(const char *name);
/** The user and group that @container of @pod runs as (0 where nothing is said). -EINVAL: they contradict runAsNonRoot. */
int oci_user(const json_t *pod, const json_t *container, int64_t *ret_uid, int64_t *ret_gid, struct error *err);
