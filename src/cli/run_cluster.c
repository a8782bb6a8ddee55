/* Joining the one-machine cluster, or starting it. */
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/file.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/str.h"
#include "cli/cluster.h"
#include "cli/run.h"
#include "kube/client.h"

#define START_TIMEOUT_NS (60 * NSEC_PER_SEC)
#define LEAVE_TIMEOUT_NS (100 * NSEC_PER_SEC)

int run_cluster_join(const char *data_dir, int signal_fd, struct run_cluster *ret, struct error *err)
{
	struct run_cluster c = {.fd = -1};
	const int64_t deadline = clock_mono_ns() + START_TIMEOUT_NS;
	const char *options[] = {"--listen", "127.0.0.1:0", "--until-idle", NULL};
	c.fd = cluster_connect_or_start(data_dir, options, signal_fd, deadline, err);
	int rc = c.fd < 0 ? c.fd : cluster_await_ready(c.fd, signal_fd, deadline, &c.kubeconfig, err);
	if (rc == 0)
		rc = kube_config_load(c.kubeconfig, NULL, &c.config, err);
	if (rc == 0)
		rc = kube_client_new(c.config, "sluice-run/" SLUICE_VERSION, &c.client, err);
	if (rc != 0) {
		run_cluster_leave(&c, data_dir);
		return rc;
	}
	*ret = c;
	return 0;
}

void run_cluster_leave(struct run_cluster *c, const char *data_dir)
{
	kube_client_free(c->client);
	kube_config_free(c->config);
	free(c->kubeconfig);
	const bool joined = c->fd >= 0;
	close_fd(&c->fd);
	*c = (struct run_cluster){.fd = -1};
	if (!joined)
		return;

	/* Its lock is free when it has ended; it lives on while others are in it, which its socket tells. */
	CLEANUP(free_p) char *path = str_printf("%s/up.lock", data_dir);
	CLEANUP(close_fd) int lock = path == NULL ? -1 : open(path, O_RDWR | O_CLOEXEC);
	const int64_t deadline = clock_mono_ns() + LEAVE_TIMEOUT_NS;
	const int64_t others_at = clock_mono_ns() + 300 * NSEC_PER_MSEC;
	while (lock >= 0 && clock_mono_ns() < deadline && flock(lock, LOCK_SH | LOCK_NB) != 0) {
		if (clock_mono_ns() > others_at) {
			CLEANUP(close_fd) int fd = cluster_connect(data_dir);
			if (fd >= 0)
				return;
		}
		(void)poll(NULL, 0, 20);
	}
}
