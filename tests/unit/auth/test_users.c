/* SPDX-License-Identifier: ISC */
/* The provider of the store's users: who is let in by which mechanism, with what, and who is not.
 */
#include "auth_case.h"

#include <time.h>

#include "auth/provider.h"

#define HOUR_MS 3600000u

static void users_only(void)
{
    AUTH_CASE_PROVIDERS({.type = AUTH_TYPE_USERS});
}

static void users_then_backend(void)
{
    AUTH_CASE_PROVIDERS({.type = AUTH_TYPE_USERS}, {.type = AUTH_TYPE_BACKEND});
}

static void test_passwords(void **state)
{
    users_only();
    AUTH_CASE_USERS({.name = "bob", .password_hash = "{PLAIN}secret"},
                    {.name = "hash", .password_hash = "tRe5kR7KxpP36"},
                    {.name = "plain", .plain_password = "secret"},
                    {.name = "odd", .password_hash = "{NEW}x"});
    assert_string_equal(auth_case_login("bob", "secret"), "OK users bob login=PLAIN bob secret");
    assert_string_equal(auth_case_login("BoB", "secret"), "OK users bob login=PLAIN bob secret");
    assert_string_equal(auth_case_login("bob", "Secret"), "REJECTED users: wrong password");
    assert_string_equal(auth_case_login("bob", ""), "REJECTED users: wrong password");
    assert_string_equal(auth_case_login("hash", "pass w\xc3\xb6rd"),
                        "OK users hash login=PLAIN hash pass w\xc3\xb6rd");
    assert_string_equal(auth_case_login("plain", "secret"),
                        "OK users plain login=PLAIN plain secret");
    assert_string_equal(auth_case_login("plain", "x"), "REJECTED users: wrong password");
    assert_string_equal(auth_case_login("odd", "x"), "TEMPFAIL users: not supported");
    auth_case_cred(SASL_LOGIN, "bob", "secret");
    assert_string_equal(auth_case_ask(), "OK users bob login=PLAIN bob secret");
}

static void test_scram_keys_prove_a_password(void **state)
{
    char *keys = NULL;
    users_only();
    assert_int_equal(password_scram(STR("secret"), &keys), 0);
    AUTH_CASE_USERS({.name = "bob", .scram = keys}, {.name = "odd", .scram = "what"});
    assert_string_equal(auth_case_login("bob", "secret"), "OK users bob login=PLAIN bob secret");
    assert_string_equal(auth_case_login("bob", "x"), "REJECTED users: wrong password");
    assert_string_equal(auth_case_login("odd", "x"), "TEMPFAIL users: not supported");
    free(keys);
}

static void test_unknown_users(void **state)
{
    users_only();
    AUTH_CASE_USERS({.name = "bob", .password_hash = "{PLAIN}secret"});
    assert_string_equal(auth_case_login("nobody", "x"), "REJECTED -: no provider knows the user");
    assert_string_equal(auth_case_login("", "x"), "REJECTED users: not a possible login name");
    assert_string_equal(auth_case_login(" bob", "secret"),
                        "REJECTED users: not a possible login name");
    assert_string_equal(auth_case_login("b\nob", "secret"),
                        "REJECTED users: not a possible login name");
    users_then_backend();
    assert_string_equal(auth_case_login("nobody", "x"),
                        "OK backend nobody login=PLAIN nobody x judge");
    /* who is in the store is judged there alone */
    assert_string_equal(auth_case_login("bob", "x"), "REJECTED users: wrong password");
}

static void test_properties(void **state)
{
    users_only();
    AUTH_CASE_USERS({.name = "bob",
                     .password_hash = "{PLAIN}secret",
                     .pool = "main",
                     .backend = "b1",
                     .backend_user = "Robert",
                     .backend_password = "other",
                     .max_sessions = 3},
                    {.name = "eve",
                     .password_hash = "{PLAIN}secret",
                     .master_user = "root",
                     .backend_password = "master's"},
                    {.name = "mallory", .password_hash = "{PLAIN}secret", .master_user = "root"});
    assert_string_equal(auth_case_login("bob", "secret"),
                        "OK users bob login=PLAIN Robert other pool=main backend=b1 max=3");
    assert_string_equal(auth_case_login("eve", "secret"),
                        "OK users eve login=PLAIN eve master's master=root");
    /* never the user's password for the master */
    assert_string_equal(auth_case_login("mallory", "secret"),
                        "TEMPFAIL users: no password for the backend is known");
}

