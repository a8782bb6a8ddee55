/*
 * The conformance kit of engines: drives one through its whole life on the local API server, with scripted workloads and a scripted cache
 * system, and says what held. `sluice engine-test` is its front.
 *
 * Threads: one owner; the engine's questions and calls run on the framework's pools as they always do.
 */
#pragma once

#include <jansson.h>
#include <stddef.h>

#include "base/log.h"

struct error;
struct kind;
struct runtime_controller;

struct kit_options {
	const struct runtime_controller *controller;
	const struct kind *kind;
	/*
	 * What is tried: {"dataset": spec, "runtime": spec, "mounts": changed spec.mounts (may be missing), "changes": [merge patches of the
	 * runtime's spec], "ports": how many of the host's a worker needs (default 1), "refused": [{"dataset" or "runtime": merge patch of its spec, "words": part of the reason}], "answers":
	 * [{"request", "status", "body"}]}
	 */
	const json_t *script;
	const char *only;    /* cases whose name holds this; NULL: all */
	enum log_level logs; /* lines of this level or worse are shown, each case's after it */
	/** Called with each result when its case has run; may be NULL. */
	void (*told)(const json_t *result);
};

/** Run every case. @ret: new array of {"case", "held": true|false|null (does not apply), "detail"}. Negative: the kit itself cannot run. */
int kit_run(const struct kit_options *o, json_t **ret, struct error *err);
/** Read a script (YAML). New tree; -EINVAL with what is wrong with it. */
int kit_script_parse(const char *text, size_t n, json_t **ret, struct error *err);
/** The script of an engine of this binary, or NULL. */
const char *kit_script_of(const char *engine);
