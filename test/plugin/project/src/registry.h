/* The controller of SampleRuntime. */
#pragma once

#include "sluice/runtime.h"

extern const struct runtime_controller sample_runtime_controller;
