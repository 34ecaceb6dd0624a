/* SPDX-License-Identifier: ISC */
/* session kill with a rate: those that match when it begins are ended little by little. */
#include "base/clock.h"
#include "control/control_priv.h"
#include "control/kill.h"
#include "control/ops.h"
#include "control/pace.h"

#define PACED_TICK_MS 250
#define PACED_TARGET_MAX 200 /* bytes of the filter that are shown */

struct paced {
    struct control *control;
    struct op *op;
    struct request *request; /* until those that match are counted */
    char *filter, *text;
    struct pace pace;
    uint64_t begun_ms; /* wall clock: later sessions are not meant */
    uint64_t grace_ms;
    struct loop_timer tick;
    bool is_asking, is_stopped;
};

static void paced_free(struct paced *p)
{
    loop_timer_cancel(p->control->host->loop, &p->tick);
    free(p->filter);
    free(p->text);
    free(p);
}

static void paced_refresh(void *arg)
{
    struct paced *p = arg;
    uint64_t left = p->op->total > p->op->done ? p->op->total - p->op->done : 0;
    p->op->eta_ms = pace_time(&p->pace, left);
}

static void paced_finish(struct paced *p, enum op_state state, const char *text)
{
    op_end(p->op, state, "%s", text);
    paced_free(p);
}

static void paced_cancel(void *arg)
{
    struct paced *p = arg;
    p->is_stopped = true;
    if (!p->is_asking)
        paced_finish(p, OP_CANCELLED, "cancelled; the others go on");
}

static void paced_drop(void *arg)
{
    paced_free(arg);
}

static const struct op_kind paced_kind = {
    .name = "kill", .cancel = paced_cancel, .refresh = paced_refresh, .drop = paced_drop};

static void paced_again(struct paced *p)
{
    loop_timer_set(p->control->host->loop, &p->tick, PACED_TICK_MS);
}

static void on_paced_killed(void *arg, int err, uint64_t matched, uint64_t n, json_t *rows)
{
    struct paced *p = arg;
    json_decref(rows);
    p->is_asking = false;
    p->op->done += n;
    if (err == -ERR_SHUTDOWN)
        return;
    if (p->is_stopped)
        paced_finish(p, OP_CANCELLED, "cancelled; the others go on");
    else if (err == 0 && matched == 0)
        paced_finish(p, OP_DONE, "all of them were told to end");
    else
        paced_again(p);
}

/* Those that were there when it began, and were not told yet. */
static int paced_filter(const struct paced *p, struct filter **ret)
{
    AUTO_BUF text = BUF_INIT;
    int err = buf_printf(&text, "%s started<=%llu !phase=ending !state=closing", p->filter,
                         (unsigned long long)p->begun_ms);
    return err == 0 ? kill_parse(&text, ret) : err;
}

static void on_paced_tick(struct loop_timer *t)
{
    struct paced *p = CONTAINER_OF(t, struct paced, tick);
    struct filter *filter = NULL;
    struct kill_spec spec = {.kind = REPLY_KICKED,
                             .first_idle = pace_take(&p->pace, loop_now_ms(p->control->host->loop)),
                             .text = p->text,
                             .grace_ms = p->grace_ms,
                             .done = on_paced_killed,
                             .arg = p};
    int err = spec.first_idle > 0 ? paced_filter(p, &filter) : -ERR_AGAIN;
    spec.filter = filter;
    if (err == 0)
        err = kill_start(p->control, &spec);
    filter_unref(filter);
    p->is_asking = err == 0;
    if (err < 0)
        paced_again(p);
}

/* ---- the beginning ---- */

static int paced_begin(struct paced *p, struct request *r)
{
    AUTO_FREE char *target =
        *p->filter ? str_printf("%.*s", PACED_TARGET_MAX, p->filter) : str_dup_c("all");
    p->pace = (struct pace){.rate = request_number(r, "rate", 0),
                            .at_ms = loop_now_ms(p->control->host->loop)};
    p->grace_ms = request_bool(r, "now") ? 0 : request_number(r, "grace", KILL_GRACE_MS);
    return target ? op_begin(p->control, &paced_kind, target, &r->peer, p, &p->op) : -ERR_NOMEM;
}

static void on_paced_counted(void *arg, int err, uint64_t matched, uint64_t n, json_t *rows)
{
    struct paced *p = arg;
    struct request *r = STEAL(p->request);
    if (err == 0 && n == 0)
        err = -ERR_NO_MATCH;
    if (err == 0)
        err = paced_begin(p, r);
    if (err < 0) {
        paced_free(p);
        kill_answer(r, err, matched, 0, rows);
        return;
    }
    json_decref(rows);
    p->op->total = n;
    paced_again(p);
    op_answer(p->op, r, n, true);
}

static struct paced *paced_new(struct request *r)
{
    struct paced *p = calloc(1, sizeof(*p));
    const char *filter = request_text(r, "filter"), *text = request_text(r, "text");
    if (!p)
        return NULL;
    p->control = r->control;
    p->request = r;
    p->begun_ms = clock_wall_ms();
    p->filter = str_dup_c(filter ? filter : "");
    p->text = str_dup_c(text);
    loop_timer_init(&p->tick, on_paced_tick);
    if (p->filter && (p->text || !text))
        return p;
    paced_free(p);
    return NULL;
}

void kill_paced(struct request *r)
{
    struct filter *filter = NULL;
    struct paced *p = paced_new(r);
    struct kill_spec spec = {
        .max = request_number(r, "max", 0), .is_dry = true, .done = on_paced_counted, .arg = p};
    int err = p ? paced_filter(p, &filter) : -ERR_NOMEM;
    spec.filter = filter;
    if (err == 0)
        err = kill_start(r->control, &spec);
    filter_unref(filter);
    if (err == 0)
        return;
    if (p)
        paced_free(p);
    request_fail(r, err, NULL, NULL);
}
