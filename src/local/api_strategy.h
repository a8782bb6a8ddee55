/* What a real server does for its built-in kinds beyond their field tables. Custom kinds pass through untouched. */
#pragma once

#include <jansson.h>

#include "local/api_request.h"

struct violations;

/** What is done for one kind; the order of calls is api_write.c's. */
struct api_strategy {
	const char *group, *plural; /* NULL ends a table */
	const char *status;         /* JSON of a new object's status; NULL: none */
	int (*create)(struct api_request *r, json_t *obj);
	int (*update)(struct api_request *r, const json_t *old, json_t *obj);
	int (*fill)(json_t *obj, const json_t *old); /* defaults that depend on other members */
	void (*validate)(const json_t *old, const json_t *obj, struct violations *vs);
};
extern const struct api_strategy api_workload_strategies[], api_job_strategies[], api_policy_strategies[],
	api_admission_strategies[], api_event_strategies[];

/** Before defaults: what of a new object the client may not set, and what the server sets. 0 or API_FAILED. */
int api_strategy_create(struct api_request *r, json_t *obj);
/** Before defaults: keep of @old what the client may not change. 0 or API_FAILED. */
int api_strategy_update(struct api_request *r, const json_t *old, json_t *obj);
/** After the tables' defaults: those that depend on other members. 0 or -ENOMEM. */
int api_strategy_default(const struct api_request *r, json_t *obj, const json_t *old);
/** Rules between members. @old is NULL for a new object. */
void api_strategy_validate(const struct api_request *r, const json_t *old, const json_t *obj, struct violations *vs);

/** Defaults of a pod template's or pod's spec that depend on other members (api_strategy_pod.c). 0 or -ENOMEM. */
int api_pod_spec_default(json_t *spec);
int api_pod_create(struct api_request *r, json_t *pod);
/** status.qosClass of a pod. */
const char *api_pod_qos(const json_t *spec);
void api_pod_validate(const json_t *old, const json_t *pod, struct violations *vs);

/** Give a Service its clusterIP from 10.96.0.0/12 (api_service.c). 0 or API_FAILED. */
int api_service_create(struct api_request *r, json_t *svc);

/** The member at @path may not change. @old may be NULL. */
void api_check_same(const json_t *old, const json_t *obj, const char *path, struct violations *vs);
/** Defaults of the pod template at @template, which may be NULL. 0 or -ENOMEM. */
int api_template_fill(json_t *template);
/** The pod template of @obj is one that a controller for long-lived pods takes. */
void api_check_template_restart(const json_t *obj, struct violations *vs);
/** spec.priority and preemptionPolicy of a new pod, by its class. 0 or API_FAILED. */
int api_pod_priority(struct api_request *r, json_t *pod);
