/* SPDX-License-Identifier: ISC */
/* The log's sinks: levels, files, reopening, a wrong sink that changes nothing; and that nobody
 * waits for one that does not take its lines. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/log/log.h"

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

static size_t count_word(const char *name, const char *word)
{
    AUTO_BUF text = BUF_INIT;
    size_t n = 0;
    content(name, &text);
    for (const char *p = buf_cstr(&text); (p = strstr(p, word)); p++)
        n++;
    return n;
}

static void configure(const char *name, enum log_level level, enum log_format format)
{
    const struct log_sink_spec spec = {
        .target = LOG_TARGET_FILE, .path = path_of(name), .level = level, .format = format};
    assert_int_equal(log_configure(&spec, 1, NULL), 0);
}

static int setup(void **state)
{
    snprintf(folder, sizeof(folder), "/tmp/mailproxy-log-XXXXXX");
    return mkdtemp(folder) ? 0 : -1;
}

static int teardown(void **state)
{
    static const char *const names[] = {"a", "b", "a.1", "pipe", "socket"};
    log_fini();
    for (size_t i = 0; i < ARRAY_LEN(names); i++)
        (void)remove(path_of(names[i]));
    return rmdir(folder);
}

static void test_levels(void **state)
{
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

static void test_given_file(void **state)
{
    int first, second;
    assert_int_equal(log_open_file(path_of("a"), &first), 0);
    const struct log_sink_spec spec = {
        .target = LOG_TARGET_FILE, .path = "/no/such/file", .fd = first, .level = LOG_LEVEL_INFO};
    assert_int_equal(log_configure(&spec, 1, NULL), 0);
    close(first);
    LOG_EVENT(LOG_LEVEL_INFO, "first", KV_U64("n", 1));
    assert_int_equal(log_open_file(path_of("b"), &second), 0);
    assert_int_equal(log_set_fd("/no/other/file", second), -ERR_NOT_FOUND);
    assert_int_equal(log_set_fd("/no/such/file", second), 0);
    close(second);
    LOG_EVENT(LOG_LEVEL_INFO, "second", KV_U64("n", 1));
    assert_true(has("a", "first") && !has("a", "second") && has("b", "second"));
}

static void test_links(void **state)
{
    int fd = -1;
    assert_int_equal(symlink(path_of("b"), path_of("a")), 0);
    assert_int_equal(log_open_file(path_of("a"), &fd), -ERR_SYMLINK);
    assert_int_equal(fd, -1);
    assert_true(access(path_of("b"), F_OK) < 0);
}

static void test_wrong_sink(void **state)
{
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

/* Whoever has a file open keeps it, and says what it could not do. */
static void test_not_opened_again(void **state)
{
    struct log_state st;
    configure("a", LOG_LEVEL_INFO, LOG_FORMAT_TEXT);
    assert_int_equal(log_states(&st, 1), 1);
    assert_null(st.trouble);
    assert_int_equal(rename(path_of("a"), path_of("a.1")), 0);
    assert_int_equal(symlink(path_of("b"), path_of("a")), 0); /* root is refused that, too */
    assert_int_equal(log_reopen(), 1);
    assert_true(has("a.1", "log-not-opened") && has("a.1", "symbolic link"));
    assert_int_equal(log_states(&st, 1), 1);
    assert_string_equal(st.trouble, "cannot be opened again");
    assert_string_equal(st.path, path_of("a"));
    assert_true(st.since_wall_ms > 0);
    configure("a", LOG_LEVEL_INFO, LOG_FORMAT_TEXT); /* a reload does not fail for that */
    LOG_EVENT(LOG_LEVEL_INFO, "on", KV_U64("n", 1));
    assert_true(has("a.1", " on n=1"));
    configure("a", LOG_LEVEL_INFO, LOG_FORMAT_JSON); /* in another format, too */
    LOG_EVENT(LOG_LEVEL_INFO, "json", KV_U64("n", 1));
    assert_true(has("a.1", "\"event\":\"json\""));
    assert_int_equal(remove(path_of("a")), 0);
    assert_int_equal(log_reopen(), 0);
    assert_int_equal(log_states(&st, 1), 1);
    assert_null(st.trouble);
    LOG_EVENT(LOG_LEVEL_INFO, "new", KV_U64("n", 1));
    assert_true(has("a", "new") && !has("a.1", "\"new\""));
    assert_int_equal(log_set_fd(path_of("a"), -ERR_PERM), 0);
    assert_int_equal(log_states(&st, 1), 1);
    assert_string_equal(st.reason, err_text(-ERR_PERM));
}

