/* SPDX-License-Identifier: ISC */
/* The way through the providers, what is remembered of it, and how a question is given up. */
#include "auth_case.h"

#include <semaphore.h>

#include "auth/provider.h"

static void add_bob(const char *password_hash)
{
    AUTH_CASE_USERS({.name = "bob", .password_hash = (char *)password_hash});
}

/* ---- providers ---- */

static void test_no_provider(void **state)
{
    assert_string_equal(auth_case_login("bob", "x"), "TEMPFAIL -: no provider is configured");
    auth_case_configure(NULL, 0);
    assert_string_equal(auth_case_login("bob", "x"), "TEMPFAIL -: no provider is configured");
    auth_case_cred(SASL_NONE, "", "");
    assert_string_equal(auth_case_ask(), "TEMPFAIL -: no provider is configured");
}

/* Mail without login: the routes know where it goes. */
static void test_nobody(void **state)
{
    AUTH_CASE_PROVIDERS({.type = AUTH_TYPE_USERS});
    auth_case_cred(SASL_NONE, "", "");
    assert_string_equal(auth_case_ask(), "OK none  login=NONE  ");
    AUTH_CASE_PROVIDERS({.type = AUTH_TYPE_USERS}, {.type = AUTH_TYPE_BACKEND});
    assert_string_equal(auth_case_ask(), "OK backend  login=NONE  ");
}

static void test_backend(void **state)
{
    AUTH_CASE_PROVIDERS({.type = AUTH_TYPE_BACKEND});
    assert_string_equal(auth_case_login("Bob@Example.ORG", "x"),
                        "OK backend bob@example.org login=PLAIN Bob@Example.ORG x judge");
    auth_case_cred(SASL_OAUTHBEARER, "bob", "ya29");
    assert_string_equal(auth_case_ask(), "OK backend bob login=OAUTHBEARER bob ya29 judge");
    /* what proves nothing to a backend */
    static const enum sasl_mech others[] = {SASL_CRAM_MD5, SASL_APOP, SASL_EXTERNAL,
                                            SASL_SCRAM_SHA_256, SASL_SCRAM_SHA_256_PLUS};
    for (size_t i = 0; i < ARRAY_LEN(others); i++) {
        auth_case_cred(others[i], "bob", "x");
        auth_case.cred.is_proved = true;
        assert_string_equal(auth_case_ask(), "REJECTED -: no provider knows the user");
    }
}

static void test_mechanisms(void **state)
{
    const unsigned passwords = SASL_BIT(SASL_PLAIN) | SASL_BIT(SASL_LOGIN);
    const unsigned tokens = SASL_BIT(SASL_XOAUTH2) | SASL_BIT(SASL_OAUTHBEARER);
    const unsigned digests = SASL_BIT(SASL_CRAM_MD5) | SASL_BIT(SASL_APOP);
    const unsigned scram = SASL_BIT(SASL_SCRAM_SHA_256) | SASL_BIT(SASL_SCRAM_SHA_256_PLUS);
    const unsigned external = SASL_BIT(SASL_EXTERNAL);
    struct config_auth auths[] = {{.type = AUTH_TYPE_USERS}, {.type = AUTH_TYPE_HTTP}};
    struct config c = {.auths = auths};
    assert_int_equal(auth_mechanisms(&c, UINT64_MAX), 0);
    c.n_auths = 1;
    assert_int_equal(auth_mechanisms(&c, UINT64_MAX), passwords | digests | scram | external);
    c.n_auths = 2;
    assert_int_equal(auth_mechanisms(&c, UINT64_MAX),
                     passwords | digests | scram | external | tokens);
    assert_int_equal(auth_mechanisms(&c, 2), passwords | digests | external | tokens);
    assert_int_equal(auth_mechanisms(&c, 0), 0);
    auths[0].type = AUTH_TYPE_HTTP;
    assert_int_equal(auth_mechanisms(&c, UINT64_MAX), passwords | digests | external | tokens);
    c.n_auths = 1;
    auths[0].type = AUTH_TYPE_BACKEND;
    assert_int_equal(auth_mechanisms(&c, UINT64_MAX), passwords | tokens);
}

