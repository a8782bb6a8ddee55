/* The kinds of data.fluid.io that this program has. A new kind is one line here. */
#include "api/dataset.h"
#include "api/reservoir_runtime.h"

const struct kind *const sluice_kinds[] = {
	&dataset_kind,
	&reservoir_runtime_kind,
	NULL,
};
