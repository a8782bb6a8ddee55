/* The Runtimes in this binary. */
#pragma once

#include "sluice/runtime.h"

extern const struct runtime_controller alluxio_runtime_controller;
extern const struct runtime_controller rclone_runtime_controller;
extern const struct runtime_controller reservoir_runtime_controller;
/* +scaffold:controllers */

/** All of them, NULL-terminated. */
extern const struct runtime_controller *const runtime_controllers[];
