/* SPDX-License-Identifier: ISC */
/* Private keys in libcrypto: each kind signs with each algorithm that it may, GnuTLS verifies it,
 * and handshakes use it; what libcrypto does not take is left to GnuTLS. */
#include <gnutls/abstract.h>

#include "io/tls/tls_key.h"
#include "tls_case.h"

enum { RSA_2048, RSA_3072, EC_256, EC_384, EC_521, ED_25519, ED_448, RSA_PSS, N_KEYS };

static const struct {
    const char *name;
    gnutls_pk_algorithm_t kind;
    unsigned bits;
} kinds[N_KEYS] = {
    [RSA_2048] = {"rsa2048", GNUTLS_PK_RSA, 2048},
    [RSA_3072] = {"rsa3072", GNUTLS_PK_RSA, 3072},
    [EC_256] = {"ec256", GNUTLS_PK_ECDSA, GNUTLS_CURVE_TO_BITS(GNUTLS_ECC_CURVE_SECP256R1)},
    [EC_384] = {"ec384", GNUTLS_PK_ECDSA, GNUTLS_CURVE_TO_BITS(GNUTLS_ECC_CURVE_SECP384R1)},
    [EC_521] = {"ec521", GNUTLS_PK_ECDSA, GNUTLS_CURVE_TO_BITS(GNUTLS_ECC_CURVE_SECP521R1)},
    [ED_25519] = {"ed25519", GNUTLS_PK_EDDSA_ED25519,
                  GNUTLS_CURVE_TO_BITS(GNUTLS_ECC_CURVE_ED25519)},
    [ED_448] = {"ed448", GNUTLS_PK_EDDSA_ED448, GNUTLS_CURVE_TO_BITS(GNUTLS_ECC_CURVE_ED448)},
    [RSA_PSS] = {"pss", GNUTLS_PK_RSA_PSS, 2048},
};

static struct tls_case_cert ca, certs[N_KEYS];

static int setup_all(void **state)
{
    if (tls_case_setup(state) != 0)
        return -1;
    ca = tls_case_make(&(struct tls_case_spec){.file = "ca", .cn = "CA", .is_ca = true});
    for (size_t i = 0; i < N_KEYS; i++)
        certs[i] = tls_case_make(&(struct tls_case_spec){.file = kinds[i].name,
                                                         .cn = "mail.example.org",
                                                         .dns = "mail.example.org",
                                                         .issuer = &ca,
                                                         .kind = kinds[i].kind,
                                                         .bits = kinds[i].bits});
    return 0;
}

static int teardown_all(void **state)
{
    tls_case_cert_fini(&ca);
    for (size_t i = 0; i < N_KEYS; i++)
        tls_case_cert_fini(&certs[i]);
    return rmdir(tls_case_folder);
}

/* ---- signing ---- */

