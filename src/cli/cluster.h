/*
 * The one-machine cluster as other commands see it: found, started, asked and ended over the socket of `sluice up` (up_protocol.h).
 * Threads: one caller.
 */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

struct error;

/** Connect to the cluster that serves @data_dir. A descriptor, or -errno; -ENOENT and -ECONNREFUSED: none runs. */
int cluster_connect(const char *data_dir);
/**
 * The same for commands that are told a directory: @dir need not be absolute, and is not made. *@ret_dir is its absolute form, malloc'ed,
 * also on failure (NULL on no memory). -ENOENT with a message: none runs.
 */
int cluster_find(const char *dir, char **ret_dir, struct error *err);
/**
 * Wait on @fd of cluster_connect() until everything serves; *@ret_kubeconfig is malloc'ed. Says on standard error what is waited for.
 * -EINTR when @signal_fd becomes readable; -ETIMEDOUT at @deadline_mono_ns; -ECHILD with what kept it from starting.
 */
int cluster_await_ready(int fd, int signal_fd, int64_t deadline_mono_ns, char **ret_kubeconfig, struct error *err);
/**
 * Connect; when no cluster runs (one that is just ending is waited for), start `sluice up` with @options (NULL-terminated) on @data_dir, in a
 * session of its own: it outlives this process, and Ctrl-C in our terminal is not its. Its log is @data_dir/logs/up.log. Errors as above.
 */
int cluster_connect_or_start(const char *data_dir, const char *const *options, int signal_fd, int64_t deadline_mono_ns,
			     struct error *err);
/** What runs: {"kubeconfig", "ready", "waitingFor", "parts": [{"name", "state", "pid", "starts", "seconds"}]}. New tree. */
int cluster_status(int fd, json_t **ret, struct error *err);
/** Tell the cluster to end and wait until it has. -ETIMEDOUT at @deadline_mono_ns, -EINTR as above. */
int cluster_stop(int fd, int signal_fd, int64_t deadline_mono_ns, struct error *err);
