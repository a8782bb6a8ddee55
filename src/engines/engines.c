#include "engines/engines.h"

const struct runtime_controller *const runtime_controllers[] = {
	&rclone_runtime_controller,
	&reservoir_runtime_controller,
	/* +scaffold:controllers */
	NULL,
};
