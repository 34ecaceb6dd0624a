/* SPDX-License-Identifier: ISC */
/* session kill with a rate: those that match when it begins are ended little by little. */
#include "base/clock.h"
#include "control/control_priv.h"
#include "control/kill.h"
#include "control/ops.h"
#include "control/pace.h"

#define PACED_TICK_MS 200 /* so that no tick of the loop is passed over */
#define PACED_TARGET_MAX 200 /* bytes of the filter that are shown */

struct paced {
    struct control *control;
    struct op *op;
    struct request *request; /* until those that match are found */
    char *text;
    uint64_t *ids; /* the longest idle first */
    size_t n, at;
    struct pace pace;
    uint64_t grace_ms, n_told;
    struct loop_timer tick;
    bool is_asking, is_stopped;
};

static void paced_free(struct paced *p)
{
    loop_timer_cancel(p->control->host->loop, &p->tick);
    free(p->ids);
    free(p->text);
    free(p);
}

static void paced_refresh(void *arg)
{
    struct paced *p = arg;
    p->op->done = p->at;
    p->op->eta_ms = pace_time(&p->pace, p->n - p->at);
}

static void paced_finish(struct paced *p)
{
    bool is_done = p->at == p->n;
    op_end(p->op, is_done ? OP_DONE : OP_CANCELLED, "%llu told to end, %llu were gone%s",
           (unsigned long long)p->n_told, (unsigned long long)(p->at - p->n_told),
           is_done ? "" : "; the others go on");
    paced_free(p);
}

static void paced_cancel(void *arg)
{
    struct paced *p = arg;
    p->is_stopped = true;
    if (!p->is_asking)
        paced_finish(p);
}

static void paced_drop(void *arg)
{
    paced_free(arg);
}

static const struct op_kind paced_kind = {
    .name = "kill", .cancel = paced_cancel, .refresh = paced_refresh, .drop = paced_drop};

static void paced_go_on(struct paced *p)
{
    p->is_asking = false;
    if (p->is_stopped || p->at == p->n)
        paced_finish(p);
    else
        loop_timer_set(p->control->host->loop, &p->tick, PACED_TICK_MS);
}

static void on_paced_told(void *arg, int err, uint64_t matched, uint64_t n, json_t *rows)
{
    struct paced *p = arg;
    (void)matched;
    json_decref(rows);
    p->n_told += n;
    if (err != -ERR_SHUTDOWN)
        paced_go_on(p);
}

static void on_paced_tick(struct loop_timer *t)
{
    struct paced *p = CONTAINER_OF(t, struct paced, tick);
    size_t n = pace_take(&p->pace, loop_now_ms(p->control->host->loop));
    if (n > p->n - p->at)
        n = p->n - p->at;
    const struct kill_spec spec = {.ids = p->ids + p->at,
                                   .n_ids = n,
                                   .kind = REPLY_KICKED,
                                   .text = p->text,
                                   .grace_ms = p->grace_ms,
                                   .done = on_paced_told,
                                   .arg = p};
    int err = n > 0 ? kill_start(p->control, &spec) : -ERR_AGAIN;
    p->is_asking = err == 0;
    if (err == 0)
        p->at += n;
    else
        paced_go_on(p);
}

/* ---- the beginning ---- */

static void on_paced_found(void *arg, const uint64_t *ids, size_t n)
{
    struct paced *p = arg;
    p->ids = calloc(n + 1, sizeof(*p->ids));
    if (!p->ids)
        return;
    memcpy(p->ids, ids, n * sizeof(*ids));
    p->n = n;
}

static int paced_begin(struct paced *p, struct request *r)
{
    const char *filter = request_text(r, "filter");
    AUTO_FREE char *target =
        filter && *filter ? str_printf("%.*s", PACED_TARGET_MAX, filter) : str_dup_c("all");
    if (!target || !p->ids)
        return -ERR_NOMEM;
    if (p->n == 0)
        return -ERR_NO_MATCH;
    p->pace = (struct pace){.rate = request_number(r, "rate", 0),
                            .at_ms = loop_now_ms(p->control->host->loop)};
    p->grace_ms = request_bool(r, "now") ? 0 : request_number(r, "grace", KILL_GRACE_MS);
    return op_begin(p->control, &paced_kind, target, &r->peer, p, &p->op);
}

static void on_paced_counted(void *arg, int err, uint64_t matched, uint64_t n, json_t *rows)
{
    struct paced *p = arg;
    struct request *r = STEAL(p->request);
    if (err == 0)
        err = paced_begin(p, r);
    if (err < 0) {
        paced_free(p);
        kill_answer(r, err, matched, 0, rows);
        return;
    }
    json_decref(rows);
    p->op->total = n;
    paced_go_on(p);
    op_answer(p->op, r, n, true);
}

void kill_paced(struct request *r, struct filter *filter)
{
    struct paced *p = calloc(1, sizeof(*p));
    const char *text = request_text(r, "text");
    const struct kill_spec spec = {.filter = filter,
                                   .max = request_number(r, "max", 0),
                                   .is_dry = true,
                                   .done = on_paced_counted,
                                   .found = on_paced_found,
                                   .arg = p};
    if (!p) {
        request_fail(r, -ERR_NOMEM, NULL, NULL);
        return;
    }
    p->control = r->control;
    p->request = r;
    loop_timer_init(&p->tick, on_paced_tick);
    p->text = str_dup_c(text);
    int err = text && !p->text ? -ERR_NOMEM : kill_start(r->control, &spec);
    if (err == 0)
        return;
    paced_free(p);
    request_fail(r, err, NULL, NULL);
}
