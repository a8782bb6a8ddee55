/* Files and the log that is written to them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <sys/mount.h>
#include <sys/stat.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/file.h"
#include "base/log.h"
#include "base/str.h"

static char dir[64];

static int enter(void **state)
{
	(void)state;
	(void)str_copy(dir, sizeof dir, "/tmp/sluice-test-file-XXXXXX");
	return mkdtemp(dir) != NULL && chdir(dir) == 0 ? 0 : -1;
}

static int leave(void **state)
{
	(void)state;
	return chdir("/") == 0 ? file_remove_all(dir, NULL) : -1;
}

static void read_and_write(void **state)
{
	(void)state;
	struct error e = {0};
	CLEANUP(free_p) char *text = NULL;
	size_t n = 0;
	assert_int_equal(file_write_atomic("a", 0640, "one\0two", 7, &e), 0);
	assert_int_equal(file_write_atomic("a", 0640, "1\0two", 5, &e), 0);
	struct stat st;
	assert_int_equal(stat("a", &st), 0);
	assert_int_equal(st.st_mode & 07777, 0640);
	assert_int_equal(file_read("a", 5, &text, &n, &e), 0);
	assert_int_equal(n, 5);
	assert_memory_equal(text, "1\0two", 6);
	assert_int_equal(file_read("a", 4, &text, &n, &e), -EFBIG);
	assert_string_equal(e.msg, "read 'a': larger than 4 bytes");
	assert_int_equal(file_read("none", 4, &text, &n, &e), -ENOENT);
	assert_string_equal(e.msg, "open 'none': No such file or directory");
	assert_int_equal(file_write_atomic("none/a", 0600, "", 0, &e), -ENOENT);
	assert_int_equal(mkdir("d", 0755), 0);
	assert_int_equal(file_write_atomic("d", 0600, "", 0, &e), -EISDIR);
	assert_int_equal(file_write_atomic("d/", 0600, "", 0, &e), -EISDIR);
	assert_true(file_exists("a"));
	assert_false(file_exists("b"));
}

static void read_large(void **state)
{
	(void)state;
	const size_t n = 1 << 20;
	CLEANUP(free_p) char *big = malloc(n), *back = NULL;
	assert_non_null(big);
	memset(big, 'x', n);
	assert_int_equal(file_write_atomic("big", 0600, big, n, NULL), 0);
	assert_int_equal(file_read("big", n - 1, &back, NULL, NULL), -EFBIG);
	assert_int_equal(file_read("big", n, &back, NULL, NULL), 0);
	assert_memory_equal(big, back, n);

	CLEANUP(close_fd) int fd = open("big", O_RDWR | O_CLOEXEC);
	char tail[10];
	assert_int_equal(file_pwrite_all(fd, "end", 3, (off_t)n - 3), 0);
	assert_int_equal(file_pread_full(fd, tail, sizeof tail, (off_t)n - 4), 4);
	assert_memory_equal(tail, "xend", 4);
	assert_int_equal(file_pread_full(-1, tail, 1, 0), -EBADF);
	assert_int_equal(file_write_all(-1, "x", 1), -EBADF);
}

static void directories(void **state)
{
	(void)state;
	struct error e = {0};
	assert_int_equal(file_mkdir_all("x/y//z/", 0755, &e), 0);
	assert_int_equal(file_mkdir_all("x/y/z", 0700, &e), 0);
	assert_int_equal(file_write_atomic("x/f", 0600, "keep", 4, &e), 0);
	assert_int_equal(file_mkdir_all("x/f", 0755, &e), -ENOTDIR);
	assert_int_equal(file_mkdir_all("x/f/g", 0755, &e), -ENOTDIR);
	assert_int_equal(file_mkdir_all("", 0755, &e), -ENOENT);
	assert_int_equal(mkdir("outside", 0755), 0);
	assert_int_equal(file_write_atomic("outside/kept", 0600, "", 0, &e), 0);
	assert_int_equal(symlink("../../outside", "x/y/link"), 0);
	assert_int_equal(file_remove_all("x", &e), 0);
	assert_false(file_exists("x"));
	assert_true(file_exists("outside/kept")); /* the link went, not what it points to */
	assert_int_equal(file_remove_all("x", &e), 0);
	assert_int_equal(file_remove_all("outside/kept", &e), 0);
}

static void remove_stops_at_mounts(void **state)
{
	(void)state;
	struct error e = {0};
	assert_int_equal(file_mkdir_all("m/below", 0755, &e), 0);
	assert_int_equal(file_mkdir_all("data", 0755, &e), 0);
	assert_int_equal(file_write_atomic("data/kept", 0600, "", 0, &e), 0);
	if (mount("data", "m/below", "", MS_BIND, NULL) < 0)
		skip(); /* not root, or no CAP_SYS_ADMIN */
	const int rc = file_remove_all("m", &e), rc2 = file_remove_all("m/below", NULL);
	const bool kept = file_exists("data/kept");
	assert_int_equal(umount2("m/below", UMOUNT_NOFOLLOW), 0);
	assert_int_equal(rc, -EBUSY);
	assert_string_equal(e.msg, "remove 'm': something is mounted there or below; unmount it first");
	assert_int_equal(rc2, -EBUSY);
	assert_true(kept);
}

