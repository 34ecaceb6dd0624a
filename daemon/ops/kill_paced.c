/* SPDX-License-Identifier: ISC */
/* session kill with a rate: those that match when it begins are ended little by little. */
#include <inttypes.h>

#include "base/clock.h"
#include "base/container/heap.h"
#include "base/token_bucket.h"
#include "ops/kill.h"
#include "ops/ops.h"
#include "runtime/state.h"

#define PACED_TICK_MS 200    /* so that no tick of the loop is passed over */
#define PACED_TARGET_MAX 200 /* bytes of the filter that are shown */

struct paced {
    struct control *control;
    struct op *op;
    struct request *request; /* until those that match are found */
    char *text;
    struct kill_found *left; /* a heap, the longest idle on top */
    size_t n, n_left;
    struct token_bucket pace;
    uint64_t grace_ms, n_told;
    struct kill_tally *tally;
    struct loop_timer tick;
    bool is_asking, is_stopped;
};

static void paced_free(void *arg)
{
    struct paced *p = arg;
    loop_timer_cancel(p->control->host->loop, &p->tick);
    kill_tally_unref(p->tally);
    free(p->left);
    free(p->text);
    free(p);
}

/* ---- the longest idle first ---- */

static bool is_idle_longer(const void *x, const void *y, const void *arg)
{
    const struct kill_found *a = x, *b = y;
    (void)arg;
    return a->idle > b->idle;
}

/* Sorting 100,000 at once would hold everybody up: a heap costs what is taken from it. */
static struct heap paced_heap(const struct paced *p)
{
    return (struct heap){
        .v = p->left, .n = p->n_left, .size = sizeof(*p->left), .is_above = is_idle_longer};
}

static void on_paced_found(void *arg, struct kill_found *v, size_t n)
{
    struct paced *p = arg;
    p->left = v;
    p->n = p->n_left = n;
    const struct heap h = paced_heap(p);
    heap_make(&h);
}

/* ---- the operation ---- */

static uint64_t paced_told(const struct paced *p)
{
    return p->n - p->n_left;
}

static void paced_refresh(void *arg)
{
    struct paced *p = arg;
    p->op->done = paced_told(p);
    p->op->eta_ms = token_bucket_time(&p->pace, p->n_left);
}

static void paced_finish(struct paced *p)
{
    bool is_done = p->n_left == 0;
    AUTO_FREE char *text = kill_tally_text(p->tally);
    uint64_t gone = paced_told(p) - p->n_told, pending = p->n_told - p->tally->ended;
    AUTO_FREE char *were_gone = gone ? str_printf("; %" PRIu64 " were gone", gone) : NULL;
    AUTO_FREE char *are_left = pending ? str_printf("; %" PRIu64 " are ending", pending) : NULL;
    op_end(p->op, is_done ? OP_DONE : OP_CANCELLED, "%s%s%s%s", text ? text : "",
           were_gone ? were_gone : "", are_left ? are_left : "",
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

static const struct op_kind paced_kind = {
    .name = "kill", .cancel = paced_cancel, .refresh = paced_refresh, .drop = paced_free};

static void paced_go_on(struct paced *p)
{
    p->is_asking = false;
    if (p->is_stopped || (p->n_left == 0 && p->tally->n_running == 0))
        paced_finish(p);
    else
        loop_timer_set(p->control->host->loop, &p->tick, PACED_TICK_MS);
}

static void on_paced_told(void *arg, int err, uint64_t n)
{
    struct paced *p = arg;
    p->n_told += n;
    if (err != -ERR_SHUTDOWN)
        paced_go_on(p);
}

static int paced_tell(struct paced *p, size_t n)
{
    AUTO_FREE uint64_t *ids = calloc(n + 1, sizeof(*ids));
    if (!ids)
        return -ERR_NOMEM;
    for (size_t i = 0; i < n; i++) {
        uint64_t id = p->left[0].id;
        p->left[0] = p->left[--p->n_left];
        const struct heap h = paced_heap(p);
        heap_sift_down(&h, 0);
        ids[i] = id;
    }
    const struct kill_spec spec = {.ids = ids,
                                   .n_ids = n,
                                   .kind = REPLY_KICKED,
                                   .text = p->text,
                                   .grace_ms = p->grace_ms,
                                   .tally = p->tally,
                                   .told = on_paced_told,
                                   .arg = p};
    return kill_start(p->control, &spec);
}

static void on_paced_tick(struct loop_timer *t)
{
    struct paced *p = CONTAINER_OF(t, struct paced, tick);
    size_t n = token_bucket_take(&p->pace, loop_now_ms(p->control->host->loop));
    n = n < p->n_left ? n : p->n_left;
    p->is_asking = n > 0 && paced_tell(p, n) == 0;
    if (!p->is_asking)
        paced_go_on(p);
}

/* ---- the beginning ---- */

static int paced_begin(struct paced *p, struct request *r)
{
    const char *filter = request_text(r, "filter");
    AUTO_FREE char *target =
        filter && *filter ? str_printf("%.*s", PACED_TARGET_MAX, filter) : str_dup_c("all");
    if (!target || !p->left)
        return -ERR_NOMEM;
    if (p->n == 0)
        return -ERR_NO_MATCH;
    p->pace = (struct token_bucket){.rate = request_number(r, "rate", 0),
                                    .per = request_number(r, "rate_per", 1),
                                    .at_ms = loop_now_ms(p->control->host->loop)};
    p->grace_ms = kill_grace_ms(r);
    return op_begin(p->control, &paced_kind, target, &r->peer, p, &p->op);
}

static void on_paced_counted(void *arg, const struct kill_result *result)
{
    struct paced *p = arg;
    struct request *r = STEAL(p->request);
    struct kill_result failed = *result;
    if (failed.err == 0)
        failed.err = paced_begin(p, r);
    if (failed.err < 0) {
        paced_free(p);
        kill_answer(r, &failed);
        return;
    }
    p->op->total = p->n;
    op_start(p->op);
    paced_go_on(p);
    op_answer(p->op, r, p->n, true, NULL);
}

void kill_paced(struct request *r, struct filter *filter)
{
    struct paced *p = calloc(1, sizeof(*p));
    const char *text = request_text(r, "text");
    const struct kill_spec spec = {.filter = filter,
                                   .has_max = request_has(r, "max"),
                                   .max = request_number(r, "max", 0),
                                   .is_dry = true,
                                   .done = on_paced_counted,
                                   .found = on_paced_found,
                                   .arg = p};
    if (!p) {
        request_fail(r, -ERR_NOMEM, NULL, NULL);
        return;
    }
    p->control = request_control(r);
    p->request = r;
    loop_timer_init(&p->tick, on_paced_tick);
    p->text = str_dup_c(text);
    p->tally = kill_tally_new();
    int err = !p->tally || (text && !p->text) ? -ERR_NOMEM : kill_start(request_control(r), &spec);
    if (err == 0)
        return;
    paced_free(p);
    request_fail(r, err, NULL, NULL);
}
