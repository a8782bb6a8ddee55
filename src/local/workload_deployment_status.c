/* What a Deployment says of itself: counts, whether it is available, whether it gets on. */
#include <string.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/str.h"
#include "local/workload_deployment.h"
#include "local/workload_private.h"
#include "json/json.h"

struct counts {
	int64_t replicas, wanted, updated, ready, available;
};

static struct counts count(const struct deployment_pass *p)
{
	struct counts n = {.updated = json_int(p->newest, "status.replicas", 0)};
	size_t i;
	json_t *set;
	json_array_foreach (p->sets, i, set) {
		n.replicas += json_int(set, "status.replicas", 0);
		n.wanted += json_int(set, "spec.replicas", 0);
		n.ready += json_int(set, "status.readyReplicas", 0);
		n.available += json_int(set, "status.availableReplicas", 0);
	}
	return n;
}

static const json_t *condition(const json_t *d, const char *type)
{
	size_t i;
	json_t *c;
	json_array_foreach (json_at(d, "status.conditions"), i, c)
		if (strcmp(json_str(c, "type", ""), type) == 0)
			return c;
	return NULL;
}

/** A condition with its times: of its last change, and of the last time that something was heard of it (@fresh: now). */
static json_t *make_condition(const struct deployment_pass *p, const char *type, const char *status, const char *reason,
			      const char *message, bool fresh)
{
	const json_t *old = condition(p->d, type);
	bool same = strcmp(json_str(old, "status", ""), status) == 0;
	bool told = same && strcmp(json_str(old, "reason", ""), reason) == 0 && !fresh;
	return json_pack("{s:s, s:s, s:s, s:s, s:s, s:s}", "type", type, "status", status, "lastUpdateTime",
			 told ? json_str(old, "lastUpdateTime", p->now) : p->now, "lastTransitionTime",
			 same ? json_str(old, "lastTransitionTime", p->now) : p->now, "reason", reason, "message",
			 message);
}

static json_t *availability(const struct deployment_pass *p, const struct counts *n)
{
	if (n->available >= p->replicas - p->unavailable)
		return make_condition(p, "Available", "True", "MinimumReplicasAvailable",
				      "Deployment has minimum availability.", false);
	return make_condition(p, "Available", "False", "MinimumReplicasUnavailable",
			      "Deployment does not have minimum availability.", false);
}

static bool is_complete(const struct deployment_pass *p, const struct counts *n)
{
	return p->newest != NULL && n->updated == p->replicas && n->replicas == p->replicas &&
	       n->available == p->replicas && n->wanted == p->replicas;
}

static bool gets_on(const struct deployment_pass *p, const struct counts *n)
{
	int64_t updated = json_int(p->d, "status.updatedReplicas", 0), all = json_int(p->d, "status.replicas", 0);
	return n->updated > updated || n->replicas - n->updated < all - updated ||
	       n->ready > json_int(p->d, "status.readyReplicas", 0) ||
	       n->available > json_int(p->d, "status.availableReplicas", 0);
}

/** Nothing has changed for progressDeadlineSeconds. */
static bool is_late(struct deployment_pass *p)
{
	const json_t *old = condition(p->d, "Progressing"), *limit = json_at(p->d, "spec.progressDeadlineSeconds");
	int64_t since = 0;
	if (strcmp(json_str(old, "reason", ""), "ProgressDeadlineExceeded") == 0)
		return true;
	if (!json_is_integer(limit) || strcmp(json_str(old, "reason", ""), "NewReplicaSetAvailable") == 0 ||
	    clock_parse_rfc3339(json_str(old, "lastUpdateTime", ""), &since) < 0)
		return false;
	int64_t left = since + (int64_t)json_integer_value(limit) * NSEC_PER_SEC - clock_wall_ns();
	if (left > 0 && (p->wait_ns == 0 || left < p->wait_ns))
		p->wait_ns = left;
	return left <= 0;
}

static json_t *progress(struct deployment_pass *p, const struct counts *n)
{
	const char *name = p->newest != NULL ? obj_name(p->newest) : obj_name(p->d);
	CLEANUP(free_p) char *done = str_printf("ReplicaSet \"%s\" has successfully progressed.", name);
	CLEANUP(free_p) char *going = str_printf("ReplicaSet \"%s\" is progressing.", name);
	CLEANUP(free_p) char *late = str_printf("ReplicaSet \"%s\" has timed out progressing.", name);
	if (done == NULL || going == NULL || late == NULL)
		return NULL;
	if (p->paused)
		return make_condition(p, "Progressing", "Unknown", "DeploymentPaused", "Deployment is paused", false);
	if (is_complete(p, n))
		return make_condition(p, "Progressing", "True", "NewReplicaSetAvailable", done, false);
	bool changed = json_int(p->d, "metadata.generation", 0) != json_int(p->d, "status.observedGeneration", 0);
	if (gets_on(p, n) || changed)
		return make_condition(p, "Progressing", "True", "ReplicaSetUpdated", going, true);
	if (is_late(p))
		return make_condition(p, "Progressing", "False", "ProgressDeadlineExceeded", late, false);
	return make_condition(p, "Progressing", "True", "ReplicaSetUpdated", going, false);
}

json_t *deployment_status(struct deployment_pass *p)
{
	struct counts n = count(p);
	int64_t missing = n.wanted > n.available ? n.wanted - n.available : 0;
	return json_pack("{s:I, s:I, s:I, s:I, s:I, s:I, s:[o, o]}", "observedGeneration",
			 (json_int_t)json_int(p->d, "metadata.generation", 0), "replicas", (json_int_t)n.replicas,
			 "updatedReplicas", (json_int_t)n.updated, "readyReplicas", (json_int_t)n.ready,
			 "availableReplicas", (json_int_t)n.available, "unavailableReplicas", (json_int_t)missing,
			 "conditions", availability(p, &n), progress(p, &n));
}
