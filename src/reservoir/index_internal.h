/* The tree (index.c) and its log (index_log.c). */
#pragma once

#include "base/strbuf.h"
#include "reservoir/index.h"

struct index {
	struct index_node *nodes; /* [0] is unused */
	uint32_t n, cap;
	char *pool; /* NUL-terminated strings; offset 0 is "" */
	uint32_t pool_n, pool_cap;
	uint32_t *table; /* ids by parent and name, open addressing; 0 is empty */
	uint32_t table_cap, table_n;
	struct index_totals totals;
	uint64_t epoch;
	int fd; /* the log */
	struct strbuf pending;
	uint64_t log_bytes;
	bool replaying, log_broken;
};

enum index_op { INDEX_OP_ADD = 1, INDEX_OP_REFINE, INDEX_OP_LISTED, INDEX_OP_REMOVE };

/** Put a node under @id (beyond all others), as index_add() does. 0 or -errno. */
int index_insert(struct index *ix, uint32_t id, const struct index_node *n, const char *name, const char *extra);
/** Room for @id. */
int index_reserve(struct index *ix, uint32_t id);
void index_log_add(struct index *ix, uint32_t id);
void index_log_refine(struct index *ix, uint32_t id);
void index_log_listed(struct index *ix, uint32_t id);
void index_log_remove(struct index *ix, uint32_t id);
/** Open or begin the log and replay it into the empty @ix. */
int index_log_open(struct index *ix, const char *path, uint64_t fingerprint, struct error *err);
/** Make the empty tree with its root. */
int index_begin(struct index *ix);
void index_forget_all(struct index *ix);
/** Change a node's figures. */
int index_apply_refine(struct index *ix, uint32_t id, const struct index_node *to, const char *extra);
