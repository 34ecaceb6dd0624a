/* SPDX-License-Identifier: ISC */
/* The login dialogue over real sockets: each protocol's way in, refusals, servers that hang up, say
 * nothing or talk nonsense at each step, STARTTLS with bytes slipped in. */
#include "rig.h"

#define PLAIN_JOE "AGpvZQBzZWNyZXQ="
#define IMAP_HI "* OK [CAPABILITY IMAP4rev1 SASL-IR AUTH=PLAIN] hi\r\n"
#define SMTP_CAPS "250-mail\r\n250-PIPELINING\r\n250 AUTH PLAIN\r\n"
#define SMTP_TLS_CAPS "250-mail\r\n250 STARTTLS\r\n"
#define SIEVE_CAPS "\"IMPLEMENTATION\" \"x\"\r\n\"SASL\" \"PLAIN\"\r\n"
#define SIEVE_IN C("AUTHENTICATE \"PLAIN\" \"" PLAIN_JOE "\"\r\n"), S("OK \"Logged in\"\r\n")

static const struct script_step imap_steps[] = {
    S("* OK hi\r\n"), C("P3 LOGIN \"joe\" \"secret\"\r\n"), S("P3 OK Logged in\r\n")};
static const struct script_step imap_rest_steps[] = {S(IMAP_HI),
                                                     C("P3 AUTHENTICATE PLAIN " PLAIN_JOE "\r\n"),
                                                     S("P3 OK Logged in\r\n* 1 EXISTS\r\n")};
static const struct script_step imap_starttls_steps[] = {S("* OK hi\r\n"),
                                                         C("P0 STARTTLS\r\n"),
                                                         S("P0 OK go\r\n"),
                                                         START_TLS,
                                                         C("P3 LOGIN \"joe\" \"secret\"\r\n"),
                                                         S("P3 OK Logged in\r\n")};
static const struct script_step imap_tls_steps[] = {
    START_TLS, S(IMAP_HI), C("P3 AUTHENTICATE PLAIN " PLAIN_JOE "\r\n"), S("P3 OK Logged in\r\n")};
static const struct script_step pop3_steps[] = {S("+OK hi\r\n"), C("USER joe\r\n"), S("+OK\r\n"),
                                                C("PASS secret\r\n"), S("+OK Logged in\r\n")};
static const struct script_step pop3_starttls_steps[] = {
    S("+OK hi\r\n"),   C("STLS\r\n"), S("+OK\r\n"),         START_TLS,
    C("USER joe\r\n"), S("+OK\r\n"),  C("PASS secret\r\n"), S("+OK Logged in\r\n")};
static const struct script_step smtp_steps[] = {S("220 mail ESMTP\r\n"), C("EHLO px\r\n"),
                                                S(SMTP_CAPS), C("AUTH PLAIN " PLAIN_JOE "\r\n"),
                                                S("235 2.7.0 Logged in\r\n")};
static const struct script_step smtp_starttls_steps[] = {S("220 mail ESMTP\r\n"),
                                                         C("EHLO px\r\n"),
                                                         S(SMTP_TLS_CAPS),
                                                         C("STARTTLS\r\n"),
                                                         S("220 go\r\n"),
                                                         START_TLS,
                                                         C("EHLO px\r\n"),
                                                         S(SMTP_CAPS),
                                                         C("AUTH PLAIN " PLAIN_JOE "\r\n"),
                                                         S("235 2.7.0 Logged in\r\n")};
static const struct script_step sieve_steps[] = {S(SIEVE_CAPS "OK\r\n"), SIEVE_IN};
static const struct script_step sieve_starttls_steps[] = {S(SIEVE_CAPS "\"STARTTLS\"\r\nOK\r\n"),
                                                          C("STARTTLS\r\n"),
                                                          S("OK\r\n"),
                                                          START_TLS,
                                                          S(SIEVE_CAPS "OK\r\n"),
                                                          SIEVE_IN};

#define ROW(name, protocol, mode, list, caps, last)                                                \
    {                                                                                              \
        .what = name, .proto = &proto_##protocol, .tls = BACK_TLS_##mode, .steps = list,           \
        .n = ARRAY_LEN(list), .learned = caps, .rest = last                                        \
    }

