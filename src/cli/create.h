/* Writing of what `sluice create api` begins, from templates compiled into the binary (src/cli/scaffold/). */
#pragma once

#include <stdbool.h>

struct error;

struct create {
	const char *kind, *version; /* "FooRuntime", "v1alpha1" */
	const char *plugin;         /* directory of a stand-alone project; NULL: the source tree that we stand in */
	bool resource, controller, namespaced;
	/* made from these: */
	char lower[64], snake[128], plural[72],
		group[256]; /* "fooruntime", "foo_runtime", "fooruntimes", "data.fluid.io" */
	char name[64];      /* of the engine: "foo" */
};

/** Whether files can be written here: in a source tree, or @c->plugin given. */
int create_check_place(const struct create *c, struct error *err);
/** Write all files, or none when one is there already, and say on standard output what was written and what comes next. */
int create_write(const struct create *c, struct error *err);