/* A provider that cannot be made leaves the former ones. */
static void test_bad_config(void **state)
{
    static struct config_auth auths[] = {{.type = AUTH_TYPE_BACKEND}, {.type = AUTH_TYPE_HTTP}};
    struct config c = {.refs = 1000, .auths = auths, .n_auths = ARRAY_LEN(auths)};
    AUTH_CASE_PROVIDERS({.type = AUTH_TYPE_USERS});
    add_bob("{PLAIN}secret");
    assert_int_equal(auth_configure(auth_case.auth, &c, NULL), -ERR_CONFIG);
    assert_int_equal(c.refs, 1000);
    assert_string_equal(auth_case_login("bob", "secret"), "OK users bob login=PLAIN bob secret");
}

/* Questions go on with the providers with which they began. */
static void test_config_changes_meanwhile(void **state)
{
    struct auth_case_answer a;
    AUTH_CASE_PROVIDERS({.type = AUTH_TYPE_USERS});
    add_bob("{PLAIN}secret");
    auth_case_cred(SASL_PLAIN, "bob", "secret");
    (void)auth_case_begin(&a);
    AUTH_CASE_PROVIDERS({.type = AUTH_TYPE_BACKEND});
    io_case_run(auth_case.loop, io_case_is_true, &a.is_here);
    assert_string_equal(a.text, "OK users bob login=PLAIN bob secret");
    assert_string_equal(auth_case_ask(), "OK backend bob login=PLAIN bob secret judge");
}

/* The question is copied: the asker may forget it at once. */
static void test_request_is_copied(void **state)
{
    struct auth_case_answer a;
    char *listener = str_dup_c("imap");
    AUTH_CASE_PROVIDERS({.type = AUTH_TYPE_USERS});
    add_bob("{PLAIN}secret");
    auth_case_cred(SASL_PLAIN, "bob", "secret");
    auth_case.request.listener = listener;
    (void)auth_case_begin(&a);
    free(listener);
    credentials_wipe(&auth_case.cred);
    memset(&auth_case.request, 0xff, sizeof(auth_case.request));
    io_case_run(auth_case.loop, io_case_is_true, &a.is_here);
    assert_string_equal(a.text, "OK users bob login=PLAIN bob secret");
}

static void test_many_at_once(void **state)
{
    struct auth_case_answer a[50];
    AUTH_CASE_PROVIDERS({.type = AUTH_TYPE_USERS});
    add_bob("{PLAIN}secret");
    for (size_t i = 0; i < ARRAY_LEN(a); i++) {
        auth_case_cred(SASL_PLAIN, "bob", i % 2 ? "secret" : "wrong");
        (void)auth_case_begin(&a[i]);
    }
    for (size_t i = 0; i < ARRAY_LEN(a); i++) {
        io_case_run(auth_case.loop, io_case_is_true, &a[i].is_here);
        assert_int_equal(a[i].text[0], i % 2 ? 'O' : 'R');
    }
}

/* ---- giving up ---- */

#define JOB_THREADS 2 /* of auth_case */

/* Keeps a job thread busy until the test lets go. */
struct blocker {
    struct job job;
    sem_t runs, *go;
};

static void blocker_run(struct job *j)
{
    struct blocker *b = CONTAINER_OF(j, struct blocker, job);
    assert_int_equal(sem_post(&b->runs), 0);
    assert_int_equal(sem_wait(b->go), 0);
}

static void blocker_drop(struct job *j)
{
    free(CONTAINER_OF(j, struct blocker, job));
}

static void block_jobs(sem_t *go)
{
    assert_int_equal(sem_init(go, 0, 0), 0);
    for (int i = 0; i < JOB_THREADS; i++) {
        struct blocker *b = calloc(1, sizeof(*b));
        assert_non_null(b);
        *b = (struct blocker){.job = {.run = blocker_run, .drop = blocker_drop}, .go = go};
        assert_int_equal(sem_init(&b->runs, 0, 0), 0);
        assert_int_equal(jobs_post(auth_case.jobs, &b->job), 0);
        assert_int_equal(sem_wait(&b->runs), 0); /* it has no place in the queue any more */
    }
}

