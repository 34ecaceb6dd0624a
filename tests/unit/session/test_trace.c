/* SPDX-License-Identifier: ISC */
/* Traces on a worker: who is traced, what is told of a login in every cutting, and what happens
 * when nobody takes it in. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "session/trace_tap.h"
#include "session_case.h"
#include "tests/unit/proto/split.h"

struct rig {
    struct session_case c;
    struct mailbox *asker;
    struct buf told;   /* "C> text", a line an event */
    struct buf marked; /* the bytes of `mark` only */
    const char *mark;
    uint64_t n_events, lost, left_out;
    size_t weight; /* of events that were not acknowledged */
    bool is_walked;
};

/* ---- the asker ---- */

static struct rig *now_running;

static void on_event(struct mail *m, void *owner)
{
    struct rig *g = now_running;
    struct session_trace_event *e = CONTAINER_OF(m, struct session_trace_event, mail);
    const char *mark = trace_direction_marker(e->direction);
    (void)owner;
    g->n_events++;
    g->lost += e->lost;
    g->left_out += e->left_out;
    g->weight += e->weight;
    assert_int_equal(buf_printf(&g->told, "%s %.*s\n", mark, (int)e->n, e->bytes), 0);
    if (g->mark && strcmp(mark, g->mark) == 0)
        assert_int_equal(buf_append(&g->marked, e->bytes, e->n), 0);
    free(e);
}

static void listen_in(struct rig *g)
{
    now_running = g;
    mailbox_run(g->asker, NULL);
}

static void worker_turn(struct rig *g)
{
    mailbox_run(loop_mailbox(g->c.loop), &g->c.env);
}

static bool is_told(const struct rig *g, const char *text)
{
    struct str told = buf_str(&g->told);
    return told.p && memmem(told.p, told.n, text, strlen(text));
}

static void trace(struct rig *g, uint64_t number, const char *text)
{
    size_t n;
    struct filter *filter = NULL;
    AUTO_FREE char *error = NULL;
    const struct filter_field *fields = session_trace_fields(&n);
    assert_int_equal(filter_parse(str_of(text), fields, n, &filter, &error), 0);
    const struct session_trace_spec spec = {
        .number = number, .filter = filter, .reply = g->asker, .deliver = on_event};
    assert_int_equal(session_trace_post(loop_mailbox(g->c.loop), &spec), 0);
    filter_unref(filter);
    worker_turn(g);
}

static void rig_init(struct rig *g, const struct proto *proto)
{
    *g = (struct rig){0};
    session_case_init(&g->c);
    if (proto)
        g->c.listener_config.proto = proto;
    assert_int_equal(mailbox_new(&g->asker), 0);
}

static void rig_fini(struct rig *g)
{
    session_case_fini(&g->c);
    mailbox_free(g->asker);
    buf_fini(&g->told);
    buf_fini(&g->marked);
}

/* A session before its login; it is met as one that has just begun. */
static struct session *session_met(struct rig *g, uint64_t id, const struct front_env *env)
{
    struct session *s = session_case_add(&g->c, id);
    s->pre = calloc(1, sizeof(*s->pre));
    assert_non_null(s->pre);
    list_init(&s->pre->held);
    s->pre->front = s->proto->front_new(env);
    assert_non_null(s->pre->front);
    trace_match_address(s);
    return s;
}

static void claim(struct session *s, const char *user)
{
    credentials_wipe(&s->pre->front->cred);
    assert_int_equal(buf_append_c(&s->pre->front->cred.user, user), 0);
    s->pre->cred = &s->pre->front->cred;
    trace_match_user(s);
}

static const struct front_env env_all = {
    .server_name = "proxy.test",
    .mechanisms = SASL_BIT(SASL_PLAIN) | SASL_BIT(SASL_LOGIN) | SASL_BIT(SASL_CRAM_MD5) |
                  SASL_BIT(SASL_XOAUTH2) | SASL_BIT(SASL_APOP) | SASL_BIT_COMMAND,
    .tls = FRONT_TLS_ACTIVE,
    .max_line_bytes = 8192,
    .max_literal_bytes = 8192,
    .apop_salt = "<1.2@x>",
};

