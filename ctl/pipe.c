/* SPDX-License-Identifier: ISC */
/* Bytes between two descriptors and a socket. */
#include "ctl/pipe.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "ctl/control_client.h"

#define PIPE_BYTES 65536

/* One direction: nothing is read before what was read is written. */
struct pipe_way {
    int from, to;
    size_t at, n; /* in bytes: what waits */
    bool is_over; /* nothing comes any more, and all is written */
    char bytes[PIPE_BYTES];
};

static bool pipe_is_again(ssize_t n)
{
    return n < 0 && (errno == EAGAIN || errno == EINTR);
}

static void pipe_way_run(struct pipe_way *w, short from_events, short to_events)
{
    if (w->n == 0 && from_events) {
        ssize_t n = read(w->from, w->bytes, sizeof(w->bytes));
        if (n > 0) {
            w->at = 0;
            w->n = (size_t)n;
        } else {
            w->is_over = !pipe_is_again(n);
        }
    }
    if (w->n > 0 && to_events) {
        ssize_t n = write(w->to, w->bytes + w->at, w->n);
        if (n > 0) {
            w->at += (size_t)n;
            w->n -= (size_t)n;
        } else {
            w->is_over = !pipe_is_again(n);
        }
    }
}

/* Either side's end is the end: a request whose asker is gone has nobody to answer. */
static void pipe_carry(struct pipe_way *up, struct pipe_way *down)
{
    while (!up->is_over && !down->is_over) {
        struct pollfd p[] = {
            {.fd = up->n == 0 ? up->from : -1, .events = POLLIN},
            {.fd = up->n > 0 ? up->to : -1, .events = POLLOUT},
            {.fd = down->n == 0 ? down->from : -1, .events = POLLIN},
            {.fd = down->n > 0 ? down->to : -1, .events = POLLOUT},
        };
        if (poll(p, ARRAY_LEN(p), -1) < 0 && errno != EINTR)
            return;
        pipe_way_run(up, p[0].revents, p[1].revents);
        pipe_way_run(down, p[2].revents, p[3].revents);
    }
}

int pipe_run(const char *path, struct problem *problem)
{
    static struct pipe_way up, down;
    struct control_client_error error = {0};
    struct control_client *c = NULL;
    int err = control_client_open(path, &c);
    if (err < 0) {
        (void)control_client_explain_open(path, err, &error);
        int code = problem_from_client(problem, &error);
        control_client_error_fini(&error);
        return code;
    }
    (void)signal(SIGPIPE, SIG_IGN);
    int in = fcntl(STDIN_FILENO, F_GETFL), out = fcntl(STDOUT_FILENO, F_GETFL);
    (void)fcntl(STDIN_FILENO, F_SETFL, in | O_NONBLOCK);
    (void)fcntl(STDOUT_FILENO, F_SETFL, out | O_NONBLOCK);
    up = (struct pipe_way){.from = STDIN_FILENO, .to = control_client_fd(c)};
    down = (struct pipe_way){.from = control_client_fd(c), .to = STDOUT_FILENO};
    pipe_carry(&up, &down);
    (void)fcntl(STDIN_FILENO, F_SETFL, in);
    (void)fcntl(STDOUT_FILENO, F_SETFL, out);
    control_client_close(c);
    return 0;
}