static void test_locks(void **state)
{
    uint64_t now = clock_wall_ms();
    users_only();
    AUTH_CASE_USERS({.name = "bob",
                     .password_hash = "{PLAIN}secret",
                     .state = USER_LOCKED,
                     .state_text = "Pay first"},
                    {.name = "soon",
                     .password_hash = "{PLAIN}secret",
                     .state = USER_LOCKED,
                     .state_until_ms = now + HOUR_MS},
                    {.name = "past",
                     .password_hash = "{PLAIN}secret",
                     .state = USER_LOCKED,
                     .state_until_ms = now - 1},
                    {.name = "unjudged", .state = USER_LOCKED});
    assert_string_equal(auth_case_login("bob", "secret"),
                        "LOCKED users: the account is locked text=Pay first");
    /* a lock is not told to those who only try names */
    assert_string_equal(auth_case_login("bob", "x"), "REJECTED users: wrong password");
    assert_string_equal(auth_case_login("soon", "secret"), "LOCKED users: the account is locked");
    assert_string_equal(auth_case_login("past", "secret"), "OK users past login=PLAIN past secret");
    /* nobody has judged: the client hears of it from the backend's answer on */
    assert_string_equal(auth_case_login("unjudged", "x"),
                        "OK backend unjudged login=PLAIN unjudged x judge then-locked");
}

static void test_held(void **state)
{
    uint64_t now = clock_wall_ms();
    users_only();
    AUTH_CASE_USERS({.name = "bob", .password_hash = "{PLAIN}secret", .state = USER_HELD},
                    {.name = "past",
                     .password_hash = "{PLAIN}secret",
                     .state = USER_HELD,
                     .state_until_ms = now - 1});
    assert_string_equal(auth_case_login("bob", "secret"),
                        "OK users bob login=PLAIN bob secret held");
    assert_string_equal(auth_case_login("past", "secret"), "OK users past login=PLAIN past secret");
}

static void test_protocols(void **state)
{
    users_only();
    AUTH_CASE_USERS({.name = "bob",
                     .password_hash = "{PLAIN}secret",
                     .protocols = 1u << PROTO_POP3 | 1u << PROTO_SMTP},
                    {.name = "unjudged", .protocols = 1u << PROTO_POP3});
    assert_string_equal(auth_case_login("bob", "secret"),
                        "REJECTED users: the account may not use this protocol"
                        " text=This account may not use this protocol.");
    assert_string_equal(auth_case_login("bob", "x"), "REJECTED users: wrong password");
    assert_string_equal(auth_case_login("unjudged", "x"),
                        "OK backend unjudged login=PLAIN unjudged x judge then-rejected"
                        " text=This account may not use this protocol.");
    auth_case_cred(SASL_PLAIN, "bob", "secret");
    auth_case.request.proto = &proto_pop3;
    assert_string_equal(auth_case_ask(), "OK users bob login=PLAIN bob secret");
}

static void test_backend_judges(void **state)
{
    users_only();
    AUTH_CASE_USERS({.name = "bob", .pool = "main", .backend_user = "Robert"},
                    {.name = "own", .backend_password = "other"},
                    {.name = "master", .master_user = "root"});
    assert_string_equal(auth_case_login("bob", "any"),
                        "OK backend bob login=PLAIN Robert any pool=main judge");
    /* a stored secret would let everybody in */
    assert_string_equal(auth_case_login("own", "any"),
                        "TEMPFAIL users: a user with a backend password needs a password hash");
    assert_string_equal(auth_case_login("master", "any"),
                        "TEMPFAIL users: a user with a backend password needs a password hash");
}

static void salt(const char *text)
{
    buf_clear(&auth_case.cred.salt);
    assert_int_equal(buf_append_c(&auth_case.cred.salt, text), 0);
}

static const char *digest(enum sasl_mech mech, const char *user, const char *challenge,
                          const char *response)
{
    auth_case_cred(mech, user, response);
    salt(challenge);
    return auth_case_ask();
}

