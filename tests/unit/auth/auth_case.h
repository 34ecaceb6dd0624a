/* SPDX-License-Identifier: ISC */
/* An authenticator on a loop with a store of its own: ask it, and read the answer as one line. */
#pragma once

#include "tests/unit/io/io_case.h"

#include <stdio.h>

#include "auth/provider.h"

#define AUTH_CASE_PUT(is_account, ...)                                                             \
    do {                                                                                           \
        struct store_user users_[] = {__VA_ARGS__};                                                \
        for (size_t i_ = 0; i_ < ARRAY_LEN(users_); i_++) {                                        \
            users_[i_].is_stored = is_account;                                                     \
            assert_int_equal(store_user_put(auth_case.store, &users_[i_], STORE_UPSERT, 1), 0);    \
        }                                                                                          \
        auth_case.auth->has_names = true;                                                          \
    } while (0)
#define AUTH_CASE_USERS(...) AUTH_CASE_PUT(true, __VA_ARGS__)
/* What operators say of names that have no account. */
#define AUTH_CASE_NAMES(...) AUTH_CASE_PUT(false, __VA_ARGS__)

/* Providers of the test, in order. */
#define AUTH_CASE_PROVIDERS(...)                                                                   \
    do {                                                                                           \
        static struct config_auth auths_[] = {__VA_ARGS__};                                        \
        auth_case_configure(auths_, ARRAY_LEN(auths_));                                            \
    } while (0)

struct auth_case {
    char folder[32], path[64];
    struct loop *loop;
    struct jobs *jobs;
    struct store *store;
    struct resolver *resolver;
    struct auth *auth;
    struct config *config; /* never freed by its references */
    struct credentials cred;
    struct auth_request request; /* of the next question */
};

static struct auth_case auth_case;

static inline void auth_case_configure(struct config_auth *auths, size_t n)
{
    static struct config configs[2]; /* the one in use must not change */
    static struct config_listener listener = {.name = "imap", .provider_mask = UINT64_MAX};
    struct config *c = &configs[auth_case.config == &configs[0]];
    *c = (struct config){
        .refs = 1000, .auths = auths, .n_auths = n, .listeners = &listener, .n_listeners = 1};
    auth_case.config = c;
    assert_int_equal(auth_configure(auth_case.auth, c, NULL), 0);
}

static inline void auth_case_open_store(void)
{
    char *error = NULL;
    (void)str_copy(auth_case.folder, sizeof(auth_case.folder), STR("/tmp/auth_case.XXXXXX"));
    assert_non_null(mkdtemp(auth_case.folder));
    snprintf(auth_case.path, sizeof(auth_case.path), "%s/store", auth_case.folder);
    const struct store_spec spec = {.type = "sqlite", .path = auth_case.path};
    assert_int_equal(store_open(&spec, &auth_case.store, &error), 0);
    assert_null(error);
}

static inline int auth_case_setup(void **state)
{
    (void)state;
    auth_case = (struct auth_case){.cred = {.mech = SASL_NONE}};
    auth_case_open_store();
    assert_int_equal(loop_new(NULL, &auth_case.loop), 0);
    assert_int_equal(jobs_new(2, 100, NULL, &auth_case.jobs), 0);
    assert_int_equal(resolver_new(auth_case.loop, &(struct resolver_spec){.timeout_ms = 5000},
                                  &auth_case.resolver),
                     0);
    assert_int_equal(auth_new(auth_case.loop, auth_case.jobs, auth_case.store, auth_case.resolver,
                              &auth_case.auth),
                     0);
    return 0;
}

static inline int auth_case_teardown(void **state)
{
    static const char *const suffixes[] = {"", "-wal", "-shm"};
    char path[80];
    (void)state;
    auth_free(auth_case.auth);
    resolver_free(auth_case.resolver);
    loop_free(auth_case.loop);
    jobs_free(auth_case.jobs);
    store_close(auth_case.store);
    credentials_wipe(&auth_case.cred);
    for (size_t i = 0; i < ARRAY_LEN(suffixes); i++) {
        snprintf(path, sizeof(path), "%s%s", auth_case.path, suffixes[i]);
        (void)unlink(path);
    }
    assert_int_equal(rmdir(auth_case.folder), 0);
    return 0;
}

/* ---- questions ---- */