static const struct login_row {
    const char *what;
    const struct proto *proto;
    enum back_tls tls;
    const struct script_step *steps;
    size_t n;
    const char *learned, *rest;
} rows[] = {
    ROW("imap", imap, OFF, imap_steps, "", ""),
    ROW("imap, bytes behind", imap, OFF, imap_rest_steps, "IMAP4rev1 SASL-IR AUTH=PLAIN",
        "* 1 EXISTS\r\n"),
    ROW("imap starttls", imap, STARTTLS, imap_starttls_steps, "", ""),
    ROW("imap tls", imap, IMPLICIT, imap_tls_steps, "IMAP4rev1 SASL-IR AUTH=PLAIN", ""),
    ROW("pop3", pop3, OFF, pop3_steps, "", ""),
    ROW("pop3 starttls", pop3, STARTTLS, pop3_starttls_steps, "", ""),
    ROW("smtp", smtp, OFF, smtp_steps, "", ""),
    ROW("smtp starttls", smtp, STARTTLS, smtp_starttls_steps, "", ""),
    ROW("sieve", sieve, OFF, sieve_steps, "\"IMPLEMENTATION\" \"x\"\n\"SASL\" \"PLAIN\"\n", ""),
    ROW("sieve starttls", sieve, STARTTLS, sieve_starttls_steps,
        "\"IMPLEMENTATION\" \"x\"\n\"SASL\" \"PLAIN\"\n", ""),
};

static void serve_row(struct rig *r, const struct login_row *row, size_t n_steps)
{
    rig_serve(r, row->proto, row->tls, row->steps, n_steps);
}

/* ---- the way in ---- */

static bool has_more(void *arg)
{
    return ((struct script *)arg)->heard.len > 0;
}

/* After success the connection is the caller's and alive both ways. */
static void assert_alive(struct rig *r)
{
    assert_true(r->conn.is_reading);
    assert_int_equal(conn_send(&r->conn, "x", 1), 0);
    run_until(r->loop, has_more, &r->server);
    assert_true(str_eq(buf_str(&r->server.heard), STR("x")));
}

static void test_way_in(void **state)
{
    struct rig *r = *state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        for (int is_slow = 0; is_slow < 2; is_slow++) {
            serve_row(r, &rows[i], rows[i].n);
            r->server.is_slow = is_slow;
            rig_login(r);
            rig_expect(r, rows[i].what, BACK_FAIL_NONE, NULL, "");
            assert_string_equal(r->text, "Logged in");
            assert_string_equal(r->learned, rows[i].learned);
            if (!is_slow) /* what comes later is read later */
                assert_string_equal(r->rest, rows[i].rest);
            assert_true(r->outcome.were_credentials_sent);
            assert_int_equal(r->outcome.server.port, r->server.port);
            assert_true(r->outcome.connect_us <= r->outcome.total_us);
            struct tls_info info;
            assert_int_equal(conn_tls_info(&r->conn, &info), rows[i].tls != BACK_TLS_OFF);
            assert_alive(r);
        }
}

/* ---- over a connection that waited ---- */

static bool is_ready;

static void on_ready(void *arg)
{
    (void)arg;
    assert_false(is_ready);
    is_ready = true;
}

static bool is_waiting(void *arg)
{
    (void)arg;
    return is_ready;
}

/* Brings a connection to where the login of `row` would begin. */
static void warm_up(struct rig *r, const struct login_row *row, size_t n_steps,
                    struct conn *waiting)
{
    serve_row(r, row, n_steps);
    struct login_spec spec = r->spec;
    is_ready = false;
    r->is_done = false;
    conn_init(waiting, r->loop, NULL, NULL);
    spec.conn = waiting;
    spec.env.cred = NULL;
    spec.env.is_warming = true;
    spec.ready = on_ready;
    spec.login_ms = 200; /* ends when it is ready */
    assert_int_equal(login_start(&spec, &r->login), 0);
    assert_int_equal(login_resume(r->login, &r->spec), -ERR_BUSY);
    run_until(r->loop, is_waiting, r);
    assert_false(r->is_done);
}

