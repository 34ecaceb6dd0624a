/* SPDX-License-Identifier: ISC */
/* The cache of right answers: who gets what back, how long, and within how much memory. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "auth/provider.h"

#define TTL 1000

static struct cache *cache;

static int setup(void **state)
{
    return cache_new(1 << 20, &cache);
}

static int teardown(void **state)
{
    cache_free(cache);
    return 0;
}

static struct credentials cred_of(enum sasl_mech mech, const char *user, const char *secret)
{
    struct credentials c = {.mech = mech};
    assert_int_equal(buf_append_c(&c.user, user), 0);
    assert_int_equal(buf_append_c(&c.secret, secret), 0);
    return c;
}

/* An answer for a user with a secret for the backend. */
static struct auth_result result_of(const char *user, const char *backend_secret)
{
    struct auth_result r = {.status = AUTH_OK, .source = "test", .smtp_auth = -1};
    (void)str_copy(r.user, sizeof(r.user), str_of(user));
    r.backend_cred = cred_of(SASL_PLAIN, user, backend_secret);
    r.pool = str_dup_c("main");
    r.max_sessions = 3;
    return r;
}

static void put(const char *user, const char *secret, const char *backend_secret,
                const char *context, bool is_judged, uint64_t now_ms)
{
    CLEANUP(credentials_wipe) struct credentials c = cred_of(SASL_PLAIN, user, secret);
    struct auth_result r = result_of(user, backend_secret);
    struct cache_key key;
    assert_int_equal(cache_key(cache, &c, str_of(context), &key), 0);
    cache_put(cache, &key, &c, &r, is_judged, now_ms, TTL);
    auth_result_fini(&r);
}

/* The backend's secret that comes back, NULL when nothing does. Static. */
static const char *get_as(enum sasl_mech mech, const char *user, const char *secret,
                          const char *context, uint64_t now_ms)
{
    static char text[64];
    CLEANUP(credentials_wipe) struct credentials c = cred_of(mech, user, secret);
    struct auth_result r;
    struct cache_key key;
    assert_int_equal(cache_key(cache, &c, str_of(context), &key), 0);
    if (!cache_get(cache, &key, &c, now_ms, &r))
        return NULL;
    assert_string_equal(r.user, user);
    assert_string_equal(r.pool, "main");
    assert_string_equal(r.source, "test");
    assert_int_equal(r.max_sessions, 3);
    assert_int_equal(r.smtp_auth, -1);
    (void)str_copy(text, sizeof(text), buf_str(&r.backend_cred.secret));
    auth_result_fini(&r);
    return text;
}

static const char *get(const char *user, const char *secret, const char *context, uint64_t now_ms)
{
    return get_as(SASL_PLAIN, user, secret, context, now_ms);
}

static void test_hit_and_misses(void **state)
{
    put("bob", "secret", "other", "imap", true, 0);
    assert_string_equal(get("bob", "secret", "imap", 1), "other");
    assert_null(get("bob", "Secret", "imap", 1));
    assert_null(get("bob", "", "imap", 1));
    assert_null(get("Bob", "secret", "imap", 1));
    assert_null(get("bob", "secret", "smtp", 1));
    /* the parts of a name and a password are not moved between them */
    assert_null(get("bobs", "ecret", "imap", 1));
    /* LOGIN and PLAIN are the same proof, a token is another */
    assert_string_equal(get_as(SASL_LOGIN, "bob", "secret", "imap", 1), "other");
    assert_null(get_as(SASL_XOAUTH2, "bob", "secret", "imap", 1));
}

static void test_own_secret(void **state)
{
    put("bob", "secret", "secret", "imap", true, 0);
    assert_string_equal(get("bob", "secret", "imap", 1), "secret");
}

static void test_time(void **state)
{
    put("bob", "secret", "x", "imap", true, 5000);
    assert_non_null(get("bob", "secret", "imap", 5000 + TTL - 1));
    assert_null(get("bob", "secret", "imap", 5000 + TTL)); /* use does not make it longer */
    assert_int_equal(cache_count(cache), 0);
}

