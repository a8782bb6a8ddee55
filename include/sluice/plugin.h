/*
 * A Runtime in a shared object of its own: sluice-runtime-<name>.so, put into the directory of `sluice controller --plugin-dir`.
 *
 * It exports one table and nothing else. `sluice controller` runs each in a child process: one that is bad, crashes or hangs is named in
 * the log with its file and the reason, and started again with back-off, while the others go on.
 *
 *     SLUICE_RUNTIME_PLUGIN(foo, &foo_runtime_kind, &foo_runtime_controller, foo_skeletons);
 */
#pragma once

#include "api/kind.h"
#include "runtime/objects.h"
#include "sluice/runtime.h"

struct sluice_runtime_plugin {
	uint32_t abi;                        /* SLUICE_ENGINE_ABI it was built with */
	uint32_t size;                       /* sizeof this struct at that time: new members go last */
	uint32_t kind_size, controller_size; /* the same of the tables below */
	const char *name;                    /* as in its file's name: letters, digits and '-' */
	const struct kind *kind;             /* the Runtime kind's field tables, from which its CRD is made */
	const struct runtime_controller *controller;
	const struct skeleton
		*skeletons; /* what skeleton_load() finds in this process; ends with .name == NULL; NULL: none */
};

#define SLUICE_RUNTIME_PLUGIN_SYMBOL "sluice_runtime"

/** Define the table. */
#define SLUICE_RUNTIME_PLUGIN(name_, kind_, controller_, skeletons_)                                                   \
	SLUICE_PUBLIC extern const struct sluice_runtime_plugin sluice_runtime;                                        \
	const struct sluice_runtime_plugin sluice_runtime = {.abi = SLUICE_ENGINE_ABI,                                 \
							     .size = sizeof(struct sluice_runtime_plugin),             \
							     .kind_size = sizeof(struct kind),                         \
							     .controller_size = sizeof(struct runtime_controller),     \
							     .name = #name_,                                           \
							     .kind = (kind_),                                          \
							     .controller = (controller_),                              \
							     .skeletons = (skeletons_)}