static void release_jobs(sem_t *go)
{
    for (int i = 0; i < JOB_THREADS; i++)
        assert_int_equal(sem_post(go), 0);
}

static bool has_jobs(void *arg)
{
    return jobs_pending(auth_case.jobs) == JOB_THREADS + *(size_t *)arg;
}

static bool has_no_jobs(void *arg)
{
    (void)arg;
    return jobs_pending(auth_case.jobs) == 0;
}

static bool has_no_queries(void *arg)
{
    (void)arg;
    return list_is_empty(&auth_case.auth->queries);
}

static void test_cancel(void **state)
{
    struct auth_case_answer early, late;
    size_t waiting = 1;
    sem_t go;
    AUTH_CASE_PROVIDERS({.type = AUTH_TYPE_USERS});
    add_bob("{PLAIN}secret");
    block_jobs(&go);
    auth_case_cred(SASL_PLAIN, "bob", "secret");
    auth_cancel(auth_case_begin(&early)); /* before it begins: there is no job at all */
    struct auth_query *q = auth_case_begin(&late);
    io_case_run(auth_case.loop, has_jobs, &waiting);
    auth_cancel(q); /* its turn does not come */
    waiting = 0;
    assert_true(has_jobs(&waiting));
    assert_true(has_no_queries(NULL));
    release_jobs(&go);
    assert_false(early.is_here || late.is_here);
    auth_cancel(NULL);
    io_case_run(auth_case.loop, has_no_jobs, NULL);
    assert_int_equal(sem_destroy(&go), 0);
}

/* The place of an answer among all. */
static void on_place(void *arg, struct auth_result *r)
{
    static unsigned n;
    (void)r;
    *(unsigned *)arg = ++n;
}

static void begin_place(unsigned *place)
{
    *place = 0;
    assert_non_null(auth_check(auth_case.auth, &auth_case.request, on_place, place));
}

/* Thousands of logins from one address: they may have half of the queue, and who comes from
 * elsewhere is next but one. A trusted address is many people, each of them a source. */
static void test_fair_between_addresses(void **state)
{
    unsigned flood[50], other;
    struct auth_case_answer mates[60], refused;
    size_t waiting = ARRAY_LEN(flood); /* of auth_case's 100 places */
    sem_t go;
    AUTH_CASE_PROVIDERS({.type = AUTH_TYPE_USERS});
    add_bob("{PLAIN}secret");
    block_jobs(&go);
    auth_case_cred(SASL_PLAIN, "bob", "wrong");
    for (size_t i = 0; i < ARRAY_LEN(flood); i++)
        begin_place(&flood[i]);
    io_case_run(auth_case.loop, has_jobs, &waiting);
    (void)auth_case_begin(&refused);
    io_case_run(auth_case.loop, io_case_is_true, &refused.is_here);
    assert_string_equal(refused.text, "TEMPFAIL users: too many logins wait");
    auth_case_cred(SASL_PLAIN, "bob", "secret");
    assert_int_equal(addr_parse(STR("[2001:db8::1]:1"), &auth_case.request.client), 0);
    begin_place(&other);
    waiting++;
    io_case_run(auth_case.loop, has_jobs, &waiting);
    /* One thread alone: with two the order of the answers would be the scheduler's. */
    assert_int_equal(sem_post(&go), 0);
    io_case_run(auth_case.loop, has_no_queries, NULL);
    assert_int_equal(sem_post(&go), 0);
    assert_in_range(other, 1, flood[0] + 1);
    io_case_run(auth_case.loop, has_no_jobs, NULL);
    assert_int_equal(sem_destroy(&go), 0);

    struct addr_net all = {.bits = 0, .family = AF_INET};
    auth_case.config->limits.trusted = (struct config_nets){.v = &all, .n = 1};
    block_jobs(&go);
    for (size_t i = 0; i < ARRAY_LEN(mates); i++) {
        char user[16];
        snprintf(user, sizeof(user), "user%zu", i);
        auth_case_cred(SASL_PLAIN, user, "x");
        (void)auth_case_begin(&mates[i]);
    }
    waiting = ARRAY_LEN(mates);
    io_case_run(auth_case.loop, has_jobs, &waiting);
    release_jobs(&go);
    io_case_run(auth_case.loop, has_no_queries, NULL);
    io_case_run(auth_case.loop, has_no_jobs, NULL);
    assert_int_equal(sem_destroy(&go), 0);
}

