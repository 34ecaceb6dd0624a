/* SPDX-License-Identifier: ISC */
/* Commands on several nodes: those that this node asks of others. */
#include "fleet/commands/fleet_run.h"

#include "base/clock.h"
#include "base/log/log.h"
#include "fleet/commands/fleet_gather.h"
#include "fleet/commands/fleet_run_priv.h"
#include "runtime/state.h"

#define RUN_BEGIN_MS 2000   /* a node that lives says so soon that it has begun */
#define RUN_SILENT_MS 12000 /* one that runs it says so four times in this time */
#define RUN_GONE_MS 5000    /* one that began a moment ago may not be known yet */
#define RUN_TICK_MS 250     /* how often is looked for those that do not */
#define RUNS_MAX 256        /* under way */

/* What one node has to do with a command. */
struct run_part {
    char *node;
    char *answer;   /* JSON text {"result": ...} or {"error": ...}; NULL = none yet */
    char *away;     /* why it has no part in it; NULL = it has */
    bool has_begun; /* of the own one: its request was started */
    bool is_own;
    uint64_t heard_ms;              /* of what has begun: when it said something last */
    char holder[FLEET_HOLDER_SIZE]; /* the engine that said so; "" = none */
};

struct fleet_run {
    struct list link;
    struct fleet_runs *runs;
    struct request *request; /* one reference */
    char id[RUN_ID_MAX];
    uint64_t started_ms;
    uint64_t said_ms; /* wall clock */
    bool is_later;    /* nodes that are away take it in when they are back */
    bool is_lost;     /* the store did not take it, and it is not sent again */
    const struct command *command;
    json_t *params; /* of the own part */
    json_t *asked;  /* see struct request_part; NULL = nothing is shared out */
    struct run_part *parts;
    size_t n_parts;
    unsigned pending; /* callbacks that will come: of the own request, of the store */
    bool is_answered;
};

/* ---- what was asked ---- */

static void run_free(struct fleet_run *run)
{
    list_del(&run->link);
    for (size_t i = 0; i < run->n_parts; i++) {
        free(run->parts[i].node);
        free(run->parts[i].answer);
        free(run->parts[i].away);
    }
    free(run->parts);
    json_decref(run->params);
    json_decref(run->asked);
    request_unref(run->request);
    free(run);
}

/* Answers once every node has, or will not. */
static void run_settle(struct fleet_run *run)
{
    for (size_t i = 0; i < run->n_parts; i++)
        if (!run->parts[i].answer && !run->parts[i].away)
            return;
    if (!run->is_answered) {
        json_t *rows = json_array();
        for (size_t i = 0; i < run->n_parts; i++) {
            const struct run_part *p = &run->parts[i];
            json_t *row = json_object();
            request_set_text(row, "node", p->node);
            request_set_text(row, "answer", p->answer);
            request_set_text(row, "away", p->answer ? NULL : p->away);
            (void)json_array_append_new(rows, row);
        }
        run->is_answered = true;
        fleet_gather_close(run->runs, run->id);
        request_rows(run->request, rows, NULL);
    }
    if (run->pending == 0)
        run_free(run);
}

static void part_away(struct fleet_run *run, struct run_part *p, const char *why)
{
    if (p->answer || p->away)
        return;
    fleet_gather_refused(run->runs, run->id, p->node, why);
    p->away = str_printf("%s; %s", why,
                         p->has_begun    ? "what it has done is not known"
                         : run->is_lost  ? "the command may not reach it"
                         : run->is_later ? "it takes the command in when it is back"
                                         : "it has no part in this");
}

/* ---- the own part ---- */

static void on_own_answered(void *arg, const struct request_outcome *o);

static void run_start_own(struct fleet_run *run)
{
    struct run_part *p = run->n_parts > 0 && run->parts[0].is_own ? &run->parts[0] : NULL;
    struct request *r = run->request;
    if (!p || p->has_begun)
        return;
    p->has_begun = true;
    run->pending++;
    const struct request_part part = {.peer = &r->peer,
                                      .method = run->command->method,
                                      .params = json_incref(run->params),
                                      .asked = run->asked,
                                      .said_ms = run->said_ms,
                                      .answered = on_own_answered,
                                      .arg = run};
    if (request_start_part(r->rpc, &part) < 0) {
        run->pending--;
        p->away = str_dup_c(err_text(ERR_NOMEM));
    }
}

bool fleet_run_own_came(struct fleet_runs *f, const char *id)
{
    LIST_FOREACH (it, &f->runs) {
        struct fleet_run *run = LIST_ITEM(it, struct fleet_run, link);
        if (strcmp(run->id, id) != 0)
            continue;
        run_start_own(run);
        return true;
    }
    return false;
}

