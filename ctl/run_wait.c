/* SPDX-License-Identifier: ISC */
/* Progress of an operation, asked for twice a second. */
#include "ctl/run_wait.h"

#include <signal.h>
#include <time.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/units.h"
#include "ctl/output_text.h"

#define WAIT_STEP_MS 500
#define WAIT_LOST_MS 30000 /* an engine that died is back before that */
#define WAIT_BAR 24
#define WAIT_TEXT_MAX 60

static volatile sig_atomic_t is_interrupted;

static void wait_on_interrupt(int sig)
{
    (void)sig;
    is_interrupted = 1;
}

/* ---- the bar ---- */

void run_wait_draw(const struct run_job *job, const json_t *op)
{
    const struct run *r = job->run;
    if (!r->can_draw || job->args->options.quiet)
        return;
    json_int_t percent = json_integer_value(json_object_get(op, "percent"));
    json_int_t eta = json_integer_value(json_object_get(op, "eta"));
    char bar[WAIT_BAR + 1], left[32] = "";
    AUTO_BUF text = BUF_INIT;
    for (int i = 0; i < WAIT_BAR; i++)
        bar[i] = i * 100 < percent * WAIT_BAR ? '#' : '.';
    bar[WAIT_BAR] = '\0';
    if (eta > 0)
        units_human_duration(left, (uint64_t)eta);
    struct str words = str_of(control_client_member_text(op, "text"));
    if (words.n > WAIT_TEXT_MAX)
        words.n = WAIT_TEXT_MAX;
    if (output_text_clean(&text, words) < 0)
        return;
    fprintf(r->err, "\r[%s] %3lld%% %lld/%lld%s%s  %.*s\033[K", bar, (long long)percent,
            (long long)json_integer_value(json_object_get(op, "done")),
            (long long)json_integer_value(json_object_get(op, "total")), *left ? " eta " : "", left,
            STR_ARG(buf_str(&text)));
    fflush(r->err);
}

/* ---- asking ---- */

/* 0 with *ret_op; an exit code. A daemon that is gone is tried again until `lost_ms` is over. */
static int wait_ask(struct run_job *job, struct run_node *node, size_t i, const char *id,
                    json_t **ret_op)
{
    struct control_client_error error = {0};
    if (!run_node_is_open(node) && !run_node(job->run, job->args, i, &job->problem))
        return job->problem.exit;
    int err = run_node_call(node, "op.show", json_pack("{s:s}", "id", id),
                            job->args->options.timeout_ms, ret_op, &error);
    if (!err)
        return 0;
    int code = problem_from_client(&job->problem, &error);
    if (error.is_own) {
        control_client_close(node->client);
        node->client = NULL;
        code = PROBLEM_NOT_REACHABLE;
    }
    control_client_error_fini(&error);
    return code;
}

/* ---- the outcome ---- */

/* In JSON the operation itself tells what became of it. */
static int wait_outcome(struct run_job *job, const json_t *op, bool is_json)
{
    static const struct {
        const char *state;
        enum problem_exit code;
        const char *name;
    } outcomes[] = {
        {"partly done", PROBLEM_PARTLY, "E_PARTIAL"},
        {"failed", PROBLEM_FAILED, "E_FAILED"},
        {"cancelled", PROBLEM_FAILED, "E_CANCELLED"},
        {"interrupted", PROBLEM_FAILED, "E_SHUTDOWN"},
    };
    const char *state = control_client_member_text(op, "state");
    for (size_t i = 0; i < ARRAY_LEN(outcomes); i++)
        if (strcmp(outcomes[i].state, state) == 0 && is_json)
            return outcomes[i].code;
        else if (strcmp(outcomes[i].state, state) == 0)
            return problem_set(&job->problem, outcomes[i].code, outcomes[i].name, NULL,
                               "%s %s: %s: %s", control_client_member_text(op, "kind"),
                               control_client_member_text(op, "target"), state,
                               control_client_member_text(op, "text"));
    return 0;
}

