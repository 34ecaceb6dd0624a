/* SPDX-License-Identifier: ISC */
/* Lines between daemons: in pieces, too long, no JSON; a reader that does not read; freed within.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "rpc/json_pipe.h"

struct rig {
    struct loop *loop;
    struct json_pipe *pipe;
    int fd; /* the other side */
    size_t n_messages, n_wanted;
    const char *why;
    bool is_freeing;
    char last[64];
};

static void on_message(void *arg, const json_t *m)
{
    struct rig *r = arg;
    const char *method = json_string_value(json_object_get(m, "method"));
    (void)snprintf(r->last, sizeof(r->last), "%s", method ? method : "");
    if (++r->n_messages == r->n_wanted)
        loop_stop(r->loop);
    if (!r->is_freeing)
        return;
    json_pipe_free(r->pipe);
    r->pipe = NULL;
    loop_stop(r->loop);
}

static void on_closed(void *arg, const char *why)
{
    struct rig *r = arg;
    r->why = why;
    json_pipe_free(r->pipe);
    r->pipe = NULL;
    loop_stop(r->loop);
}

static const struct json_pipe_ops ops = {.message = on_message, .closed = on_closed};

static void rig_init(struct rig *r)
{
    int ends[2];
    *r = (struct rig){0};
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
    assert_int_equal(loop_new(r, &r->loop), 0);
    assert_int_equal(json_pipe_new(r->loop, ends[0], &ops, r, &r->pipe), 0);
    r->fd = ends[1];
}

static void rig_fini(struct rig *r)
{
    json_pipe_free(r->pipe);
    loop_free(r->loop);
    close(r->fd);
}

static void say(const struct rig *r, const char *text)
{
    assert_int_equal(write(r->fd, text, strlen(text)), (ssize_t)strlen(text));
}

static void test_messages(void **state)
{
    struct rig r;
    rig_init(&r);
    say(&r, "{\"method\":\"a\"}\n{\"method\":\"b\"}\n{\"meth");
    r.n_wanted = 2;
    assert_int_equal(loop_run(r.loop), 0);
    assert_string_equal(r.last, "b");
    say(&r, "od\":\"c\"}\n");
    r.n_wanted = 3;
    assert_int_equal(loop_run(r.loop), 0);
    assert_string_equal(r.last, "c");
    json_pipe_send(r.pipe, "d", json_pack("{s:i}", "n", 1));
    char text[64] = "";
    assert_true(read(r.fd, text, sizeof(text) - 1) > 0);
    assert_string_equal(text, "{\"method\":\"d\",\"params\":{\"n\":1}}\n");
    rig_fini(&r);
}

static void test_nonsense(void **state)
{
    static const char *const cases[] = {"no json\n", "[1]\n", "\n", "{\"a\":1,\"a\":2}\n"};
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct rig r;
        rig_init(&r);
        say(&r, cases[i]);
        assert_int_equal(loop_run(r.loop), 0);
        assert_non_null(r.why);
        assert_int_equal(r.n_messages, 0);
        rig_fini(&r);
    }
}

static void test_end(void **state)
{
    struct rig r;
    rig_init(&r);
    say(&r, "{\"method\":\"half\"");
    shutdown(r.fd, SHUT_WR);
    assert_int_equal(loop_run(r.loop), 0);
    assert_non_null(r.why);
    rig_fini(&r);
}

static void test_freed_within(void **state)
{
    struct rig r;
    rig_init(&r);
    r.is_freeing = true;
    say(&r, "{\"method\":\"a\"}\n{\"method\":\"b\"}\n");
    assert_int_equal(loop_run(r.loop), 0);
    assert_int_equal(r.n_messages, 1);
    rig_fini(&r);
}

/* What it is told waits in memory, but not without end. */
static void test_no_reader(void **state)
{
    struct rig r;
    rig_init(&r);
    AUTO_FREE char *text = malloc(1024 * 1024);
    memset(text, 'x', 1024 * 1024);
    text[0] = text[1024 * 1024 - 1] = '"';
    for (size_t i = 0; i < 2 * JSON_PIPE_OUT_MAX / (1024 * 1024); i++)
        json_pipe_send_text(r.pipe, "much", str_n(text, 1024 * 1024));
    assert_int_equal(loop_run(r.loop), 0);
    assert_string_equal(r.why, "it does not read");
    rig_fini(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_messages),  cmocka_unit_test(test_nonsense),
        cmocka_unit_test(test_end),       cmocka_unit_test(test_freed_within),
        cmocka_unit_test(test_no_reader),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