/* ---- logins in every cutting ---- */

#define PLAIN "AGFsaWNlAHNlY3JldA=="
#define USER64 "YWxpY2U="
#define SECRET64 "c2VjcmV0"
#define DIGEST "d1g35t0fsecr3t00d1g35t0fsecr3t00"

struct dialogue {
    const struct proto *proto;
    const char *in;
    const char *shown; /* all of C> */
    const char *secrets[4];
};

static void *dialogue_begin(void *arg)
{
    const struct dialogue *d = arg;
    struct rig *g = calloc(1, sizeof(*g));
    assert_non_null(g);
    rig_init(g, d->proto);
    g->mark = "C>";
    trace(g, 1, "ip=192.0.2.1");
    (void)session_met(g, 77, &env_all);
    return g;
}

/* The core: every login fails, every exchange goes on as long as the client says something. */
static void dialogue_act(struct session *s, enum proto_intent intent, struct buf *reply)
{
    struct front *f = s->pre->front;
    if (intent == PROTO_AUTH_BEGIN && !f->has_initial)
        assert_int_equal(s->proto->auth_continue(f, STR("<1.2@x>"), reply), 0);
    else if (intent == PROTO_AUTH_DATA && f->auth_mech == SASL_LOGIN &&
             !str_eq(buf_str(&f->auth_data), STR("secret")))
        assert_int_equal(s->proto->auth_continue(f, STR("Password:"), reply), 0);
    else if (intent == PROTO_READY || intent == PROTO_AUTH_BEGIN || intent == PROTO_AUTH_DATA ||
             intent == PROTO_AUTH_BAD || intent == PROTO_AUTH_ABORT)
        assert_int_equal(s->proto->reply(f, REPLY_AUTH_FAILED, NULL, NULL, reply), 0);
}

static size_t dialogue_feed(void *object, struct str in)
{
    struct rig *g = object;
    struct session *s = session_find(&g->c.env, 77);
    AUTO_BUF reply = BUF_INIT;
    AUTO_BUF answer = BUF_INIT;
    size_t used = 0;
    buf_clear(&s->pre->in);
    assert_int_equal(buf_append_str(&s->pre->in, in), 0);
    trace_tap_before_feed(s);
    enum proto_intent intent = s->proto->feed(s->pre->front, buf_str(&s->pre->in), &used, &reply);
    trace_tap_after_feed(s, used);
    buf_consume(&s->pre->in, used);
    if (reply.len > 0)
        trace_tap_client_out(s, buf_str(&reply));
    dialogue_act(s, intent, &answer);
    if (answer.len > 0)
        trace_tap_client_out(s, buf_str(&answer));
    return intent == PROTO_FATAL ? SPLIT_STOP : used;
}

static void dialogue_end(void *object, void *arg, const char *how)
{
    struct rig *g = object;
    const struct dialogue *d = arg;
    session_end(session_find(&g->c.env, 77), SESSION_END_CLIENT_CLOSED);
    listen_in(g);
    for (size_t i = 0; i < ARRAY_LEN(d->secrets) && d->secrets[i]; i++)
        if (is_told(g, d->secrets[i]))
            fail_msg("%s: %s is told: %.*s", how, d->secrets[i], STR_ARG(buf_str(&g->told)));
    if (!str_eq(buf_str(&g->marked), str_of(d->shown)))
        fail_msg("%s: \"%.*s\" is told, and not \"%s\"", how, STR_ARG(buf_str(&g->marked)),
                 d->shown);
    assert_true(is_told(g, "-- ended by client: client-closed"));
    rig_fini(g);
    free(g);
}

