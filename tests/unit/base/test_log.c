/* SPDX-License-Identifier: ISC */
/* The log's sinks: levels, files, reopening, a wrong sink that changes nothing. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>
#include <stdio.h>
#include <sys/stat.h>

#include "base/buf.h"
#include "base/log.h"

static char folder[64];

static const char *path_of(const char *name)
{
    static char paths[4][128];
    static unsigned next;
    char *path = paths[next++ % 4];
    snprintf(path, sizeof(paths[0]), "%s/%s", folder, name);
    return path;
}

static void content(const char *name, struct buf *ret)
{
    FILE *f = fopen(path_of(name), "r");
    char chunk[512];
    size_t n;
    buf_clear(ret);
    if (!f)
        return;
    while ((n = fread(chunk, 1, sizeof(chunk), f)) > 0)
        assert_int_equal(buf_append(ret, chunk, n), 0);
    fclose(f);
}

static bool has(const char *name, const char *word)
{
    AUTO_BUF text = BUF_INIT;
    content(name, &text);
    return strstr(buf_cstr(&text), word) != NULL;
}

static void configure(const char *name, enum log_level level, enum log_format format)
{
    const struct log_sink_spec spec = {
        .target = LOG_TARGET_FILE, .path = path_of(name), .level = level, .format = format};
    assert_int_equal(log_configure(&spec, 1, NULL), 0);
}

static int setup(void **state)
{
    (void)state;
    snprintf(folder, sizeof(folder), "/tmp/mailproxy-log-XXXXXX");
    return mkdtemp(folder) ? 0 : -1;
}

static int teardown(void **state)
{
    static const char *const names[] = {"a", "b", "a.1"};
    (void)state;
    log_fini();
    for (size_t i = 0; i < 3; i++)
        (void)remove(path_of(names[i]));
    return rmdir(folder);
}

static void test_levels(void **state)
{
    (void)state;
    const struct log_sink_spec specs[] = {
        {.target = LOG_TARGET_FILE, .path = path_of("a"), .level = LOG_LEVEL_WARN},
        {.target = LOG_TARGET_FILE,
         .path = path_of("b"),
         .level = LOG_LEVEL_DEBUG,
         .format = LOG_FORMAT_JSON},
    };
    assert_int_equal(log_configure(specs, 2, NULL), 0);
    assert_true(log_is_on(LOG_LEVEL_DEBUG));
    LOG_EVENT(LOG_LEVEL_INFO, "quiet", KV_U64("n", 1));
    LOG_EVENT(LOG_LEVEL_ERROR, "loud", KV_U64("n", 2));
    assert_false(has("a", "quiet"));
    assert_true(has("a", " error loud n=2\n"));
    assert_true(has("b", "\"event\":\"quiet\",\"n\":1}\n"));
    assert_true(log_set_level(1, LOG_LEVEL_ERROR));
    assert_false(log_set_level(1, LOG_LEVEL_ERROR));
    assert_true(log_is_on(LOG_LEVEL_WARN));
    assert_false(log_is_on(LOG_LEVEL_NOTICE));
    assert_true(log_set_level(-1, LOG_LEVEL_INFO));
    assert_false(log_set_level(-1, LOG_LEVEL_INFO));
    LOG_EVENT(LOG_LEVEL_INFO, "later", KV_U64("n", 3));
    assert_true(has("a", "later") && has("b", "later"));
    log_say(LOG_LEVEL_INFO, "%s and %d", "words", 5);
    assert_true(has("a", "message text=\"words and 5\""));
}

static void test_reopen(void **state)
{
    (void)state;
    configure("a", LOG_LEVEL_INFO, LOG_FORMAT_TEXT);
    LOG_EVENT(LOG_LEVEL_INFO, "first", KV_U64("n", 1));
    assert_int_equal(rename(path_of("a"), path_of("a.1")), 0);
    LOG_EVENT(LOG_LEVEL_INFO, "second", KV_U64("n", 1));
    log_reopen();
    LOG_EVENT(LOG_LEVEL_INFO, "third", KV_U64("n", 1));
    assert_true(has("a.1", "first") && has("a.1", "second") && !has("a.1", "third"));
    assert_true(has("a", "third"));
    struct stat st;
    assert_int_equal(stat(path_of("a"), &st), 0);
    assert_int_equal(st.st_mode & 0007, 0); /* not for everybody */
}

static void test_wrong_sink(void **state)
{
    (void)state;
    configure("a", LOG_LEVEL_INFO, LOG_FORMAT_TEXT);
    struct log_sink_spec specs[] = {
        {.target = LOG_TARGET_FILE, .path = path_of("b"), .level = LOG_LEVEL_INFO},
        {.target = LOG_TARGET_FILE, .path = path_of("no/such/folder"), .level = LOG_LEVEL_INFO},
    };
    size_t bad = 99;
    assert_int_equal(log_configure(specs, 2, &bad), -ERR_NOT_FOUND);
    assert_int_equal(bad, 1);
    specs[1] = (struct log_sink_spec){.target = LOG_TARGET_SYSLOG, .facility = "nonsense"};
    assert_int_equal(log_configure(specs, 2, &bad), -ERR_INVAL);
    LOG_EVENT(LOG_LEVEL_INFO, "still", KV_U64("n", 1));
    assert_true(has("a", "still"));
    assert_false(has("b", "still"));
}

static void test_names(void **state)
{
    (void)state;
    enum log_level level;
    for (int i = 0; i < LOG_LEVEL_COUNT; i++) {
        assert_int_equal(log_level_parse(log_level_name((enum log_level)i), &level), 0);
        assert_int_equal(level, i);
    }
    assert_int_equal(log_level_parse("loud", &level), -ERR_INVAL);
    assert_string_equal(log_level_name(LOG_LEVEL_COUNT), "?");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_levels, setup, teardown),
        cmocka_unit_test_setup_teardown(test_reopen, setup, teardown),
        cmocka_unit_test_setup_teardown(test_wrong_sink, setup, teardown),
        cmocka_unit_test(test_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