static const struct {
    gnutls_sign_algorithm_t algo;
    size_t bytes;  /* of its digest; 0 = it signs the message */
    unsigned keys; /* bits of those that may */
} algorithms[] = {
    {GNUTLS_SIGN_RSA_SHA1, 20, 1 << RSA_2048 | 1 << RSA_3072},
    {GNUTLS_SIGN_RSA_SHA256, 32, 1 << RSA_2048 | 1 << RSA_3072},
    {GNUTLS_SIGN_RSA_SHA384, 48, 1 << RSA_2048 | 1 << RSA_3072},
    {GNUTLS_SIGN_RSA_SHA512, 64, 1 << RSA_2048 | 1 << RSA_3072},
    {GNUTLS_SIGN_RSA_PSS_RSAE_SHA256, 32, 1 << RSA_2048 | 1 << RSA_3072},
    {GNUTLS_SIGN_RSA_PSS_RSAE_SHA384, 48, 1 << RSA_2048 | 1 << RSA_3072},
    {GNUTLS_SIGN_RSA_PSS_RSAE_SHA512, 64, 1 << RSA_2048 | 1 << RSA_3072},
    {GNUTLS_SIGN_ECDSA_SHA256, 32, 1 << EC_256 | 1 << EC_384 | 1 << EC_521},
    {GNUTLS_SIGN_ECDSA_SHA384, 48, 1 << EC_256 | 1 << EC_384 | 1 << EC_521},
    {GNUTLS_SIGN_ECDSA_SHA512, 64, 1 << EC_256 | 1 << EC_384 | 1 << EC_521},
    {GNUTLS_SIGN_ECDSA_SECP256R1_SHA256, 32, 1 << EC_256},
    {GNUTLS_SIGN_ECDSA_SECP384R1_SHA384, 48, 1 << EC_384},
    {GNUTLS_SIGN_ECDSA_SECP521R1_SHA512, 64, 1 << EC_521},
    {GNUTLS_SIGN_EDDSA_ED25519, 0, 1 << ED_25519},
    {GNUTLS_SIGN_EDDSA_ED448, 0, 1 << ED_448},
    {GNUTLS_SIGN_DSA_SHA256, 32, 0},
    {GNUTLS_SIGN_RSA_PSS_SHA256, 32, 0}, /* is for keys of the kind RSA-PSS */
    {GNUTLS_SIGN_UNKNOWN, 32, 0},
};

static int verify(const struct tls_case_cert *cert, gnutls_sign_algorithm_t algo, bool is_message,
                  const gnutls_datum_t *data, const gnutls_datum_t *signature)
{
    gnutls_pubkey_t pub;
    assert_int_equal(gnutls_pubkey_init(&pub), 0);
    assert_int_equal(gnutls_pubkey_import_x509(pub, cert->crt, 0), 0);
    unsigned flags = GNUTLS_VERIFY_ALLOW_BROKEN | GNUTLS_VERIFY_ALLOW_SIGN_WITH_SHA1;
    int rc = is_message ? gnutls_pubkey_verify_data2(pub, algo, flags, data, signature)
                        : gnutls_pubkey_verify_hash2(pub, algo, flags, data, signature);
    gnutls_pubkey_deinit(pub);
    return rc;
}

/* One key, one algorithm: signed and verified, or refused. */
static void sign_case(size_t i, size_t a)
{
    struct tls_key *key;
    unsigned char bytes[64], out[TLS_SIGNATURE_MAX];
    size_t n = sizeof(out);
    bool is_allowed = algorithms[a].keys & (1u << i), is_message = algorithms[a].bytes == 0;
    size_t size = is_message ? sizeof(bytes) : algorithms[a].bytes;
    memset(bytes, 'x', sizeof(bytes));
    assert_int_equal(tls_key_new(certs[i].key, &key), 0);
    assert_int_equal(tls_key_kind(key), kinds[i].kind);
    int err = tls_key_sign(key, algorithms[a].algo, str_n(bytes, size), out, &n);
    if (err != (is_allowed ? 0 : -ERR_UNSUPPORTED))
        fail_msg("%s with %s: %s", kinds[i].name, gnutls_sign_get_name(algorithms[a].algo),
                 err_name(err));
    if (is_allowed) {
        gnutls_datum_t data = {bytes, (unsigned)size}, signature = {out, (unsigned)n};
        assert_true(verify(&certs[i], algorithms[a].algo, is_message, &data, &signature) >= 0);
        out[n / 2] ^= 1;
        assert_true(verify(&certs[i], algorithms[a].algo, is_message, &data, &signature) < 0);
        n = sizeof(out);
        if (!is_message) /* a digest of another length is none */
            assert_int_equal(tls_key_sign(key, algorithms[a].algo, str_n(bytes, size - 1), out, &n),
                             -ERR_INVAL);
        assert_int_equal(tls_key_sign(key, algorithms[a].algo, STR_NULL, out, &n), -ERR_INVAL);
    }
    tls_key_free(key);
}

