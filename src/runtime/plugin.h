/* Loading of Runtimes that live in shared objects (sluice/plugin.h). What is loaded stays until the process ends. */
#pragma once

#include "sluice/plugin.h"

/**
 * Load the plug-in at @path and check that it can be used: contract, sizes, every method of every engine there. Code of the plug-in runs:
 * do it in a process that may end. Its skeletons are found by skeleton_load() from then on. -ENOEXEC with the file and the reason.
 */
int runtime_plugin_load(const char *path, const struct sluice_runtime_plugin **ret, struct error *err);
/** The checks alone, of a table in memory; @path is for messages. */
int runtime_plugin_check(const struct sluice_runtime_plugin *p, const char *path, struct error *err);
/** What is missing in a controller or in an engine of it, "controller.finalizer" or "engine foo: setup_workers"; NULL: nothing. */
const char *runtime_controller_missing(const struct runtime_controller *rt, char out[static 128]);
