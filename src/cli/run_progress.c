#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "cli/run.h"

static char last[256];
static bool open_line;

void progress(const char *fmt, ...)
{
	char line[256];
	va_list ap;
	va_start(ap, fmt);
	(void)vsnprintf(line, sizeof line, fmt, ap);
	va_end(ap);
	if (strcmp(line, last) == 0)
		return;
	memcpy(last, line, sizeof last);
	if (isatty(STDERR_FILENO)) {
		(void)fprintf(stderr, "\r\033[K%s", line);
		open_line = true;
	} else {
		(void)fprintf(stderr, "%s\n", line);
	}
	(void)fflush(stderr);
}

void progress_end(void)
{
	if (open_line)
		(void)fputs("\r\033[K", stderr);
	open_line = false;
	last[0] = '\0';
}
