/* SPDX-License-Identifier: ISC */
/* Ending many sessions, a few at a time, from another thread, and telling what became of them. */
#include "base/token_bucket.h"
#include "session/admin/query.h"
#include "session/session_priv.h"

#define KILL_TICK_MS 200 /* so that no tick of the loop is passed over */
#define KILL_PIECE 4     /* sessions of one step: each says goodbye, closes and is logged */

/* One that is under way. */
struct kill_batch {
    struct mail mail; /* on its way to the worker */
    struct list link; /* of env->kills */
    struct session_env *env;
    struct loop_slice slice;
    struct loop_deferred soon; /* an answer is due */
    uint64_t number;
    struct mailbox *reply;
    void (*deliver)(struct mail *result, void *owner);
    enum reply_kind kind;
    bool has_text;
    char text[REPLY_TEXT_MAX + 1];
    uint64_t grace_ms;
    struct token_bucket pace;
    struct loop_timer tick; /* with a rate: some may go again */
    size_t n_allowed;
    uint64_t generation;   /* without ids: only those of older snapshots */
    struct safe_iter walk; /* without ids */
    size_t n_told;
    bool is_told;                /* all of them */
    struct session_killed *done; /* the answer being filled */
    struct list watches;         /* struct kill_watch: told, and not over yet */
    uint64_t *ids;
    size_t n, at;
};

/* One session that was told to end. */
struct kill_watch {
    struct session_end_watch watch;
    struct list link; /* of batch->watches */
    struct kill_batch *batch;
    size_t at;
};

static void kill_watch_free(struct kill_watch *w)
{
    list_del(&w->watch.link);
    list_del(&w->link);
    free(w);
}

static void kill_batch_free(struct kill_batch *k)
{
    LIST_FOREACH_SAFE (it, &k->watches)
        kill_watch_free(LIST_ITEM(it, struct kill_watch, link));
    list_del(&k->link);
    safe_iter_end(&k->walk);
    loop_unslice(&k->slice);
    loop_undefer(&k->soon);
    if (k->env)
        loop_timer_cancel(k->env->loop, &k->tick);
    free(k->done);
    free(k->ids);
    free(k);
}

/* ---- answers ---- */

/* False: nobody asks, or there is no memory; then who waits gives up. */
static bool kill_batch_has_answer(struct kill_batch *k)
{
    if (k->reply && !k->done)
        k->done = calloc(1, sizeof(*k->done) + SESSION_KILLED_MAX * sizeof(k->done->v[0]));
    return k->done != NULL;
}

static void kill_batch_answer(struct kill_batch *k, bool is_last)
{
    if (!kill_batch_has_answer(k))
        return;
    k->done->mail.fn = k->deliver;
    k->done->number = k->number;
    k->done->worker = k->env->worker;
    k->done->is_told = k->is_told;
    k->done->is_last = is_last;
    k->done->n_told = k->n_told;
    mailbox_post(k->reply, &STEAL(k->done)->mail);
}

/* Several ends of a turn are told by one mail. */
static void on_kill_batch_soon(struct loop_deferred *d)
{
    struct kill_batch *k = CONTAINER_OF(d, struct kill_batch, soon);
    bool is_last = k->is_told && list_is_empty(&k->watches);
    kill_batch_answer(k, is_last);
    if (is_last)
        kill_batch_free(k);
}

static void on_session_ended(struct session_end_watch *watch, const struct session_outcome *o)
{
    struct kill_watch *w = CONTAINER_OF(watch, struct kill_watch, watch);
    struct kill_batch *k = w->batch;
    if (kill_batch_has_answer(k))
        k->done->v[k->done->n++] = (struct session_ended){.at = w->at, .outcome = *o};
    kill_watch_free(w);
    if (k->done && k->done->n == SESSION_KILLED_MAX)
        kill_batch_answer(k, false);
    loop_again(k->env->loop, &k->soon);
}

/* ---- telling ---- */

