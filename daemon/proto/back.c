/* SPDX-License-Identifier: ISC */
/* The common head of the dialogues with mail servers and the table of their failures. */
#include "proto/back.h"

#define BACK_MESSAGE_MAX 512

static const struct back_failure_row {
    const char *name;
    bool may_retry;
    enum reply_kind reply;
    bool is_unhealthy;
} back_failures[BACK_FAILURE_COUNT] = {
#define B(id, name, retry, reply, health) [BACK_FAIL_##id] = {name, retry, reply, health},
    BACK_FAILURES(B)
#undef B
};

static const struct back_failure_row *back_failure_row(enum back_failure f)
{
    return &back_failures[(unsigned)f < BACK_FAILURE_COUNT ? f : BACK_FAIL_INTERNAL];
}

const char *back_failure_name(enum back_failure f)
{
    return back_failure_row(f)->name;
}

bool back_failure_may_retry(enum back_failure f)
{
    return back_failure_row(f)->may_retry;
}

enum reply_kind back_failure_reply(enum back_failure f)
{
    return back_failure_row(f)->reply;
}

bool back_failure_is_unhealthy(enum back_failure f)
{
    return back_failure_row(f)->is_unhealthy;
}

bool back_failure_is_ours(enum back_failure f)
{
    return f == BACK_FAIL_SHORTAGE || f == BACK_FAIL_INTERNAL;
}

void back_init(struct back *b, const struct back_env *env)
{
    *b = (struct back){.env = env, .step = "greeting"};
}

void back_fini(struct back *b)
{
    if (!b)
        return;
    buf_fini(&b->message);
    buf_fini(&b->message_code);
    buf_fini(&b->success.text);
    buf_fini(&b->success.capabilities);
    buf_fini(&b->success.raw);
    buf_fini(&b->learned);
}

enum back_result back_fail(struct back *b, enum back_failure f, struct str message)
{
    b->failure = f;
    buf_clear(&b->message);
    /* Out of memory leaves a shorter message; the failure itself must get through. */
    if (reply_append_clean(&b->message, message, BACK_MESSAGE_MAX) < 0)
        buf_clear(&b->message);
    b->is_message_own = false;
    return BACK_FAILED;
}

enum back_result back_fail_own(struct back *b, enum back_failure f, struct str message)
{
    enum back_result result = back_fail(b, f, message);
    b->is_message_own = true;
    return result;
}
