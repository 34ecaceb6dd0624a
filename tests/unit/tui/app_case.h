/* SPDX-License-Identifier: ISC */
/* A dashboard without a terminal before a daemon of the test's own. */
#pragma once

#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/clock.h"
#include "tests/unit/ctl/fake.h"
#include "tui/app.h"

#define WAIT_MS 60000 /* a loaded machine may take its time */

static struct {
    struct fake fake, other; /* the other one when there are two daemons */
    size_t n_daemons;
    const char *last_screen; /* that settings remember; NULL = none */
    struct app app;
    bool has_app;
    _Atomic int sessions; /* rows of session list */
    _Atomic int rows;     /* of each list, made up from its columns; -1 = as the table below says */
    _Atomic bool hangs_up;
    _Atomic bool has_ended;      /* the operation of op list is over, */
    const char *_Atomic outcome; /* and this is what op show says of it */
} t;

static char *answer_sessions(json_int_t id)
{
    json_t *rows = json_array();
    for (int i = 1; i <= t.sessions; i++) {
        json_t *row =
            json_pack("{s:s, s:s, s:s}", "state", "relay", "proto", "imap", "ip", "192.0.2.1");
        json_object_set_new(row, "id", json_sprintf("1-%d", i));
        json_object_set_new(
            row, "user", i == 3 ? json_string("evil\x1b[2J\u202ename") : json_sprintf("user%d", i));
        json_array_append_new(rows, row);
    }
    json_t *result = json_pack("{s:o, s:b, s:i, s:i}", "rows", rows, "more", 0, "matched",
                               t.sessions, "seen", 1000);
    char *text = json_dumps(result, 0);
    char *line = fake_result(id, text);
    free(text);
    json_decref(result);
    return line;
}

static const struct command *command_of(const char *method)
{
    char noun[64];
    const char *dot = strchr(method, '.');
    if (!dot)
        return NULL;
    (void)str_copy(noun, sizeof(noun), str_n(method, (size_t)(dot - method)));
    return commands_find(noun, dot + 1);
}

static json_t *made_value(const struct command_column *c, int i)
{
    switch (c->unit) {
    case COMMANDS_NUMBER:
    case COMMANDS_SIZE:
    case COMMANDS_DURATION:
    case COMMANDS_TIME:
    case COMMANDS_PERCENT:
        return json_integer(i);
    case COMMANDS_BOOL:
        return json_boolean(i % 2);
    default:
        return json_sprintf("%s-%d", c->name, i);
    }
}

/* Rows of a list that have something in each column; NULL = the method is no list. */
static char *answer_made(const char *method, const json_t *params, json_int_t id)
{
    size_t n;
    const struct command *c = command_of(method);
    int limit = (int)json_integer_value(json_object_get(params, "limit"));
    int first = 1 + (int)json_integer_value(json_object_get(params, "offset"));
    if (!c || !(c->flags & COMMANDS_LIST))
        return NULL;
    const struct command_column *columns = commands_columns(c, &n);
    json_t *rows = json_array();
    for (int i = first; i <= t.rows && (!limit || i < first + limit); i++) {
        json_t *row = json_object();
        for (size_t k = 0; k < n; k++)
            json_object_set_new(row, columns[k].name, made_value(&columns[k], i));
        json_array_append_new(rows, row);
    }
    json_t *result = json_pack("{s:o, s:b, s:i, s:i}", "rows", rows, "more", 0, "matched",
                               (int)t.rows, "seen", (int)t.rows);
    char *text = json_dumps(result, 0);
    char *line = fake_result(id, text);
    free(text);
    json_decref(result);
    return line;
}

static char *answer(const char *method, const json_t *params, json_int_t id)
{
    static const struct {
        const char *method, *result;
    } results[] = {
        {"system.status", "{\"uptime\":123000,\"state\":\"running\",\"restarts\":0}"},
        {"stats.show", "{\"sessions\":5,\"logins\":9,\"login_rate\":2}"},
        {"stats.history", "{\"rows\":[{\"time\":1000,\"sessions\":5,\"logins\":1}]}"},
        {"backend.list", "{\"rows\":[{\"name\":\"b1\",\"pool\":\"main\",\"admin\":\"ready\","
                         "\"health\":\"up\",\"sessions\":5},{\"name\":\"b2\",\"pool\":\"main\","
                         "\"admin\":\"ready\",\"health\":\"down\",\"reason\":\"refused\"}]}"},
        {"listener.list", "{\"rows\":[{\"name\":\"imap\",\"proto\":\"imap\"}]}"},
        {"op.list", "{\"rows\":[{\"id\":\"7\",\"kind\":\"drain\",\"target\":\"main/b1\",\"state\":"
                    "\"running\",\"done\":3,\"total\":10,\"eta\":5000}]}"},
        {"user.list", "{\"rows\":[{\"name\":\"anna\",\"state\":\"active\",\"note\":\"old\"}],"
                      "\"more\":false,\"matched\":1}"},
        {"audit.list", "{\"rows\":[]}"},
        {"limit.list", "{\"rows\":[]}"},
        {"event.watch", "{\"stream\":5}"},
        {"session.kill", "{\"count\":1,\"changed\":true}"},
        {"backend.drain",
         "{\"count\":1,\"changed\":true,\"op\":\"8\",\"message\":\"operation 8; drains\"}"},
        {"user.set", "{\"count\":1,\"changed\":true}"},
        {"config.diff", "{\"rows\":[{\"path\":\"workers\",\"old\":\"1\",\"new\":\"2\","
                        "\"effect\":\"restart\"}]}"},
        {"config.reload", "{\"rows\":[]}"},
    };
    const char *filter = json_string_value(json_object_get(params, "filter"));
    char *made = t.rows >= 0 ? answer_made(method, params, id) : NULL;
    if (t.hangs_up)
        return str_dup_c("");
    if (t.has_ended && strcmp(method, "op.list") == 0)
        return fake_result(id, "{\"rows\":[]}");
    if (t.outcome && strcmp(method, "op.show") == 0)
        return fake_result(id, t.outcome);
    if (made)
        return made;
    if (strcmp(method, "session.list") == 0)
        return filter && strcmp(filter, "idle>") == 0
                   ? fake_error(id, "E_SYNTAX", "a duration is missing", "idle>30m")
                   : answer_sessions(id);
    for (size_t i = 0; i < ARRAY_LEN(results); i++)
        if (strcmp(results[i].method, method) == 0)
            return fake_result(id, results[i].result);
    return fake_error(id, "E_NO_COMMAND", "no such command", "");
}

