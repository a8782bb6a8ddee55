#include "cli/trouble.h"

#include <stdio.h>
#include <string.h>

#include "base/error.h"
#include "base/str.h"
#include "kube/client.h"
#include "json/json.h"

struct advice {
	const char *reason, *text;
};

static const struct advice advices[] = {
	{"CrashLoopBackOff", "'sluice logs POD --previous' shows what it said before it ended"},
	{"Error", "'sluice logs POD --previous' shows what it said before it ended"},
	{"ImagePullBackOff", "make the image available, or correct its name in the runtime"},
	{"ErrImagePull", "make the image available, or correct its name in the runtime"},
	{"OOMKilled", "raise the memory limit in the runtime's resources"},
	{"CreateContainerConfigError", "a ConfigMap or Secret that the pod names is missing"},
	{"Unschedulable", "make room on a node, or change the node selector, affinity or tolerations"},
	{"Evicted", "free disk space or memory on the node"},
};

static const char *advice_on(const char *reason)
{
	for (size_t i = 0; i < ARRAY_LEN(advices); i++) {
		if (strcmp(advices[i].reason, reason) == 0)
			return advices[i].text;
	}
	return "";
}

static bool say(struct pod_trouble *ret, const char *reason, const char *what, const char *message)
{
	(void)snprintf(ret->problem, sizeof ret->problem, "%s%s%s%s", what, reason, message[0] != '\0' ? ": " : "",
		       message);
	ret->advice = advice_on(reason);
	return true;
}

/* A container that waits for something other than its turn, or that ended badly. */
static bool container_trouble(const json_t *status, struct pod_trouble *ret)
{
	char what[320];
	(void)snprintf(what, sizeof what, "container %s (started %lld times again): ", json_str(status, "name", ""),
		       (long long)json_int(status, "restartCount", 0));
	const char *waiting = json_str(status, "state.waiting.reason", "");
	const char *ended = json_str(status, "state.terminated.reason", "");
	const char *before = json_str(status, "lastState.terminated.reason", "");
	if (waiting[0] != '\0' && strcmp(waiting, "ContainerCreating") != 0 &&
	    strcmp(waiting, "PodInitializing") != 0) {
		const bool says_more = strcmp(waiting, "CrashLoopBackOff") == 0 && strcmp(before, "OOMKilled") == 0;
		return say(ret, says_more ? before : waiting, what, json_str(status, "state.waiting.message", ""));
	}
	if (ended[0] != '\0' && strcmp(ended, "Completed") != 0)
		return say(ret, ended, what, json_str(status, "state.terminated.message", ""));
	return false;
}

static bool any_container(const json_t *list, struct pod_trouble *ret)
{
	size_t i;
	const json_t *status;
	json_array_foreach (list, i, status) {
		if (container_trouble(status, ret))
			return true;
	}
	return false;
}

/* A condition of @type that is False. */
static const json_t *denied(const json_t *pod, const char *type)
{
	size_t i;
	const json_t *c;
	json_array_foreach (json_at(pod, "status.conditions"), i, c) {
		if (str_same(json_str(c, "type", ""), type) && str_same(json_str(c, "status", ""), "False"))
			return c;
	}
	return NULL;
}

bool pod_in_trouble(const json_t *pod, struct pod_trouble *ret)
{
	const char *phase = json_str(pod, "status.phase", "");
	if (strcmp(phase, "Succeeded") == 0)
		return false;
	if (obj_deleting(pod))
		return say(ret, "it is ending", "", json_str(pod, "metadata.deletionTimestamp", ""));
	if (any_container(json_at(pod, "status.initContainerStatuses"), ret) ||
	    any_container(json_at(pod, "status.containerStatuses"), ret))
		return true;
	const json_t *scheduled = denied(pod, "PodScheduled"), *ready = denied(pod, "Ready");
	if (scheduled != NULL)
		return say(ret, json_str(scheduled, "reason", "Unschedulable"),
			   "no node takes it: ", json_str(scheduled, "message", ""));
	if (strcmp(phase, "Failed") == 0)
		return say(ret, json_str(pod, "status.reason", "Failed"),
			   "it has failed: ", json_str(pod, "status.message", ""));
	if (strcmp(phase, "Running") != 0 || ready != NULL)
		return say(ret, phase[0] != '\0' ? phase : "Pending",
			   "it is not ready: ", ready != NULL ? json_str(ready, "message", "") : "");
	return false;
}

bool condition_is_bad(const json_t *c)
{
	const char *bad = strcmp(json_str(c, "type", ""), "NotReady") == 0 ? "True" : "False";
	return strcmp(json_str(c, "status", ""), bad) == 0;
}
