/* Images of Alluxio, given as Fluid does: name and tag apart. */
#pragma once

#include <stdbool.h>

#include "api/common.h"

/** "IMAGE:TAG", each part with its default; malloc'ed, NULL on no memory. */
char *alluxio_image(const struct version_spec *v);
/** Whether a FUSE image is of 2.8.0 or later, which takes the mount point as an argument. A tag that is no version is. */
bool alluxio_image_takes_mount_point(const struct version_spec *v);