/* ---- nobody waits ---- */

/* Waits until *what is there, for ten seconds at most. */
#define EVENTUALLY(what)                                                                           \
    do {                                                                                           \
        for (int tries_ = 0; !(what) && tries_ < 10000; tries_++)                                  \
            usleep(1000);                                                                          \
        assert_true(what);                                                                         \
    } while (0)

#define MANY 40000 /* lines: more than a pipe and the queue hold */

static void log_many(void)
{
    const char *text = "some more words so that the line is as long as that of a login usually is";
    for (uint64_t i = 0; i < MANY; i++)
        LOG_EVENT(LOG_LEVEL_INFO, "many", KV_U64("n", i), KV_STR("text", text), KV_STR("b", text));
}

/* Adds what can be read now to *ret, or lets the log write. */
static void read_more(int fd, uint64_t late, struct buf *ret)
{
    char chunk[65536];
    ssize_t n = read(fd, chunk, sizeof(chunk));
    if (n > 0)
        assert_int_equal(buf_append(ret, chunk, (size_t)n), 0);
    else
        (void)log_flush(1);
    assert_true(clock_ms() < late);
}

/* Reads until this word has come; what is there, is added to *ret. */
static void read_until(int fd, const char *word, struct buf *ret)
{
    uint64_t late = clock_ms() + 20000;
    for (size_t seen = 0; !ret->len || !strstr(buf_cstr(ret) + seen, word);) {
        seen = ret->len > 100 ? ret->len - 100 : 0;
        read_more(fd, late, ret);
    }
}

/* Lines "many n=0", 1, 2.. in their order, perhaps "beside" among the last, and those that say how
 * many are missing: a thread without a processor leaves more than one gap. Returns how many they
 * are together. */
static uint64_t count_lines(const char *text)
{
    uint64_t next = 0;
    for (const char *line = text; line && strchr(line, '\n'); line = strchr(line, '\n') + 1) {
        unsigned long long n;
        char word[64], begin[100]; /* sscanf looks for the end of what it is given */
        (void)snprintf(begin, sizeof(begin), "%.*s", (int)strcspn(line, "\n"), line);
        if (sscanf(begin, "%*s warn log-lines-dropped lines=%llu", &n) == 1) {
            next += n;
            continue;
        }
        assert_int_equal(sscanf(begin, "%*s info %63s n=%llu", word, &n), 2);
        if (strcmp(word, "many") == 0)
            assert_int_equal(n, next);
        else
            assert_true(strcmp(word, "beside") == 0 && next == MANY);
        next++;
    }
    return next;
}

