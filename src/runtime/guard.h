/* What specs may ask for: images of privileged pods, directories of the host. The operator decides (--allowed-images, --allowed-host-paths). */
#pragma once

#include <jansson.h>
#include <stdbool.h>

struct engine_limits;
struct error;
struct pod_metadata;

/** Whether @image starts with an allowed prefix. -EACCES, @path first in the message, when not. */
int guard_image(const struct engine_limits *l, const char *path, const char *image, struct error *err);
/**
 * Whether @dir is absolute, has no "." or ".." parts, and is an allowed directory or lies below one.
 * -EINVAL or -EACCES, @path first in the message, when not.
 */
int guard_host_path(const struct engine_limits *l, const char *path, const char *dir, struct error *err);
/** Labels that the controller sets itself may not be a user's. -EINVAL, @path ("spec.podMetadata") first in the message. */
int guard_labels(const char *path, const struct pod_metadata *m, struct error *err);
/** spec.volumes (may be NULL): those of the host as guard_host_path() says. */
int guard_volumes(const struct engine_limits *l, const json_t *volumes, struct error *err);
