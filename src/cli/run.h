/*
 * Parts of `sluice run`, in the order it goes through them: source, cluster, objects, measuring; progress throughout.
 *
 * Threads: everything from the main thread; measuring has readers of its own.
 */
#pragma once

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "cli/run_bucket.h"

struct error;
struct informer;
struct kube_client;
struct kube_config;

/* Progress: one line that is rewritten on a terminal, a line for each change elsewhere; always on standard error. */
void progress(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
/** End a rewritten line, so that other output starts on one of its own. */
void progress_end(void);

enum run_source_kind { RUN_DIRECTORY, RUN_HTTP, RUN_BUCKET };

/** Where the data is. */
struct run_source {
	enum run_source_kind kind;
	char *mount_point; /* of the Dataset: "http://.../", "s3://bucket/prefix" or "local:///dir" */
	char *location;    /* the URL, ending in '/', or the absolute directory */
	struct run_bucket bucket;
};

/** What the command line says of a bucket; NULL: nothing. */
struct run_source_options {
	const char *endpoint, *region;
};

/**
 * Understand @text (a directory, an http(s) URL or s3://bucket/prefix) and look whether it is there, so that a mistake is told before
 * anything is started. Errors name what is wrong and what to do.
 */
int run_source_open(const char *text, const struct run_source_options *o, struct run_source *ret, struct error *err);
void run_source_clear(struct run_source *s);
/** A Dataset's name (RFC 1035 label) made from the last part of the source; malloc'ed, NULL on no memory. */
char *run_source_name(const struct run_source *s);

/** A place in the one-machine cluster: a connection to `sluice up`, which ends when the last run has left. */
struct run_cluster {
	int fd; /* to up.sock */
	char *kubeconfig;
	struct kube_config *config;
	struct kube_client *client;
};

/** Join the cluster of @data_dir or start one; @signal_fd readable: -EINTR. */
int run_cluster_join(const char *data_dir, int signal_fd, struct run_cluster *ret, struct error *err);
/** Leave. When nobody else is in it, wait (at most 100 s) until it has ended. */
void run_cluster_leave(struct run_cluster *c, const char *data_dir);

struct run_options {
	const char *name, *mount_dir; /* Dataset name; absolute directory */
	const char *data_dir;
	int64_t cache_bytes;
	const struct run_source *source;
};

/** The objects of one run and a view of them. */
struct run_objects;

/** Remove what runs left behind that ended without cleaning up, and stale mounts. */
int run_objects_clear_orphans(struct kube_client *c, int signal_fd, struct error *err);
/** Create Dataset and ReservoirRuntime, wait until Bound; then the pod that mounts, until the data is at mount_dir. -EINTR on a signal. */
int run_objects_create(struct kube_client *c, const struct run_options *o, int signal_fd, struct run_objects **ret,
		       struct error *err);
/** The dataset's phase, copied. */
void run_objects_phase(struct run_objects *ro, char out[static 32]);
/** Delete them, wait until they are gone (a second signal ends the waiting: -EINTR), detach what is still mounted, free. Accepts NULL. */
int run_objects_delete(struct run_objects *ro, int signal_fd, struct error *err);

/** What was measured; 0 bytes per second: not measured. */
struct run_figures {
	uint64_t files, bytes;
	uint64_t source, first_read, second_read, disk; /* bytes per second */
	bool page_cache_dropped;
};

/** Read everything twice, the source and the disk once. -EINTR on a signal. */
int run_measure(const struct run_options *o, int signal_fd, struct run_figures *ret, struct error *err);