static void resume(struct rig *r)
{
    assert_int_equal(login_resume(r->login, &r->spec), 0);
    assert_false(r->is_done);
    run_until(r->loop, rig_is_done, r);
    if (r->server.failure[0])
        fail_msg("%s", r->server.failure);
}

static void test_resumed(void **state)
{
    struct rig *r = *state;
    struct conn waiting;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        warm_up(r, &rows[i], rows[i].n, &waiting);
        resume(r);
        rig_expect(r, rows[i].what, BACK_FAIL_NONE, NULL, "");
        assert_string_equal(r->text, "Logged in");
        assert_string_equal(r->learned, rows[i].learned);
        assert_int_equal(r->outcome.server.port, r->server.port);
        assert_int_equal(r->server.connections, 1);
        assert_int_equal(waiting.fd, -1);
        struct tls_info info;
        assert_int_equal(conn_tls_info(&r->conn, &info), rows[i].tls != BACK_TLS_OFF);
        assert_alive(r);
    }
}

/* What must not be sent is not sent there either. */
static void test_resumed_bad_credentials(void **state)
{
    static const size_t of[] = {0, 4, 6, 8};
    struct rig *r = *state;
    struct conn waiting;
    for (size_t i = 0; i < ARRAY_LEN(of); i++) {
        struct credentials bad = {.mech = SASL_PLAIN};
        assert_int_equal(buf_append_c(&bad.user, "joe"), 0);
        assert_int_equal(buf_append_c(&bad.secret, "a\r\nb"), 0);
        warm_up(r, &rows[of[i]], rows[of[i]].n, &waiting);
        r->spec.env.cred = &bad;
        resume(r);
        rig_expect(r, rows[of[i]].what, BACK_FAIL_BAD_CREDENTIAL, NULL, NULL);
        assert_int_equal(r->server.heard.len, 0);
        credentials_wipe(&bad);
    }
}

/* The server has left, and nobody has read so yet: another connection is made, once. */
static void test_resumed_too_late(void **state)
{
    struct rig *r = *state;
    struct conn waiting;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        for (int is_back = 0; is_back < 2; is_back++) {
            static const struct script_step gone[] = {HANG_UP};
            warm_up(r, &rows[i], rows[i].n, &waiting);
            if (rows[i].proto == &proto_imap)
                assert_int_equal(conn_send(&r->server.conn, "* BYE idle\r\n", 12), 0);
            conn_close(&r->server.conn);
            r->server.steps = is_back ? rows[i].steps : gone;
            r->server.n_steps = is_back ? rows[i].n : 1;
            resume(r);
            assert_int_equal(r->server.connections, 2);
            if (is_back)
                rig_expect(r, rows[i].what, BACK_FAIL_NONE, NULL, "");
            else
                assert_true(r->outcome.failure == BACK_FAIL_CLOSED ||
                            r->outcome.failure == BACK_FAIL_TLS);
        }
}

/* Its owner hears when the server leaves, also with words. */
static void test_left_while_ready(void **state)
{
    struct rig *r = *state;
    struct conn waiting;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        warm_up(r, &rows[i], rows[i].n, &waiting);
        if (rows[i].proto == &proto_imap)
            assert_int_equal(conn_send(&r->server.conn, "* BYE idle\r\n", 12), 0);
        conn_close(&r->server.conn);
        run_until(r->loop, rig_is_done, r);
        assert_int_equal(r->outcome.failure,
                         rows[i].proto == &proto_imap ? BACK_FAIL_BYE : BACK_FAIL_CLOSED);
        assert_int_equal(waiting.fd, -1);
        assert_int_equal(r->server.connections, 1);
    }
}

static bool is_server_left(void *arg)
{
    return ((struct rig *)arg)->server.is_gone;
}