/* RFC 2195 section 2, RFC 1939 section 7 */
static void test_digests(void **state)
{
    static const char cram[] = "<1896.697170952@postoffice.reston.mci.net>";
    static const char apop[] = "<1896.697170952@dbc.mtview.ca.us>";
    users_only();
    AUTH_CASE_USERS({.name = "tim", .plain_password = "tanstaaftanstaaf"},
                    {.name = "mrose", .plain_password = "tanstaaf"},
                    {.name = "own", .plain_password = "tanstaaf", .backend_password = "other"},
                    {.name = "hash", .password_hash = "{PLAIN}tanstaaf"});
    assert_string_equal(digest(SASL_CRAM_MD5, "tim", cram, "b913a602c7eda7a495b4e6e7334d3890"),
                        "OK users tim login=PLAIN tim tanstaaftanstaaf");
    assert_string_equal(digest(SASL_CRAM_MD5, "tim", apop, "b913a602c7eda7a495b4e6e7334d3890"),
                        "REJECTED users: wrong password");
    assert_string_equal(digest(SASL_APOP, "mrose", apop, "c4c9334bac560ecc979e58001b3e22fb"),
                        "OK users mrose login=PLAIN mrose tanstaaf");
    assert_string_equal(digest(SASL_APOP, "mrose", apop, "c4c9334bac560ecc979e58001b3e22fc"),
                        "REJECTED users: wrong password");
    assert_string_equal(digest(SASL_APOP, "mrose", apop, ""), "REJECTED users: wrong password");
    assert_string_equal(digest(SASL_APOP, "own", apop, "c4c9334bac560ecc979e58001b3e22fb"),
                        "OK users own login=PLAIN own other");
    assert_string_equal(digest(SASL_APOP, "hash", apop, "c4c9334bac560ecc979e58001b3e22fb"),
                        "REJECTED users: no password is kept for digests");
    assert_string_equal(digest(SASL_APOP, "nobody", apop, "c4c9334bac560ecc979e58001b3e22fb"),
                        "REJECTED -: no provider knows the user");
}

static const char *proved(enum sasl_mech mech, const char *user, bool is_password_needed)
{
    static struct tls_info tls = {.version = "TLSv1.3", .verify = TLS_VERIFY_SUCCESS};
    auth_case_cred(mech, user, "");
    auth_case.cred.is_proved = true;
    auth_case.request.tls = &tls;
    auth_case.request.is_backend_password_needed = is_password_needed;
    return auth_case_ask();
}

static void test_proved(void **state)
{
    users_only();
    AUTH_CASE_USERS({.name = "bob", .password_hash = "{PLAIN}secret"},
                    {.name = "own", .backend_password = "other"},
                    {.name = "kept", .plain_password = "plain"},
                    {.name = "gone", .backend_password = "x", .state = USER_LOCKED},
                    {.name = "master", .master_user = "root"});
    assert_string_equal(proved(SASL_SCRAM_SHA_256, "bob", false), "OK users bob login=PLAIN bob ");
    assert_string_equal(proved(SASL_SCRAM_SHA_256, "bob", true),
                        "TEMPFAIL users: no password for the backend is known");
    assert_string_equal(proved(SASL_SCRAM_SHA_256_PLUS, "own", true),
                        "OK users own login=PLAIN own other");
    assert_string_equal(proved(SASL_EXTERNAL, "kept", true),
                        "OK users kept login=PLAIN kept plain");
    assert_string_equal(proved(SASL_EXTERNAL, "gone", true), "LOCKED users: the account is locked");
    assert_string_equal(proved(SASL_EXTERNAL, "master", false),
                        "TEMPFAIL users: no password for the backend is known");
    assert_string_equal(proved(SASL_EXTERNAL, "nobody", true),
                        "REJECTED -: no provider knows the user");
}

