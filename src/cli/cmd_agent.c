/* `sluice agent`: the node agent as a process of its own. */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/log.h"
#include "cli/command.h"
#include "local/agent.h"

#define DEFAULT_DATA_DIR "/var/lib/sluice"

static int serve(const struct agent_options *o, bool end_pods, int signal_fd)
{
	struct agent *a = NULL;
	struct error err = {0};
	const int rc = agent_new(o, &a, &err);
	if (rc == -ECANCELED)
		return 0;
	if (rc < 0) {
		(void)fprintf(stderr, "sluice agent: %s\n", err.msg);
		return 1;
	}
	(void)printf("ready: agent\n");
	(void)fflush(stdout); /* whoever waits for the line may be gone; we serve all the same */
	(void)stop_signal_wait(signal_fd);
	int status = 0;
	if (end_pods && agent_end_pods(a, &err) < 0) {
		(void)fprintf(stderr, "sluice agent: %s\n", err.msg);
		status = 1;
	}
	agent_free(a);
	return status;
}

static int agent_run(int argc, char **argv)
{
	struct agent_options o = {.data_dir = DEFAULT_DATA_DIR};
	bool end_pods = false;
	const struct option_spec specs[] = {
		{"kubeconfig", OPT_STRING, &o.kubeconfig}, {"data-dir", OPT_STRING, &o.data_dir},
		{"node-name", OPT_STRING, &o.node_name},   {"kubelet-root", OPT_STRING, &o.kubelet_root},
		{"end-pods-on-exit", OPT_FLAG, &end_pods}, {0},
	};
	int words = 0;
	const int rc = options_parse(&cmd_agent, argc, argv, specs, &words);
	if (rc != 0)
		return rc > 0 ? 0 : 2;
	if (words > 0) {
		(void)fprintf(stderr,
			      "sluice agent: there is no argument '%s'; 'sluice help agent' says how it is used\n",
			      argv[1]);
		return 2;
	}
	CLEANUP(close_fd) int signal_fd = stop_signal_fd(); /* before threads start: they inherit the mask */
	if (signal_fd < 0) {
		(void)fprintf(stderr, "sluice agent: %s\n", strerror(-signal_fd));
		return 1;
	}
	log_init(STDERR_FILENO, LOG_LVL_INFO, "agent");
	o.log = log_root();
	o.stop_fd = signal_fd;
	return serve(&o, end_pods, signal_fd);
}

const struct command cmd_agent = {
	.name = "agent",
	.summary = "run this machine's pods",
	.usage = "Usage: sluice agent [--kubeconfig FILE] [--data-dir DIR] [--node-name NAME] [--kubelet-root DIR] "
		 "[--end-pods-on-exit]\n\n"
		 "Registers this machine as a Node and runs the pods that are bound to it, by runc under conmon. Needs "
		 "root.\n"
		 "Pods run on the machine itself (image sluice.local/host) and share its network, with hostNetwork or "
		 "without:\n"
		 "their address is 127.0.0.1, and a port can be taken only once.\n\n"
		 "  --kubeconfig FILE     where the API server is (default: KUBECONFIG, ~/.kube/config)\n"
		 "  --data-dir DIR        containers, logs and state (default " DEFAULT_DATA_DIR ")\n"
		 "  --node-name NAME      name of the Node (default: the host name)\n"
		 "  --kubelet-root DIR    volumes and CSI sockets (default DATA-DIR/kubelet)\n"
		 "  --end-pods-on-exit    end all pods when the agent is stopped; without it they go on and the next "
		 "agent takes them over\n\n"
		 "Prints 'ready: agent' when the node is Ready; SIGTERM and Ctrl-C end it.\n",
	.hidden = true,
	.run = agent_run,
};
