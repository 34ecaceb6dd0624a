/* SPDX-License-Identifier: ISC */
/* One upgrade: refused, checked, an operation while the new engine starts, done. */
#include "ops/upgrades.h"

#include "base/log/log.h"
#include "ops/configs.h"
#include "ops/ops.h"
#include "runtime/state.h"

#define UPGRADE_SIGNAL "SIGUSR2" /* who asked, for the audit */

struct upgrades {
    struct control *control;
    struct request *request; /* until the new program is checked */
    struct op *op;           /* from then on */
    uint64_t deadline_ms;    /* of the sessions; 0 = the config's */
    uint64_t rate;           /* of their ends then, likewise */
};

/* The new engine finds the operation in the store. */
static void upgrade_op_start(void *arg)
{
    const struct upgrades *u = arg;
    const struct engine_api *h = u->control->host;
    int err = h->upgrade_start(h->arg);
    if (err < 0)
        LOG_EVENT(LOG_LEVEL_ERROR, "upgrade-not-started", KV_ERR("error", err));
}

/* The end of the control plane: nothing is held for the operation alone. */
static void upgrade_drop(void *arg)
{
    (void)arg;
}

static const struct op_kind upgrade_kind = {
    .name = OP_UPGRADE, .start = upgrade_op_start, .drop = upgrade_drop};

/* ---- the beginning ---- */

/* True when it was refused, and answered. */
static bool upgrade_refuse(const struct upgrades *u, struct request *r)
{
    const struct engine_api *h = u->control->host;
    size_t n_olds;
    const struct control_old *olds = h->olds(h->arg, &n_olds);
    const struct op *op = op_uninterruptible(u->control);
    if (u->request || u->op) {
        request_fail(r, -ERR_BUSY, "op list", "an upgrade is under way");
    } else if (h->is_stopping(h->arg)) {
        request_fail(r, -ERR_SHUTDOWN, NULL, NULL);
    } else if (n_olds >= PEER_ENGINES_MAX) {
        const struct config *c = control_snapshot(u->control)->config;
        AUTO_FREE char *path =
            control_old_path(c->n_controls ? c->controls[0].path : "PATH", olds[n_olds - 1].number);
        AUTO_FREE char *hint = str_printf("mailproxyctl -s %s system stop ends the oldest", path);
        request_fail(r, -ERR_BUSY, hint, "%d programs of earlier upgrades have sessions still",
                     PEER_ENGINES_MAX);
    } else if (op) {
        request_fail(r, -ERR_BUSY, "op list", "operation %llu (%s) has to end before",
                     (unsigned long long)op->id, op->name);
    } else if (configs_is_waiting(u->control)) {
        request_fail(r, -ERR_BUSY, "config confirm", "a reload waits for its confirmation");
    } else {
        return false;
    }
    return true;
}

void upgrades_request(struct request *r)
{
    struct upgrades *u = request_control(r)->upgrades;
    const struct engine_api *h = request_control(r)->host;
    if (upgrade_refuse(u, r))
        return;
    int err = h->upgrade(h->arg);
    if (err < 0) {
        request_fail(r, err, NULL,
                     err == -ERR_UNSUPPORTED ? "there is no supervisor that could start it" : NULL);
        return;
    }
    u->request = r;
    u->deadline_ms = request_number(r, "deadline", 0);
    u->rate = request_number(r, "rate", 0);
}

static void on_upgrade_answered(void *arg, const struct request_outcome *o)
{
    (void)arg;
    if (o->error)
        LOG_EVENT(LOG_LEVEL_ERROR, "upgrade-refused", KV_STR("detail", o->error));
}

void upgrades_begin(struct control *c)
{
    const struct peer peer = {.uid = (uint32_t)getuid(),
                              .pid = (uint32_t)getpid(),
                              .role = ROLE_ADMIN,
                              .user = UPGRADE_SIGNAL};
    if (request_start_own(&c->rpc, &peer, "system.upgrade", json_object(), 0, on_upgrade_answered,
                          NULL) < 0)
        LOG_EVENT(LOG_LEVEL_ERROR, "upgrade-refused", KV_ERR("error", -ERR_NOMEM));
}

/* ---- what becomes of it ---- */

void upgrades_checked(struct upgrades *u)
{
    struct request *r = STEAL(u->request);
    if (!r)
        return;
    int err = op_begin(u->control, &upgrade_kind, "mailproxyd", &r->peer, u, &u->op);
    if (err < 0) {
        request_fail(r, err, NULL, NULL);
        return;
    }
    op_say(u->op, "the new program is good and starts");
    op_start(u->op);
    op_answer(u->op, r, 1, true, NULL);
}

void upgrades_failed(struct upgrades *u, struct str why)
{
    LOG_EVENT(LOG_LEVEL_ERROR, "upgrade-failed", KV_STRN("detail", why));
    if (u->request)
        request_fail(STEAL(u->request), -ERR_UPGRADE, NULL, "%.*s", STR_ARG(why));
    else if (u->op)
        op_end(STEAL(u->op), OP_FAILED, "%.*s; the running program goes on", STR_ARG(why));
}

uint64_t upgrades_done(struct upgrades *u, uint64_t successor, uint64_t *ret_rate)
{
    *ret_rate = u->rate;
    if (u->op) {
        u->op->done = u->op->total = 1;
        op_end(STEAL(u->op), OP_DONE,
               "the new program serves (pid %llu); the old one (pid %d) finishes",
               (unsigned long long)successor, (int)getpid());
    }
    return u->deadline_ms;
}

/* ---- life ---- */

int upgrades_new(struct control *c, struct upgrades **ret)
{
    struct upgrades *u = calloc(1, sizeof(*u));
    if (!u)
        return -ERR_NOMEM;
    u->control = c;
    *ret = u;
    return 0;
}

void upgrades_free(struct upgrades *u)
{
    if (!u)
        return;
    if (u->request)
        request_abandon(u->request);
    free(u);
}