/* ---- who is waited for ---- */

/* Why it is not waited for any longer; NULL: it is. */
static const char *part_trouble(const struct fleet_run *run, const struct run_part *p, uint64_t now)
{
    const struct fleet_runs *f = run->runs;
    if (!p->has_begun)
        return !fleet_run_is_alive(f, p->node)         ? "it went away"
               : now - run->started_ms >= RUN_BEGIN_MS ? "it does not answer"
                                                       : NULL;
    uint64_t silent_ms = now - p->heard_ms;
    bool is_engine_gone =
        silent_ms >= RUN_GONE_MS && *p->holder && !fleet_run_has_engine(f, p->holder);
    if (!fleet_run_is_alive(f, p->node) || is_engine_gone)
        return "it went away while it ran it";
    return silent_ms >= RUN_SILENT_MS ? "it began, and says nothing any more" : NULL;
}

/* Nodes that went, or do not say that they began or go on, are not waited for; nor is the store for
 * the own part. */
static void run_check(struct fleet_run *run)
{
    uint64_t now = loop_now_ms(run->runs->loop);
    run->pending++; /* the own part may be answered at once */
    if (now - run->started_ms >= RUN_BEGIN_MS)
        run_start_own(run);
    for (size_t i = 0; i < run->n_parts; i++) {
        struct run_part *p = &run->parts[i];
        const char *why = p->is_own || p->answer || p->away ? NULL : part_trouble(run, p, now);
        if (why)
            part_away(run, p, why);
    }
    run->pending--;
    run_settle(run);
}

void fleet_run_check(struct fleet_runs *f)
{
    LIST_FOREACH_SAFE (it, &f->runs)
        run_check(LIST_ITEM(it, struct fleet_run, link));
}

static void on_run_tick(struct loop_timer *t)
{
    struct fleet_runs *f = CONTAINER_OF(t, struct fleet_runs, tick);
    fleet_run_check(f);
    if (!list_is_empty(&f->runs))
        loop_timer_set(f->loop, &f->tick, RUN_TICK_MS);
}

/* ---- answers ---- */

/* A node that cannot do its part of a move keeps all from doing theirs. True: it cannot. */
static bool run_note_error(struct fleet_run *run, const struct run_part *p)
{
    json_t *answer = p->answer ? json_loads(p->answer, 0, NULL) : NULL;
    const json_t *error = json_object_get(answer, "error");
    const char *text = json_string_value(json_object_get(error, "message"));
    if (error)
        fleet_gather_refused(run->runs, run->id, p->node, text ? text : "it refused");
    json_decref(answer);
    return error;
}

static void on_own_answered(void *arg, const struct request_outcome *o)
{
    struct fleet_run *run = arg;
    run->pending--;
    for (size_t i = 0; i < run->n_parts; i++)
        if (run->parts[i].is_own)
            run->parts[i].answer = fleet_answer_text(o);
    for (size_t i = 0; i < run->n_parts; i++)
        if (run->parts[i].is_own && !run->parts[i].answer)
            run->parts[i].away = str_dup_c(err_text(ERR_NOMEM));
        else if (run->parts[i].is_own)
            (void)run_note_error(run, &run->parts[i]);
    if (run->is_later)
        fleet_queue_ran(run->runs, run->id);
    run_settle(run);
}

/* answer NULL: it has begun, or runs it still. */
static void part_hear(struct fleet_run *run, struct run_part *p, const char *holder,
                      const char *answer)
{
    bool is_other = p->has_begun && *p->holder && strcmp(p->holder, holder) != 0;
    p->has_begun = true;
    p->heard_ms = loop_now_ms(run->runs->loop);
    (void)str_copy(p->holder, sizeof(p->holder), str_of(holder));
    p->answer = str_dup_c(answer);
    bool is_refused = run_note_error(run, p);
    if (is_other &&
        (is_refused || !run->is_later)) { /* what the engine before it did it cannot know */
        free(STEAL(p->answer));
        part_away(run, p, "it went away while it ran it");
    }
}

void fleet_run_answered(struct fleet_runs *f, const json_t *m)
{
    const char *id = json_string_value(json_object_get(m, "id"));
    const char *node = json_string_value(json_object_get(m, "from"));
    const char *answer = json_string_value(json_object_get(m, "answer"));
    const char *holder = json_string_value(json_object_get(m, "holder"));
    LIST_FOREACH (it, &f->runs) {
        struct fleet_run *run = LIST_ITEM(it, struct fleet_run, link);
        if (!id || !node || strcmp(run->id, id) != 0)
            continue;
        for (size_t i = 0; i < run->n_parts; i++) {
            struct run_part *p = &run->parts[i];
            if (!p->is_own && !p->answer && strcmp(p->node, node) == 0)
                part_hear(run, p, holder ? holder : "", answer);
        }
        run_settle(run);
        return;
    }
}