static void test_logins(void **state)
{
    static const struct split_ops ops = {dialogue_begin, dialogue_feed, dialogue_end};
    static struct dialogue dialogues[] = {
        {&proto_imap,
         "a NOOP\r\nb LOGIN alice secret\r\nc LOGOUT\r\n",
         "a NOOP\r\nb LOGIN alice ****\r\nc LOGOUT\r\n",
         {"secret"}},
        {&proto_imap,
         "b LOGIN {5}\r\nalice {6}\r\nsecret\r\nc NOOP\r\n",
         "b LOGIN {5}\r\nalice ****\r\nc NOOP\r\n",
         {"secret", "{6}"}},
        {&proto_imap,
         "b LOGIN \"alice\" {8+}\r\nse\r\ncret\r\nc NOOP\r\n",
         "b LOGIN \"alice\" ****\r\nc NOOP\r\n",
         {"cret"}},
        {&proto_imap,
         "a AUTHENTICATE PLAIN " PLAIN "\r\nb NOOP\r\n",
         "a AUTHENTICATE PLAIN ****\r\nb NOOP\r\n",
         {PLAIN}},
        {&proto_imap,
         "a AUTHENTICATE PLAIN\r\n" PLAIN "\r\nb NOOP\r\n",
         "a AUTHENTICATE PLAIN\r\n****\r\nb NOOP\r\n",
         {PLAIN}},
        {&proto_imap,
         "a AUTHENTICATE LOGIN\r\n" USER64 "\r\n" SECRET64 "\r\nb NOOP\r\n",
         "a AUTHENTICATE LOGIN\r\n****\r\n****\r\nb NOOP\r\n",
         {USER64, SECRET64}},
        {&proto_imap,
         "a AUTHENTICATE CRAM-MD5\r\n*\r\nb AUTHENTICATE CRAM-MD5\r\n" PLAIN "\r\n",
         "a AUTHENTICATE CRAM-MD5\r\n*\r\nb AUTHENTICATE CRAM-MD5\r\n****\r\n",
         {PLAIN}},
        {&proto_imap,
         "a AUTHENTICATE XOAUTH2 not=base64!\r\n",
         "a AUTHENTICATE XOAUTH2 ****\r\n",
         {"not=base64"}},
        {&proto_imap,
         "a AUTHENTICATE NTLM\r\n" PLAIN "\r\n",
         "a AUTHENTICATE NTLM\r\n****\r\n",
         {PLAIN}},
        {&proto_imap, "a LOGIN\r\nsecret\r\n", "a LOGIN\r\n****\r\n", {"secret"}},
        {&proto_imap, "b LOGIN alice sec", "b LOGIN alice ****", {"sec"}},
        {&proto_pop3,
         "USER alice\r\nPASS sec ret\r\nQUIT\r\n",
         "USER alice\r\nPASS ****\r\nQUIT\r\n",
         {"sec", "ret"}},
        {&proto_pop3, "APOP alice " DIGEST "\r\n", "APOP alice ****\r\n", {DIGEST}},
        {&proto_pop3,
         "AUTH PLAIN\r\n" PLAIN "\r\nAUTH PLAIN " PLAIN "\r\n",
         "AUTH PLAIN\r\n****\r\nAUTH PLAIN ****\r\n",
         {PLAIN}},
        {&proto_smtp,
         "EHLO x\r\nAUTH LOGIN\r\n" USER64 "\r\n" SECRET64 "\r\nQUIT\r\n",
         "EHLO x\r\nAUTH LOGIN\r\n****\r\n****\r\nQUIT\r\n",
         {USER64, SECRET64}},
        {&proto_smtp,
         "AUTH PLAIN " PLAIN "\r\nAUTH NTLM " PLAIN "\r\n" SECRET64 "\r\n",
         "AUTH PLAIN ****\r\nAUTH NTLM ****\r\n****\r\n",
         {PLAIN, SECRET64}},
        {&proto_sieve,
         "AUTHENTICATE \"PLAIN\" \"" PLAIN "\"\r\nLOGOUT\r\n",
         "AUTHENTICATE \"PLAIN\" ****\r\nLOGOUT\r\n",
         {PLAIN}},
        {&proto_sieve,
         "AUTHENTICATE \"PLAIN\" {20+}\r\n" PLAIN "\r\nLOGOUT\r\n",
         "AUTHENTICATE \"PLAIN\" ****\r\nLOGOUT\r\n",
         {PLAIN}},
        {&proto_sieve,
         "AUTHENTICATE \"LOGIN\"\r\n\"" USER64 "\"\r\n{8+}\r\n" SECRET64 "\r\nLOGOUT\r\n",
         "AUTHENTICATE \"LOGIN\"\r\n****\r\n****\r\nLOGOUT\r\n",
         {USER64, SECRET64}},
        {&proto_sieve, "NOOP \"secret\"\r\n", "NOOP ****\r\n", {"secret"}},
    };
    for (size_t i = 0; i < ARRAY_LEN(dialogues); i++)
        split_run(&ops, &dialogues[i], str_of(dialogues[i].in));
}

