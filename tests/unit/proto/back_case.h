/* SPDX-License-Identifier: ISC */
/* Table tests of the dialogues with mail servers: a server's bytes in every cutting, what is sent
 * and how it ends written down as one text. */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "proto/back.h"
#include "tests/unit/proto/split.h"

struct back_case {
    const char *what;
    const struct proto *proto;
    struct back_env env;     /* without cred */
    struct str user, secret; /* user.p NULL = no login */
    const char *authzid;
    enum sasl_mech mech;
    struct str before; /* up to the answer to STARTTLS, fed whole; empty = no STARTTLS */
    struct str in;
    const char *want; /* what is sent ('^' = CRLF), then {DONE text|capabilities|learned} or {FAILED
                         kind message} */
    size_t rest;      /* bytes at the end of `in` that belong to the relay */
};

struct back_run {
    const struct back_case *c;
    struct credentials cred;
    struct back_env env;
    struct back *back;
    struct buf seen;
    size_t used;
    bool is_over;
};

static inline void back_note_out(struct back_run *run, struct buf *out)
{
    struct str s = buf_str(out);
    for (size_t i = 0; i < s.n; i++) {
        bool is_end = s.p[i] == '\r' && i + 1 < s.n && s.p[i + 1] == '\n';
        assert_int_equal(buf_append_char(&run->seen, is_end ? '^' : s.p[i] ? s.p[i] : '0'), 0);
        i += is_end;
    }
}

static inline size_t back_case_feed(void *object, struct str in)
{
    struct back_run *run = object;
    struct back *b = run->back;
    AUTO_BUF out = BUF_INIT;
    size_t used = 99;
    enum back_result result = run->c->proto->back_feed(b, in, &used, &out);
    back_note_out(run, &out);
    run->used += used;
    int r = 0;
    if (result == BACK_STARTTLS) {
        AUTO_BUF more = BUF_INIT;
        assert_int_equal(used, in.n);
        assert_int_equal(buf_append_c(&run->seen, "{TLS}"), 0);
        result = run->c->proto->back_tls_started(b, &more);
        back_note_out(run, &more);
    }
    if (result == BACK_DONE)
        r = buf_printf(&run->seen, "{DONE %.*s|%.*s|%.*s}", STR_ARG(buf_str(&b->success.text)),
                       STR_ARG(buf_str(&b->success.capabilities)), STR_ARG(buf_str(&b->learned)));
    if (result == BACK_FAILED)
        r = buf_printf(&run->seen, "{FAILED %s %.*s}", back_failure_name(b->failure),
                       STR_ARG(buf_str(&b->message)));
    assert_int_equal(r, 0);
    run->is_over = result == BACK_DONE || result == BACK_FAILED;
    return run->is_over ? SPLIT_STOP : used;
}

static inline void *back_begin(void *arg)
{
    struct back_run *run = calloc(1, sizeof(*run));
    assert_non_null(run);
    const struct back_case *c = run->c = arg;
    run->env = c->env;
    run->cred.mech = c->mech;
    assert_int_equal(buf_append_str(&run->cred.user, c->user), 0);
    assert_int_equal(buf_append_str(&run->cred.secret, c->secret), 0);
    assert_int_equal(buf_append_c(&run->cred.authzid, c->authzid ? c->authzid : ""), 0);
    run->env.cred = c->user.p ? &run->cred : NULL;
    run->back = c->proto->back_new(&run->env);
    assert_non_null(run->back);
    if (c->before.n > 0)
        (void)back_case_feed(run, c->before);
    run->used = 0;
    return run;
}

static inline size_t back_split_feed(void *object, struct str in)
{
    struct back_run *run = object;
    return run->is_over ? SPLIT_STOP : back_case_feed(object, in);
}

static inline void back_end(void *object, void *arg, const char *how)
{
    struct back_run *run = object;
    const struct back_case *c = arg;
    if (!str_eq(buf_str(&run->seen), str_of(c->want)))
        fail_msg("%s (%s):\nwant %s\ngot  %.*s", c->what, how, c->want,
                 STR_ARG(buf_str(&run->seen)));
    if (strstr(c->want, "{DONE"))
        assert_int_equal(run->used, c->in.n - c->rest);
    c->proto->back_free(run->back);
    credentials_wipe(&run->cred);
    buf_fini(&run->seen);
    free(run);
}

static inline void back_cases_run(const struct back_case *cases, size_t n)
{
    static const struct split_ops ops = {back_begin, back_split_feed, back_end};
    for (size_t i = 0; i < n; i++) {
        struct back_case c = cases[i];
        split_run(&ops, &c, c.in);
    }
}

/* A test that runs a table of cases. */
#define BACK_TEST(name, cases)                                                                     \
    static void name(void **state)                                                                 \
    {                                                                                              \
        (void)state;                                                                               \
        back_cases_run(cases, ARRAY_LEN(cases));                                                   \
    }