/* ---- sending ---- */

/* What could not be sent. Where the store is away, or did not answer, what is to hold was kept, and
 * is sent later; what it refused is not, and nobody is promised it. */
static void on_run_sent(void *arg, const struct redis_result *r)
{
    struct fleet_run *run = arg;
    run->is_lost = r->err < 0 && !fleet_queue_keeps(r->err);
    for (size_t i = 0; r->err < 0 && i < run->n_parts; i++) {
        if (run->parts[i].is_own)
            continue;
        if (run->is_lost)
            free(STEAL(run->parts[i].away));
        part_away(run, &run->parts[i], r->error ? r->error : err_text(r->err));
    }
    if (r->err < 0)
        run_start_own(run);
    run->pending--;
    run_settle(run);
}

/* Those that have a part in it: one that comes back just now has been said to have none. */
static json_t *fleet_run_nodes(const struct fleet_run *run)
{
    json_t *nodes = json_array();
    for (size_t i = 0; i < run->n_parts; i++)
        if (!run->parts[i].away)
            (void)json_array_append_new(nodes, json_string(run->parts[i].node));
    return nodes;
}

/* To the others; a command that is kept is for those that are away, too. */
static void run_send(struct fleet_run *run, const struct command *c, json_t *params,
                     const char *node)
{
    struct fleet_runs *f = run->runs;
    json_t *m =
        fleet_command_message(f, run->id, &run->request->peer, c->method, params, run->is_later);
    if (m)
        request_put_number(m, "said", run->said_ms);
    if (m && run->asked)
        (void)json_object_set(m, "asked", run->asked);
    if (m && node)
        request_set_text(m, "node", node);
    else if (m && !run->is_later)
        (void)json_object_set_new(m, "nodes", fleet_run_nodes(run));
    run->pending++;
    f->sent++;
    int err = fleet_send_command(f, m, run->is_later, on_run_sent, run);
    json_decref(m);
    if (err < 0) {
        const struct redis_result failed = {
            .err = err,
            .error = err == -ERR_UNREACHABLE ? "the store of the fleet is not reachable" : NULL};
        on_run_sent(run, &failed);
    }
}

static int run_add_part(struct fleet_run *run, const char *name, bool is_own)
{
    struct run_part *p = &run->parts[run->n_parts];
    *p = (struct run_part){.node = str_dup_c(name), .is_own = is_own};
    run->n_parts++;
    return p->node ? 0 : -ERR_NOMEM;
}

/* The nodes that have a part in it. -ERR_NOT_FOUND: there is none of this name. */
static int run_add_parts(struct fleet_run *run, const char *name)
{
    struct fleet_runs *f = run->runs;
    const char *other;
    bool is_alive;
    size_t n = 0;
    while (fleet_run_other(f, n, &other, &is_alive))
        n++;
    run->parts = calloc(n + 1, sizeof(*run->parts));
    if (!run->parts)
        return -ERR_NOMEM;
    int err = 0;
    if (!name || strcmp(name, f->node) == 0)
        err = run_add_part(run, f->node, true);
    for (size_t i = 0; err == 0 && i < n && fleet_run_other(f, i, &other, &is_alive); i++)
        if (!name || strcmp(name, other) == 0) {
            err = run_add_part(run, other, false);
            if (err == 0 && !is_alive)
                part_away(run, &run->parts[run->n_parts - 1], "it is away");
        }
    return err < 0 ? err : run->n_parts > 0 ? 0 : -ERR_NOT_FOUND;
}

/* ---- commands that all do as one ---- */

/* A rate is that of all together, the usual one of those who end sessions with kick, too. */
static void run_share_rate(struct fleet_run *run, const struct command *c, json_t *params)
{
    json_int_t n = 0, rate = json_integer_value(json_object_get(params, "rate"));
    for (size_t i = 0; i < run->n_parts; i++)
        n += run->parts[i].is_own || !run->parts[i].away;
    if (!commands_arg(c, "rate") || n < 2)
        return;
    if (rate <= 0) {
        if (commands_arg(c, "kick") && commands_arg(c, "rate_per")) {
            (void)json_object_set_new(params, "rate_per", json_integer(n));
            run->asked = json_pack("{s:n}", "rate_per");
        }
        return;
    }
    run->asked = json_pack("{s:I, s:n}", "rate", rate, "rate_per");
    struct fleet_share share = fleet_share((uint64_t)rate, (uint64_t)n);
    if (share.per > 1 && !commands_arg(c, "rate_per"))
        share = (struct fleet_share){.rate = rate > n ? (uint64_t)(rate / n) : 1, .per = 1};
    (void)json_object_set_new(params, "rate", json_integer((json_int_t)share.rate));
    if (share.per > 1)
        (void)json_object_set_new(params, "rate_per", json_integer((json_int_t)share.per));
}