/* ---- towards the server ---- */

static void test_the_proxys_own_login(void **state)
{
    struct rig g;
    rig_init(&g, NULL);
    trace(&g, 1, "ip=192.0.2.1");
    struct session *s = session_met(&g, 5, &env_all);
    trace_tap_login(s, LOGIN_PROXY_HEADER, STR("PROXY TCP4 1.2.3.4\r\n"));
    trace_tap_login(s, LOGIN_SERVER, STR("* OK ready\r\n"));
    trace_tap_login(s, LOGIN_PROXY,
                    STR("P2 ID (\"x\" \"y\")\r\nP3 LOGIN \"alice\" {6+}\r\nmaster\r\n"));
    trace_tap_login(s, LOGIN_PROXY_SECRET, STR("answer\r\n"));
    trace_tap_login(s, LOGIN_SERVER, STR("P3 NO what is master or answer?\r\n"));
    listen_in(&g);
    assert_true(is_told(&g, "B> PROXY TCP4 1.2.3.4\r\n") && is_told(&g, "B< * OK ready\r\n"));
    assert_true(is_told(&g, "B> P2 ID (\"x\" \"y\")\r\nP3 LOGIN \"alice\" ****\r\n"));
    assert_true(is_told(&g, "B> ****\r\n") && is_told(&g, "B< P3 NO what is **** or ****?\r\n"));
    assert_false(is_told(&g, "answer") || is_told(&g, "master"));
    trace_tap_note_words(s, "its words", STR("no master here"));
    trace_tap_note_words(s, "its words", STR("wrong password"));
    listen_in(&g);
    assert_true(is_told(&g, "-- its words: wrong password"));
    assert_true(is_told(&g, "-- its words: words that are not shown here\n"));
    rig_fini(&g);
}

/* Too many words to look for: what is said to all of them is not shown, until the next command. */
static void test_many_hidden_words(void **state)
{
    struct rig g;
    AUTO_BUF words = BUF_INIT;
    rig_init(&g, NULL);
    trace(&g, 1, "ip=192.0.2.1");
    struct session *s = session_met(&g, 5, &env_all);
    for (int i = 0; i < 1000; i++)
        assert_int_equal(buf_printf(&words, "w%d ", i), 0);
    trace_tap_login(s, LOGIN_PROXY_SECRET, buf_str(&words));
    trace_tap_client_out(s, STR("a NO w7\r\n"));
    assert_int_equal(buf_append_c(&s->pre->in, "b NOOP\r\n"), 0);
    trace_tap_before_feed(s);
    trace_tap_client_out(s, STR("b OK w7\r\n"));
    listen_in(&g);
    assert_true(is_told(&g, "C< ****\n") && !is_told(&g, "a NO"));
    assert_true(is_told(&g, "C< b OK w7\r\n"));
    rig_fini(&g);
}

/* ---- who is traced ---- */

static void test_who_is_meant(void **state)
{
    struct rig g;
    rig_init(&g, NULL);
    trace(&g, 1, "ip=198.51.100.0/24");
    assert_null(session_met(&g, 1, &env_all)->tap);
    trace(&g, 2, "proto=imap listener=imap ip=192.0.2.0/24");
    assert_non_null(session_met(&g, 2, &env_all)->tap);
    listen_in(&g);
    assert_true(is_told(&g, "-- imap session of 192.0.2.1:4711 on listener imap"));
    assert_int_equal(session_trace_end_post(loop_mailbox(g.c.loop), 2), 0);
    worker_turn(&g);
    assert_null(session_find(&g.c.env, 2)->tap);
    assert_non_null(g.c.env.traces);
    assert_int_equal(session_trace_end_post(loop_mailbox(g.c.loop), 1), 0);
    worker_turn(&g);
    assert_null(g.c.env.traces);
    rig_fini(&g);
}