static void kill_batch_tell(struct kill_batch *k, struct session *s, size_t at)
{
    struct kill_watch *w = k->reply ? calloc(1, sizeof(*w)) : NULL;
    if (w) {
        *w = (struct kill_watch){.watch = {.ended = on_session_ended}, .batch = k, .at = at};
        list_init(&w->watch.link);
        list_add_tail(&k->watches, &w->link);
    }
    if (session_kill(s, k->kind, k->has_text ? k->text : NULL, k->grace_ms, w ? &w->watch : NULL)) {
        k->n_told++;
        k->n_allowed--;
    } else if (w)
        kill_watch_free(w);
}

static void on_kill_batch_tick(struct loop_timer *t)
{
    struct kill_batch *k = CONTAINER_OF(t, struct kill_batch, tick);
    loop_slice(k->env->loop, &k->slice);
}

static void on_kill_batch_step(struct loop_slice *slice)
{
    struct kill_batch *k = CONTAINER_OF(slice, struct kill_batch, slice);
    for (int i = 0; i < KILL_PIECE; i++) {
        if (k->ids ? k->at == k->n : safe_iter_is_over(&k->walk)) {
            k->is_told = true;
            loop_unslice(&k->slice);
            if (k->generation)
                LOG_EVENT(LOG_LEVEL_NOTICE, "sessions-retired", KV_U64("worker", k->env->worker),
                          KV_U64("sessions", k->n_told));
            loop_again(k->env->loop, &k->soon);
            return;
        }
        if (k->n_allowed == 0)
            k->n_allowed = token_bucket_take(&k->pace, loop_now_ms(k->env->loop));
        if (k->n_allowed == 0) { /* with a rate the next ones have to wait */
            loop_unslice(&k->slice);
            loop_timer_set(k->env->loop, &k->tick, KILL_TICK_MS);
            return;
        }
        struct session *s = k->ids ? session_find(k->env, k->ids[k->at++])
                                   : session_of_link(safe_iter_next(&k->walk));
        bool is_meant = s && (k->ids || !k->generation || session_generation(s) < k->generation);
        if (is_meant)
            kill_batch_tell(k, s, k->ids ? k->at - 1 : 0);
    }
}

static void kill_batch_drop(struct mail *m)
{
    kill_batch_free(CONTAINER_OF(m, struct kill_batch, mail));
}

static void kill_batch_begin(struct kill_batch *k, struct session_env *env)
{
    k->env = env;
    k->pace.at_ms = loop_now_ms(env->loop);
    list_add_tail(&env->kills, &k->link);
    safe_iter_begin(&k->walk, &env->walks, &env->sessions);
    loop_slice(env->loop, &k->slice);
}

static void on_kill(struct mail *m, void *owner)
{
    kill_batch_begin(CONTAINER_OF(m, struct kill_batch, mail), owner);
}

static struct kill_batch *kill_batch_new(const struct session_kill_spec *spec)
{
    struct kill_batch *k = calloc(1, sizeof(*k));
    if (!k)
        return NULL;
    k->mail = (struct mail){.fn = on_kill, .drop = kill_batch_drop};
    list_init(&k->link);
    list_init(&k->walk.link);
    list_init(&k->slice.link);
    list_init(&k->soon.link);
    list_init(&k->watches);
    k->soon.fn = on_kill_batch_soon;
    k->slice.step = on_kill_batch_step;
    k->number = spec->number;
    k->reply = spec->reply;
    k->deliver = spec->deliver;
    k->kind = spec->kind;
    k->grace_ms = spec->grace_ms;
    k->generation = spec->generation;
    k->pace = (struct token_bucket){.rate = spec->rate, .per = spec->per};
    loop_timer_init(&k->tick, on_kill_batch_tick);
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
    if (!k)
        return -ERR_NOMEM;
    mailbox_post(worker, &k->mail);
    return 0;
}

int session_kill_here(struct session_env *env, const struct session_kill_spec *spec)
{
    struct kill_batch *k = kill_batch_new(spec);
    if (!k)
        return -ERR_NOMEM;
    kill_batch_begin(k, env);
    return 0;
}

void session_kills_end(struct session_env *env)
{
    LIST_FOREACH_SAFE (it, &env->kills)
        kill_batch_free(LIST_ITEM(it, struct kill_batch, link));
}
