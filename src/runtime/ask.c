#include "runtime/ask.h"

#include <errno.h>

#include "base/clock.h"
#include "base/error.h"
#include "net/http_client.h"
#include "sluice/engine.h"

int ask_http(const struct engine_question *q, const struct http_call *call, int status, struct http_answer *ret,
	     struct error *err)
{
	const int64_t left = q->deadline_mono_ns - clock_mono_ns();
	if (left <= 0)
		return error_set(err, -ETIMEDOUT, "%s %s: no time left", call->method, call->url);
	/* One question in seconds: a client of its own costs nothing and leaves no state behind. */
	struct http_client *client = NULL;
	int rc = http_client_new(&(struct http_client_options){.user_agent = "sluice", .no_proxy = true, .max_idle = 1},
				 &client, err);
	if (rc < 0)
		return rc;
	struct http_call c = *call;
	c.cancel = q->cancel;
	if (c.timeout_ns == 0 || c.timeout_ns > left)
		c.timeout_ns = left;
	rc = http_client_do(client, &c, ret, err);
	if (rc == 0 && ret->status != status)
		rc = error_set(err, -EPROTO, "%s %s: HTTP status %d", call->method, call->url, ret->status);
	http_client_free(client);
	return rc;
}