/* A certificate that did not verify proves nothing, whoever passed its name on. */
static void test_unverified_certificates(void **state)
{
    struct tls_info tls = {.version = "TLSv1.3", .verify = TLS_VERIFY_FAILED};
    users_only();
    AUTH_CASE_USERS({.name = "own", .backend_password = "other"});
    auth_case_cred(SASL_EXTERNAL, "own", "");
    auth_case.cred.is_proved = true;
    assert_string_equal(auth_case_ask(), "REJECTED users: identity not proved");
    auth_case.request.tls = &tls;
    assert_string_equal(auth_case_ask(), "REJECTED users: identity not proved");
    tls.verify = TLS_VERIFY_NONE;
    assert_string_equal(auth_case_ask(), "REJECTED users: identity not proved");
    tls.verify = TLS_VERIFY_SUCCESS;
    auth_case.cred.is_proved = false;
    assert_string_equal(auth_case_ask(), "REJECTED users: identity not proved");
    auth_case.cred.mech = SASL_SCRAM_SHA_256;
    assert_string_equal(auth_case_ask(), "REJECTED users: identity not proved");
}

static const char *token(const char *user)
{
    auth_case_cred(SASL_XOAUTH2, user, "ya29");
    return auth_case_ask();
}

static void test_tokens(void **state)
{
    AUTH_CASE_USERS({.name = "bob", .password_hash = "{PLAIN}ya29"},
                    {.name = "unjudged", .pool = "main"},
                    {.name = "gone", .password_hash = "{PLAIN}x", .state = USER_LOCKED});
    users_only();
    assert_string_equal(token("bob"), "REJECTED -: no provider knows the user");
    assert_string_equal(token("unjudged"),
                        "OK backend unjudged login=XOAUTH2 unjudged ya29 pool=main judge");
    users_then_backend();
    assert_string_equal(token("bob"), "OK backend bob login=XOAUTH2 bob ya29 judge");
    /* a lock holds for tokens as well, and is told to whose token is right */
    assert_string_equal(token("gone"), "OK backend gone login=XOAUTH2 gone ya29 judge then-locked");
}

static const char *acting(const char *user, const char *authzid)
{
    auth_case_cred(SASL_PLAIN, user, "secret");
    assert_int_equal(buf_append_c(&auth_case.cred.authzid, authzid), 0);
    return auth_case_ask();
}

static void test_authzid(void **state)
{
    AUTH_CASE_USERS({.name = "bob", .password_hash = "{PLAIN}secret"}, {.name = "alice"},
                    {.name = "gone", .state = USER_LOCKED});
    users_then_backend();
    assert_string_equal(acting("bob", "BOB"), "OK users bob login=PLAIN bob secret");
    assert_string_equal(acting("bob", "alice"), "REJECTED users: may not act as somebody else");
    assert_string_equal(acting("alice", "bob"), "REJECTED users: may not act as somebody else");
    /* a master user of the backend's: counted as the one whose mailbox it is */
    assert_string_equal(acting("admin", "Alice"),
                        "OK backend alice login=PLAIN admin secret authzid=Alice judge");
    assert_string_equal(acting("admin", "gone"),
                        "OK backend gone login=PLAIN admin secret authzid=gone judge then-locked");
    AUTH_CASE_NAMES({.name = "admin", .state = USER_LOCKED, .pool = "own", .max_sessions = 1});
    /* the master's own lock holds, its pin and limit are not those of the mailbox */
    assert_string_equal(acting("admin", "Alice"), "OK backend alice login=PLAIN admin secret "
                                                  "authzid=Alice judge then-locked");
    assert_string_equal(acting("admin", "a\x01b"),
                        "REJECTED backend: not a possible name to act as");
}

static void test_no_store(void **state)
{
    auth_free(auth_case.auth);
    auth_case.auth = NULL;
    assert_int_equal(auth_new(auth_case.loop, auth_case.jobs, NULL, NULL, &auth_case.auth), 0);
    users_only();
    assert_string_equal(auth_case_login("bob", "secret"), "TEMPFAIL users: store failure");
}

static void test_full_queue(void **state)
{
    auth_free(auth_case.auth);
    jobs_free(auth_case.jobs);
    auth_case.auth = NULL;
    assert_int_equal(jobs_new(1, 0, NULL, &auth_case.jobs), 0);
    assert_int_equal(
        auth_new(auth_case.loop, auth_case.jobs, auth_case.store, NULL, &auth_case.auth), 0);
    users_only();
    assert_string_equal(auth_case_login("bob", "secret"), "TEMPFAIL users: too many logins wait");
}

/* ---- time ---- */