static void check_unread_pipe(bool has_thread)
{
    const struct log_sink_spec specs[] = {
        {.target = LOG_TARGET_FILE, .path = path_of("pipe"), .level = LOG_LEVEL_INFO},
        {.target = LOG_TARGET_FILE, .path = path_of("a"), .level = LOG_LEVEL_INFO}};
    AUTO_BUF text = BUF_INIT;
    struct log_state st;
    uint64_t before = log_dropped();
    assert_int_equal(mkfifo(specs[0].path, 0600), 0);
    AUTO_CLOSE int fd = open(specs[0].path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    assert_true(fd >= 0);
    assert_int_equal(log_configure(specs, 1, NULL), 0);
    if (has_thread)
        assert_int_equal(log_start(NULL), 0);
    log_many();
    assert_false(log_flush(20));
    assert_int_equal(log_states(&st, 1), 1);
    assert_string_equal(st.trouble, "loses lines");
    assert_true(st.since_wall_ms > 0 && st.dropped > 0);
    assert_int_equal(log_dropped() - before, st.dropped);
    assert_int_equal(log_configure(specs, 2, NULL), 0); /* the other sink does not suffer */
    LOG_EVENT(LOG_LEVEL_INFO, "beside", KV_U64("n", 1));
    (void)log_flush(20);
    EVENTUALLY(has("a", "beside"));
    for (uint64_t late = clock_ms() + 20000; count_lines(buf_cstr(&text)) < MANY + 1;)
        read_more(fd, late, &text);
    assert_int_equal(count_lines(buf_cstr(&text)), MANY + 1);
    LOG_EVENT(LOG_LEVEL_INFO, "after", KV_U64("n", 1));
    read_until(fd, " after n=1\n", &text);
    EVENTUALLY(log_states(&st, 1) == 2 && !st.trouble);
    assert_int_equal(log_dropped() - before, st.dropped);
}

static void test_unread_pipe(void **state)
{
    check_unread_pipe(false);
}

static void test_unread_pipe_of_thread(void **state)
{
    check_unread_pipe(true);
}

/* The end does not wait for a reader either. */
static void test_end_with_unread_pipe(void **state)
{
    const struct log_sink_spec spec = {
        .target = LOG_TARGET_FILE, .path = path_of("pipe"), .level = LOG_LEVEL_INFO};
    assert_int_equal(mkfifo(spec.path, 0600), 0);
    AUTO_CLOSE int fd = open(spec.path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    assert_int_equal(log_configure(&spec, 1, NULL), 0);
    assert_int_equal(log_start(NULL), 0);
    log_many();
    uint64_t started = clock_ms();
    log_fini();
    assert_in_range(clock_ms() - started, 100, 5000);
}

static void test_thread(void **state)
{
    configure("a", LOG_LEVEL_INFO, LOG_FORMAT_TEXT);
    LOG_EVENT(LOG_LEVEL_INFO, "before", KV_U64("n", 1));
    assert_int_equal(log_start(NULL), 0);
    assert_int_equal(log_start(NULL), 0);
    LOG_EVENT(LOG_LEVEL_INFO, "quiet", KV_U64("n", 1));
    EVENTUALLY(has("a", "quiet")); /* without another line */
    uint64_t before = log_dropped();
    log_many();
    assert_true(log_flush(20000));
    /* What a thread without a processor could not write in time is counted. */
    assert_int_equal(count_word("a", " many n=") + log_dropped() - before, MANY);
    assert_int_equal(rename(path_of("a"), path_of("a.1")), 0);
    assert_int_equal(log_reopen(), 0);
    configure("b", LOG_LEVEL_INFO, LOG_FORMAT_TEXT);
    LOG_EVENT(LOG_LEVEL_INFO, "last", KV_U64("n", 1));
    log_fini();
    assert_true(has("b", " last n=1\n"));
    LOG_EVENT(LOG_LEVEL_ERROR, "nowhere", KV_U64("n", 1));
    configure("b", LOG_LEVEL_INFO, LOG_FORMAT_TEXT);
    LOG_EVENT(LOG_LEVEL_INFO, "directly", KV_U64("n", 1));
    assert_true(has("b", "directly") && !has("b", "nowhere"));
}

/* A full disk: said to the other sink, and to the first one when it is well again. */
static void test_full_disk(void **state)
{
    int fd = open("/dev/full", O_WRONLY | O_CLOEXEC), good;
    assert_true(fd >= 0);
    const struct log_sink_spec specs[] = {
        {.target = LOG_TARGET_FILE, .path = path_of("a"), .fd = fd, .level = LOG_LEVEL_INFO},
        {.target = LOG_TARGET_FILE, .path = path_of("b"), .level = LOG_LEVEL_INFO}};
    struct log_state st;
    assert_int_equal(log_configure(specs, 2, NULL), 0);
    assert_int_equal(log_start(NULL), 0);
    LOG_EVENT(LOG_LEVEL_INFO, "first", KV_U64("n", 1));
    EVENTUALLY(log_states(&st, 1) == 2 && st.trouble);
    assert_string_equal(st.trouble, "cannot be written");
    assert_string_equal(st.reason, "No space left on device");
    EVENTUALLY(has("b", "log-not-written"));
    assert_true(has("b", "first") && has("b", path_of("a")));
    assert_int_equal(log_open_file(path_of("a"), &good), 0);
    assert_int_equal(log_set_fd(path_of("a"), good), 0);
    close(good);
    close(fd);
    EVENTUALLY(has("a", "log-written-again"));
    assert_true(has("a", "first"));
    assert_int_equal(log_states(&st, 1), 2);
    assert_null(st.trouble);
}

static int bound_socket(const char *path)
{
    struct sockaddr_un to = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    str_copy(to.sun_path, sizeof(to.sun_path), str_of(path));
    assert_int_equal(bind(fd, (const struct sockaddr *)&to, sizeof(to)), 0);
    return fd;
}

/* Nobody listens, then somebody who does not read, then who does. */
static void test_syslog(void **state)
{
    const struct log_sink_spec spec = {
        .target = LOG_TARGET_SYSLOG, .path = path_of("socket"), .level = LOG_LEVEL_INFO};
    char packet[4200];
    struct log_state st;
    assert_int_equal(log_configure(&spec, 1, NULL), 0);
    assert_int_equal(log_start(NULL), 0);
    LOG_EVENT(LOG_LEVEL_INFO, "first", KV_U64("n", 1));
    EVENTUALLY(log_states(&st, 1) == 1 && st.trouble);
    assert_string_equal(st.reason, "No such file or directory");
    AUTO_CLOSE int fd = bound_socket(spec.path);
    for (uint64_t i = 0; i < 5000; i++)
        LOG_EVENT(LOG_LEVEL_INFO, "many", KV_U64("n", i));
    assert_false(log_flush(20));
    int next = -1;
    for (int tries = 0; next < 5000 && tries < 20000; tries++) {
        int n = 0;
        ssize_t len = recv(fd, packet, sizeof(packet) - 1, 0);
        if (len < 0) {
            usleep(1000);
            continue;
        }
        packet[len] = '\0';
        const char *text = strstr(packet, "]: many n=");
        assert_memory_equal(packet, text ? "<22>" : "<", text ? 4 : 1); /* mail.info */
        assert_null(strchr(packet, '\n'));
        if (next < 0 && strstr(packet, "]: first n=1"))
            next = 0;
        else if (text && sscanf(text, "]: many n=%d", &n) == 1)
            assert_int_equal(n, next++);
    }
    assert_int_equal(next, 5000);
}

static void test_names(void **state)
{
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
        cmocka_unit_test_setup_teardown(test_given_file, setup, teardown),
        cmocka_unit_test_setup_teardown(test_links, setup, teardown),
        cmocka_unit_test_setup_teardown(test_wrong_sink, setup, teardown),
        cmocka_unit_test_setup_teardown(test_not_opened_again, setup, teardown),
        cmocka_unit_test_setup_teardown(test_unread_pipe, setup, teardown),
        cmocka_unit_test_setup_teardown(test_unread_pipe_of_thread, setup, teardown),
        cmocka_unit_test_setup_teardown(test_end_with_unread_pipe, setup, teardown),
        cmocka_unit_test_setup_teardown(test_thread, setup, teardown),
        cmocka_unit_test_setup_teardown(test_full_disk, setup, teardown),
        cmocka_unit_test_setup_teardown(test_syslog, setup, teardown),
        cmocka_unit_test(test_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
