/*
 * A server's connection to the mount keeper.
 *
 * Threads: the owner; the callback comes from a thread of the link.
 */
#pragma once

#include <stdbool.h>

#include "reservoir/keeper_proto.h"

struct error;
struct keeper_link;

/** What the next server needs. @fds are borrowed. */
struct keeper_gift {
	int fds[KEEPER_FDS];
	unsigned major, minor;
};

/**
 * Claim the mount point @path (resolved); waits until the server that has it now has ended. @ret_fds gets what was kept, the
 * caller's, or -1. A keeper that is not there is no error: it is looked for again and again once there is something to keep.
 */
int keeper_link_new(const char *socket, const char *path, struct keeper_link **ret, int ret_fds[KEEPER_FDS],
		    struct error *err);
/**
 * Give @g for keeping, and again to a keeper that was started anew. @on_leave is called once, when the next server waits.
 * What @g names must stay open until keeper_link_free().
 */
int keeper_link_keep(struct keeper_link *l, const struct keeper_gift *g, void (*on_leave)(void *ctx), void *ctx,
		     struct error *err);
/** We would like to end. Whether the mount must stay as it is, for the next server; false also when there is no keeper. */
bool keeper_link_bye(struct keeper_link *l);
/** The end of the connection: the next server may begin. Accepts NULL. */
void keeper_link_free(struct keeper_link *l);
