/* SPDX-License-Identifier: ISC */
/* One login against a scripted server: what is asked for, and what became of it. */
#pragma once

#include "backend/login.h"
#include "cert.h"
#include "script.h"

struct rig {
    struct loop *loop;
    struct resolver *resolver;
    struct script server;
    struct cert cert, other_cert;
    struct tls_server *tls_server;
    struct tls_client *tls_client; /* trusts cert */
    struct credentials cred;
    struct login_spec spec; /* to be changed before rig_login */
    struct login *login;
    struct conn conn;
    bool is_done;
    struct buf told; /* steps of progress, each with a blank */
    const char *cancel_at;
    /* copies of the outcome */
    struct login_outcome outcome;
    char message[512], code[64], learned[1024], rest[256], text[256];
};

/* Logins hear of their connect by the greeting: every test holds for these, too. */
static bool rig_is_unconfirmed;

static const unsigned char rig_ip[4] = {127, 0, 0, 1};

static inline void rig_copy(char *dst, size_t size, struct str s)
{
    assert_true(str_copy(dst, size, s));
}

/* What the next owner of a connection would do. */
static inline void rig_readable(struct conn *c)
{
    char bytes[256];
    size_t n;
    while (conn_read(c, bytes, sizeof(bytes), &n) == 0)
        ;
}

static const struct conn_ops rig_ops = {.readable = rig_readable};

static inline void rig_on_done(void *arg, struct login_outcome *o)
{
    struct rig *r = arg;
    assert_false(r->is_done);
    r->is_done = true;
    r->outcome = *o;
    assert_int_equal(o->message.p[o->message.n], '\0');
    rig_copy(r->message, sizeof(r->message), o->message);
    rig_copy(r->code, sizeof(r->code), o->code);
    rig_copy(r->learned, sizeof(r->learned), o->learned);
    rig_copy(r->rest, sizeof(r->rest), o->failure == BACK_FAIL_NONE ? buf_str(o->rest) : STR(""));
    rig_copy(r->text, sizeof(r->text), o->success ? buf_str(&o->success->text) : STR(""));
    if (o->failure == BACK_FAIL_NONE)
        conn_own(&r->conn, &rig_ops, r); /* the login that reads for it goes */
    login_cancel(r->login);              /* must do no harm */
    r->login = NULL;
}

static inline void rig_on_progress(void *arg, const char *step)
{
    struct rig *r = arg;
    assert_int_equal(buf_printf(&r->told, "%s ", step), 0);
    if (r->cancel_at && strcmp(r->cancel_at, step) == 0) {
        login_cancel(r->login);
        r->login = NULL;
    }
}

/* What does not change between logins: loop, certificates, credentials. */
static inline void rig_init(struct rig *r)
{
    const struct resolver_spec spec = {.timeout_ms = 2000};
    *r = (struct rig){.cred = {.mech = SASL_PLAIN}};
    assert_int_equal(loop_new(NULL, &r->loop), 0);
    assert_int_equal(resolver_new(r->loop, &spec, &r->resolver), 0);
    cert_make(&r->cert, "mail.test", rig_ip, 30);
    r->tls_server = cert_server(&r->cert);
    r->tls_client = cert_client(&r->cert);
    assert_int_equal(buf_append_c(&r->cred.user, "joe"), 0);
    assert_int_equal(buf_append_c(&r->cred.secret, "secret"), 0);
    conn_init(&r->conn, r->loop, NULL, NULL);
}

static inline void rig_fini(struct rig *r)
{
    cert_remove(&r->cert);
    if (is_loop_left)
        return;
    login_cancel(r->login);
    conn_close(&r->conn);
    script_stop(&r->server);
    resolver_free(r->resolver);
    loop_free(r->loop);
    tls_server_unref(r->tls_server);
    tls_client_unref(r->tls_client);
    credentials_wipe(&r->cred);
    buf_fini(&r->told);
}

/* A server that follows these steps, and a login there as it would usually be. */
static inline void rig_serve(struct rig *r, const struct proto *proto, enum back_tls tls,
                             const struct script_step *steps, size_t n)
{
    script_stop(&r->server);
    conn_close(&r->conn);
    r->server = (struct script){.steps = steps, .n_steps = n, .tls = r->tls_server};
    script_start(&r->server, r->loop);
    r->spec = (struct login_spec){
        .loop = r->loop,
        .resolver = r->resolver,
        .conn = &r->conn,
        .proto = proto,
        .host = "127.0.0.1",
        .port = r->server.port,
        .tls = tls,
        .tls_client = tls == BACK_TLS_OFF ? NULL : r->tls_client,
        .env = {.cred = &r->cred,
                .ttl = 5,
                .server_name = "px",
                .is_ehlo = true,
                .is_auth_wanted = true},
        .connect_ms = 10000,
        .login_ms = 10000,
        .is_connect_untimed = rig_is_unconfirmed,
        .progress = rig_on_progress,
        .done = rig_on_done,
        .arg = r,
    };
}

static inline bool rig_is_done(void *arg)
{
    return ((struct rig *)arg)->is_done;
}

static inline void rig_start(struct rig *r)
{
    r->is_done = false;
    buf_clear(&r->told);
    assert_int_equal(login_start(&r->spec, &r->login), 0);
    assert_false(r->is_done);
}

/* Runs the login to its end. */
static inline void rig_login(struct rig *r)
{
    rig_start(r);
    run_until(r->loop, rig_is_done, r);
    if (r->server.failure[0])
        fail_msg("%s", r->server.failure);
}

/* Fails with all that is known unless the login ended like this; message NULL = any. */
static inline void rig_expect(const struct rig *r, const char *what, enum back_failure f,
                              const char *step, const char *message)
{
    bool is_good = r->outcome.failure == f && (!step || strcmp(r->outcome.step, step) == 0) &&
                   (!message || strcmp(r->message, message) == 0);
    if (!is_good)
        fail_msg("%s: want %s at %s: %s, got %s at %s: %s", what, back_failure_name(f),
                 step ? step : "any", message ? message : "any",
                 back_failure_name(r->outcome.failure), r->outcome.step, r->message);
    assert_int_equal(r->conn.fd >= 0, f == BACK_FAIL_NONE);
}

static inline int rig_setup(void **state)
{
    static struct rig rig;
    is_loop_left = false;
    rig_init(&rig);
    *state = &rig;
    return 0;
}

static inline int rig_teardown(void **state)
{
    rig_fini(*state);
    return 0;
}

/* A test whose state is a rig of its own. */
#define RIG_TEST(fn) cmocka_unit_test_setup_teardown(fn, rig_setup, rig_teardown)