static void test_cancel_ready(void **state)
{
    struct rig *r = *state;
    struct conn waiting;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        for (int is_resumed = 0; is_resumed < 2; is_resumed++) {
            warm_up(r, &rows[i], rows[i].n, &waiting);
            if (is_resumed)
                assert_int_equal(login_resume(r->login, &r->spec), 0);
            login_cancel(r->login);
            r->login = NULL;
            assert_int_equal(waiting.fd, -1);
            assert_int_equal(r->conn.fd, -1);
            r->server.is_gone = false;
            run_until(r->loop, is_server_left, r);
            assert_false(r->is_done);
        }
}

static void test_progress(void **state)
{
    static const struct {
        size_t row;
        const char *told;
    } want[] = {{0, "connect login "}, {2, "connect login tls login "}, {3, "connect tls login "}};
    struct rig *r = *state;
    for (size_t i = 0; i < ARRAY_LEN(want); i++) {
        serve_row(r, &rows[want[i].row], rows[want[i].row].n);
        rig_login(r);
        assert_true(str_eq(buf_str(&r->told), str_of(want[i].told)));
    }
}

/* A check logs out, without credentials too, and learns on the way. */
static void test_check(void **state)
{
    static const struct script_step steps[] = {S("* OK hi\r\n"),
                                               C("P1 CAPABILITY\r\n"),
                                               S("* CAPABILITY IMAP4rev1 IDLE\r\nP1 OK done\r\n"),
                                               C("P4 LOGOUT\r\n"),
                                               S("* BYE\r\nP4 OK\r\n"),
                                               HANG_UP};
    struct rig *r = *state;
    rig_serve(r, &proto_imap, BACK_TLS_OFF, steps, ARRAY_LEN(steps));
    r->spec.env.cred = NULL;
    r->spec.env.is_check = r->spec.env.want_capabilities = true;
    rig_login(r);
    rig_expect(r, "check", BACK_FAIL_NONE, "logout", "");
    assert_string_equal(r->learned, "IMAP4rev1 IDLE");
    assert_false(r->outcome.were_credentials_sent);
}

/* ---- refusals ---- */

static void test_refusals(void **state)
{
    static const struct {
        size_t row;
        const char *reply; /* to the last command */
        enum back_failure failure;
        const char *message, *code;
    } refusals[] = {
        {0, "P3 NO [AUTHENTICATIONFAILED] no\r\n", BACK_FAIL_AUTH, "[AUTHENTICATIONFAILED] no", ""},
        {0, "P3 NO [UNAVAILABLE] later\r\n", BACK_FAIL_AUTH_TEMP, "[UNAVAILABLE] later", ""},
        {0, "P3 NO [LIMIT] many\r\n", BACK_FAIL_LIMIT, "[LIMIT] many", ""},
        {0, "* BYE gone\r\n", BACK_FAIL_BYE, "gone", ""},
        {2, "P3 NO no\r\n", BACK_FAIL_AUTH, "no", ""},
        {3, "P3 NO no\r\n", BACK_FAIL_AUTH, "no", ""},
        {4, "-ERR [AUTH] no\r\n", BACK_FAIL_AUTH, NULL, ""},
        {4, "-ERR [SYS/TEMP] later\r\n", BACK_FAIL_AUTH_TEMP, NULL, ""},
        {6, "535 5.7.8 no\r\n", BACK_FAIL_AUTH, "no", "535 5.7.8"},
        {6, "454 4.7.0 later\r\n", BACK_FAIL_AUTH_TEMP, "later", "454 4.7.0"},
        {8, "NO \"no\"\r\n", BACK_FAIL_AUTH, "no", ""},
        {8, "NO (TRYLATER) \"later\"\r\n", BACK_FAIL_AUTH_TEMP, "later", ""},
    };
    struct rig *r = *state;
    for (size_t i = 0; i < ARRAY_LEN(refusals); i++) {
        const struct login_row *row = &rows[refusals[i].row];
        struct script_step steps[16];
        memcpy(steps, row->steps, row->n * sizeof(steps[0]));
        steps[row->n - 1] = (struct script_step){SAY, str_of(refusals[i].reply)};
        rig_serve(r, row->proto, row->tls, steps, row->n);
        rig_login(r);
        rig_expect(r, refusals[i].reply, refusals[i].failure, NULL, refusals[i].message);
        assert_string_equal(r->code, refusals[i].code);
        assert_true(r->outcome.were_credentials_sent);
    }
}

