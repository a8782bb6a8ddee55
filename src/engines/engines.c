#include "engines/engines.h"

const struct runtime_controller *const runtime_controllers[] = {
	&alluxio_runtime_controller,
	&rclone_runtime_controller,
	&reservoir_runtime_controller,
	/* +scaffold:controllers */
	NULL,
};
