/* SPDX-License-Identifier: ISC */
/* What comes of exchanging users: sessions that end or look again, what operators are told. */
#include "base/log/log.h"
#include "fleet/fleet_users_priv.h"
#include "ops/kill.h"
#include "peers/ask.h"

#define USERS_AGAIN_MS 5000    /* after a step that failed */
#define USERS_TELL_MAX 100     /* users whom workers are told one by one */
#define USERS_REFUSED_MS 60000 /* of refused texts one line and one comparison in so long */

void users_step_over(struct fleet_users *u)
{
    u->is_busy = false;
    loop_defer(u->control->host->loop, &u->next);
}

void users_step_failed(struct fleet_users *u)
{
    u->is_busy = false;
    u->edits = USERS_EDITS_UNKNOWN;
    u->has_doubted = true;
    u->next_look_ms = u->next_push_ms = users_now(u) + USERS_AGAIN_MS;
}

/* ---- what other nodes have changed is taken in here ---- */

static bool is_locked_user(void *arg, const struct session_row *row)
{
    const struct map *names = arg;
    struct str user = row->v[SESSION_FIELD_USER].text;
    return user.n > 0 && map_get(names, user);
}

static void on_locked_ended(void *arg, const struct kill_result *result)
{
    struct map *names = arg;
    if (result->err < 0)
        LOG_EVENT(LOG_LEVEL_ERROR, "locked-users-not-ended", KV_ERR("error", result->err));
    map_fini(names);
    free(names);
}

/* Their sessions end as with a lock that was said here. Takes over names. */
static void users_end_locked(struct fleet_users *u, struct map *names)
{
    struct map *kept = names->count > 0 ? malloc(sizeof(*kept)) : NULL;
    int err = kept || names->count == 0 ? 0 : -ERR_NOMEM;
    if (kept) {
        *kept = *names;
        *names = (struct map){0};
        const struct kill_spec spec = {.is_wanted = is_locked_user,
                                       .kind = REPLY_LOCKED,
                                       .grace_ms = KILL_GRACE_MS,
                                       .done = on_locked_ended,
                                       .arg = kept};
        err = kill_start(u->control, &spec);
        if (err < 0) {
            map_fini(kept);
            free(kept);
        }
    }
    if (err < 0)
        LOG_EVENT(LOG_LEVEL_ERROR, "locked-users-not-ended", KV_ERR("error", err));
}

void users_carry_out(struct fleet_users *u, struct user_effects *e)
{
    size_t i, n = json_array_size(e->changed);
    json_t *v;
    const struct engine_api *h = u->control->host;
    u->facts.taken += e->n_taken;
    u->facts.refused += e->n_refused;
    if (e->n_gone > 0)
        LOG_EVENT(LOG_LEVEL_NOTICE, "fleet-users-gone", KV_U64("users", e->n_gone));
    if (n > USERS_TELL_MAX) {
        h->forget_user(h->arg, NULL);
        sessions_wake(u->control, NULL);
    }
    json_array_foreach (e->changed, i, v) {
        if (n > USERS_TELL_MAX)
            break;
        h->forget_user(h->arg, json_string_value(v));
        sessions_wake(u->control, json_string_value(v)); /* held ones look again */
    }
    json_array_foreach (e->events, i, v) {
        LOG_EVENT(LOG_LEVEL_WARN, "fleet-user-conflict", KV_STR("detail", json_string_value(v)));
        control_event(u->control, "fleet", NULL, NULL, NULL, NULL, NULL, json_string_value(v));
    }
    users_end_locked(u, &e->locked);
}

void users_refused(struct fleet_users *u)
{
    uint64_t now = users_now(u);
    if (u->refused_ms && now < u->refused_ms + USERS_REFUSED_MS)
        return;
    u->refused_ms = now;
    u->is_reset = true;
    LOG_EVENT(LOG_LEVEL_WARN, "fleet-users-refused", KV_STR("key", u->key),
              KV_U64("refused", u->facts.refused),
              KV_STR("reason", "not sealed with this secret_file for this user and revision, or by "
                               "a newer version"));
}