static void test_greetings(void **state)
{
    static const struct {
        const struct proto *proto;
        struct script_step steps[1];
        enum back_failure failure;
    } greetings[] = {
        {&proto_imap, {S("* BYE busy\r\n")}, BACK_FAIL_BYE},
        {&proto_imap, {S("220 mail ESMTP\r\n")}, BACK_FAIL_PROTOCOL},
        {&proto_pop3, {S("-ERR busy\r\n")}, BACK_FAIL_BYE},
        {&proto_pop3, {S("* OK hi\r\n")}, BACK_FAIL_PROTOCOL},
        {&proto_smtp, {S("421 4.3.2 busy\r\n")}, BACK_FAIL_BYE},
        {&proto_smtp, {S("+OK hi\r\n")}, BACK_FAIL_PROTOCOL},
        {&proto_sieve, {S("BYE \"busy\"\r\n")}, BACK_FAIL_BYE},
        {&proto_sieve, {S("\x16\x03\x01\r\n")}, BACK_FAIL_PROTOCOL},
    };
    struct rig *r = *state;
    for (size_t i = 0; i < ARRAY_LEN(greetings); i++) {
        rig_serve(r, greetings[i].proto, BACK_TLS_OFF, greetings[i].steps, 1);
        rig_login(r);
        rig_expect(r, greetings[i].proto->name, greetings[i].failure, "greeting", NULL);
        assert_false(r->outcome.were_credentials_sent);
    }
}

/* What must not be sent is not sent: not even the connection's first command. */
static void test_bad_credentials(void **state)
{
    static const struct {
        const struct proto *proto;
        struct script_step steps[1];
    } servers[] = {
        {&proto_imap, {S("* OK hi\r\n")}},
        {&proto_pop3, {S("+OK hi\r\n")}},
        {&proto_smtp, {S("220 hi\r\n")}},
        {&proto_sieve, {S(SIEVE_CAPS "OK\r\n")}},
    };
    static const struct str secrets[] = {STR("a\r\nb"), STR("a\nb"), STR("a\0b")};
    struct rig *r = *state;
    for (size_t i = 0; i < ARRAY_LEN(servers); i++)
        for (size_t j = 0; j < ARRAY_LEN(secrets); j++) {
            struct credentials bad = {.mech = SASL_PLAIN};
            assert_int_equal(buf_append_c(&bad.user, "joe"), 0);
            assert_int_equal(buf_append_str(&bad.secret, secrets[j]), 0);
            rig_serve(r, servers[i].proto, BACK_TLS_OFF, servers[i].steps, 1);
            r->spec.env.cred = &bad;
            rig_login(r);
            rig_expect(r, servers[i].proto->name, BACK_FAIL_BAD_CREDENTIAL, NULL, NULL);
            assert_int_equal(r->server.heard.len, 0);
            credentials_wipe(&bad);
        }
}

/* ---- servers that fail ---- */

/* Hung up after each step: a failure that another backend may mend, at the right place. */
static void test_cut(void **state)
{
    struct rig *r = *state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        for (size_t n = 0; n < rows[i].n; n++) {
            struct script_step steps[16];
            memcpy(steps, rows[i].steps, n * sizeof(steps[0]));
            steps[n] = (struct script_step){.op = CUT};
            rig_serve(r, rows[i].proto, rows[i].tls, steps, n + 1);
            rig_login(r);
            bool is_tls = strcmp(r->outcome.step, "tls") == 0;
            rig_expect(r, rows[i].what, is_tls ? BACK_FAIL_TLS : BACK_FAIL_CLOSED, NULL, NULL);
            assert_true(back_failure_may_retry(r->outcome.failure));
        }
}

#define GARBAGE "\xff\xfe\x01 garbage here\r\n\r\n.\r\nmore\r\n"

