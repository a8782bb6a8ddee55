/*
 * Leader election by a Lease (coordination.k8s.io/v1): of all candidates at most one acts.
 *
 * Fencing: a renewal counts from the moment before it was sent, and the leader is fresh until @renew_deadline after the last one that
 * succeeded. Others take the lease only when they have seen it unchanged for @lease_duration, which is longer: so leader_is_fresh() is
 * false before anybody else may lead, also when this process was stopped for a while or cut off from the server. Ask it right before each
 * write that must not be made by two (kube_client_set_fence() does it for all of a client's). A write that was begun while it was fresh
 * has @lease_duration - @renew_deadline to arrive. Clocks of different machines are never compared; that they run about equally fast is
 * assumed.
 *
 * Threads: leader_new/free by the owner; callbacks run on the elector's thread; leader_is_fresh() and leader_identity() from any thread.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "kube/permission.h"

struct error;
struct kube_client;
struct leader;
struct logger;

/** What a leader does, in the Lease's namespace. */
extern const struct permission leader_permissions[];

struct leader_options {
	struct kube_client *client; /* borrowed; must outlive the leader */
	const char *ns, *name;      /* of the Lease */
	const char *identity;       /* unique among candidates; NULL: host name and a random UUID */
	int64_t lease_duration_ns;  /* 0: 15 s; whole seconds, rounded up */
	int64_t renew_deadline_ns;  /* 0: 10 s; shorter than the lease */
	int64_t retry_period_ns;    /* 0: 2 s; at most half of the renew deadline */
	bool once;                  /* after one term, stand no more: the lease is left to others */
	/** The lease is ours. Must return at once: nothing is renewed meanwhile. May run before leader_new() has returned. */
	void (*on_started)(void *ctx);
	/**
	 * It is no longer, or leader_free() was called: end what on_started() began, and return when it has ended; only then does this
	 * process become a candidate again. False: something does not end, so the lease is not given up but runs out, and this process
	 * stands no more. Called once for each on_started().
	 */
	bool (*on_stopped)(void *ctx);
	/** The holder is another one than before, maybe us ("": nobody). May be NULL. */
	void (*on_new_holder)(void *ctx, const char *identity);
	void *ctx;
	struct logger *log;
};

/** Start to stand for election. -EINVAL when the options make no sense. Strings are copied. */
int leader_new(const struct leader_options *o, struct leader **ret, struct error *err);
/** Whether this process may act as the leader now. */
bool leader_is_fresh(const struct leader *l);
const char *leader_identity(const struct leader *l);
/**
 * Stop standing: call on_stopped() when leading, and give the lease up so that others need not wait for its end. leader_is_fresh() may
 * still be asked: no. A second time is fine.
 */
void leader_stop(struct leader *l);
/** The same and free. Accepts NULL. */
void leader_free(struct leader *l);
