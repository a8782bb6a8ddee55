/* What this shared object exports: one table. */
#include "sluice/plugin.h"

#include "sample_runtime.h"

#include "registry.h"

extern const struct skeleton sample_skeletons[]; /* manifests/sample, made by embed.py */

SLUICE_RUNTIME_PLUGIN(sample, &sample_runtime_kind, &sample_runtime_controller, sample_skeletons);
