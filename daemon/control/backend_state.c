/* SPDX-License-Identifier: ISC */
/* What operators want of a backend: drain, ready, disable, hold, release. */
#include "base/clock.h"
#include "control/backend_list.h"
#include "control/handlers.h"
#include "ops/drains.h"
#include "ops/kill.h"
#include "ops/timed_holds.h"

#define DRAIN_RATE 50

static int state_set(struct backend_change *ch, struct runtime_edit *e, enum backend_admin admin)
{
    const char *word = admin == BACKEND_READY ? "" : backend_admin_name(admin);
    if (strcmp(e->edit.admin, word) == 0)
        return 0;
    (void)str_copy(e->edit.admin, sizeof(e->edit.admin), str_of(word));
    free(e->reason);
    e->reason = str_dup_c(request_text(ch->work.request, "reason"));
    e->since_ms = clock_wall_ms();
    return 0;
}

/* ---- ready, hold, release ---- */

static int edit_ready(struct backend_change *ch, struct runtime_edit *e)
{
    return state_set(ch, e, BACKEND_READY);
}

static int edit_hold(struct backend_change *ch, struct runtime_edit *e)
{
    return state_set(ch, e, BACKEND_HOLD);
}

static int edit_release(struct backend_change *ch, struct runtime_edit *e)
{
    bool is_held = strcmp(e->edit.admin, backend_admin_name(BACKEND_HOLD)) == 0;
    return is_held ? state_set(ch, e, BACKEND_READY) : 0;
}

void command_backend_ready(struct request *r)
{
    change_start(r, false, edit_ready, NULL);
}

static void hold_then(struct backend_change *ch)
{
    struct request *r = ch->work.request;
    uint64_t for_ms = request_number(r, "for", 0);
    if (for_ms > 0) {
        timed_hold_start(r, ch->backend, for_ms, ch->is_changed);
        return;
    }
    timed_hold_stop(request_control(r), ch->backend, "the hold has no end any more");
    request_done(r, ch->is_changed, ch->is_changed, NULL);
}

void command_backend_hold(struct request *r)
{
    if (request_has(r, "for") && request_number(r, "for", 0) == 0)
        request_fail(r, -ERR_BAD_PARAM, NULL, "for is longer than 0; without it there is no end");
    else
        change_start(r, false, edit_hold, hold_then);
}

void command_backend_release(struct request *r)
{
    change_start(r, false, edit_release, NULL);
}

/* ---- drain and disable ---- */

static int edit_drain(struct backend_change *ch, struct runtime_edit *e)
{
    return state_set(ch, e, request_bool(ch->work.request, "hold") ? BACKEND_HOLD : BACKEND_DRAIN);
}

static int edit_disable(struct backend_change *ch, struct runtime_edit *e)
{
    return state_set(ch, e, BACKEND_DISABLED);
}

static void drain_then(struct backend_change *ch)
{
    struct request *r = ch->work.request;
    const struct drain_spec spec = {
        .backend = ch->backend,
        .admin = request_bool(r, "hold") ? BACKEND_HOLD : BACKEND_DRAIN,
        .is_kicking = request_bool(r, "kick"),
        .deadline_ms = request_number(r, "deadline", 0),
        .rate = request_number(r, "rate", DRAIN_RATE),
        .grace_ms = kill_grace_ms(r),
        .text = request_text(r, "text"),
        .is_removed = request_bool(r, "drain"),
    };
    drain_start(r, &spec, ch->is_changed);
}

static void disable_then(struct backend_change *ch)
{
    struct request *r = ch->work.request;
    const struct drain_spec spec = {
        .backend = ch->backend,
        .admin = BACKEND_DISABLED,
        .is_kicking = true,
        .grace_ms = kill_grace_ms(r),
        .text = request_text(r, "text"),
    };
    drain_start(r, &spec, ch->is_changed);
}

/* Answers when it is not. */
static bool drain_has_rate(struct request *r)
{
    bool is_good = request_number(r, "rate", DRAIN_RATE) > 0;
    if (!is_good)
        request_fail(r, -ERR_BAD_PARAM, NULL, "rate is 1 at least");
    return is_good;
}

void backend_drain_out(struct request *r)
{
    if (drain_has_rate(r))
        change_start(r, false, edit_drain, drain_then);
}

/* Does it end sessions, and not only wait for their end? */
static bool drain_is_kicking(const struct request *r)
{
    return strcmp(r->command->verb, "disable") == 0 || request_bool(r, "kick") ||
           request_has(r, "deadline");
}

static void drain_go(struct request *r)
{
    if (strcmp(r->command->verb, "disable") == 0)
        change_start(r, false, edit_disable, disable_then);
    else
        change_start(r, false, edit_drain, drain_then);
}

/* The guards of dry_run and max: the sessions that would end. */
static void on_drain_looked(void *arg, const struct kill_result *result)
{
    struct request *r = arg;
    if (result->err < 0 || request_bool(r, "dry_run"))
        kill_answer(r, result);
    else
        drain_go(r);
}

static int drain_look(struct request *r, const struct target *t)
{
    struct filter *filter = NULL;
    struct kill_spec spec = {
        .exact = {{SESSION_FIELD_BACKEND, t->name}, {SESSION_FIELD_POOL, t->pool}},
        .is_dry = true,
        .has_max = request_has(r, "max"),
        .max = request_number(r, "max", 0),
        .has_rows = true,
        .done = on_drain_looked,
        .arg = r};
    int err = kill_filter(SESSION_FIELD_BACKEND, t->name, &filter);
    spec.filter = filter;
    if (err == 0)
        err = kill_start(request_control(r), &spec);
    filter_unref(filter);
    return err;
}

static void drain_command(struct request *r)
{
    struct target t;
    bool is_dry = request_bool(r, "dry_run");
    if (!is_dry && !(request_has(r, "max") && drain_is_kicking(r))) {
        drain_go(r);
        return;
    }
    if (target_find(r, request_text(r, "name"), &t) < 0)
        return;
    int err = 0;
    if (drain_is_kicking(r))
        err = drain_look(r, &t);
    else
        request_hit(r, 0, false, json_array());
    if (err < 0)
        request_fail(r, err, NULL, NULL);
    target_fini(&t);
}

void command_backend_drain(struct request *r)
{
    if (drain_has_rate(r))
        drain_command(r);
}

void command_backend_disable(struct request *r)
{
    drain_command(r);
}
