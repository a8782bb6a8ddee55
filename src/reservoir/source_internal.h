/* What a connector implements. */
#pragma once

#include "reservoir/source.h"

struct source_ops {
	int (*list)(struct source *s, const char *dir, int (*fn)(void *, const struct source_entry *), void *ctx,
		    struct error *err);
	int (*stat)(struct source *s, const char *path, struct source_stat *ret, struct error *err);
	int (*read)(struct source *s, const char *path, const struct source_stat *v, uint64_t off, uint64_t n,
		    int (*sink)(void *, const void *, size_t), void *ctx, struct error *err);
	void (*free)(struct source *s);
};

struct source {
	const struct source_ops *ops;
	char *url;
	int64_t timeout_ns;
	atomic_bool cancel;
};

int source_file_new(const char *url, struct source **ret, struct error *err);
int source_http_new(const char *url, struct source **ret, struct error *err);
int source_s3_new(const char *url, const struct s3_options *o, struct source **ret, struct error *err);