/* Nonsense instead of each thing that the server should say. */
static void test_garbage(void **state)
{
    struct rig *r = *state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        for (size_t n = 0; n < rows[i].n; n++) {
            struct script_step steps[16];
            if (rows[i].steps[n].op != SAY && rows[i].steps[n].op != TLS)
                continue;
            memcpy(steps, rows[i].steps, n * sizeof(steps[0]));
            steps[n] = (struct script_step){SAY, STR(GARBAGE)};
            steps[n + 1] = (struct script_step){.op = CUT};
            rig_serve(r, rows[i].proto, rows[i].tls, steps, n + 2);
            rig_login(r);
            if (r->outcome.failure == BACK_FAIL_NONE)
                fail_msg("%s: logged in by garbage at step %zu", rows[i].what, n);
            assert_int_equal(r->conn.fd, -1);
        }
}

/* A line without end is not read forever. */
static void test_endless(void **state)
{
    struct rig *r = *state;
    const size_t size = 4 * 1024 * 1024;
    char *endless = malloc(size);
    memset(endless, 'x', size);
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        const struct script_step steps[] = {rows[i].steps[0], {SAY, {endless, size}}};
        size_t skip = rows[i].tls == BACK_TLS_IMPLICIT ? 0 : 1;
        rig_serve(r, rows[i].proto, rows[i].tls, steps + skip, 2 - skip);
        rig_login(r);
        rig_expect(r, rows[i].what, BACK_FAIL_PROTOCOL, "greeting", NULL);
    }
    free(endless);
}

/* Silence after each step ends at the deadline. */
static void test_silence(void **state)
{
    struct rig *r = *state;
    const struct login_row *row = &rows[2];
    for (size_t n = 0; n < row->n; n++) {
        if (row->steps[n].op == HEAR)
            continue;
        serve_row(r, row, n);
        r->spec.login_ms = 50;
        rig_login(r);
        rig_expect(r, row->what, BACK_FAIL_TIMEOUT,
                   n == 0   ? "greeting"
                   : n == 2 ? "starttls"
                   : n == 3 ? "tls"
                            : "auth",
                   "timed out");
    }
}

static void test_total_time(void **state)
{
    struct rig *r = *state;
    serve_row(r, &rows[0], 0);
    r->spec.login_ms = 0;
    r->spec.connect_ms = 0;
    r->spec.total_ms = 50;
    rig_login(r);
    rig_expect(r, "total", BACK_FAIL_TIMEOUT, "greeting", "timed out");
}

/* ---- TLS ---- */

#define EVIL "* CAPABILITY EVIL\r\nP1 OK x\r\nP3 OK evil\r\n"

/* Bytes that come with the go-ahead, in clear, are not the server's word. */
static void test_injection(void **state)
{
    static const struct {
        size_t row, step;
        const char *reply;
    } injections[] = {
        {2, 2, "P0 OK go\r\n" EVIL},
        {2, 2, "P0 OK go\r\nP3 OK evil"},
        {5, 2, "+OK\r\n+OK evil\r\n+OK evil\r\n"},
        {7, 4, "220 go\r\n250 EVIL\r\n235 evil\r\n"},
        {9, 2, "OK\r\n\"SASL\" \"EVIL\"\r\nOK\r\nOK \"evil\"\r\n"},
    };
    struct rig *r = *state;
    for (size_t i = 0; i < ARRAY_LEN(injections); i++) {
        const struct login_row *row = &rows[injections[i].row];
        struct script_step steps[16];
        memcpy(steps, row->steps, row->n * sizeof(steps[0]));
        steps[injections[i].step] = (struct script_step){SAY, str_of(injections[i].reply)};
        rig_serve(r, row->proto, row->tls, steps, row->n);
        rig_login(r);
        rig_expect(r, row->what, BACK_FAIL_NONE, NULL, NULL);
        assert_string_equal(r->text, "Logged in");
        assert_string_equal(r->learned, row->learned);
        assert_string_equal(r->rest, "");
    }
}

/* Clear bytes that come later are no handshake: the login fails before anything secret is sent. */
static void test_late_injection(void **state)
{
    static const struct script_step steps[] = {
        S("* OK hi\r\n"), C("P0 STARTTLS\r\n"), S("P0 OK go\r\n"), {HEAR_SOME, {NULL, 0}}, S(EVIL)};
    struct rig *r = *state;
    rig_serve(r, &proto_imap, BACK_TLS_STARTTLS, steps, ARRAY_LEN(steps));
    rig_login(r);
    rig_expect(r, "late injection", BACK_FAIL_TLS, "tls", NULL);
    assert_false(r->outcome.were_credentials_sent);
}