static void test_signatures(void **state)
{
    for (size_t i = 0; i < RSA_PSS; i++)
        for (size_t a = 0; a < ARRAY_LEN(algorithms); a++)
            sign_case(i, a);
}

static void test_raw_rsa(void **state)
{
    static const char too_long[256] = "x";
    struct tls_key *key;
    unsigned char out[TLS_SIGNATURE_MAX];
    size_t n = sizeof(out);
    assert_int_equal(tls_key_new(certs[RSA_2048].key, &key), 0);
    assert_int_equal(tls_key_sign(key, GNUTLS_SIGN_RSA_RAW, STR("a DigestInfo"), out, &n), 0);
    assert_int_equal(n, 256);
    n = sizeof(out);
    assert_int_equal(
        tls_key_sign(key, GNUTLS_SIGN_RSA_RAW, str_n(too_long, sizeof(too_long)), out, &n),
        -ERR_TLS);
    n = 100; /* too little room */
    assert_int_equal(tls_key_sign(key, GNUTLS_SIGN_RSA_RAW, STR("x"), out, &n), -ERR_TLS);
    tls_key_free(key);
}

static void test_kinds_left_to_gnutls(void **state)
{
    struct tls_key *key = NULL;
    assert_int_equal(tls_key_new(certs[RSA_PSS].key, &key), -ERR_UNSUPPORTED);
    assert_null(key);
}

/* ---- handshakes ---- */

static struct loop *loop;
static struct end client, server;

static bool both_secured(void *arg)
{
    (void)arg;
    return client.n_secured > 0 && server.n_secured > 0;
}

static struct tls_server *server_with(const struct tls_case_cert *cert, const char *priority)
{
    struct tls_server *t = NULL;
    char *error = NULL;
    const struct tls_cert_spec pair = {.cert_file = cert->crt_file, .key_file = cert->key_file};
    const struct tls_server_spec spec = {.certs = &pair, .n_certs = 1, .priority = priority};
    if (tls_server_new(&spec, &t, &error) < 0)
        fail_msg("%s", error ? error : "no memory");
    return t;
}

/* A handshake of a server with a client that accepts one priority; what the client saw. */
static void shake(struct tls_server *server_tls, const char *priority, struct tls_info *ret)
{
    struct tls_client *client_tls = NULL;
    char *error = NULL;
    int fds[2];
    const struct tls_client_spec spec = {
        .is_verified = true, .ca_file = ca.crt_file, .priority = priority};
    if (tls_client_new(&spec, &client_tls, &error) < 0)
        fail_msg("%s: %s", priority, error ? error : "no memory");
    assert_int_equal(loop_new(NULL, &loop), 0);
    end_init(&client, loop);
    end_init(&server, loop);
    io_case_pair(fds);
    assert_int_equal(conn_adopt(&client.conn, fds[0]), 0);
    assert_int_equal(conn_adopt(&server.conn, fds[1]), 0);
    conn_want_read(&client.conn, true);
    conn_want_read(&server.conn, true);
    assert_int_equal(conn_secure_server(&server.conn, server_tls, NULL), 0);
    assert_int_equal(conn_secure_client(&client.conn, client_tls, "mail.example.org"), 0);
    io_case_run(loop, both_secured, NULL);
    if (client.secured_err || server.secured_err)
        fail_msg("%s: client %s (%s), server %s (%s)", priority, err_name(client.secured_err),
                 conn_tls_error(&client.conn), err_name(server.secured_err),
                 conn_tls_error(&server.conn));
    assert_true(conn_tls_info(&client.conn, ret));
    end_say(&client, "question");
    end_wait(&server, "question");
    end_fini(&client);
    end_fini(&server);
    tls_client_unref(client_tls);
    loop_free(loop);
}

