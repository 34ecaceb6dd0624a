/* SPDX-License-Identifier: ISC */
/* One connection, the commands that run, and what the daemon says meanwhile. */
#include "ctl/run_exec.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>

#include "base/clock.h"
#include "base/container/list.h"
#include "base/units.h"
#include "ctl/run_wait.h"

#define EXEC_TICK_MS 200
#define EXEC_RETRY_MS 500
#define EXEC_LOST_MS 30000 /* so long the daemon holds users for who does not come back */
#define EXEC_TIMEOUT_MS 600000
#define EXEC_KILL_MS 5000 /* after SIGTERM */

/* A user's command, until the daemon knows what came of it. */
struct exec_run {
    struct list link;
    char *user;
    struct exec_child child;
    char *why;                /* it could not be started; NULL = it was */
    uint64_t end_ms, kill_ms; /* monotonic; SIGTERM and SIGKILL */
    bool is_over, is_sent;
    uint64_t report; /* id of the request that tells it */
};

struct exec_attendance {
    struct run_job *job;
    struct run_node *node;
    size_t index; /* of the node */
    const char *id;
    struct exec_command command;
    uint64_t timeout_ms;
    struct list runs;
    json_int_t stream;
    uint64_t lost_ms, retry_ms; /* the connection is away since; 0 = it is not */
    bool is_over, is_cancelled;
};

static volatile sig_atomic_t is_interrupted;

static void exec_on_interrupt(int sig)
{
    (void)sig;
    is_interrupted = 1;
}

bool run_exec_is_wanted(const struct args *a)
{
    return json_object_get(a->params, "exec") &&
           !json_is_true(json_object_get(a->params, "dry_run"));
}

int run_exec_check(struct run_job *job)
{
    struct exec_command c;
    if (!run_exec_is_wanted(job->args))
        return 0;
    if (job->is_multi)
        return problem_usage(&job->problem, NULL, "--exec is for one daemon at a time");
    int code = exec_command_parse(control_client_member_text(job->args->params, "exec"), &c,
                                  &job->problem);
    if (!code)
        exec_command_fini(&c);
    return code;
}

/* ---- commands ---- */

static void exec_run_free(struct exec_run *r)
{
    list_del(&r->link);
    exec_child_fini(&r->child);
    free(r->user);
    free(r->why);
    free(r);
}

static struct exec_run *exec_find(struct exec_attendance *x, const char *user)
{
    LIST_FOREACH (it, &x->runs) {
        struct exec_run *r = LIST_ITEM(it, struct exec_run, link);
        if (strcmp(r->user, user) == 0)
            return r;
    }
    return NULL;
}

/* The daemon asks again after a lost connection: what runs goes on, what is over is told anew. */
static void exec_begin(struct exec_attendance *x, const json_t *event)
{
    const char *user = control_client_member_text(event, "user");
    struct exec_run *r = exec_find(x, user);
    if (r)
        return;
    r = calloc(1, sizeof(*r));
    if (!r || !(r->user = str_dup_c(user))) {
        free(r);
        return; /* the daemon gives it up in time */
    }
    r->child.fd = -1;
    list_add_tail(&x->runs, &r->link);
    char **words = exec_command_words(&x->command, event, &r->why);
    int err = words ? exec_child_start(&r->child, words) : -ERR_INVAL;
    if (words && err < 0)
        r->why = str_dup_c(err_text(err));
    r->is_over = err < 0;
    r->child.status = err < 0 ? 126 : 0;
    r->end_ms = clock_ms() + x->timeout_ms;
    exec_words_free(words);
}

static void exec_end_child(struct exec_run *r)
{
    if (r->is_over || r->kill_ms)
        return;
    exec_child_signal(&r->child, SIGTERM);
    r->kill_ms = clock_ms() + EXEC_KILL_MS;
}