/* A job may outlive the worker's authenticator. */
static void test_free_with_jobs(void **state)
{
    struct auth_case_answer a[20], late;
    size_t waiting = ARRAY_LEN(a);
    sem_t go;
    AUTH_CASE_PROVIDERS({.type = AUTH_TYPE_USERS});
    add_bob("{PLAIN}secret");
    block_jobs(&go);
    auth_case_cred(SASL_PLAIN, "bob", "secret");
    for (size_t i = 0; i < ARRAY_LEN(a); i++)
        (void)auth_case_begin(&a[i]);
    io_case_run(auth_case.loop, has_jobs, &waiting);
    (void)auth_case_begin(&late); /* one that has not begun */
    auth_free(auth_case.auth);
    auth_case.auth = NULL;
    release_jobs(&go);
    io_case_run(auth_case.loop, has_no_jobs, NULL);
    io_case_idle(auth_case.loop, 20);
    assert_false(late.is_here);
    for (size_t i = 0; i < ARRAY_LEN(a); i++)
        assert_false(a[i].is_here);
    assert_int_equal(sem_destroy(&go), 0);
}

/* The loop goes before the jobs: their answers reach nobody, and nothing is lost. */
static void test_loop_ends_before_jobs(void **state)
{
    struct auth_case_answer a;
    size_t waiting = 1;
    sem_t go;
    AUTH_CASE_PROVIDERS({.type = AUTH_TYPE_USERS});
    add_bob("{PLAIN}secret");
    block_jobs(&go);
    auth_case_cred(SASL_PLAIN, "bob", "secret");
    (void)auth_case_begin(&a);
    io_case_run(auth_case.loop, has_jobs, &waiting);
    auth_free(auth_case.auth);
    auth_case.auth = NULL;
    release_jobs(&go);
    jobs_free(auth_case.jobs); /* runs or drops what waits */
    auth_case.jobs = NULL;
    loop_free(auth_case.loop); /* drops what was answered */
    auth_case.loop = NULL;
    assert_false(a.is_here);
    assert_int_equal(sem_destroy(&go), 0);
}

/* ---- the cache ---- */

static void cached_users(void)
{
    AUTH_CASE_PROVIDERS({.type = AUTH_TYPE_USERS, .cache_ms = 60000});
}

static void test_cache(void **state)
{
    cached_users();
    AUTH_CASE_USERS({.name = "bob",
                     .password_hash = "{PLAIN}secret",
                     .pool = "main",
                     .master_user = "root",
                     .backend_password = "other",
                     .max_sessions = 3});
    const char *first = "OK users bob login=PLAIN bob other master=root pool=main max=3";
    const char *again = "OK users (cached) bob login=PLAIN bob other master=root pool=main max=3";
    assert_string_equal(auth_case_login("bob", "secret"), first);
    assert_string_equal(auth_case_login("bob", "secret"), again);
    assert_string_equal(auth_case_login("bob", "wrong"), "REJECTED users: wrong password");
    assert_string_equal(auth_case_login("bob", "wrong"), "REJECTED users: wrong password");
    auth_case_cred(SASL_LOGIN, "bob", "secret");
    assert_string_equal(auth_case_ask(), again);
    auth_case.request.proto = &proto_pop3; /* for which the answer might be another */
    assert_string_equal(auth_case_ask(), first);
    auth_forget(auth_case.auth, "alice");
    assert_string_equal(auth_case_ask(), again);
    auth_forget(auth_case.auth, "bob");
    assert_string_equal(auth_case_ask(), first);
    cached_users();
    assert_string_equal(auth_case_ask(), first);
}