/* A user that is moved has no session at the old place on any node. False: r was answered. */
static bool run_gather(struct fleet_run *run, json_t *params)
{
    struct fleet_runs *f = run->runs;
    const char *away = NULL;
    json_t *nodes = fleet_run_nodes(run);
    for (size_t i = 0; i < run->n_parts; i++)
        if (run->parts[i].away)
            away = run->parts[i].node;
    int err = -ERR_UNREACHABLE;
    if (away && !json_is_true(json_object_get(params, "force"))) {
        request_fail(run->request, err, "--force moves without it",
                     "%s is away, and may have sessions of them", away);
    } else {
        err = fleet_gather_open(f, run->id, &run->request->peer, nodes);
        if (err < 0)
            request_fail(run->request, err, NULL, NULL);
    }
    json_decref(nodes);
    (void)json_object_set_new(params, "gather", json_string(run->id));
    return err == 0;
}

/* ---- the beginning ---- */

static void run_start(struct fleet_run *run, const struct command *c, json_t *params,
                      const char *node)
{
    struct fleet_runs *f = run->runs;
    json_t *others = json_copy(params);
    if (json_object_get(others, "gather"))
        request_set_text(others, "gather_at", f->inbox);
    run->command = c;
    run->params = json_copy(params);
    run->pending++; /* until all of this has begun */
    bool is_kept = run->is_later && !node, is_sent = is_kept;
    for (size_t i = 0; i < run->n_parts; i++)
        is_sent = is_sent || (!run->parts[i].is_own && (run->is_later || !run->parts[i].away));
    if (is_sent)
        run_send(run, c, others, node);
    json_decref(others);
    if (!is_kept) /* else in the order in which all nodes take such commands */
        run_start_own(run);
    run->pending--;
    run_settle(run);
    loop_timer_set(f->loop, &f->tick, RUN_TICK_MS);
}

void fleet_run(struct fleet_runs *f, struct request *r, const struct command *c, json_t *params,
               const char *node)
{
    size_t n = 0;
    LIST_FOREACH (it, &f->runs)
        n++;
    struct fleet_run *run = n < RUNS_MAX ? calloc(1, sizeof(*run)) : NULL;
    if (!run) {
        request_fail(r, n < RUNS_MAX ? -ERR_NOMEM : -ERR_TOO_MANY, NULL,
                     "%zu commands are under way", n);
        return;
    }
    *run = (struct fleet_run){.runs = f,
                              .request = request_ref(r),
                              .started_ms = loop_now_ms(f->loop),
                              .said_ms = clock_wall_ms(),
                              .is_later = commands_fleet(c) == COMMAND_FLEET_LATER};
    (void)snprintf(run->id, sizeof(run->id), "%.24s-%llx", f->node,
                   (unsigned long long)fleet_number(f));
    list_add_tail(&f->runs, &run->link);
    int err = run_add_parts(run, node);
    if (err == -ERR_NOT_FOUND)
        request_fail(r, err, "fleet list", "the fleet has no node %.64s", node);
    else if (err < 0)
        request_fail(r, err, NULL, NULL);
    run_share_rate(run, c, params);
    bool is_together = commands_fleet(c) == COMMAND_FLEET_TOGETHER && !node &&
                       !json_is_true(json_object_get(params, "dry_run"));
    if (err == 0 && is_together && !run_gather(run, params))
        err = -ERR_CANCELLED;
    if (err < 0)
        run_free(run);
    else
        run_start(run, c, params, node);
}

/* ---- life ---- */

void fleet_run_init(struct fleet_runs *f)
{
    list_init(&f->runs);
    loop_timer_init(&f->tick, on_run_tick);
}

void fleet_run_fini(struct fleet_runs *f)
{
    loop_timer_cancel(f->loop, &f->tick);
    LIST_FOREACH_SAFE (it, &f->runs) {
        struct fleet_run *run = LIST_ITEM(it, struct fleet_run, link);
        if (!run->is_answered)
            request_abandon(run->request);
        run_free(run);
    }
}
