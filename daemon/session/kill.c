/* SPDX-License-Identifier: ISC */
/* Ending many sessions, a few at a time, from another thread. */
#include "session/query.h"
#include "session/session_priv.h"

#define KILL_PIECE 4 /* sessions of one step: each says goodbye, closes and is logged */

/* One that is under way. */
struct kill_batch {
    struct list link; /* of env->kills */
    struct session_env *env;
    struct loop_slice slice;
    uint64_t number;
    struct mailbox *reply;
    void (*deliver)(struct mail *result, void *owner);
    enum reply_kind kind;
    bool has_text;
    char text[REPLY_TEXT_MAX + 1];
    uint64_t grace_ms;
    uint64_t generation;   /* without ids: only those of older setups */
    struct safe_iter walk; /* without ids */
    size_t n_hit;
    struct session_killed *done; /* the answer being filled */
    uint64_t *ids;
    size_t n, at;
};

static void kill_batch_free(struct kill_batch *k)
{
    list_del(&k->link);
    safe_iter_end(&k->walk);
    loop_unslice(&k->slice);
    free(k->done);
    free(k->ids);
    free(k);
}

/* False: nobody asks, or there is no memory; then who waits gives up. */
static bool kill_batch_has_answer(struct kill_batch *k)
{
    if (k->reply && !k->done)
        k->done = calloc(1, sizeof(*k->done) + SESSION_KILLED_MAX * sizeof(k->done->ids[0]));
    return k->done != NULL;
}

static void kill_batch_answer(struct kill_batch *k, bool is_last)
{
    if (!kill_batch_has_answer(k))
        return;
    k->done->mail.fn = k->deliver;
    k->done->number = k->number;
    k->done->worker = k->env->worker;
    k->done->is_last = is_last;
    mailbox_post(k->reply, &STEAL(k->done)->mail);
}

static void kill_batch_note(struct kill_batch *k, uint64_t id)
{
    k->n_hit++;
    if (!kill_batch_has_answer(k))
        return;
    k->done->ids[k->done->n++] = id;
    if (k->done->n == SESSION_KILLED_MAX)
        kill_batch_answer(k, false);
}

/* NULL for one that is gone or not meant. */
static struct session *kill_batch_next(struct kill_batch *k)
{
    if (k->ids)
        return session_find(k->env, k->ids[k->at++]);
    struct session *s = session_of_link(safe_iter_next(&k->walk));
    return k->generation && session_generation(s) >= k->generation ? NULL : s;
}

static void on_killing_step(struct loop_slice *slice)
{
    struct kill_batch *k = CONTAINER_OF(slice, struct kill_batch, slice);
    for (int i = 0; i < KILL_PIECE; i++) {
        if (k->ids ? k->at == k->n : safe_iter_is_over(&k->walk)) {
            kill_batch_answer(k, true);
            if (k->generation)
                LOG_EVENT(LOG_LEVEL_NOTICE, "sessions-retired", KV_U64("worker", k->env->worker),
                          KV_U64("sessions", k->n_hit));
            kill_batch_free(k);
            return;
        }
        struct session *s = kill_batch_next(k);
        if (!s)
            continue;
        kill_batch_note(k, s->id);
        session_kill(s, k->kind, k->has_text ? k->text : NULL, k->grace_ms);
    }
}

struct kill_mail {
    struct mail mail;
    struct kill_batch *killing;
};

static void kill_mail_drop(struct mail *m)
{
    struct kill_mail *km = CONTAINER_OF(m, struct kill_mail, mail);
    kill_batch_free(km->killing);
    free(km);
}

static void kill_batch_begin(struct kill_batch *k, struct session_env *env)
{
    k->env = env;
    list_add_tail(&env->kills, &k->link);
    safe_iter_begin(&k->walk, &env->walks, &env->sessions);
    loop_slice(env->loop, &k->slice);
}

static void on_kill(struct mail *m, void *owner)
{
    struct kill_mail *km = CONTAINER_OF(m, struct kill_mail, mail);
    kill_batch_begin(km->killing, owner);
    free(km);
}

static struct kill_batch *kill_batch_new(const struct session_kill_spec *spec)
{
    struct kill_batch *k = calloc(1, sizeof(*k));
    if (!k)
        return NULL;
    list_init(&k->link);
    list_init(&k->walk.link);
    list_init(&k->slice.link);
    k->slice.step = on_killing_step;
    k->number = spec->number;
    k->reply = spec->reply;
    k->deliver = spec->deliver;
    k->kind = spec->kind;
    k->grace_ms = spec->grace_ms;
    k->has_text = spec->text != NULL;
    if (spec->text)
        (void)str_copy(k->text, sizeof(k->text), str_of(spec->text));
    k->n = spec->n;
    k->ids = spec->ids ? calloc(spec->n + 1, sizeof(*k->ids)) : NULL;
    if (spec->ids && !k->ids) {
        kill_batch_free(k);
        return NULL;
    }
    if (spec->n > 0)
        memcpy(k->ids, spec->ids, spec->n * sizeof(k->ids[0]));
    return k;
}

int session_kill_post(struct mailbox *worker, const struct session_kill_spec *spec)
{
    struct kill_batch *k = kill_batch_new(spec);
    struct kill_mail *m = k ? calloc(1, sizeof(*m)) : NULL;
    if (!m) {
        if (k)
            kill_batch_free(k);
        return -ERR_NOMEM;
    }
    *m = (struct kill_mail){.mail = {.fn = on_kill, .drop = kill_mail_drop}, .killing = k};
    mailbox_post(worker, &m->mail);
    return 0;
}

int session_kill_all_post(struct mailbox *worker, enum reply_kind kind, const char *text,
                          uint64_t grace_ms)
{
    const struct session_kill_spec spec = {.kind = kind, .text = text, .grace_ms = grace_ms};
    return session_kill_post(worker, &spec);
}

int session_retire(struct session_env *env, uint64_t generation, const char *text,
                   uint64_t grace_ms)
{
    const struct session_kill_spec spec = {
        .kind = REPLY_SHUTDOWN, .text = text, .grace_ms = grace_ms};
    struct kill_batch *k = kill_batch_new(&spec);
    if (!k)
        return -ERR_NOMEM;
    k->generation = generation;
    kill_batch_begin(k, env);
    return 0;
}

void session_kills_end(struct session_env *env)
{
    LIST_FOREACH_SAFE (it, &env->kills)
        kill_batch_free(LIST_ITEM(it, struct kill_batch, link));
}
