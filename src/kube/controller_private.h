/* Inside src/kube only: what the manager does with a controller. */
#pragma once

#include <stdint.h>

struct controller;
struct error;
struct logger;
struct manager;

struct logger *manager_log(struct manager *m);
/** Takes @c on success. 0 or -ENOMEM. */
int manager_add_controller(struct manager *m, struct controller *c);

int controller_start(struct controller *c, struct error *err);
/** Hand out no more keys. */
void controller_stop(struct controller *c);
/** Wait until its workers have ended. 0 or -ETIMEDOUT. */
int controller_join(struct controller *c, int64_t deadline_mono_ns);
const char *controller_name(const struct controller *c);
/** After a successful controller_join() and when no informer can call it any more. Accepts NULL. */
void controller_free(struct controller *c);