static void test_handshakes(void **state)
{
    static const struct {
        int key;
        const char *version, *sign; /* NULL = whatever both prefer */
    } cases[] = {
        {RSA_2048, "TLS1.3", NULL},
        {RSA_2048, "TLS1.3", "RSA-PSS-RSAE-SHA256"},
        {RSA_2048, "TLS1.3", "RSA-PSS-RSAE-SHA384"},
        {RSA_2048, "TLS1.3", "RSA-PSS-RSAE-SHA512"},
        {RSA_2048, "TLS1.2", NULL},
        {RSA_2048, "TLS1.2", "RSA-SHA256"},
        {RSA_2048, "TLS1.2", "RSA-SHA384"},
        {RSA_2048, "TLS1.2", "RSA-SHA512"},
        {RSA_2048, "TLS1.2", "RSA-PSS-RSAE-SHA256"},
        {RSA_3072, "TLS1.3", NULL},
        {RSA_3072, "TLS1.2", NULL},
        {EC_256, "TLS1.3", NULL},
        {EC_256, "TLS1.3", "ECDSA-SECP256R1-SHA256"},
        {EC_256, "TLS1.2", NULL},
        {EC_256, "TLS1.2", "ECDSA-SHA384"},
        {EC_384, "TLS1.3", NULL},
        {EC_384, "TLS1.2", NULL},
        {EC_521, "TLS1.3", NULL},
        {EC_521, "TLS1.2", NULL},
        {ED_25519, "TLS1.3", NULL},
        {ED_25519, "TLS1.2", NULL},
        {ED_448, "TLS1.3", NULL},
        {RSA_PSS, "TLS1.3", NULL},
        {RSA_PSS, "TLS1.2", NULL},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        char priority[256];
        struct tls_info info;
        /* The authority's own signature is checked, too. */
        snprintf(priority, sizeof(priority), "NORMAL:-VERS-ALL:+VERS-%s%s%s%s", cases[i].version,
                 cases[i].sign ? ":-SIGN-ALL:+SIGN-" : "", cases[i].sign ? cases[i].sign : "",
                 cases[i].sign ? ":+SIGN-ECDSA-SHA256" : "");
        if (cases[i].sign && strncmp(cases[i].sign, "ECDSA", 5) == 0)
            priority[strlen(priority) - strlen(":+SIGN-ECDSA-SHA256")] = '\0';
        struct tls_server *t = server_with(&certs[cases[i].key], NULL);
        shake(t, priority, &info);
        assert_string_equal(info.version, cases[i].version[5] == '3' ? "TLSv1.3" : "TLSv1.2");
        tls_server_unref(t);
    }
}

/* The client sends its secret encrypted for the certificate: GnuTLS keeps such a key. */
static void test_rsa_key_exchange(void **state)
{
    static const char only_rsa[] = "NORMAL:-VERS-ALL:+VERS-TLS1.2:-KX-ALL:+RSA";
    struct tls_info info;
    struct tls_server *t = server_with(&certs[RSA_2048], "NORMAL:+RSA");
    shake(t, only_rsa, &info);
    assert_string_equal(info.version, "TLSv1.2");
    tls_server_unref(t);
}

static void test_wrong_key(void **state)
{
    for (size_t i = 0; i < N_KEYS; i++) {
        struct tls_server *t = NULL;
        char *error = NULL;
        size_t other = i == RSA_2048 ? RSA_3072 : RSA_2048;
        const struct tls_cert_spec pair = {.cert_file = certs[other].crt_file,
                                           .key_file = certs[i].key_file};
        const struct tls_server_spec spec = {.certs = &pair, .n_certs = 1};
        assert_int_equal(tls_server_new(&spec, &t, &error), -ERR_TLS);
        assert_non_null(strstr(error, "cannot use certificate"));
        free(error);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_signatures),           cmocka_unit_test(test_raw_rsa),
        cmocka_unit_test(test_kinds_left_to_gnutls), cmocka_unit_test(test_handshakes),
        cmocka_unit_test(test_rsa_key_exchange),     cmocka_unit_test(test_wrong_key),
    };
    return cmocka_run_group_tests(tests, setup_all, teardown_all);
}
