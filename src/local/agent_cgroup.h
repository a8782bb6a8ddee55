/*
 * Control groups of pods: /sluice/pod<uid>/<container id> in every hierarchy that is mounted (version 1, hybrid or 2). runc makes
 * and fills them; parents stay until somebody removes them, which is done here. Threads: any.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

struct error;

#define CGROUP_PARENT "/sluice"

/** Whether the machine has version 2 alone. */
bool cgroup_is_v2(void);
/** SIGKILL what still runs in @group ("/sluice/pod..."), wait at most @timeout_ns for it, remove the group and all in it. Absent is fine. */
int cgroup_remove(const char *group, long long timeout_ns, struct error *err);
/** Remove CGROUP_PARENT where it is empty. */
void cgroup_remove_parent(void);
/** Call @fn for each group directly beneath CGROUP_PARENT, once for a name. Stops at a negative return, which is returned. */
int cgroup_each_pod(int (*fn)(void *ctx, const char *name), void *ctx, struct error *err);
