/* SPDX-License-Identifier: ISC */
/* What operators want of a backend: drain, ready, disable, hold, release. */
#include "control/backend/backend_list.h"
#include "ops/drains.h"
#include "ops/ready_wait.h"
#include "ops/timed_holds.h"
#include "rpc/handlers.h"

/* ---- drain and disable ---- */

/* A drain that is looked at before it begins. */
struct drain_order {
    struct request *request;
    struct targets targets;
    enum backend_admin admin; /* that they get */
};

/* The guards of dry_run and max: the sessions that are there. */
static void on_drain_looked(void *arg, const struct kill_result *result)
{
    struct drain_order *o = arg;
    struct request *r = o->request;
    if (result->err < 0)
        kill_answer(r, result);
    else if (request_bool(r, "dry_run"))
        kill_answer_found(r, result->tally, result->rows,
                          drain_is_kicking(r, o->admin)
                              ? "would end"
                              : "would stay until they end by themselves");
    else
        backends_set(r, &o->targets, o->admin, drain_start);
    targets_fini(&o->targets);
    free(o);
}

/* At once, or after a look where the command only looks or has a limit. */
static void drain_command(struct request *r, enum backend_admin admin)
{
    struct targets targets;
    bool has_max = request_has(r, "max") && drain_is_kicking(r, admin);
    if (targets_find(r, &targets) < 0)
        return;
    if (!request_bool(r, "dry_run") && !has_max) {
        backends_set(r, &targets, admin, drain_start);
        return;
    }
    struct drain_order *o = calloc(1, sizeof(*o));
    AUTO_FREE struct backend **backends = targets_backends(&targets);
    const struct kill_spec look = {.is_dry = true,
                                   .has_max = has_max,
                                   .max = request_number(r, "max", 0),
                                   .has_rows = true,
                                   .done = on_drain_looked,
                                   .arg = o};
    int err =
        o && backends ? drain_kill(request_control(r), backends, targets.n, &look) : -ERR_NOMEM;
    if (err < 0) {
        free(o);
        targets_fini(&targets);
        request_fail(r, err, NULL, NULL);
        return;
    }
    *o = (struct drain_order){.request = r, .targets = targets, .admin = admin};
}

void command_backend_drain(struct request *r)
{
    if (request_number(r, "rate", DRAIN_RATE) == 0)
        request_fail(r, -ERR_BAD_PARAM, NULL, "rate is 1 at least");
    else
        drain_command(r, request_bool(r, "hold") ? BACKEND_HOLD : BACKEND_DRAIN);
}

void command_backend_disable(struct request *r)
{
    drain_command(r, BACKEND_DISABLED);
}

/* ---- ready, hold, release ---- */

void command_backend_ready(struct request *r)
{
    struct targets targets;
    if (targets_find(r, &targets) == 0)
        backends_set(r, &targets, BACKEND_READY, ready_wait_start);
}

void command_backend_hold(struct request *r)
{
    struct targets targets;
    if (request_has(r, "for") && request_number(r, "for", 0) == 0)
        request_fail(r, -ERR_BAD_PARAM, NULL, "for is longer than 0; without it there is no end");
    else if (!request_is_over(r, request_number(r, "for", 0)) && targets_find(r, &targets) == 0)
        backends_set(r, &targets, BACKEND_HOLD, timed_hold_start);
}

static int edit_apply_release(struct backend_change *ch, struct runtime_edit *e)
{
    bool is_held = strcmp(e->edit.admin, backend_admin_name(BACKEND_HOLD)) == 0;
    return is_held ? change_set_admin(ch, e, BACKEND_READY) : 0;
}

void command_backend_release(struct request *r)
{
    static const struct backend_edit release = {.apply = edit_apply_release};
    change_start(r, false, &release);
}
