/* One question to one webhook: the AdmissionReview, the call, and what the answer means. Threads: any. */
#pragma once

#include <jansson.h>
#include <stdatomic.h>
#include <stdint.h>

#include "local/api_admission.h"
#include "local/api_webhooks.h"

#define API_WEBHOOK_WHY_MAX 1024

/** The version of the request's resource in which a webhook is told of it. */
struct api_webhook_question {
	struct api_request *r;
	const struct api_webhook *hook;
	const struct api_change *change;
	const char *version;
	int64_t deadline; /* clock_mono_ns() */
	const atomic_bool *cancel;
};

/**
 * Ask. 0 with the response in *@ret; -EREMOTEIO when the webhook could not be asked or answered nonsense, with the reason, as Kubernetes
 * words it, in @why; API_FAILED for trouble of our own.
 */
int api_webhook_ask(const struct api_webhook_question *q, json_t **ret, char why[static API_WEBHOOK_WHY_MAX]);
/** The Status of a refusal. Returns API_FAILED. */
int api_webhook_refused(struct api_request *r, const char *name, const json_t *response);
