/* SPDX-License-Identifier: ISC */
/* Events as rows, as long as the daemon sends some. */
#include "ctl/run_stream.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>

#include "ctl/fleet.h"

#define STREAM_LISTEN_MS 1000

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
    int code =
        job->args->options.is_fleet || job->args->options.node
            ? run_call_method(node, job->args, "fleet.watch", fleet_stream_params(job->args),
                              &result, &job->problem)
            : run_call(node, job->args, json_copy(job->args->params), &result, &job->problem);
    if (!code)
        *ret = (struct run_source){.node = node,
                                   .stream = json_integer_value(json_object_get(result, "stream"))};
    json_decref(result);
    return code;
}

/* Everything that has arrived from one daemon. */
static int run_stream_drain(struct run_job *job, struct run_source *s)
{
    while (!job->is_over && !s->is_over) {
        struct control_client_message m = {0};
        int err = control_client_receive(s->node->client, &m);
        if (err == -ERR_AGAIN)
            return 0;
        if (err)
            return problem_set(&job->problem, PROBLEM_NOT_REACHABLE, err_name(err), NULL,
                               "%s: the daemon ended the stream", run_node_name(s->node));
        bool is_ours = m.kind == CLIENT_EVENT &&
                       json_integer_value(json_object_get(m.body, "stream")) == s->stream;
        int code = 0;
        if (is_ours && strcmp(m.method, "event") == 0) {
            json_t *row = json_copy(m.body);
            json_t *rows = json_array();
            json_object_del(row, "stream");
            json_array_append_new(rows, row);
            run_rows(job, s->node, rows);
            json_decref(rows);
        } else if (is_ours && strcmp(m.method, "end") == 0) {
            s->is_over = true;
            run_say(job, s->node, m.body);
        } else if (m.kind == CLIENT_ERROR) {
            code = problem_from_client(&job->problem, &m.error);
        }
        control_client_message_fini(&m);
        if (code)
            return code;
    }
    return 0;
}

static int run_stream_poll(struct run_job *job, struct run_source *sources, size_t n)
{
    struct pollfd fds[ARGS_SOCKETS_MAX];
    for (size_t i = 0; i < n; i++)
        fds[i] = (struct pollfd){
            .fd = sources[i].is_over ? -1 : control_client_fd(sources[i].node->client),
            .events = POLLIN};
    /* Now and then also without an event: what ssh says beside it is taken, lest it stops. */
    int code = 0, ready = poll(fds, n, STREAM_LISTEN_MS);
    if (ready < 0 && errno != EINTR)
        return problem_set(&job->problem, PROBLEM_FAILED, "E_IO", NULL, "cannot wait for events");
    for (size_t i = 0; i < n && !code; i++)
        if (fds[i].fd >= 0 && (fds[i].revents || ready == 0))
            code = run_stream_drain(job, &sources[i]);
    return code;
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
    job->is_over = job->output.write_error;
    /* The events that came together with the answer are read already: look before waiting. */
    int code = 0;
    for (size_t i = 0; i < n && !code; i++)
        code = run_stream_drain(job, &sources[i]);
    while (!code && !job->is_over) {
        size_t n_over = 0;
        for (size_t i = 0; i < n; i++)
            n_over += sources[i].is_over;
        if (n_over == n)
            break;
        code = run_stream_poll(job, sources, n);
    }
    /* The connection may be used again by the next command of a batch. */
    for (size_t i = 0; i < n && !code; i++) {
        struct run_node *node = sources[i].node;
        if (!sources[i].is_over &&
            control_client_send(node->client, "stream.cancel",
                                json_pack("{s:I}", "stream", sources[i].stream), NULL)) {
            control_client_close(node->client);
            node->client = NULL;
        }
    }
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
    if (code)
        return code;
    code = run_stream_rows(job);
    output_flush(&job->output);
    int error = job->output.write_error;
    job->output.write_error = 0; /* it is no failure of what follows */
    if (fclose(job->output.f) != 0 && !error)
        error = errno;
    job->output.f = job->run->out;
    if (!error || code)
        return code;
    return problem_set(&job->problem, PROBLEM_FAILED, "E_IO", NULL,
                       "%s could not be written whole: %s", job->args->options.save,
                       strerror(error));
}
