/*
 * Inside src/kube only: keeps Events from flooding the server: what differs in its message alone is combined after the tenth, and one
 * object has 25 Events at once and then one each five minutes (the figures of client-go). Not thread safe.
 */
#pragma once

#include <stdint.h>

struct event_spam;

enum event_verdict { EVENT_SEND, EVENT_COMBINE, EVENT_DROP };

/** NULL on no memory. */
struct event_spam *event_spam_new(void);
/** Accepts NULL. */
void event_spam_free(struct event_spam *s);
/**
 * Judge an Event on the object @about; @similar is the same for all that differ in @message alone. Without memory, it is sent.
 * @now_ns: any clock that runs on.
 */
enum event_verdict event_spam_judge(struct event_spam *s, const char *about, const char *similar, const char *message,
				    int64_t now_ns);