static void exec_look(struct exec_run *r)
{
    uint64_t now = clock_ms();
    if (r->is_over)
        return;
    exec_child_read(&r->child);
    r->is_over = exec_child_has_ended(&r->child);
    if (!r->is_over && now >= r->end_ms)
        exec_end_child(r);
    if (!r->is_over && r->kill_ms && now >= r->kill_ms)
        exec_child_signal(&r->child, SIGKILL);
}

/* ---- the daemon ---- */

static void exec_lose(struct exec_attendance *x)
{
    control_client_close(x->node->client);
    x->node->client = NULL;
    x->lost_ms = x->lost_ms ? x->lost_ms : clock_ms() + EXEC_LOST_MS;
    x->retry_ms = clock_ms() + EXEC_RETRY_MS;
    LIST_FOREACH (it, &x->runs)
        LIST_ITEM(it, struct exec_run, link)->is_sent = false;
}

static void exec_send(struct exec_attendance *x, const char *method, json_t *params,
                      uint64_t *ret_id)
{
    if (!x->node->client || control_client_send(x->node->client, method, params, ret_id) < 0)
        exec_lose(x);
}

/* What is not text is told as far as it is. */
static json_t *exec_output(const struct exec_run *r)
{
    AUTO_BUF text = BUF_INIT;
    struct str s = r->why ? str_of(r->why) : buf_str(&r->child.output);
    unsigned char last = str_is_utf8(s) ? 0xff : 0x7e;
    for (size_t i = 0; i < s.n; i++) {
        unsigned char c = (unsigned char)s.p[i];
        bool is_kept = c == '\n' || c == '\t' || (c >= 0x20 && c != 0x7f && c <= last);
        (void)!buf_append_char(&text, is_kept ? s.p[i] : '?');
    }
    return json_stringn(text.len ? buf_str(&text).p : "", text.len);
}

static void exec_event(struct exec_attendance *x, const json_t *event)
{
    const char *what = control_client_member_text(event, "do");
    struct exec_run *r = exec_find(x, control_client_member_text(event, "user"));
    if (json_integer_value(json_object_get(event, "stream")) != x->stream)
        return;
    if (strcmp(what, "run") == 0)
        exec_begin(x, event);
    else if (strcmp(what, "stop") == 0 && r)
        exec_end_child(r);
    else if (strcmp(what, "progress") == 0)
        run_wait_draw(x->job, json_object_get(event, "op"));
}

static void exec_receive(struct exec_attendance *x)
{
    while (!x->lost_ms) {
        struct control_client_message m = {0};
        int err = control_client_receive(x->node->client, &m);
        if (err == 0 && m.kind == CLIENT_EVENT && strcmp(m.method, "end") == 0) {
            x->is_over = true;
        } else if (err == 0 && m.kind == CLIENT_EVENT) {
            exec_event(x, m.body);
        } else if (err == 0) {
            /* The daemon knows what came of a command; it may have been too late. */
            LIST_FOREACH_SAFE (it, &x->runs) {
                struct exec_run *r = LIST_ITEM(it, struct exec_run, link);
                if (r->is_sent && r->report == m.id)
                    exec_run_free(r);
            }
        }
        control_client_message_fini(&m);
        if (err == -ERR_AGAIN)
            return;
        if (err < 0)
            exec_lose(x);
    }
}

/* 0; an exit code that ends it. While the daemon is away it is tried again. */
static int exec_attend(struct exec_attendance *x)
{
    struct run_job *job = x->job;
    struct control_client_error error = {0};
    json_t *answer = NULL,
           *params = json_pack("{s:s, s:s}", "id", x->id, "exec",
                               control_client_member_text(job->args->params, "exec"));
    const char *reason = json_string_value(json_object_get(job->args->params, "reason"));
    if (reason && params)
        json_object_set_new(params, "reason", json_string(reason));
    if (!x->node->client && !run_node(job->run, job->args, x->index, &job->problem)) {
        json_decref(params);
        return job->problem.exit;
    }
    int err = control_client_call(x->node->client, "op.resume", params,
                                  job->args->options.timeout_ms, &answer, &error);
    if (err == 0) {
        x->stream = json_integer_value(json_object_get(answer, "stream"));
        x->lost_ms = 0;
        exec_send(x, "op.report", json_pack("{s:s}", "id", x->id), NULL);
        json_decref(answer);
        return 0;
    }
    int code = problem_from_client(&job->problem, &error);
    if (error.is_own) {
        control_client_close(x->node->client);
        x->node->client = NULL;
        code = PROBLEM_NOT_REACHABLE;
    }
    control_client_error_fini(&error);
    return code;
}

