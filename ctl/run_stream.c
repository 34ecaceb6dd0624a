/* SPDX-License-Identifier: ISC */
/* Events as rows, as long as the daemon sends some. */
#include "ctl/run_stream.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>

struct run_source {
    struct run_node *node;
    json_int_t stream;
    bool is_over; /* the daemon has ended it */
};

static void run_on_interrupt(int sig)
{
    (void)sig;
    _exit(0);
}

void run_stop_quietly(void)
{
    const struct sigaction action = {.sa_handler = run_on_interrupt};
    sigaction(SIGINT, &action, NULL);
}

static int run_stream_open(struct run_job *job, size_t i, struct run_source *ret)
{
    json_t *result = NULL;
    struct run_node *node = run_node(job->run, job->args, i, &job->problem);
    if (!node)
        return job->problem.exit;
    int code = run_call(node, job->args, json_copy(job->args->params), &result, &job->problem);
    if (!code)
        *ret = (struct run_source){.node = node,
                                   .stream = json_integer_value(json_object_get(result, "stream"))};
    json_decref(result);
    return code;
}

static void run_stream_event(struct run_job *job, const struct run_source *s, json_t *params)
{
    if (json_integer_value(json_object_get(params, "stream")) != s->stream)
        return;
    json_t *row = json_copy(params);
    json_t *rows = json_array();
    json_object_del(row, "stream");
    json_array_append_new(rows, row);
    run_rows(job, s->node, rows);
    json_decref(rows);
}

static void run_stream_ended(struct run_job *job, struct run_source *s, const json_t *params)
{
    if (json_integer_value(json_object_get(params, "stream")) != s->stream)
        return;
    s->is_over = true;
    run_say(job, s->node, params);
}

/* Everything that has arrived from one daemon. */
static int run_stream_drain(struct run_job *job, struct run_source *s)
{
    while (!job->is_over && !s->is_over) {
        struct client_message m = {0};
        int err = client_receive(s->node->client, &m);
        if (err == -ERR_AGAIN)
            return 0;
        if (err)
            return problem_set(&job->problem, PROBLEM_NOT_REACHABLE, err_name(err), NULL,
                               "%s: the daemon ended the stream", run_node_name(s->node));
        int code = 0;
        if (m.kind == CLIENT_EVENT && strcmp(m.method, "event") == 0)
            run_stream_event(job, s, m.body);
        else if (m.kind == CLIENT_EVENT && strcmp(m.method, "end") == 0)
            run_stream_ended(job, s, m.body);
        else if (m.kind == CLIENT_ERROR)
            code = problem_from_client(&job->problem, &m.error);
        client_message_fini(&m);
        if (code)
            return code;
    }
    return 0;
}

static int run_stream_poll(struct run_job *job, struct run_source *sources, size_t n)
{
    struct pollfd fds[ARGS_SOCKETS_MAX];
    for (size_t i = 0; i < n; i++)
        fds[i] = (struct pollfd){.fd = sources[i].is_over ? -1 : client_fd(sources[i].node->client),
                                 .events = POLLIN};
    if (poll(fds, n, -1) < 0 && errno != EINTR)
        return problem_set(&job->problem, PROBLEM_FAILED, "E_IO", NULL, "cannot wait for events");
    for (size_t i = 0; i < n; i++) {
        int code = fds[i].revents ? run_stream_drain(job, &sources[i]) : 0;
        if (code)
            return code;
    }
    return 0;
}

static bool run_stream_is_over(const struct run_source *sources, size_t n)
{
    size_t n_over = 0;
    for (size_t i = 0; i < n; i++)
        n_over += sources[i].is_over;
    return n_over == n;
}

/* The connection may be used again by the next command of a batch. */
static void run_stream_close(const struct run_source *s)
{
    if (s->is_over)
        return;
    json_t *params = json_pack("{s:I}", "stream", s->stream);
    if (client_send(s->node->client, "stream.cancel", params, NULL)) {
        client_close(s->node->client);
        s->node->client = NULL;
    }
}

/* What is saved may be anybody's mail: for nobody else to read, and never over another file. */
static int run_stream_save(struct run_job *job)
{
    const char *path = job->args->options.save;
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    FILE *f = fd >= 0 ? fdopen(fd, "w") : NULL;
    if (!f) {
        int code = problem_set(&job->problem, PROBLEM_FAILED, "E_IO", NULL,
                               "%s cannot be written: %s", path, strerror(errno));
        if (fd >= 0)
            close(fd);
        return code;
    }
    setvbuf(f, NULL, _IOLBF, 0);
    job->output.f = f;
    job->output.width = 0;
    job->output.is_terminal = false;
    if (job->args->options.format == ARGS_AUTO) {
        job->output.format = OUTPUT_TABLE;
        job->output.ops = &output_table_ops;
    }
    return 0;
}

static int run_stream_saved(struct run_job *job, int code)
{
    bool is_bad = ferror(job->output.f);
    is_bad = fclose(job->output.f) != 0 || is_bad;
    job->output.f = job->run->out;
    if (!is_bad || code)
        return code;
    return problem_set(&job->problem, PROBLEM_FAILED, "E_IO", NULL, "%s could not be written whole",
                       job->args->options.save);
}

static int run_stream_rows(struct run_job *job)
{
    struct run_source sources[ARGS_SOCKETS_MAX];
    size_t n = job->args->options.n_sockets;
    for (size_t i = 0; i < n; i++) {
        int code = run_stream_open(job, i, &sources[i]);
        if (code)
            return code;
    }
    run_stop_quietly();
    output_rows(&job->output, NULL);
    /* The events that came together with the answer are read already: look before waiting. */
    int code = 0;
    for (size_t i = 0; i < n && !code; i++)
        code = run_stream_drain(job, &sources[i]);
    while (!code && !job->is_over && !run_stream_is_over(sources, n))
        code = run_stream_poll(job, sources, n);
    for (size_t i = 0; i < n && !code; i++)
        run_stream_close(&sources[i]);
    signal(SIGINT, SIG_DFL);
    return code;
}

int run_stream(struct run_job *job)
{
    job->output.is_stream = true;
    /* An array would never end: a row a line. */
    if (job->output.format == OUTPUT_JSON) {
        job->output.format = OUTPUT_JSONL;
        job->output.ops = &output_jsonl_ops;
    }
    if (!job->args->options.save)
        return run_stream_rows(job);
    int code = run_stream_save(job);
    return code ? code : run_stream_saved(job, run_stream_rows(job));
}