static bool is_walked(void *arg)
{
    struct rig *g = arg;
    listen_in(g);
    return g->n_events >= 2;
}

static void test_sessions_that_are_there(void **state)
{
    struct rig g;
    rig_init(&g, NULL);
    for (uint64_t id = 1; id <= 300; id++)
        (void)session_case_add(&g.c, id);
    session_find(&g.c.env, 7)->user = str_dup_c("alice");
    session_find(&g.c.env, 299)->user = str_dup_c("Alice");
    session_find(&g.c.env, 300)->user = str_dup_c("bob");
    trace(&g, 1, "user=alice");
    session_end(session_find(&g.c.env, 6), SESSION_END_KILLED);
    io_case_run(g.c.loop, is_walked, &g);
    assert_int_equal(g.n_events, 2);
    assert_non_null(session_find(&g.c.env, 7)->tap);
    assert_non_null(session_find(&g.c.env, 299)->tap);
    assert_null(session_find(&g.c.env, 300)->tap);
    assert_null(session_find(&g.c.env, 8)->tap);
    rig_fini(&g);
}

/* Nothing is told before the name is known, and then everything. */
static void test_a_user_who_is_not_known_yet(void **state)
{
    struct rig g;
    rig_init(&g, NULL);
    trace(&g, 1, "user=alice*");
    struct session *s = session_met(&g, 1, &env_all);
    trace_tap_client_out(s, STR("* OK hello\r\n"));
    claim(s, "bob");
    listen_in(&g);
    assert_int_equal(g.n_events, 0);
    assert_true(g.c.env.traces->kept_bytes > 0);
    claim(s, "alice@example.org");
    trace_tap_client_out(s, STR("a NO\r\n"));
    listen_in(&g);
    assert_int_equal(g.n_events, 3);
    assert_true(
        is_told(&g, "-- imap session of 192.0.2.1:4711 on listener imap\nC< * OK hello\r\n"));
    assert_int_equal(g.c.env.traces->kept_bytes, 0);
    rig_fini(&g);
}

static void test_a_user_who_is_another_one(void **state)
{
    struct rig g;
    struct backend b = {.pool = "main", .name = "b1", .refs = 2};
    rig_init(&g, NULL);
    trace(&g, 1, "user=alice");
    struct session *s = session_met(&g, 1, &env_all);
    claim(s, "bob");
    s->user = str_dup_c("bob");
    s->backend = &b;
    trace_match_user(s);
    trace_tap_relay_begin(s);
    assert_null(s->tap);
    assert_int_equal(g.c.env.traces->kept_bytes, 0);
    listen_in(&g);
    assert_int_equal(g.n_events, 0);
    s->backend = NULL;
    rig_fini(&g);
}

/* What is kept has bounds; the newest of it is told, and how much is gone. */
static void test_too_much_to_keep(void **state)
{
    struct rig g;
    char text[1000];
    rig_init(&g, NULL);
    trace(&g, 1, "user=alice");
    struct session *s = session_met(&g, 1, &env_all);
    memset(text, 'x', sizeof(text));
    for (int i = 0; i < 40; i++)
        trace_tap_client_out(s, str_n(text, sizeof(text)));
    assert_true(g.c.env.traces->kept_bytes <= 16384);
    claim(s, "alice");
    listen_in(&g);
    assert_true(is_told(&g, " events before this were not kept"));
    assert_true(g.n_events > 1 && g.n_events < 20);
    rig_fini(&g);
}

