#include "engines/engines.h"

const struct runtime_controller *const runtime_controllers[] = {
	&reservoir_runtime_controller,
	NULL,
};
