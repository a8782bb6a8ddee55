/* Each call of the file functions that reaches the kernel fails once, or moves half: errors are told, old files stay whole. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/file.h"
#include "base/process.h"
#include "base/str.h"
#include "fault_io.h"

static char dir[64], path[96];

static int setup(void **state)
{
	(void)state;
	(void)snprintf(dir, sizeof dir, "/tmp/sluice-io-XXXXXX");
	assert_non_null(mkdtemp(dir));
	(void)snprintf(path, sizeof path, "%s/f", dir);
	return file_write_atomic(path, 0600, "old", 3, NULL);
}

static int teardown(void **state)
{
	(void)state;
	return file_remove_all(dir, NULL);
}

/** How many entries @dir has. */
static size_t entries(void)
{
	size_t n = 0;
	DIR *d = opendir(dir);
	assert_non_null(d);
	for (const struct dirent *e; (e = readdir(d)) != NULL;)
		n += e->d_name[0] != '.' || (e->d_name[1] != '\0' && e->d_name[1] != '.');
	(void)closedir(d);
	return n;
}

static void expect_text(const char *want)
{
	CLEANUP(free_p) char *text = NULL;
	assert_int_equal(file_read(path, 100, &text, NULL, NULL), 0);
	assert_string_equal(text, want);
}

static void replacing(void **state)
{
	static const int codes[] = {ENOSPC, EIO};
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(codes); i++) {
		IO_LOOP(codes[i])
		{
			struct error err = {0};
			const int rc = file_write_atomic(path, 0600, "new", 3, &err);
			IO_END;
			assert_int_equal(rc, io_hit() ? -codes[i] : 0);
			if (rc < 0)
				assert_non_null(strstr(err.msg, strerror(codes[i])));
			assert_int_equal(entries(), 1);
			/* Only the last step, which makes the directory durable, comes after the change. */
			CLEANUP(free_p) char *text = NULL;
			assert_int_equal(file_read(path, 100, &text, NULL, NULL), 0);
			assert_true(str_same(text, "new") || (rc < 0 && str_same(text, "old")));
			assert_int_equal(file_write_atomic(path, 0600, "old", 3, NULL), 0);
		}
	}
	IO_SHORT_LOOP
	{
		const int rc = file_write_atomic(path, 0600, "newer", 5, NULL);
		IO_END;
		assert_int_equal(rc, 0);
		expect_text("newer");
	}
}

static void reading(void **state)
{
	(void)state;
	IO_LOOP(EIO)
	{
		char *text = NULL;
		size_t n = 0;
		struct error err = {0};
		const int rc = file_read(path, 100, &text, &n, &err);
		IO_END;
		assert_int_equal(rc, io_hit() ? -EIO : 0);
		assert_true(rc == 0 ? str_same(text, "old") && n == 3 : text == NULL && err.msg[0] != '\0');
		free(text);
	}
	IO_LOOP(EINTR)
	{
		char *text = NULL;
		const int rc = file_read(path, 100, &text, NULL, NULL);
		IO_END;
		assert_true(rc == 0 || (rc == -EINTR && io_hit())); /* open() may be interrupted too */
		free(text);
	}
	IO_SHORT_LOOP
	{
		char *text = NULL;
		const int rc = file_read(path, 100, &text, NULL, NULL);
		IO_END;
		assert_int_equal(rc, 0);
		assert_string_equal(text, "old");
		free(text);
	}
}

static void at_offsets(void **state)
{
	(void)state;
	CLEANUP(close_fd) int fd = open(path, O_RDWR | O_CLOEXEC);
	assert_true(fd >= 0);
	static const int codes[] = {0, EINTR, EIO};
	for (size_t i = 0; i < ARRAY_LEN(codes); i++) {
		IO_LOOP(codes[i])
		{
			char buf[16] = "";
			const int w = file_pwrite_all(fd, "0123456789", 10, 2);
			const ssize_t r = file_pread_full(fd, buf, sizeof buf - 1, 3);
			const int a = lseek(fd, 0, SEEK_SET) == 0 ? file_write_all(fd, "ab", 2) : -1;
			IO_END;
			const bool whole = codes[i] != EIO || !io_hit();
			assert_int_equal(whole, w == 0 && r == 9 && a == 0);
			assert_true(whole ? str_same(buf, "123456789") : w == -EIO || r == -EIO || a == -EIO);
		}
	}
}

static void directories(void **state)
{
	(void)state;
	CLEANUP(free_p) char *deep = str_printf("%s/a/b/c", dir), *top = str_printf("%s/a", dir);
	IO_LOOP(EACCES)
	{
		struct error err = {0};
		const int rc = file_mkdir_all(deep, 0700, &err);
		IO_END;
		/* What is there already need not be made. */
		assert_true(rc == 0 ? file_exists(deep)
				    : io_hit() && rc == -EACCES && strstr(err.msg, "denied") != NULL);
		assert_int_equal(file_remove_all(top, NULL), 0);
	}
	IO_LOOP(EACCES)
	{
		struct error err = {0};
		const long planned = io_left;
		io_left = -1; /* making it is not what is tried */
		assert_int_equal(file_mkdir_all(deep, 0700, NULL), 0);
		io_left = planned;
		const int rc = file_remove_all(top, &err);
		IO_END;
		assert_true(io_hit() ? rc == -EACCES && err.msg[0] != '\0' : rc == 0);
		assert_int_equal(file_exists(top), rc < 0);
		assert_int_equal(file_remove_all(top, NULL), 0);
	}
}

static void processes(void **state)
{
	(void)state;
	IO_LOOP(EIO)
	{
		struct process_result r = {0};
		struct error err = {0};
		const int rc =
			process_run((const char *const[]){"cat", NULL}, "in", 2, 1000, INT64_C(10000000000), &r, &err);
		IO_END;
		assert_true(rc == 0 ? str_same(r.out, "in") : io_hit() && rc == -EIO && err.msg[0] != '\0');
		process_result_clear(&r);
	}
	IO_SHORT_LOOP
	{
		struct process_result r = {0};
		const int rc = process_run((const char *const[]){"cat", NULL}, "some text", 9, 1000,
					   INT64_C(10000000000), &r, NULL);
		IO_END;
		assert_int_equal(rc, 0);
		assert_string_equal(r.out, "some text");
		process_result_clear(&r);
	}
}

int main(void)
{
#define CASE(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {CASE(replacing), CASE(reading), CASE(at_offsets), CASE(directories),
					   CASE(processes)};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