/* Several at once: each hears its own, and the last one takes the tap along. */
static void test_several_traces(void **state)
{
    struct rig g;
    rig_init(&g, NULL);
    for (uint64_t n = 1; n <= TRACES_MAX + 1; n++)
        trace(&g, n, n == 1 ? "user=alice" : "ip=192.0.2.1");
    struct session *s = session_met(&g, 1, &env_all);
    listen_in(&g);
    assert_int_equal(g.n_events, TRACES_MAX - 1);
    claim(s, "alice");
    listen_in(&g);
    assert_int_equal(g.n_events, TRACES_MAX);
    for (uint64_t n = 2; n <= TRACES_MAX + 1; n++)
        assert_int_equal(session_trace_end_post(loop_mailbox(g.c.loop), n), 0);
    worker_turn(&g);
    assert_non_null(s->tap);
    trace_tap_client_out(s, STR("a NO\r\n"));
    listen_in(&g);
    assert_int_equal(g.n_events, TRACES_MAX + 1);
    rig_fini(&g);
}

/* ---- nobody takes it in ---- */

static void test_dropped_and_counted(void **state)
{
    struct rig g;
    char text[TRACE_BYTES_MAX + 100];
    rig_init(&g, NULL);
    trace(&g, 1, "ip=192.0.2.1");
    struct session *s = session_met(&g, 1, &env_all);
    memset(text, 'x', sizeof(text));
    for (int i = 0; i < 100; i++)
        trace_tap_client_out(s, str_n(text, sizeof(text)));
    listen_in(&g);
    assert_true(g.weight <= TRACE_FLIGHT_MAX);
    assert_true(g.n_events < 100 && g.lost == 0);
    assert_int_equal(g.left_out, (g.n_events - 1) * 100);
    uint64_t before = g.n_events;
    assert_int_equal(session_trace_seen_post(loop_mailbox(g.c.loop), 1, g.weight), 0);
    worker_turn(&g);
    listen_in(&g);
    assert_int_equal(g.n_events, before + 1); /* told at once, not with the next event */
    assert_int_equal(g.lost, 101 - before);
    trace_tap_client_out(s, STR("a OK\r\n"));
    listen_in(&g);
    assert_true(is_told(&g, "C< a OK\r\n"));
    rig_fini(&g);
}

/* ---- the relay ---- */

static void test_relay(void **state)
{
    struct rig g;
    rig_init(&g, NULL);
    trace(&g, 1, "id=0-1");
    struct session *s = session_case_add(&g.c, 1);
    s->watch = calloc(1, s->proto->watch_size);
    assert_non_null(s->watch);
    s->proto->watch_init(s->watch, STR_NULL);
    trace_match_address(s);
    static const struct {
        bool is_client;
        const char *bytes;
    } said[] = {
        {true, "a NOOP\r\n"},
        {false, "a OK\r\n"},
        {true, "b UNAUTHENTICATE\r\n"},
        {false, "b OK\r\n"},
        {true, "c AUTHENTICATE PLAIN\r\n"},
        {false, "+ \r\n"},
        {true, PLAIN "\r\n"},
        {false, "c OK\r\n"},
        {true, "d NOOP\r\n"},
    };
    for (size_t i = 0; i < ARRAY_LEN(said); i++) {
        struct str bytes = str_of(said[i].bytes);
        s->proto->watch_feed(s->watch, said[i].is_client ? WATCH_CLIENT : WATCH_SERVER, bytes);
        trace_tap_relay(s, said[i].is_client, bytes);
    }
    listen_in(&g);
    assert_true(is_told(&g, ">> a NOOP\r\n") && is_told(&g, "<< a OK\r\n"));
    assert_true(is_told(&g, ">> c AUTHENTICATE ****\n<< + \r\n\n>> ****\n<< c OK\r\n"));
    assert_true(is_told(&g, ">> d NOOP\r\n"));
    assert_false(is_told(&g, PLAIN));
    rig_fini(&g);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_logins),
        cmocka_unit_test(test_the_proxys_own_login),
        cmocka_unit_test(test_many_hidden_words),
        cmocka_unit_test(test_who_is_meant),
        cmocka_unit_test(test_sessions_that_are_there),
        cmocka_unit_test(test_a_user_who_is_not_known_yet),
        cmocka_unit_test(test_a_user_who_is_another_one),
        cmocka_unit_test(test_too_much_to_keep),
        cmocka_unit_test(test_several_traces),
        cmocka_unit_test(test_dropped_and_counted),
        cmocka_unit_test(test_relay),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
