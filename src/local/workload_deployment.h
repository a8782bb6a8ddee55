/* Between the Deployment controller and its status; for them only. */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

struct workload;

/** One reconcile. */
struct deployment_pass {
	struct workload *w;
	const json_t *d;
	json_t *sets;   /* all that it owns */
	json_t *newest; /* of the present template; borrowed; NULL: there is none yet */
	json_t *old;    /* the others, oldest revision first */
	int64_t replicas, surge, unavailable, revision;
	bool recreate, paused;
	int64_t wait_ns;
	char now[32];
};

void deployment_pass_clear(struct deployment_pass *p);
/** The status as it is now. New tree; NULL on no memory. */
json_t *deployment_status(struct deployment_pass *p);