/* The waiting ends, the operation does not. 0 = it goes on. */
static int wait_give_up(struct run_job *job, const char *id, uint64_t until_ms)
{
    char time[32];
    if (is_interrupted)
        return problem_set(&job->problem, PROBLEM_FAILED, "E_CANCELLED", "op cancel stops it",
                           "no longer waiting; operation %s goes on", id);
    if (until_ms == 0 || clock_ms() < until_ms)
        return 0;
    units_format_duration(time, job->args->options.wait_ms);
    return problem_set(&job->problem, PROBLEM_TIMEOUT, "E_TIMEOUT", "op cancel stops it",
                       "not over after %s; operation %s goes on", time, id);
}

static int wait_follow(struct run_job *job, struct run_node *node, const char *id, json_t **ret_op)
{
    const struct args_options *o = &job->args->options;
    uint64_t lost_ms = 0, until_ms = o->wait_ms ? clock_ms() + o->wait_ms : 0;
    size_t i = 0;
    while (i + 1 < o->n_sockets && strcmp(o->sockets[i], node->path) != 0)
        i++;
    for (;;) {
        json_t *op = NULL;
        int code = wait_ask(job, node, i, id, &op);
        bool is_lost = code == PROBLEM_NOT_REACHABLE;
        if (!is_lost)
            lost_ms = 0;
        else if (lost_ms == 0)
            lost_ms = clock_ms() + WAIT_LOST_MS;
        if (code && !(is_lost && clock_ms() < lost_ms))
            return code;
        problem_fini(&job->problem);
        if (op && strcmp(control_client_member_text(op, "state"), "running") != 0) {
            *ret_op = op;
            return 0;
        }
        if (op)
            run_wait_draw(job, op);
        json_decref(op);
        code = wait_give_up(job, id, until_ms);
        if (code)
            return code;
        uint64_t now = clock_ms(), pause_ms = WAIT_STEP_MS;
        if (until_ms && until_ms < now + pause_ms)
            pause_ms = until_ms > now ? until_ms - now : 0;
        const struct timespec pause = {.tv_nsec = (long)pause_ms * 1000000L};
        (void)nanosleep(&pause, NULL);
    }
}

void run_wait_erase(const struct run_job *job)
{
    if (!job->run->can_draw)
        return;
    fputs("\r\033[K", job->run->err);
    fflush(job->run->err);
}

int run_wait_outcome(struct run_job *job, const struct run_node *node, json_t *op)
{
    bool is_json = job->output.format == OUTPUT_JSON || job->output.format == OUTPUT_JSONL;
    int code = wait_outcome(job, op, is_json);
    if (is_json) {
        output_object(&job->output, op);
    } else if (!code) {
        AUTO_FREE char *text = str_printf("%s %s: %s: %s", control_client_member_text(op, "kind"),
                                          control_client_member_text(op, "target"),
                                          control_client_member_text(op, "state"),
                                          control_client_member_text(op, "text"));
        json_t *message = json_pack("{s:s}", "message", text ? text : "");
        run_say(job, node, message);
        json_decref(message);
    }
    return code;
}

int run_wait(struct run_job *job, struct run_node *node, const json_t *answer)
{
    return run_wait_op(job, node, json_string_value(json_object_get(answer, "op")));
}

int run_wait_op(struct run_job *job, struct run_node *node, const char *id)
{
    const struct sigaction action = {.sa_handler = wait_on_interrupt};
    struct sigaction before;
    json_t *op = NULL;
    is_interrupted = 0;
    sigaction(SIGINT, &action, &before);
    int code = wait_follow(job, node, id, &op);
    sigaction(SIGINT, &before, NULL);
    run_wait_erase(job);
    if (!code)
        code = run_wait_outcome(job, node, op);
    json_decref(op);
    return code;
}
