/*
 * The one image that runs here: `sluice.local/host`, the machine itself behind read-only binds.
 *
 * A pod sees /usr, /bin, /sbin, /lib*, the files of /etc named in agent_image.c and our binary; everything else (/tmp, /run,
 * /var, /root, /opt) is its own and empty. Threads: any.
 */
#pragma once

#include <jansson.h>
#include <stdbool.h>

struct error;

#define IMAGE_HOST "sluice.local/host"
/** Search path inside: our binary comes first. */
#define IMAGE_HOST_PATH "/opt/sluice/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

/** Whether @image names it, with or without a tag. */
bool image_is_host(const char *image);
/** Make the directories and links of a container's root at @rootfs, which must not exist. */
int image_prepare_root(const char *rootfs, struct error *err);
/** *@ret: new list of OCI mounts. @binary is the file that becomes /opt/sluice/bin/sluice. */
int image_mounts(const char *binary, json_t **ret, struct error *err);
/** New list of the machine's device nodes in OCI's form, for privileged containers; NULL on no memory. */
json_t *image_devices(void);
/** Put the running binary at @path, unless the same bytes are there already. Containers that run keep the old file. */
int image_install_binary(const char *path, struct error *err);
