/* SPDX-License-Identifier: ISC */
/* Differences of the table of limits, in messages of bounded size. */
#include "peers/peer_limits.h"

#include "limits/limit_share.h"
#include "runtime/rules/limit_service.h"

#define PEER_LIMITS_ROWS 1000   /* of a message */
#define PEER_LIMITS_MAX 2000000 /* addresses and users of another engine */

struct peer_limits {
    struct limit_telling telling; /* to the engine that serves */
    struct limit_heard heard;     /* from one that finishes */
};

static bool peer_limits_make(struct peer_engine *e)
{
    return e->limits || (e->limits = calloc(1, sizeof(*e->limits)));
}

/* ---- telling ---- */

/* A message that is being written. */
struct peer_limits_message {
    struct peer_engine *engine;
    json_t *rows; /* NULL = none */
};

static void message_send(struct peer_limits_message *m)
{
    if (m->rows)
        json_pipe_send(m->engine->pipe, "limits", json_pack("{s:o}", "rows", m->rows));
    m->rows = NULL;
}

static void on_peer_limits_changed(void *arg, enum limit_share_kind kind, const char *name,
                                   uint32_t sessions)
{
    struct peer_limits_message *m = arg;
    char word[] = {(char)kind, '\0'};
    m->rows = m->rows ? m->rows : json_array();
    (void)json_array_append_new(
        m->rows, json_pack("[s, o, I]", word, request_json(str_of(name)), (json_int_t)sessions));
    if (json_array_size(m->rows) >= PEER_LIMITS_ROWS)
        message_send(m);
}

void peer_limits_send(struct limit_service *l, struct peer_engine *e)
{
    struct peer_limits_message m = {.engine = e};
    if (!peer_limits_make(e))
        return;
    (void)!limit_telling_step(&e->limits->telling, limit_service_limits(l), on_peer_limits_changed,
                              &m);
    message_send(&m);
}

/* ---- hearing ---- */

int peer_limits_take(struct limit_service *l, struct peer_engine *e, const json_t *m)
{
    const json_t *rows = json_object_get(m, "rows"), *row;
    const struct config_limits *config = limit_service_config(l);
    struct limits *limits = limit_service_limits(l);
    uint64_t now_ms = limit_service_now(l).ms;
    size_t i;
    if (!peer_limits_make(e))
        return -ERR_NOMEM;
    json_array_foreach (rows, i, row) {
        const char *kind = json_string_value(json_array_get(row, 0));
        const char *name = json_string_value(json_array_get(row, 1));
        json_int_t n = json_integer_value(json_array_get(row, 2));
        if (!kind || !name || n < 0 || n > UINT32_MAX ||
            e->limits->heard.known.count > PEER_LIMITS_MAX)
            return -ERR_PROTOCOL;
        int err = limit_heard_take(&e->limits->heard, limits, config,
                                   (enum limit_share_kind)kind[0], name, (uint32_t)n, now_ms);
        if (err < 0)
            return err;
    }
    return 0;
}

void peer_limits_drop(struct limit_service *l, struct peer_engine *e)
{
    struct peer_limits *p = STEAL(e->limits);
    if (!p)
        return;
    limit_telling_fini(&p->telling);
    limit_heard_fini(&p->heard, limit_service_limits(l), limit_service_config(l),
                     limit_service_now(l).ms);
    free(p);
}