/* Anew, in a while; an operation that is over meanwhile has an outcome. */
static int exec_attend_again(struct exec_attendance *x)
{
    if (!x->lost_ms || clock_ms() < x->retry_ms)
        return 0;
    uint64_t lost_ms = x->lost_ms;
    int code = exec_attend(x);
    if (code == 0)
        return 0;
    x->lost_ms = lost_ms;
    x->retry_ms = clock_ms() + EXEC_RETRY_MS;
    const char *name = x->job->problem.name ? x->job->problem.name : "";
    bool is_over = strcmp(name, "E_UNSUPPORTED") == 0 || strcmp(name, "E_NO_OP") == 0;
    bool is_late = clock_ms() >= lost_ms;
    x->is_over = is_over;
    if (!is_late || is_over) {
        problem_fini(&x->job->problem);
        return 0;
    }
    return code;
}

/* ---- the loop ---- */

static void exec_poll(struct exec_attendance *x)
{
    struct pollfd fds[128]; /* more commands than that are looked at in the next tick */
    nfds_t n = 0;
    if (!x->lost_ms)
        fds[n++] = (struct pollfd){.fd = control_client_fd(x->node->client),
                                   .events = control_client_events(x->node->client)};
    LIST_FOREACH (it, &x->runs) {
        const struct exec_run *r = LIST_ITEM(it, struct exec_run, link);
        if (n < ARRAY_LEN(fds) && r->child.fd >= 0)
            fds[n++] = (struct pollfd){.fd = r->child.fd, .events = POLLIN};
    }
    (void)poll(fds, n, EXEC_TICK_MS);
    if (!x->lost_ms && fds[0].revents & POLLOUT && control_client_flush(x->node->client) < 0)
        exec_lose(x);
    if (!x->lost_ms && fds[0].revents)
        exec_receive(x);
}

static int exec_loop(struct exec_attendance *x)
{
    int code = 0;
    while (!x->is_over && code == 0) {
        exec_poll(x);
        LIST_FOREACH_SAFE (it, &x->runs) {
            struct exec_run *r = LIST_ITEM(it, struct exec_run, link);
            exec_look(r);
            if (!r->is_over || r->is_sent || x->lost_ms)
                continue;
            r->is_sent = true;
            exec_send(x, "op.report",
                      json_pack("{s:s, s:s, s:i, s:o}", "id", x->id, "user", r->user, "status",
                                r->child.status, "output", exec_output(r)),
                      &r->report);
        }
        if (is_interrupted && !x->is_cancelled && !x->lost_ms) {
            x->is_cancelled = true;
            exec_send(x, "op.cancel", json_pack("{s:s}", "id", x->id), NULL);
        }
        if (!x->is_over)
            code = exec_attend_again(x);
    }
    return code;
}

/* No command outlives this: what it does would be done behind the daemon's back. */
static void exec_end_all(struct exec_attendance *x)
{
    uint64_t end = clock_ms() + EXEC_KILL_MS + 1000;
    LIST_FOREACH (it, &x->runs)
        exec_end_child(LIST_ITEM(it, struct exec_run, link));
    while (!list_is_empty(&x->runs)) {
        LIST_FOREACH_SAFE (it, &x->runs) {
            struct exec_run *r = LIST_ITEM(it, struct exec_run, link);
            exec_look(r);
            if (r->is_over || clock_ms() >= end)
                exec_run_free(r);
        }
        if (!list_is_empty(&x->runs))
            (void)poll(NULL, 0, 50);
    }
}

