/* SPDX-License-Identifier: ISC */
/* Several daemons asked as one, with connections of the test's own: what is answered when one of
 * them fails, is away or silent. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "base/cleanup.h"
#include "base/str.h"
#include "tui/cluster.h"

/* ---- connections ---- */

#define ASKED_MAX 32

struct rpc_client {
    bool is_away;
    struct control_client_hello hello;
    struct {
        char method[32];
        json_t *params;
        rpc_client_answer_fn *fn;
        void *arg;
    } asked[ASKED_MAX];
    size_t n;
};

static struct {
    struct rpc_client rpc[2];
    struct cluster *cluster;
    uint64_t now_ms;
    json_t *result; /* of the last answer */
    char error[512];
    int n_answers;
} t;

bool rpc_client_ask(struct rpc_client *f, const char *method, json_t *params,
                    rpc_client_answer_fn *fn, void *arg)
{
    if (f->is_away) {
        json_decref(params);
        return false;
    }
    assert_true(f->n < ASKED_MAX);
    (void)str_copy(f->asked[f->n].method, sizeof(f->asked[f->n].method), str_of(method));
    f->asked[f->n].params = params;
    f->asked[f->n].fn = fn;
    f->asked[f->n++].arg = arg;
    return true;
}

void rpc_client_forget(struct rpc_client *f, rpc_client_answer_fn *fn, const void *arg)
{
    for (size_t i = 0; i < f->n; i++)
        if (f->asked[i].fn == fn && f->asked[i].arg == arg)
            f->asked[i].fn = NULL;
}

const struct control_client_hello *rpc_client_hello(const struct rpc_client *f)
{
    return f->is_away ? NULL : &f->hello;
}

/* Time passes when the test says so. */
int clock_gettime(clockid_t id, struct timespec *ret)
{
    (void)id;
    *ret = (struct timespec){(time_t)(t.now_ms / 1000), (long)(t.now_ms % 1000) * 1000000};
    return 0;
}

/* How often a daemon was asked for a method. */
static size_t n_asked(size_t place, const char *method)
{
    size_t n = 0;
    for (size_t i = 0; i < t.rpc[place].n; i++)
        n += strcmp(t.rpc[place].asked[i].method, method) == 0;
    return n;
}

/* A daemon answers the last question of a method; text NULL: the error does it. */
static void answers(size_t place, const char *method, const char *text,
                    const struct control_client_error *error)
{
    struct rpc_client *f = &t.rpc[place];
    size_t i = f->n;
    while (i > 0 && strcmp(f->asked[i - 1].method, method) != 0)
        i--;
    assert_true(i > 0);
    rpc_client_answer_fn *fn = f->asked[i - 1].fn;
    f->asked[i - 1].fn = NULL;
    json_t *result = text ? json_loads(text, 0, NULL) : NULL;
    assert_true(!text || result);
    if (fn)
        fn(f->asked[i - 1].arg, result, error);
    json_decref(result);
}

static void fails(size_t place, const char *method, const char *text)
{
    const struct control_client_error error = {.err = ERR_INTERNAL, .text = (char *)text};
    answers(place, method, NULL, &error);
}

static void on_answer(void *arg, const json_t *result, const struct control_client_error *error)
{
    (void)arg;
    t.n_answers++;
    json_decref(t.result);
    t.result = json_incref((json_t *)result);
    (void)str_copy(t.error, sizeof(t.error), str_of(error && error->text ? error->text : ""));
}

static void ask(const char *method, json_t *params)
{
    assert_true(cluster_ask(t.cluster, method, params, on_answer, NULL));
}

static int setup(void **state)
{
    memset(&t, 0, sizeof(t));
    t.now_ms = 1000;
    const struct cluster_member m[] = {{&t.rpc[0], "mx1"}, {&t.rpc[1], "mx2"}};
    return cluster_new(m, 2, &t.cluster);
}

static int teardown(void **state)
{
    cluster_free(t.cluster);
    json_decref(t.result);
    for (size_t k = 0; k < 2; k++)
        for (size_t i = 0; i < t.rpc[k].n; i++)
            json_decref(t.rpc[k].asked[i].params);
    return 0;
}

/* Leaves a question of a daemon unanswered for so long that it counts as silent. */
static void make_silent(size_t place)
{
    ask("system.status", json_object());
    answers(!place, "system.status", "{}", NULL);
    t.now_ms += 60000;
    (void)cluster_tick(t.cluster);
    assert_true(cluster_is_silent(t.cluster, place));
    t.n_answers = 0;
}

static const char *unreached(size_t i, const char *member)
{
    const json_t *one = json_array_get(json_object_get(t.result, "unreached"), i);
    return json_string_value(json_object_get(one, member));
}

/* ---- failures ---- */

static void test_failure_without_words(void **state)
{
    ask("user.lock", json_object());
    fails(0, "user.lock", "");
    fails(1, "user.lock", "no such user");
    assert_string_equal(t.error, "mx1: failed; mx2: no such user");
    ask("user.lock", json_object());
    fails(0, "user.lock", "");
    fails(1, "user.lock", NULL);
    assert_string_equal(t.error, "failed");
}

/* Words that are too long end at a character, so that the daemon is still named. */
static void test_failure_of_many_words(void **state)
{
    char text[512] = "x";
    for (size_t i = 0; i < 200; i++)
        memcpy(text + 1 + 2 * i, "\xc3\xa4", 3);
    for (size_t i = 0; i < 2; i++) {
        ask("session.list", json_object());
        answers(0, "session.list", "{\"rows\":[]}", NULL);
        fails(1, "session.list", text + i);
        assert_string_equal(unreached(0, "name"), "mx2");
        assert_true(strncmp(unreached(0, "text"), text + i, 250) == 0);
    }
}