static void test_no_starttls(void **state)
{
    static const struct {
        const struct proto *proto;
        struct script_step steps[3];
        size_t n;
    } servers[] = {
        {&proto_imap, {S("* OK [CAPABILITY IMAP4rev1] hi\r\n")}, 1},
        {&proto_imap, {S("* OK hi\r\n"), C("P0 STARTTLS\r\n"), S("P0 NO not here\r\n")}, 3},
        {&proto_imap, {S("* PREAUTH hi\r\n")}, 1},
        {&proto_pop3, {S("+OK hi\r\n"), C("STLS\r\n"), S("-ERR no\r\n")}, 3},
        {&proto_smtp, {S("220 hi\r\n"), C("EHLO px\r\n"), S("250 mail\r\n")}, 3},
        {&proto_sieve, {S(SIEVE_CAPS "OK\r\n")}, 1},
    };
    struct rig *r = *state;
    for (size_t i = 0; i < ARRAY_LEN(servers); i++) {
        rig_serve(r, servers[i].proto, BACK_TLS_STARTTLS, servers[i].steps, servers[i].n);
        rig_login(r);
        rig_expect(r, servers[i].proto->name, BACK_FAIL_NO_TLS, NULL, NULL);
        assert_false(r->outcome.were_credentials_sent);
    }
}

/* A server that cannot prove who it is gets no password. */
static void test_verification(void **state)
{
    struct rig *r = *state;
    struct cert foreign;
    cert_make(&foreign, "other.test", NULL, 30);
    struct tls_client *clients[] = {cert_client(&foreign), cert_client(NULL)};
    struct tls_server *servers[] = {r->tls_server, cert_server(&foreign)};
    for (size_t c = 0; c < 2; c++)
        for (size_t s = 0; s < 2; s++)
            for (size_t mode = 2; mode < 4; mode++) {
                serve_row(r, &rows[mode], rows[mode].n);
                r->server.tls = servers[s];
                r->spec.tls_client = clients[c];
                rig_login(r);
                if (c == 1) {
                    rig_expect(r, "unverified", BACK_FAIL_NONE, NULL, "");
                    continue;
                }
                rig_expect(r, s == 0 ? "wrong CA" : "wrong name", BACK_FAIL_TLS, "tls", NULL);
                assert_true(r->message[0] != '\0');
                assert_false(r->outcome.were_credentials_sent);
            }
    tls_client_unref(clients[0]);
    tls_client_unref(clients[1]);
    tls_server_unref(servers[1]);
    cert_remove(&foreign);
}

static void test_no_tls_client(void **state)
{
    struct rig *r = *state;
    serve_row(r, &rows[2], rows[2].n);
    r->spec.tls_client = NULL;
    assert_int_equal(login_start(&r->spec, &r->login), -ERR_INVAL);
    assert_null(r->login);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        RIG_TEST(test_way_in),
        RIG_TEST(test_resumed),
        RIG_TEST(test_resumed_bad_credentials),
        RIG_TEST(test_resumed_too_late),
        RIG_TEST(test_left_while_ready),
        RIG_TEST(test_cancel_ready),
        RIG_TEST(test_progress),
        RIG_TEST(test_check),
        RIG_TEST(test_refusals),
        RIG_TEST(test_greetings),
        RIG_TEST(test_bad_credentials),
        RIG_TEST(test_cut),
        RIG_TEST(test_garbage),
        RIG_TEST(test_endless),
        RIG_TEST(test_silence),
        RIG_TEST(test_total_time),
        RIG_TEST(test_injection),
        RIG_TEST(test_late_injection),
        RIG_TEST(test_no_starttls),
        RIG_TEST(test_verification),
        RIG_TEST(test_no_tls_client),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    rig_is_unconfirmed = true;
    return failed + cmocka_run_group_tests_name("unconfirmed", tests, NULL, NULL);
}
