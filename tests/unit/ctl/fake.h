/* SPDX-License-Identifier: ISC */
/* A small daemon in a thread: greets, answers requests by a function, remembers them. */
#pragma once

#include <errno.h>
#include <jansson.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/cleanup.h"

#define FAKE_GREETING                                                                              \
    "{\"jsonrpc\":\"2.0\",\"method\":\"hello\",\"params\":{\"product\":\"mailproxy\","             \
    "\"version\":\"0.1.0\",\"protocol\":1,\"node\":\"n1\",\"role\":\"admin\"}}\n"

struct fake {
    const char *greeting;
    /* The answer to a request: owned; NULL = silence, "" = hang up. Several lines may be sent. */
    char *(*answer)(const char *method, const json_t *params, json_int_t id);
    bool is_slow; /* a byte at a time */
    char dir[32], path[64];
    int fd;
    pthread_t thread;
    pthread_mutex_t mutex;
    json_t *requests; /* [{method, params, bytes}] */
};

static inline bool fake_send(const struct fake *s, int fd, const char *text)
{
    size_t n = strlen(text), step = s->is_slow ? 1 : n;
    for (size_t i = 0; i < n;) {
        size_t want = n - i < step ? n - i : step;
        ssize_t r = send(fd, text + i, want, MSG_NOSIGNAL);
        if (r <= 0)
            return false;
        i += (size_t)r;
    }
    return true;
}

static inline bool fake_request(struct fake *s, int fd, const char *line, size_t n)
{
    json_t *r = json_loadb(line, n, 0, NULL);
    const char *method = json_string_value(json_object_get(r, "method"));
    json_t *params = json_object_get(r, "params");
    pthread_mutex_lock(&s->mutex);
    json_array_append_new(s->requests, json_pack("{s:s, s:O?, s:i}", "method", method, "params",
                                                 params, "bytes", (int)n));
    pthread_mutex_unlock(&s->mutex);
    char *answer = s->answer(method, params, json_integer_value(json_object_get(r, "id")));
    json_decref(r);
    bool go_on = !answer || (*answer && fake_send(s, fd, answer));
    free(answer);
    return go_on;
}

static inline void fake_serve(struct fake *s, int fd)
{
    char *line = NULL;
    size_t size = 0;
    ssize_t n;
    FILE *in = fdopen(dup(fd), "r");
    if (in && fake_send(s, fd, s->greeting) && s->answer)
        while ((n = getline(&line, &size, in)) > 0 && fake_request(s, fd, line, (size_t)n))
            ;
    if (in)
        fclose(in);
    free(line);
}

static inline void *fake_main(void *arg)
{
    struct fake *s = arg;
    for (;;) {
        int fd = accept(s->fd, NULL, NULL);
        if (fd < 0)
            return NULL;
        fake_serve(s, fd);
        close(fd);
    }
}

static inline void fake_start(struct fake *s)
{
    struct sockaddr_un sun = {.sun_family = AF_UNIX};
    snprintf(s->dir, sizeof(s->dir), "/tmp/ctl-XXXXXX");
    if (!mkdtemp(s->dir))
        abort();
    snprintf(s->path, sizeof(s->path), "%s/s", s->dir);
    snprintf(sun.sun_path, sizeof(sun.sun_path), "%s", s->path);
    s->greeting = s->greeting ? s->greeting : FAKE_GREETING;
    s->requests = json_array();
    pthread_mutex_init(&s->mutex, NULL);
    s->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (s->fd < 0 || bind(s->fd, (struct sockaddr *)&sun, sizeof(sun)) || listen(s->fd, 16) ||
        pthread_create(&s->thread, NULL, fake_main, s))
        abort();
}

/* Clients must be closed before. */
static inline void fake_stop(struct fake *s)
{
    shutdown(s->fd, SHUT_RDWR);
    pthread_join(s->thread, NULL);
    close(s->fd);
    unlink(s->path);
    rmdir(s->dir);
    json_decref(s->requests);
    pthread_mutex_destroy(&s->mutex);
}

/* A result as an answer line; text is JSON. */
static inline char *fake_result(json_int_t id, const char *text)
{
    char *line = NULL;
    if (asprintf(&line, "{\"jsonrpc\":\"2.0\",\"id\":%lld,\"result\":%s}\n", (long long)id, text) <
        0)
        abort();
    return line;
}

static inline char *fake_error(json_int_t id, const char *name, const char *text, const char *hint)
{
    char *line = NULL;
    if (asprintf(&line,
                 "{\"jsonrpc\":\"2.0\",\"id\":%lld,\"error\":{\"code\":-32000,\"message\":\"%s\","
                 "\"data\":{\"name\":\"%s\",\"hint\":\"%s\"}}}\n",
                 (long long)id, text, name, hint) < 0)
        abort();
    return line;
}
