/* Steps of the controllers until something holds, and what a case says when it does not. */
#pragma once

#include "kit/cases.h"

static inline void world_free_p(struct world **w)
{
	world_free(*w);
}
#define WORLD_AUTO __attribute__((cleanup(world_free_p))) struct world *

/** Fill @why (of KIT_WHY bytes); returns KIT_FAILED. */
__attribute__((format(printf, 2, 3))) int kit_failed(char *why, const char *fmt, ...);
/** The same with the Dataset's phase, the last pass's reason and the last Event. */
int kit_not_settled(struct world *w, const char *what, char *why);

bool kit_phase_is(struct world *w, const char *phase);
/** Phase Bound, and the claim is there. */
bool kit_is_bound(struct world *w);
/** Neither Dataset nor runtime. */
bool kit_is_gone(struct world *w);
bool kit_has_event(struct world *w, const char *words);

/** Steps of @n controllers in turn until @holds. 1: it does; 0: not in time, or the controller was killed; negative: the kit's own fault. */
int kit_settle(struct world *w, size_t n, bool (*holds)(struct world *w), struct error *err);
/** Until passes write nothing any more; returns as kit_settle(). */
int kit_quiet(struct world *w, size_t n, struct error *err);
/** A new world with a bound Dataset, at rest. Returns as a case. @ret is the caller's in any case. */
int kit_begin_bound(const struct kit_options *o, struct world **ret, char *why, struct error *err);
/** Delete Dataset and runtime and wait until nothing is left. Returns as a case; KIT_HELD also when the controller was killed on the way. */
int kit_end_all(struct world *w, size_t n, char *why, struct error *err);