static inline void auth_case_cred(enum sasl_mech mech, const char *user, const char *secret)
{
    struct credentials *c = &auth_case.cred;
    credentials_wipe(c);
    c->mech = mech;
    assert_int_equal(buf_append_c(&c->user, user), 0);
    assert_int_equal(buf_append_c(&c->secret, secret), 0);
    auth_case.request = (struct auth_request){.cred = c,
                                              .proto = &proto_imap,
                                              .listener = "imap",
                                              .attempt = 1,
                                              .is_backend_password_needed = true};
    assert_int_equal(addr_parse(STR("192.0.2.7:4000"), &auth_case.request.client), 0);
}

struct auth_case_answer {
    bool is_here;
    char text[1024];
};

static inline void auth_case_add(struct buf *b, const char *name, const char *value)
{
    if (value)
        assert_int_equal(buf_printf(b, " %s=%s", name, value), 0);
}

static inline void auth_case_describe_ok(const struct auth_result *r, struct buf *b)
{
    const struct credentials *c = &r->backend_cred;
    assert_int_equal(buf_printf(b, "OK %s %s login=%s %.*s %.*s", r->source, r->user,
                                sasl_name(c->mech), STR_ARG(buf_str(&c->user)),
                                STR_ARG(buf_str(&c->secret))),
                     0);
    if (c->authzid.len > 0)
        assert_int_equal(buf_printf(b, " authzid=%.*s", STR_ARG(buf_str(&c->authzid))), 0);
    auth_case_add(b, "master", r->master_user);
    auth_case_add(b, "pool", r->pool);
    auth_case_add(b, "backend", r->backend);
    if (r->server_host)
        assert_int_equal(buf_printf(b, " server=%s port=%u", r->server_host, r->server_port), 0);
    if (r->smtp_auth >= 0)
        assert_int_equal(buf_printf(b, " smtp=%d", r->smtp_auth), 0);
    if (r->max_sessions)
        assert_int_equal(buf_printf(b, " max=%u", r->max_sessions), 0);
    assert_int_equal(
        buf_printf(b, "%s%s", r->is_held ? " held" : "", r->is_backend_judge ? " judge" : ""), 0);
    if (r->refusal != AUTH_OK) {
        assert_int_equal(
            buf_printf(b, " %s", r->refusal == AUTH_LOCKED ? "then-locked" : "then-rejected"), 0);
        auth_case_add(b, "text", r->text);
    }
    assert_null(r->log_reason);
}

static inline void auth_case_describe_failure(const struct auth_result *r, struct buf *b)
{
    static const char *const names[] = {"OK", "REJECTED", "TEMPFAIL", "LOCKED", "LIMITED"};
    assert_non_null(r->log_reason); /* a failure without reason in the log is a riddle */
    assert_int_equal(
        buf_printf(b, "%s %s: %s", names[r->status], r->source ? r->source : "-", r->log_reason),
        0);
    auth_case_add(b, "code", r->code);
    auth_case_add(b, "text", r->text);
    if (r->wait_ms)
        assert_int_equal(buf_printf(b, " wait=%u", (unsigned)r->wait_ms), 0);
    if (r->is_final)
        assert_int_equal(buf_append_c(b, " final"), 0);
    assert_int_equal(r->backend_cred.user.len, 0);
    assert_int_equal(r->backend_cred.secret.len, 0);
}

static inline void auth_case_on_answer(void *arg, struct auth_result *r)
{
    struct auth_case_answer *a = arg;
    AUTO_BUF b = BUF_INIT;
    assert_false(a->is_here);
    if (r->status == AUTH_OK)
        auth_case_describe_ok(r, &b);
    else
        auth_case_describe_failure(r, &b);
    (void)str_copy(a->text, sizeof(a->text), buf_str(&b));
    a->is_here = true;
}

/* Begins a question; the answer never comes inside the call. */
static inline struct auth_query *auth_case_begin(struct auth_case_answer *a)
{
    *a = (struct auth_case_answer){0};
    struct auth_query *q = auth_check(auth_case.auth, &auth_case.request, auth_case_on_answer, a);
    assert_non_null(q);
    assert_false(a->is_here);
    return q;
}

/* Asks what auth_case.request says. Static text. */
static inline const char *auth_case_ask(void)
{
    static struct auth_case_answer a;
    (void)auth_case_begin(&a);
    io_case_run(auth_case.loop, io_case_is_true, &a.is_here);
    return a.text;
}

static inline const char *auth_case_login(const char *user, const char *secret)
{
    auth_case_cred(SASL_PLAIN, user, secret);
    return auth_case_ask();
}
