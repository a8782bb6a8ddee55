/* One thread that waits for the end of every container's monitor. */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "kube/workqueue.h"
#include "local/agent_private.h"

struct watched {
	struct watched *next, **prev; /* [lock] of the monitor's list */
	int fd;
	char uid[];
};

struct monitor {
	struct workqueue *work;
	int epoll, stop;
	pthread_t thread;
	pthread_mutex_t lock; /* guards list */
	struct watched *list;
};

static void unwatch(struct monitor *m, struct watched *w)
{
	pthread_mutex_lock(&m->lock);
	*w->prev = w->next;
	if (w->next != NULL)
		w->next->prev = w->prev;
	pthread_mutex_unlock(&m->lock);
	(void)epoll_ctl(m->epoll, EPOLL_CTL_DEL, w->fd, NULL); /* closing does it, too */
	(void)close(w->fd);
	free(w);
}

static void *monitor_main(void *arg)
{
	struct monitor *m = arg;
	for (;;) {
		struct epoll_event ev[16];
		const int n = epoll_wait(m->epoll, ev, (int)ARRAY_LEN(ev), -1);
		for (int i = 0; i < n; i++) {
			struct watched *w = ev[i].data.ptr;
			if (w == NULL)
				return NULL;
			(void)workqueue_add(m->work, w->uid); /* no memory: the pod's next pass sees it */
			unwatch(m, w);
		}
	}
}

int monitor_watch(struct monitor *m, const struct agent_paths *paths, const char *id, const char *uid)
{
	CLEANUP(close_fd) int fd = runtime_monitor_fd(paths, id);
	if (fd < 0)
		return fd == -ESRCH ? workqueue_add(m->work, uid) : fd;
	struct watched *w = malloc(sizeof *w + strlen(uid) + 1);
	if (w == NULL)
		return -ENOMEM;
	w->fd = TAKE_FD(fd);
	memcpy(w->uid, uid, strlen(uid) + 1);
	pthread_mutex_lock(&m->lock);
	w->next = m->list;
	w->prev = &m->list;
	if (w->next != NULL)
		w->next->prev = &w->next;
	m->list = w;
	pthread_mutex_unlock(&m->lock);
	struct epoll_event ev = {.events = EPOLLIN, .data.ptr = w};
	if (epoll_ctl(m->epoll, EPOLL_CTL_ADD, w->fd, &ev) < 0) {
		const int rc = -errno;
		unwatch(m, w);
		return rc;
	}
	return 0;
}

int monitor_new(struct workqueue *work, struct monitor **ret, struct error *err)
{
	struct monitor *m = calloc(1, sizeof *m);
	if (m == NULL)
		return error_set(err, -ENOMEM, "monitor: out of memory");
	m->work = work;
	(void)pthread_mutex_init(&m->lock, NULL);
	m->epoll = epoll_create1(EPOLL_CLOEXEC);
	m->stop = eventfd(0, EFD_CLOEXEC);
	struct epoll_event ev = {.events = EPOLLIN, .data.ptr = NULL};
	int rc = m->epoll < 0 || m->stop < 0 || epoll_ctl(m->epoll, EPOLL_CTL_ADD, m->stop, &ev) < 0 ? -errno : 0;
	rc = rc ?: -pthread_create(&m->thread, NULL, monitor_main, m);
	if (rc < 0) {
		close_fd(&m->epoll);
		close_fd(&m->stop);
		free(m);
		return error_set(err, rc, "monitor: %s", strerror(-rc));
	}
	*ret = m;
	return 0;
}

void monitor_free(struct monitor *m)
{
	if (m == NULL)
		return;
	const uint64_t one = 1;
	(void)!write(m->stop, &one, sizeof one); /* an eventfd takes it always */
	(void)pthread_join(m->thread, NULL);
	while (m->list != NULL)
		unwatch(m, m->list);
	(void)close(m->epoll);
	(void)close(m->stop);
	(void)pthread_mutex_destroy(&m->lock);
	free(m);
}
