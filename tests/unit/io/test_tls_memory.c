/* SPDX-License-Identifier: ISC */
/* Large numbers when memory is used up: what has begun is finished, nothing new begins, and nobody
 * aborts. Each case in a child that may not grow. */
#include <gmp.h>
#include <gnutls/abstract.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include "io/tls/tls_memory.h"
#include "tls_case.h"

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define IS_LIMITED false /* their address space has no limit */
#else
#define IS_LIMITED true
#endif

static void **kept; /* all memory there is, as a list */

static void use_up(void)
{
    const struct rlimit none = {1, 1};
    assert_int_equal(setrlimit(RLIMIT_AS, &none), 0);
    for (size_t size = 1 << 20; size >= sizeof(void *); size /= 2) {
        void **p;
        while ((p = malloc(size))) {
            *p = kept;
            kept = p;
        }
    }
}

static void give_back(void)
{
    while (kept) {
        void *next = *kept;
        free(kept);
        kept = next;
    }
}

static int in_child(void (*fn)(void))
{
    int status;
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        if (tls_memory_init() < 0)
            _exit(2);
        fn();
        _exit(0);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return WIFSIGNALED(status) ? 1000 + WTERMSIG(status) : WEXITSTATUS(status);
}

static void check(bool is_good)
{
    if (!is_good)
        _exit(1);
}

/* 3^(2^8) modulo a number of 40000 bits: little work with numbers of 5 KB. */
static void power(mpz_t result)
{
    mpz_t base, exponent, modulus;
    mpz_inits(base, exponent, modulus, NULL);
    mpz_set_ui(base, 3);
    mpz_setbit(exponent, 8);
    mpz_setbit(modulus, 40000);
    mpz_add_ui(modulus, modulus, 1);
    mpz_powm(result, base, exponent, modulus);
    mpz_clears(base, exponent, modulus, NULL);
}

static void numbers_without_memory(void)
{
    mpz_t before, during;
    mpz_inits(before, during, NULL);
    power(before);
    power(during); /* has its room: the reserve is empty after each of those below */
    check(!tls_memory_is_low());
    use_up();
    for (int i = 0; i < 2000; i++) /* much more than the reserve, one after the other */
        power(during);
    check(tls_memory_is_low());
    check(mpz_cmp(before, during) == 0);
    give_back();
    power(during);
    check(mpz_cmp(before, during) == 0);
    mpz_clears(before, during, NULL);
    uint64_t deadline = clock_ms() + 10000;
    while (tls_memory_is_low() && clock_ms() < deadline)
        usleep(10000);
    check(!tls_memory_is_low());
}

static gnutls_x509_privkey_t rsa_key;

/* GnuTLS answers with an error or a signature, whichever it has memory for. */
static void signing_without_memory(void)
{
    gnutls_privkey_t key;
    const gnutls_datum_t data = {(unsigned char *)"data", 4};
    check(gnutls_privkey_init(&key) == 0);
    check(gnutls_privkey_import_x509(key, rsa_key, 0) == 0);
    use_up();
    for (int i = 0; i < 50; i++) {
        gnutls_datum_t signature = {0};
        if (gnutls_privkey_sign_data2(key, GNUTLS_SIGN_RSA_SHA256, 0, &data, &signature) == 0)
            gnutls_free(signature.data);
    }
}

/* A number that the whole reserve cannot hold: there is nothing else left to do. */
static void number_too_large(void)
{
    mpz_t large;
    mpz_init(large);
    use_up();
    mpz_setbit(large, (mp_bitcnt_t)200 << 20);
}

static void handshake_without_memory(void)
{
    struct loop *loop;
    struct tls_client *client = NULL;
    char *error = NULL;
    int fds[2];
    check(loop_new(NULL, &loop) == 0);
    check(tls_client_new(&(struct tls_client_spec){.is_verified = false}, &client, &error) == 0);
    struct end e;
    end_init(&e, loop);
    io_case_pair(fds);
    check(conn_adopt(&e.conn, fds[0]) == 0);
    mpz_t number;
    mpz_init(number);
    use_up();
    power(number);
    give_back();
    check(conn_secure_client(&e.conn, client, "mail.example.org") == -ERR_NOMEM);
}

static void test_numbers(void **state)
{
    if (!IS_LIMITED)
        skip();
    assert_int_equal(in_child(numbers_without_memory), 0);
    assert_int_equal(in_child(number_too_large), 1000 + SIGABRT);
}

static void test_signing(void **state)
{
    if (!IS_LIMITED)
        skip();
    assert_int_equal(gnutls_x509_privkey_init(&rsa_key), 0);
    assert_int_equal(gnutls_x509_privkey_generate(rsa_key, GNUTLS_PK_RSA, 2048, 0), 0);
    assert_int_equal(in_child(signing_without_memory), 0);
    gnutls_x509_privkey_deinit(rsa_key);
}

static void test_handshake(void **state)
{
    if (!IS_LIMITED)
        skip();
    assert_int_equal(in_child(handshake_without_memory), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_numbers),
        cmocka_unit_test(test_signing),
        cmocka_unit_test(test_handshake),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