static uint64_t cpu_us(void)
{
    struct timespec t;
    assert_int_equal(clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t), 0);
    return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

/* The least of some tries. */
static uint64_t cost_us(const char *user)
{
    uint64_t best = UINT64_MAX;
    for (int i = 0; i < 5; i++) {
        uint64_t begin = cpu_us();
        assert_int_equal(strncmp(auth_case_login(user, "wrong"), "REJECTED", 8), 0);
        uint64_t took = cpu_us() - begin;
        best = took < best ? took : best;
    }
    return best;
}

/* Nobody learns from the time whether there is such a user. */
static void test_unknown_users_cost_the_same(void **state)
{
    char *hash = NULL;
    users_only();
    assert_int_equal(password_hash(STR("secret"), &hash), 0);
    AUTH_CASE_USERS({.name = "bob", .password_hash = hash});
    uint64_t unknown_first = cost_us("nobody"), known = cost_us("bob"), unknown = cost_us("nobody");
    assert_in_range(unknown_first, known / 2, known * 2);
    assert_in_range(unknown, known / 2, known * 2);
    free(hash);
    /* with quick hashes in the store unknown users are quick, too */
    AUTH_CASE_USERS({.name = "bob", .password_hash = "{PLAIN}secret"});
    known = cost_us("bob");
    assert_true(cost_us("nobody") < unknown_first / 2);
}

/* ---- SCRAM keys ---- */

struct keys {
    bool is_here, has_keys;
    int err;
    uint32_t iterations;
};

static void on_keys(void *arg, int err, const struct sasl_scram_keys *keys)
{
    struct keys *k = arg;
    assert_false(k->is_here);
    *k = (struct keys){.is_here = true, .has_keys = keys, .err = err};
    if (keys)
        k->iterations = keys->iterations;
}

static struct keys keys_of(const char *user)
{
    struct keys k = {0};
    assert_non_null(auth_keys(auth_case.auth, str_of(user), on_keys, &k));
    assert_false(k.is_here);
    io_case_run(auth_case.loop, io_case_is_true, &k.is_here);
    return k;
}

static void test_keys(void **state)
{
    char *text = NULL;
    assert_int_equal(password_scram(STR("secret"), &text), 0);
    AUTH_CASE_USERS({.name = "bob", .scram = text}, {.name = "none", .password_hash = "{PLAIN}x"},
                    {.name = "odd", .scram = "what"});
    users_only();
    struct keys k = keys_of("Bob");
    assert_true(k.err == 0 && k.has_keys);
    assert_int_equal(k.iterations, 4096);
    static const char *const without[] = {"none", "odd", "nobody", "", " bob", "b\nb"};
    for (size_t i = 0; i < ARRAY_LEN(without); i++) {
        k = keys_of(without[i]);
        assert_true(k.err == 0 && !k.has_keys);
    }
    free(text);
}

static void test_keys_without_store(void **state)
{
    auth_free(auth_case.auth);
    auth_case.auth = NULL;
    assert_int_equal(auth_new(auth_case.loop, auth_case.jobs, NULL, NULL, &auth_case.auth), 0);
    struct keys k = keys_of("bob"); /* no provider has keys */
    assert_true(k.err == 0 && !k.has_keys);
    users_only();
    assert_int_equal(keys_of("bob").err, -ERR_AUTH_TEMP);
}

static void test_keys_cancelled(void **state)
{
    struct keys k = {0};
    users_only();
    auth_cancel(auth_keys(auth_case.auth, STR("bob"), on_keys, &k));
    io_case_idle(auth_case.loop, 50);
    assert_false(k.is_here);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, auth_case_setup, auth_case_teardown)
    const struct CMUnitTest tests[] = {
        T(test_passwords),
        T(test_scram_keys_prove_a_password),
        T(test_unknown_users),
        T(test_properties),
        T(test_locks),
        T(test_held),
        T(test_protocols),
        T(test_backend_judges),
        T(test_digests),
        T(test_proved),
        T(test_unverified_certificates),
        T(test_tokens),
        T(test_authzid),
        T(test_no_store),
        T(test_full_queue),
        T(test_unknown_users_cost_the_same),
        T(test_keys),
        T(test_keys_without_store),
        T(test_keys_cancelled),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