static void test_overdue_is_told(void **state)
{
    ask("session.list", json_object());
    t.now_ms += 60000;
    (void)cluster_tick(t.cluster);
    assert_int_equal(t.n_answers, 1);
    assert_string_equal(t.error, "does not answer");
}

/* ---- changes ---- */

static void test_change_at_a_silent_daemon(void **state)
{
    make_silent(1);
    ask("user.lock", json_pack("{s:s}", "name", "anna"));
    answers(0, "user.lock", "{\"count\":1}", NULL);
    assert_int_equal(t.n_answers, 0);
    int ms = cluster_tick(t.cluster);
    assert_true(ms > 0);
    t.now_ms += (uint64_t)ms - 1;
    (void)cluster_tick(t.cluster);
    assert_int_equal(t.n_answers, 0);
    t.now_ms++;
    (void)cluster_tick(t.cluster);
    assert_int_equal(t.n_answers, 1);
    assert_string_equal(t.error,
                        "mx2: does not answer: whether it was done is not known (done by mx1)");
    /* A late answer changes nothing. */
    answers(1, "user.lock", "{\"count\":1}", NULL);
    assert_int_equal(t.n_answers, 1);
    assert_int_equal(cluster_pending(t.cluster), 0);
}

/* What may take long by itself is waited for, and so is a daemon that answers other questions. */
static void test_change_is_waited_for(void **state)
{
    ask("session.kill", json_pack("{s:i}", "grace", 600000));
    answers(0, "session.kill", "{\"count\":1}", NULL);
    assert_int_equal(cluster_tick(t.cluster), -1);
    t.now_ms += 3600000;
    (void)cluster_tick(t.cluster);
    assert_int_equal(t.n_answers, 0);
    answers(1, "session.kill", "{\"count\":2}", NULL);
    assert_int_equal(t.n_answers, 1);
    assert_int_equal(json_integer_value(json_object_get(t.result, "count")), 3);
    make_silent(1);
    ask("session.kill", json_pack("{s:i}", "grace", 600000));
    answers(0, "session.kill", "{\"count\":1}", NULL);
    t.now_ms += 600000;
    (void)cluster_tick(t.cluster);
    assert_int_equal(t.n_answers, 0);
    t.now_ms += 60000;
    (void)cluster_tick(t.cluster);
    assert_int_equal(t.n_answers, 1);
}

/* ---- streams ---- */

static void test_forgotten_stream_is_closed(void **state)
{
    ask("event.watch", json_object());
    cluster_forget(t.cluster, on_answer, NULL);
    answers(0, "event.watch", "{\"stream\":5}", NULL);
    assert_int_equal(t.n_answers, 0);
    assert_int_equal(n_asked(0, "stream.cancel"), 1);
    answers(1, "event.watch", "{\"stream\":6}", NULL);
    assert_int_equal(n_asked(1, "stream.cancel"), 1);
    cluster_lost(t.cluster, 0);
    cluster_greeted(t.cluster, 0);
    assert_int_equal(n_asked(0, "event.watch"), 1);
}

static void test_stream_begins_again(void **state)
{
    ask("event.watch", json_object());
    answers(0, "event.watch", "{\"stream\":5}", NULL);
    answers(1, "event.watch", "{\"stream\":6}", NULL);
    json_int_t id = json_integer_value(json_object_get(t.result, "stream"));
    cluster_lost(t.cluster, 1);
    cluster_greeted(t.cluster, 1);
    assert_int_equal(n_asked(1, "event.watch"), 2);
    answers(1, "event.watch", "{\"stream\":1}", NULL);
    json_t *params = json_pack("{s:i}", "stream", 1);
    json_t *event = cluster_event(t.cluster, 1, params);
    assert_int_equal(json_integer_value(json_object_get(event, "stream")), id);
    json_decref(event);
    json_decref(params);
}

/* A daemon that has no part in what is shown is named, until it has. */
static void test_stream_that_is_refused(void **state)
{
    ask("event.watch", json_object());
    answers(0, "event.watch", "{\"stream\":5}", NULL);
    json_int_t id = json_integer_value(json_object_get(t.result, "stream"));
    assert_string_equal(cluster_stream_failure(t.cluster, id), "");
    fails(1, "event.watch", "too many streams");
    assert_string_equal(cluster_stream_failure(t.cluster, id), "mx2: too many streams");
    cluster_lost(t.cluster, 1);
    assert_string_equal(cluster_stream_failure(t.cluster, id), "");
    cluster_greeted(t.cluster, 1);
    fails(1, "event.watch", "no more");
    assert_string_equal(cluster_stream_failure(t.cluster, id), "mx2: no more");
    assert_string_equal(cluster_stream_failure(t.cluster, id + 1), "");
    cluster_greeted(t.cluster, 1);
    answers(1, "event.watch", "{\"stream\":6}", NULL);
    assert_string_equal(cluster_stream_failure(t.cluster, id), "");
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(test_failure_without_words), CASE(test_failure_of_many_words),
        CASE(test_overdue_is_told),       CASE(test_change_at_a_silent_daemon),
        CASE(test_change_is_waited_for),  CASE(test_forgotten_stream_is_closed),
        CASE(test_stream_begins_again),   CASE(test_stream_that_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