static void test_no_cache(void **state)
{
    AUTH_CASE_PROVIDERS({.type = AUTH_TYPE_USERS});
    add_bob("{PLAIN}secret");
    for (int i = 0; i < 2; i++)
        assert_string_equal(auth_case_login("bob", "secret"),
                            "OK users bob login=PLAIN bob secret");
    assert_int_equal(cache_count(auth_case.auth->cache), 0);
}

/* Only a secret of the client's is remembered, and no answer that will change by itself. */
static void test_not_cached(void **state)
{
    struct tls_info tls = {.verify = TLS_VERIFY_SUCCESS};
    cached_users();
    AUTH_CASE_USERS({.name = "bob", .password_hash = "{PLAIN}secret", .state = USER_HELD},
                    {.name = "own", .backend_password = "x", .plain_password = "y"});
    assert_string_equal(auth_case_login("bob", "secret"),
                        "OK users bob login=PLAIN bob secret held");
    auth_case_cred(SASL_EXTERNAL, "own", "");
    auth_case.cred.is_proved = true;
    auth_case.request.tls = &tls;
    assert_string_equal(auth_case_ask(), "OK users own login=PLAIN own x");
    assert_int_equal(cache_count(auth_case.auth->cache), 0);
}

/* The old password that was right when it was looked at is not remembered after a change. */
static void test_forget_while_judging(void **state)
{
    struct auth_case_answer a;
    cached_users();
    add_bob("{PLAIN}secret");
    auth_case_cred(SASL_PLAIN, "bob", "secret");
    (void)auth_case_begin(&a);
    auth_forget(auth_case.auth, "bob");
    io_case_run(auth_case.loop, io_case_is_true, &a.is_here);
    assert_string_equal(a.text, "OK users bob login=PLAIN bob secret");
    assert_int_equal(cache_count(auth_case.auth->cache), 0);
    add_bob("{PLAIN}new");
    assert_string_equal(auth_case_ask(), "REJECTED users: wrong password");
}

static void test_backend_feeds_cache(void **state)
{
    AUTH_CASE_PROVIDERS({.type = AUTH_TYPE_USERS}, {.type = AUTH_TYPE_BACKEND, .cache_ms = 60000});
    const char *first = "OK backend eve login=PLAIN eve x judge";
    assert_string_equal(auth_case_login("eve", "x"), first);
    assert_string_equal(auth_case_login("eve", "x"), first); /* not judged so far */
    auth_judged(auth_case.auth, &auth_case.cred, true);
    assert_string_equal(auth_case_login("eve", "x"),
                        "OK backend (cached) eve login=PLAIN eve x judge");
    assert_string_equal(auth_case_login("eve", "y"), "OK backend eve login=PLAIN eve y judge");
    auth_judged(auth_case.auth, &auth_case.cred, false);
    auth_case_cred(SASL_PLAIN, "eve", "x");
    auth_judged(auth_case.auth, &auth_case.cred, false);
    assert_string_equal(auth_case_ask(), first);
}

/* A user without hash: judged by the backend, remembered by the users provider. */
static void test_unjudged_user_feeds_cache(void **state)
{
    cached_users();
    AUTH_CASE_USERS({.name = "bob", .pool = "main"});
    for (int i = 0; i < 2; i++)
        assert_string_equal(auth_case_login("bob", "x"),
                            "OK backend bob login=PLAIN bob x pool=main judge");
    auth_judged(auth_case.auth, &auth_case.cred, true);
    assert_string_equal(auth_case_login("bob", "x"),
                        "OK backend (cached) bob login=PLAIN bob x pool=main judge");
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, auth_case_setup, auth_case_teardown)
    const struct CMUnitTest tests[] = {
        T(test_no_provider),
        T(test_nobody),
        T(test_backend),
        T(test_mechanisms),
        T(test_bad_config),
        T(test_config_changes_meanwhile),
        T(test_request_is_copied),
        T(test_many_at_once),
        T(test_cancel),
        T(test_fair_between_addresses),
        T(test_free_with_jobs),
        T(test_loop_ends_before_jobs),
        T(test_cache),
        T(test_no_cache),
        T(test_not_cached),
        T(test_forget_while_judging),
        T(test_backend_feeds_cache),
        T(test_unjudged_user_feeds_cache),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