static void test_contexts(void **state)
{
    put("bob", "secret", "one", "imap", true, 0);
    put("bob", "secret", "two", "smtp", true, 0);
    put("bob", "secret", "three", "pop3", true, 0);
    assert_string_equal(get("bob", "secret", "imap", 1), "one");
    assert_string_equal(get("bob", "secret", "smtp", 1), "two");
    assert_string_equal(get("bob", "secret", "pop3", 1), "three");
    put("bob", "secret", "four", "smtp", true, 2);
    assert_int_equal(cache_count(cache), 3);
    assert_string_equal(get("bob", "secret", "smtp", 3), "four");
    assert_string_equal(get("bob", "secret", "imap", 3), "one");
    /* each goes alone */
    put("bob", "secret", "five", "pop3", true, TTL);
    assert_null(get("bob", "secret", "imap", TTL));
    assert_string_equal(get("bob", "secret", "pop3", TTL), "five");
    assert_string_equal(get("bob", "secret", "smtp", TTL), "four");
}

static void test_forget(void **state)
{
    put("bob", "secret", "x", "imap", true, 0);
    put("bob", "older", "x", "smtp", true, 0);
    put("alice", "secret", "x", "imap", true, 0);
    cache_forget(cache, "bob");
    assert_int_equal(cache_count(cache), 1);
    assert_null(get("bob", "secret", "imap", 1));
    assert_non_null(get("alice", "secret", "imap", 1));
    cache_forget(cache, "nobody");
    assert_int_equal(cache_count(cache), 1);
    cache_forget(cache, NULL);
    assert_int_equal(cache_count(cache), 0);
}

static void test_judge(void **state)
{
    CLEANUP(credentials_wipe) struct credentials c = cred_of(SASL_PLAIN, "bob", "secret");
    CLEANUP(credentials_wipe) struct credentials other = cred_of(SASL_PLAIN, "bob", "wrong");
    cache_judge(cache, &c, true); /* nothing there */
    put("bob", "secret", "x", "imap", false, 0);
    put("bob", "secret", "x", "smtp", false, 0);
    assert_null(get("bob", "secret", "imap", 1)); /* nobody has judged it */
    cache_judge(cache, &other, true);
    assert_null(get("bob", "secret", "imap", 1));
    cache_judge(cache, &c, true);
    assert_non_null(get("bob", "secret", "imap", 1));
    cache_judge(cache, &other, false);
    assert_int_equal(cache_count(cache), 2);
    cache_judge(cache, &c, false);
    assert_int_equal(cache_count(cache), 0);
}

/* Old ones make room, those in use stay. */
static void test_memory(void **state)
{
    char user[16];
    cache_free(cache);
    assert_int_equal(cache_new(64 * 1024, &cache), 0);
    put("first", "secret", "x", "imap", true, 0);
    for (int i = 0; i < 2000; i++) {
        snprintf(user, sizeof(user), "user%d", i);
        put(user, "secret", "x", "imap", true, 0);
        assert_non_null(get("first", "secret", "imap", 1));
    }
    assert_true(cache_count(cache) > 20 && cache_count(cache) < 200);
    assert_null(get("user0", "secret", "imap", 1));
    assert_non_null(get("user1999", "secret", "imap", 1));
}

/* One that is larger than all room is not kept. */
static void test_too_large(void **state)
{
    static char secret[70000];
    memset(secret, 'x', sizeof(secret) - 1);
    cache_free(cache);
    assert_int_equal(cache_new(64 * 1024, &cache), 0);
    put("bob", "secret", secret, "imap", true, 0);
    assert_int_equal(cache_count(cache), 0);
    put("bob", "secret", "x", "imap", true, 0);
    assert_int_equal(cache_count(cache), 1);
}

/* Two workers do not share a key. */
static void test_keys_differ(void **state)
{
    CLEANUP(credentials_wipe) struct credentials c = cred_of(SASL_PLAIN, "bob", "secret");
    struct cache *other;
    struct cache_key a, b;
    assert_int_equal(cache_new(1000, &other), 0);
    assert_int_equal(cache_key(cache, &c, STR("imap"), &a), 0);
    assert_int_equal(cache_key(other, &c, STR("imap"), &b), 0);
    assert_memory_not_equal(a.digest, b.digest, sizeof(a.digest));
    assert_int_not_equal(a.context, b.context);
    cache_free(other);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(test_hit_and_misses), T(test_own_secret), T(test_time),
        T(test_contexts),       T(test_forget),     T(test_judge),
        T(test_memory),         T(test_too_large),  T(test_keys_differ),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
