/* SPDX-License-Identifier: ISC */
/* stats: the counters and their history as rows. */
#include "control/backend/latency_row.h"
#include "proto/registry/registry.h"
#include "rpc/handlers.h"
#include "runtime/history/history.h"
#include "runtime/state.h"

#define RATE_STEPS 10 /* seconds that a rate is the mean of */

/* ---- stats history ---- */

/* NULL: the request is answered. */
static const struct history_series *history_asked(struct request *r)
{
    const struct history *h = request_control(r)->history;
    const char *proto = request_text(r, "proto"), *backend = request_text(r, "backend");
    if (proto && backend) {
        request_fail(r, -ERR_BAD_PARAM, NULL, "proto and backend exclude each other");
        return NULL;
    }
    if (proto) {
        const struct proto *p = proto_find(str_of(proto));
        if (!p)
            request_fail(r, -ERR_BAD_PARAM, NULL, "there is no protocol %s", proto);
        return p ? history_proto(h, p->id) : NULL;
    }
    if (backend) {
        const struct history_series *s = history_backend(h, backend);
        if (!s)
            request_fail(r, -ERR_NO_BACKEND, NULL, "there is no history of a backend %s", backend);
        return s;
    }
    return history_total(h);
}

void command_stats_history(struct request *r)
{
    const struct history *h = request_control(r)->history;
    uint64_t step = request_number(r, "step", HISTORY_STEP_MS);
    bool is_minutes = step == HISTORY_STEPS_A_MINUTE * HISTORY_STEP_MS;
    if (!is_minutes && step != HISTORY_STEP_MS) {
        request_fail(r, -ERR_BAD_PARAM, NULL, "step is 1s or 1m");
        return;
    }
    const struct history_series *s = history_asked(r);
    if (!s)
        return;
    size_t n = history_count(h, s, is_minutes);
    uint64_t limit = request_number(r, "limit", 0);
    if (limit && limit < n)
        n = (size_t)limit;
    json_t *rows = json_array();
    for (size_t back = n; back-- > 0;) {
        uint64_t at;
        const struct history_sample *sample = history_get(h, s, is_minutes, back, &at);
        (void)json_array_append_new(
            rows, json_pack("{s:I, s:I, s:I, s:I, s:I, s:I}", "time", (json_int_t)at, "sessions",
                            (json_int_t)sample->sessions, "logins", (json_int_t)sample->logins,
                            "failures", (json_int_t)sample->failures, "in", (json_int_t)sample->in,
                            "out", (json_int_t)sample->out));
    }
    request_rows(r, rows, NULL);
}

/* ---- stats show ---- */

static const struct stats_row {
    const char *name;
    enum counter counter;
} stats_rows[] = {
    {"sessions", COUNTER_SESSIONS},
    {"relaying", COUNTER_RELAYING},
    {"accepted", COUNTER_ACCEPTED},
    {"logins", COUNTER_LOGINS},
    {"failures", COUNTER_LOGIN_FAILURES},
    {"auth_failures", COUNTER_AUTH_FAILURES},
    {"auth_tempfails", COUNTER_AUTH_TEMPFAILS},
    {"backend_failures", COUNTER_BACKEND_FAILURES},
    {"bad_commands", COUNTER_BAD_COMMANDS},
    {"limited", COUNTER_LIMITED},
    {"tls_handshakes", COUNTER_TLS_HANDSHAKES},
    {"tls_resumed", COUNTER_TLS_RESUMED},
    {"tls_failures", COUNTER_TLS_FAILURES},
    {"killed", COUNTER_KILLED},
    {"in", COUNTER_IN_BYTES},
    {"out", COUNTER_OUT_BYTES},
};

static void stats_put_rates(json_t *row, const struct history *h, const struct history_series *s)
{
    struct history_sample sum = {0};
    size_t n = history_count(h, s, false);
    uint64_t at;
    n = n < RATE_STEPS ? n : RATE_STEPS;
    for (size_t back = 0; back < n; back++) {
        const struct history_sample *sample = history_get(h, s, false, back, &at);
        sum.logins += sample->logins;
        sum.failures += sample->failures;
        sum.in += sample->in;
        sum.out += sample->out;
    }
    n = n ? n : 1;
    request_put_number(row, "login_rate", (sum.logins + n / 2) / n);
    request_put_number(row, "failure_rate", (sum.failures + n / 2) / n);
    request_put_number(row, "in_rate", sum.in / n);
    request_put_number(row, "out_rate", sum.out / n);
}

void command_stats_show(struct request *r)
{
    const struct history *h = request_control(r)->history;
    const char *name = request_text(r, "proto");
    const struct proto *p = name ? proto_find(str_of(name)) : NULL;
    if (name && !p) {
        request_fail(r, -ERR_BAD_PARAM, NULL, "there is no protocol %s", name);
        return;
    }
    json_t *row = json_object();
    for (size_t i = 0; i < ARRAY_LEN(stats_rows); i++)
        request_put_number(row, stats_rows[i].name,
                           engine_api_counter(request_control(r)->host, p ? p->id : PROTO_COUNT,
                                              stats_rows[i].counter));
    const struct history_series *s = p ? history_proto(h, p->id) : history_total(h);
    stats_put_rates(row, h, s);
    latency_row(row, h, s);
    request_answer(r, row);
}
