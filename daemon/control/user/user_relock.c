/* SPDX-License-Identifier: ISC */
/* An engine that was silent while users were locked still has their sessions: they end when it
 * answers again. */
#include "control/user/user_relock.h"

#include "base/clock.h"
#include "base/log/log.h"
#include "ops/kill.h"
#include "runtime/state.h"

struct relock {
    struct work work;
    struct map names; /* of those that are locked; the values say nothing */
    uint64_t now_ms;
    int err;
};

static bool relock_take(void *arg, const struct store_user *u)
{
    static char here;
    struct relock *x = arg;
    if (store_user_is(u, USER_LOCKED, x->now_ms))
        x->err = map_put(&x->names, str_of(u->name), &here, NULL);
    return x->err == 0;
}

static int relock_run(struct work *w)
{
    struct relock *x = CONTAINER_OF(w, struct relock, work);
    int err = store_user_each(work_control(w)->host->store, NULL, SIZE_MAX, relock_take, x);
    return err < 0 ? err : x->err;
}

static bool relock_is_wanted(void *arg, const struct session_row *row)
{
    const struct map *names = arg;
    struct str user = row->v[SESSION_FIELD_USER].text;
    return user.n > 0 && map_get(names, user);
}

/* Nobody waits for an answer: what failed is in the log, or nowhere. */
static void relock_failed(int err)
{
    LOG_EVENT(LOG_LEVEL_ERROR, "locked-users-not-ended", KV_ERR("error", err));
}

static void on_relocked(void *arg, const struct kill_result *result)
{
    struct map *names = arg;
    if (result->err < 0)
        relock_failed(result->err);
    else if (result->matched > 0)
        LOG_EVENT(LOG_LEVEL_NOTICE, "locked-users-ended", KV_U64("sessions", result->matched));
    map_fini(names);
    free(names);
}

static void relock_done(struct work *w)
{
    struct relock *x = CONTAINER_OF(w, struct relock, work);
    if (w->err == 0 && x->names.count == 0)
        return;
    struct map *names = w->err == 0 ? malloc(sizeof(*names)) : NULL;
    if (!names) {
        relock_failed(w->err < 0 ? w->err : -ERR_NOMEM);
        return;
    }
    *names = x->names;
    x->names = (struct map){0};
    const struct kill_spec spec = {.is_wanted = relock_is_wanted,
                                   .kind = REPLY_LOCKED,
                                   .grace_ms = KILL_GRACE_MS,
                                   .done = on_relocked,
                                   .arg = names};
    int err = kill_start(work_control(w), &spec);
    if (err == 0)
        return;
    relock_failed(err);
    map_fini(names);
    free(names);
}

static void relock_fini(struct work *w)
{
    map_fini(&CONTAINER_OF(w, struct relock, work)->names);
}

void user_relock(struct control *c)
{
    struct relock *x = work_new(&c->rpc, NULL, sizeof(*x), relock_run, relock_done, relock_fini);
    if (!x) {
        relock_failed(-ERR_NOMEM);
        return;
    }
    x->now_ms = clock_wall_ms();
    work_post(&x->work, &c->user_queue); /* behind the locks that are being written */
}
