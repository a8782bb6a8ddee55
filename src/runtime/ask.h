/* Asking a cache system over HTTP, for query_figures() and engine_call(). Threads: any. */
#pragma once

struct engine_question;
struct error;
struct http_answer;
struct http_call;

/**
 * Send @call without a proxy, within the question's deadline (or call->timeout_ns, when that is set and less) and until its cancel; an answer
 * of another status than @status is -EPROTO. 0 and *@ret, which is to be cleared by http_answer_clear() in any case.
 */
int ask_http(const struct engine_question *q, const struct http_call *call, int status, struct http_answer *ret,
	     struct error *err);
