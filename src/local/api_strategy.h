/* What a real server does for its built-in kinds beyond their field tables. Custom kinds pass through untouched. */
#pragma once

#include <jansson.h>

#include "local/api_request.h"

struct violations;

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
