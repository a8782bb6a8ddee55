/* The kit's cases: each on a world of its own, told by a line of the table. */
#pragma once

#include "kit/world.h"

enum kit_held { KIT_HELD = 1, KIT_FAILED = 0, KIT_NOT_APPLICABLE = 3 };

struct kit_case {
	const char *name;
	/** @why (of 512 bytes) gets the reason of what did not hold or does not apply, or a remark. Negative errno: the kit's own fault. */
	int (*run)(const struct kit_options *o, char *why, struct error *err);
};

#define KIT_WHY 512

/* Of cases_faults.c. */
int kit_case_crash_setup(const struct kit_options *o, char *why, struct error *err);
int kit_case_crash_end(const struct kit_options *o, char *why, struct error *err);
int kit_case_two_controllers(const struct kit_options *o, char *why, struct error *err);
int kit_case_delete_any_time(const struct kit_options *o, char *why, struct error *err);
int kit_case_delete_in_use(const struct kit_options *o, char *why, struct error *err);
int kit_case_figures(const struct kit_options *o, char *why, struct error *err);
int kit_case_deaf(const struct kit_options *o, char *why, struct error *err);

/** Ends with .name == NULL. */
extern const struct kit_case kit_cases[];