static void beneath(void **state)
{
	(void)state;
	assert_int_equal(file_mkdir_all("root/sub", 0755, NULL), 0);
	assert_int_equal(symlink("/etc", "root/abs"), 0);
	assert_int_equal(symlink("sub", "root/rel"), 0);
	CLEANUP(close_fd) int root = open("root", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	CLEANUP(close_fd) int made = file_open_beneath(root, "rel/new", O_WRONLY | O_CREAT, 0600);
	assert_true(made >= 0);
	assert_true((fcntl(made, F_GETFD) & FD_CLOEXEC) != 0);
	CLEANUP(close_fd) int again = file_open_beneath(root, "sub/../sub/new", O_RDONLY, 0600);
	assert_true(again >= 0);
	CLEANUP(close_fd) int as_dir = file_open_beneath(root, "sub", O_RDONLY | O_DIRECTORY, 0);
	assert_true(as_dir >= 0);
	assert_int_equal(file_open_beneath(root, "../root/sub/new", O_RDONLY, 0), -EXDEV);
	assert_int_equal(file_open_beneath(root, "abs/passwd", O_RDONLY, 0), -EXDEV);
	assert_int_equal(file_open_beneath(root, "/etc/passwd", O_RDONLY, 0), -EXDEV);
	assert_int_equal(file_open_beneath(root, "none", O_RDONLY, 0), -ENOENT);
	CLEANUP(free_p) char *self = file_self_exe();
	assert_non_null(self);
	assert_true(str_has_suffix(self, "/test_file"));
}

static char *log_text(enum log_level min, void (*emit)(void))
{
	int fd = open("log", O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	assert_true(fd >= 0);
	log_init(fd, min, "test");
	emit();
	log_init(STDERR_FILENO, LOG_LVL_INFO, NULL);
	char *text = NULL;
	assert_int_equal(file_read("log", 1 << 20, &text, NULL, NULL), 0);
	close_fd(&fd);
	return text;
}

static void emit_one(void)
{
	struct logger *a = log_with(NULL, "controller", "dataset"), *b = log_with(a, "name", "x\"y");
	LOG(b, LOG_LVL_DEBUG, "not shown");
	errno = EBADF;
	LOG(b, LOG_LVL_WARN, "bound", LOG_STR("err", NULL), LOG_INT("n", -5), LOG_BOOL("ok", true),
	    LOG_DUR("duration_ms", 1500000), LOG_STR("bad", "\xff\n"));
	assert_int_equal(errno, EBADF);
	LOG(log_root(), LOG_LVL_ERROR, "plain");
	log_free(b);
	log_free(a);
	log_free(NULL);
}

static void log_lines(void **state)
{
	(void)state;
	CLEANUP(free_p) char *text = log_text(LOG_LVL_INFO, emit_one);
	assert_true(str_has_prefix(text, "{\"ts\":\"20"));
	assert_non_null(strstr(
		text, "\",\"level\":\"warn\",\"msg\":\"bound\",\"component\":\"test\",\"controller\":\"dataset\","
		      "\"name\":\"x\\\"y\",\"err\":null,\"n\":-5,\"ok\":true,\"duration_ms\":1.500,"
		      "\"bad\":\"\xef\xbf\xbd\\n\"}\n"));
	assert_non_null(strstr(text, "\"level\":\"error\",\"msg\":\"plain\",\"component\":\"test\"}\n"));
	assert_null(strstr(text, "not shown"));
}

static void emit_long(void)
{
	CLEANUP(free_p) char *s = malloc(10001);
	for (int i = 0; i < 10000; i += 2)
		memcpy(s + i, "\xc3\xa9", 2);
	s[10000] = '\0';
	LOG(NULL, LOG_LVL_INFO, "long", LOG_STR("v", s));
}

static void log_cuts_values(void **state)
{
	(void)state;
	CLEANUP(free_p) char *text = log_text(LOG_LVL_DEBUG, emit_long);
	assert_true(str_has_suffix(text, "\xc3\xa9\"}\n"));
	assert_true(strlen(text) < 4300);
	enum log_level lvl = LOG_LVL_INFO;
	assert_int_equal(log_level_parse("debug", &lvl), 0);
	assert_int_equal(lvl, LOG_LVL_DEBUG);
	assert_int_equal(log_level_parse("loud", &lvl), -EINVAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(read_and_write),         cmocka_unit_test(read_large), cmocka_unit_test(directories),
		cmocka_unit_test(remove_stops_at_mounts), cmocka_unit_test(beneath),    cmocka_unit_test(log_lines),
		cmocka_unit_test(log_cuts_values),
	};
	return cmocka_run_group_tests(tests, enter, leave);
}
