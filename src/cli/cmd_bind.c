/*
 * `sluice bind SOURCE TARGET`: what the mounting pod of `sluice run` runs. Binds SOURCE and all below it onto TARGET, stays until
 * SIGTERM, detaches it again.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <unistd.h>

#include "cli/command.h"

static int bind_run(int argc, char **argv)
{
	int words = 0;
	const int rc = options_parse(&cmd_bind, argc, argv, (const struct option_spec[]){{0}}, &words);
	if (rc != 0)
		return rc > 0 ? 0 : 2;
	if (words != 2) {
		(void)fputs("sluice bind: a source and a target are wanted\n", stderr);
		return 2;
	}
	const int signal_fd = stop_signal_fd();
	if (signal_fd < 0) {
		(void)fprintf(stderr, "sluice bind: signalfd: %s\n", strerror(-signal_fd));
		return 1;
	}
	if (mount(argv[1], argv[2], NULL, MS_BIND | MS_REC, NULL) != 0) {
		(void)fprintf(stderr, "sluice bind: bind '%s' onto '%s': %s\n", argv[1], argv[2], strerror(errno));
		return 1;
	}
	(void)stop_signal_wait(signal_fd);
	if (umount2(argv[2], MNT_DETACH | UMOUNT_NOFOLLOW) != 0) {
		(void)fprintf(stderr, "sluice bind: detach '%s': %s\n", argv[2], strerror(errno));
		return 1;
	}
	return 0;
}

const struct command cmd_bind = {
	.name = "bind",
	.summary = "Bind a directory onto another until SIGTERM",
	.usage = "Usage: sluice bind SOURCE TARGET\n\n"
		 "Binds SOURCE, with all that is mounted below it, onto TARGET and detaches it again at SIGTERM.\n"
		 "The pod that 'sluice run' makes uses it to bring its volume to a directory of the machine.\n",
	.hidden = true,
	.run = bind_run,
};
