/* SPDX-License-Identifier: ISC */
/* Table tests of fronts: a client's bytes in every cutting, what the front makes of them written
 * down as one text. The core is played by simple rules. */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "proto/proto.h"
#include "tests/unit/proto/split.h"

struct front_case {
    const char *what;
    const struct proto *proto;
    const struct front_env *env;
    struct str in;
    /* Replies as they are; {BEGIN mech initial}, {DATA bytes}, {READY mech user secret} and so on
     * for intents. '^' stands for CRLF. */
    const char *want;
    const char *client_id; /* NULL = not looked at */
};

struct front_run {
    const struct front_case *c;
    struct front *front;
    struct buf seen;
};

static inline void front_note(struct front_run *run, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));

static inline void front_note(struct front_run *run, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    assert_int_equal(buf_vprintf(&run->seen, fmt, ap), 0);
    va_end(ap);
}

static inline void front_note_reply(struct front_run *run, struct buf *reply)
{
    struct str s = buf_str(reply);
    for (size_t i = 0; i < s.n; i++) {
        if (s.p[i] == '\r' && i + 1 < s.n && s.p[i + 1] == '\n') {
            front_note(run, "^");
            i++;
        } else {
            front_note(run, "%c", s.p[i]);
        }
    }
    buf_clear(reply);
}

static inline void *front_begin(void *arg)
{
    struct front_run *run = calloc(1, sizeof(*run));
    assert_non_null(run);
    run->c = arg;
    run->front = run->c->proto->front_new(run->c->env);
    assert_non_null(run->front);
    return run;
}

/* Plays the core: the user "ok" gets in; a SASL exchange gets one challenge and then fails, unless
 * the response is "more" (another challenge) or "good". False when the session is over. */
static inline bool front_play(struct front_run *run, enum proto_intent intent, struct buf *reply)
{
    struct front *f = run->front;
    const struct proto *p = run->c->proto;
    struct str data = buf_str(&f->auth_data);
    struct back_success success = {0};
    int r = 0;
    switch (intent) {
    case PROTO_NEED_MORE:
    case PROTO_REPLIED:
        return true;
    case PROTO_BAD:
        front_note(run, "{BAD}");
        return true;
    case PROTO_REFUSED:
        front_note(run, "{REFUSED %s %s%s%.*s}", reply_name(f->refusal), sasl_method(f->auth_mech),
                   f->cred.user.len > 0 ? " " : "", STR_ARG(buf_str(&f->cred.user)));
        assert_int_equal(f->cred.secret.len, 0);
        return true;
    case PROTO_STARTTLS:
        front_note(run, "{STARTTLS}");
        return false;
    case PROTO_QUIT:
        front_note(run, "{QUIT}");
        return false;
    case PROTO_FATAL:
        front_note(run, "{FATAL}");
        return false;
    case PROTO_ROUTE:
        front_note(run, "{ROUTE %.*s %.*s}", STR_ARG(buf_str(&f->mail_from)),
                   STR_ARG(buf_str(&f->rcpt_to)));
        return false;
    case PROTO_AUTH_BEGIN:
        front_note(run, "{BEGIN %s%s%.*s}", sasl_name(f->auth_mech), f->has_initial ? " " : "",
                   STR_ARG(data));
        r = f->has_initial ? p->reply(f, REPLY_AUTH_FAILED, NULL, NULL, reply)
                           : p->auth_continue(f, STR("hello"), reply);
        break;
    case PROTO_AUTH_DATA:
        front_note(run, "{DATA %.*s}", STR_ARG(data));
        if (str_eq(data, STR("more")))
            r = p->auth_continue(f, STR_NULL, reply);
        else if (str_eq(data, STR("good")))
            r = p->success(f, &success, reply);
        else
            r = p->reply(f, REPLY_AUTH_FAILED, NULL, NULL, reply);
        break;
    case PROTO_AUTH_ABORT:
        front_note(run, "{ABORT}");
        r = p->reply(f, REPLY_AUTH_CANCELLED, NULL, NULL, reply);
        break;
    case PROTO_AUTH_BAD:
        front_note(run, "{AUTH_BAD}");
        r = p->reply(f, REPLY_AUTH_BAD_RESPONSE, NULL, NULL, reply);
        break;
    case PROTO_READY:
        front_note(run, "{READY %s %.*s %.*s}", sasl_method(f->cred.mech),
                   STR_ARG(buf_str(&f->cred.user)), STR_ARG(buf_str(&f->cred.secret)));
        if (str_eq(buf_str(&f->cred.user), STR("ok"))) {
            r = p->success(f, &success, reply);
            front_note_reply(run, reply);
            assert_int_equal(r, 0);
            return false;
        }
        r = p->reply(f, REPLY_AUTH_FAILED, NULL, NULL, reply);
        break;
    }
    assert_int_equal(r, 0);
    front_note_reply(run, reply);
    /* whatever the outcome, no secret stays behind */
    assert_int_equal(f->cred.secret.len, 0);
    return true;
}

static inline size_t front_case_feed(void *object, struct str in)
{
    struct front_run *run = object;
    AUTO_BUF reply = BUF_INIT;
    size_t used = 99;
    enum proto_intent intent = run->c->proto->feed(run->front, in, &used, &reply);
    front_note_reply(run, &reply);
    if (intent == PROTO_NEED_MORE)
        assert_int_equal(used, 0);
    return front_play(run, intent, &reply) ? used : SPLIT_STOP;
}

static inline void front_end(void *object, void *arg, const char *how)
{
    struct front_run *run = object;
    const struct front_case *c = arg;
    if (!str_eq(buf_str(&run->seen), str_of(c->want)))
        fail_msg("%s (%s):\nwant %s\ngot  %.*s", c->what, how, c->want,
                 STR_ARG(buf_str(&run->seen)));
    if (c->client_id && !str_eq(buf_str(&run->front->client_id), str_of(c->client_id)))
        fail_msg("%s (%s): client id %.*s", c->what, how, STR_ARG(buf_str(&run->front->client_id)));
    c->proto->front_free(run->front);
    buf_fini(&run->seen);
    free(run);
}

static inline void front_cases_run(const struct front_case *cases, size_t n)
{
    static const struct split_ops ops = {front_begin, front_case_feed, front_end};
    for (size_t i = 0; i < n; i++) {
        struct front_case c = cases[i];
        split_run(&ops, &c, c.in);
    }
}

/* A test that runs a table of cases. */
#define FRONT_TEST(name, cases)                                                                    \
    static void name(void **state)                                                                 \
    {                                                                                              \
        (void)state;                                                                               \
        front_cases_run(cases, ARRAY_LEN(cases));                                                  \
    }

/* Is it this text? Empties it. */
static inline void front_check(struct buf *got, const char *want)
{
    if (!str_eq(buf_str(got), str_of(want)))
        fail_msg("want %s got %.*s", want, STR_ARG(buf_str(got)));
    buf_clear(got);
}
