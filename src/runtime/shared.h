/* The fixed order of a runtime's pass, and the steps' defaults. Threads: as the pass. */
#pragma once

#include "sluice/runtime.h"

/** One pass up to, and without, sending the statuses. 0 or a negative errno: queued again with back-off. */
int shared_reconcile(struct reconciler *r, const struct runtime_controller *rt, struct reconcile_ctx *ctx,
		     struct error *err);

/** Whether @name is a DNS-1035 label, as names of Datasets must be. */
bool name_is_dns1035(const char *name);
