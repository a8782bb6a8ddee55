/* Images of Alluxio, given as Fluid does: name and tag apart. */
#pragma once

#include "api/common.h"

/** "IMAGE:TAG", each part with its default; malloc'ed, NULL on no memory. */
char *alluxio_image(const struct version_spec *v);
