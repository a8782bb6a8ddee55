#include <errno.h>
#include <signal.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "cli/command.h"

int stop_signal_fd(void)
{
	sigset_t set;
	(void)sigemptyset(&set);
	(void)sigaddset(&set, SIGINT);
	(void)sigaddset(&set, SIGTERM);
	const int rc = pthread_sigmask(SIG_BLOCK, &set, NULL);
	if (rc != 0)
		return -rc;
	/* A peer that goes away is an error code of write(), never a signal. */
	(void)signal(SIGPIPE, SIG_IGN);
	const int fd = signalfd(-1, &set, SFD_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

int stop_signal_wait(int fd)
{
	struct signalfd_siginfo info;
	while (read(fd, &info, sizeof info) != (ssize_t)sizeof info) {
		if (errno != EINTR && errno != EAGAIN)
			return SIGTERM; /* the descriptor is broken: end rather than hang */
	}
	return (int)info.ssi_signo;
}
