/* What the one-machine cluster needs of the machine and where it keeps things: shared by `up` and `run`. */
#pragma once

#include <stddef.h>

struct error;

#define MACHINE_DATA_DIR "/var/lib/sluice"

/** Unix sockets live below the data directory and their paths end at 107 bytes. */
#define MACHINE_DATA_DIR_MAX 56

/** Check root, /dev/fuse, runc, conmon. 0, or a negative errno whose message says what is missing and what to do. */
int machine_check(struct error *err);
/** Absolute form of @dir (made, mode 0700, when absent; checked for length) in malloc'ed *@ret. */
int machine_data_dir(const char *dir, char **ret, struct error *err);