static int setup(void **state)
{
    (void)state;
    memset(&t, 0, sizeof(t));
    t.fake.answer = t.other.answer = answer;
    t.n_daemons = 1;
    t.sessions = 5;
    t.rows = -1;
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    if (t.has_app)
        app_fini(&t.app);
    if (t.fake.requests)
        fake_stop(&t.fake);
    if (t.other.requests)
        fake_stop(&t.other);
    return 0;
}

static void start(const char *greeting, bool is_read_only)
{
    t.fake.greeting = greeting;
    fake_start(&t.fake);
    if (t.n_daemons > 1)
        fake_start(&t.other);
    struct app_options o = {.sockets = {t.fake.path, t.other.path},
                            .n_sockets = t.n_daemons,
                            .glyphs = GLYPHS_FULL,
                            .is_read_only = is_read_only,
                            .screen = -1};
    struct settings settings;
    settings_init(&settings);
    settings.interval_ms = 60000; /* nothing happens by itself */
    if (t.last_screen)
        (void)str_copy(settings.screen, sizeof(settings.screen), str_of(t.last_screen));
    assert_int_equal(app_init(&t.app, &o, &settings), 0);
    t.has_app = true;
    app_draw(&t.app, 24, 80);
}

static bool is_settled(void)
{
    const struct node *n = &t.app.nodes[0];
    for (size_t i = 0; i < n->n_members; i++)
        if (!node_is_connected(&n->members[i]) || node_pending(&n->members[i]))
            return false;
    return n->refreshed_ms && node_pending(n) == 0 && n->next_ms > clock_ms();
}

static void turn(void)
{
    struct pollfd p[3] = {{.fd = -1}, {.fd = -1}, {.fd = -1}};
    (void)app_tick(&t.app);
    for (size_t i = 0; i < t.app.n_nodes && i < ARRAY_LEN(p); i++)
        if (t.app.nodes[i].rpc)
            p[i] = (struct pollfd){.fd = rpc_client_fd(t.app.nodes[i].rpc), .events = POLLIN};
    (void)poll(p, ARRAY_LEN(p), 5);
}

/* Until everything was asked and answered, the overview's protocols too. */
static void settle(void)
{
    uint64_t end = clock_ms() + WAIT_MS;
    do
        turn();
    while (!is_settled() && clock_ms() < end);
    assert_true(is_settled());
    app_draw(&t.app, 24, 80);
}

static void keys(const char *text)
{
    for (; *text; text++) {
        app_key(&t.app, *text == '\n' ? INPUT_ENTER : (unsigned char)*text);
        settle();
    }
}

static bool shows(const char *text)
{
    char *screen = NULL;
    size_t n = 0;
    FILE *f = open_memstream(&screen, &n);
    screen_print(&t.app.view, f);
    fclose(f);
    bool is_there = strstr(screen, text);
    free(screen);
    return is_there;
}

static inline void check_shows(const char *text)
{
    if (!shows(text)) {
        screen_print(&t.app.view, stderr);
        fail_msg("the screen does not show: %s", text);
    }
}

/* The parameters of the last request of a method as JSON text; NULL when there was none. */
static char *asked(const char *method)
{
    char *text = NULL;
    pthread_mutex_lock(&t.fake.mutex);
    for (size_t i = json_array_size(t.fake.requests); i > 0 && !text; i--) {
        const json_t *r = json_array_get(t.fake.requests, i - 1);
        if (strcmp(json_string_value(json_object_get(r, "method")), method) == 0) {
            const json_t *params = json_object_get(r, "params");
            text = params ? json_dumps(params, JSON_SORT_KEYS) : str_dup_c("{}");
        }
    }
    pthread_mutex_unlock(&t.fake.mutex);
    return text;
}

static inline void check_asked(const char *method, const char *want)
{
    AUTO_FREE char *text = asked(method);
    assert_non_null(text);
    assert_string_equal(text, want);
}