/* ---- the outcome ---- */

/* Those that stayed where they were, each with its reason and what its command said last. */
static void exec_say_failed(struct exec_attendance *x)
{
    json_t *answer = NULL;
    struct problem problem = {0};
    size_t i;
    json_t *row;
    json_t *params = json_pack("{s:s, s:s}", "id", x->id, "filter", "state=failed");
    struct control_client_error error = {0};
    if (control_client_call(x->node->client, "op.users", params, x->job->args->options.timeout_ms,
                            &answer, &error) < 0) {
        control_client_error_fini(&error);
        return;
    }
    json_array_foreach (json_object_get(answer, "rows"), i, row) {
        struct str last = STR_NULL,
                   rest = str_trim(str_of(control_client_member_text(row, "output")));
        while (rest.n > 0)
            last = str_cut(&rest, '\n');
        AUTO_FREE char *text = str_printf("%s: %s%s%.*s", control_client_member_text(row, "user"),
                                          control_client_member_text(row, "reason"),
                                          last.n ? ": " : "", STR_ARG(last));
        problem_set(&problem, PROBLEM_FAILED, "E_FAILED", NULL, "%s", text ? text : "");
        problem_print(&problem, false, x->job->run->out, x->job->run->err);
        problem_fini(&problem);
    }
    json_decref(answer);
}

static int exec_outcome(struct exec_attendance *x)
{
    json_t *op = NULL;
    struct control_client_error error = {0};
    struct run_job *job = x->job;
    bool is_json = job->output.format == OUTPUT_JSON || job->output.format == OUTPUT_JSONL;
    if (!x->node->client && !run_node(job->run, job->args, x->index, &job->problem))
        return job->problem.exit;
    int err = control_client_call(x->node->client, "op.show", json_pack("{s:s}", "id", x->id),
                                  job->args->options.timeout_ms, &op, &error);
    if (err < 0) {
        int code = problem_from_client(&job->problem, &error);
        control_client_error_fini(&error);
        return code;
    }
    if (!is_json && json_integer_value(json_object_get(op, "failed")) > 0)
        exec_say_failed(x);
    int code = run_wait_outcome(job, x->node, op);
    json_decref(op);
    return code;
}

int run_exec(struct run_job *job, struct run_node *node, const char *id)
{
    const struct sigaction action = {.sa_handler = exec_on_interrupt};
    const struct sigaction ignore = {.sa_handler = SIG_IGN};
    struct sigaction before, before_pipe;
    struct exec_attendance x = {.job = job, .node = node, .id = id, .timeout_ms = EXEC_TIMEOUT_MS};
    const struct args_options *o = &job->args->options;
    const char *limit = json_string_value(json_object_get(job->args->params, "exec_timeout"));
    list_init(&x.runs);
    while (x.index + 1 < o->n_sockets && strcmp(o->sockets[x.index], node->path) != 0)
        x.index++;
    if (limit)
        (void)!units_parse_duration(str_of(limit), &x.timeout_ms);
    int code = exec_command_parse(control_client_member_text(job->args->params, "exec"), &x.command,
                                  &job->problem);
    if (code)
        return code;
    is_interrupted = 0;
    sigaction(SIGINT, &action, &before);
    sigaction(SIGPIPE, &ignore, &before_pipe);
    code = exec_attend(&x);
    if (code == 0)
        code = exec_loop(&x);
    exec_end_all(&x);
    sigaction(SIGINT, &before, NULL);
    sigaction(SIGPIPE, &before_pipe, NULL);
    run_wait_erase(job);
    exec_command_fini(&x.command);
    return code ? code : exec_outcome(&x);
}

int run_exec_answer(struct run_job *job, struct run_node *node, const json_t *answer)
{
    AUTO_FREE char *id = str_dup_c(control_client_member_text(answer, "op"));
    return id ? run_exec(job, node, id)
              : problem_set(&job->problem, PROBLEM_FAILED, "E_NOMEM", NULL, "out of memory");
}
