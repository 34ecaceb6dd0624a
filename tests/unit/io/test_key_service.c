/* SPDX-License-Identifier: ISC */
/* Keys in another process: questions and answers, handshakes, silence, and who asks nonsense. */
#include <gnutls/abstract.h>
#include <pthread.h>
#include <sys/socket.h>

#include "base/clock.h"
#include "base/record.h"
#include "io/tls/key_server.h"
#include "io/tls/key_service.h"
#include "io/tls/tls_key.h"
#include "tls_case.h"

enum { RSA, EC, ED, N_KEYS };
#define CHANNELS 4

static const struct {
    gnutls_pk_algorithm_t kind;
    unsigned bits;
    gnutls_sign_algorithm_t algo;
} kinds[N_KEYS] = {
    {GNUTLS_PK_RSA, 2048, GNUTLS_SIGN_RSA_PSS_RSAE_SHA256},
    {GNUTLS_PK_ECDSA, GNUTLS_CURVE_TO_BITS(GNUTLS_ECC_CURVE_SECP256R1),
     GNUTLS_SIGN_ECDSA_SECP256R1_SHA256},
    {GNUTLS_PK_EDDSA_ED25519, GNUTLS_CURVE_TO_BITS(GNUTLS_ECC_CURVE_ED25519),
     GNUTLS_SIGN_EDDSA_ED25519},
};

static struct tls_case_cert ca, certs[N_KEYS];
static struct tls_key_place places[N_KEYS];
static struct key_server *server;
static int ours[CHANNELS], theirs[CHANNELS];
static pthread_t thread;
static uint64_t last_id;

static void begin(void)
{
}

static void *run(void *arg)
{
    (void)arg;
    assert_int_equal(key_server_run(server, theirs, CHANNELS, begin), 0);
    return NULL;
}

/* A server with the keys in threads of this process, and a service that reaches it. */
static int setup(void **state)
{
    AUTO_SECRET_BUF records = BUF_INIT;
    if (tls_case_setup(state) != 0)
        return -1;
    ca = tls_case_make(&(struct tls_case_spec){.file = "ca", .cn = "CA", .is_ca = true});
    for (size_t i = 0; i < N_KEYS; i++) {
        char name[8];
        AUTO_SECRET_BUF der = BUF_INIT;
        AUTO_BUF pem = BUF_INIT;
        struct tls_key_place place;
        gnutls_datum_t text;
        snprintf(name, sizeof(name), "k%zu", i);
        certs[i] = tls_case_make(&(struct tls_case_spec){.file = name,
                                                         .cn = "a.test",
                                                         .dns = "a.test",
                                                         .issuer = &ca,
                                                         .kind = kinds[i].kind,
                                                         .bits = kinds[i].bits});
        assert_int_equal(gnutls_load_file(certs[i].key_file, &text), 0);
        assert_int_equal(tls_key_file_take(str_n(text.data, text.size), STR(""), &der, &place), 0);
        gnutls_free(text.data);
        assert_int_equal(place.kind, kinds[i].kind);
        places[i] = (struct tls_key_place){0, (uint32_t)i, place.kind, place.bits};
        const struct record r = {KEY_SERVER_RECORD, 1, {buf_str(&der)}};
        assert_int_equal(record_append(&records, &r), 0);
    }
    assert_int_equal(key_server_new(buf_str(&records), &server), 0);
    for (size_t i = 0; i < CHANNELS; i++) {
        int ends[2];
        assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends), 0);
        ours[i] = ends[0];
        theirs[i] = ends[1];
    }
    return 0;
}

static void serve(void)
{
    assert_int_equal(pthread_create(&thread, NULL, run, NULL), 0);
}

/* The threads of all channels end when ours are closed: with the last reference to the service. */
static int teardown(void **state)
{
    for (size_t i = 0; i < CHANNELS; i++)
        close(theirs[i]);
    key_server_free(server);
    tls_case_cert_fini(&ca);
    for (size_t i = 0; i < N_KEYS; i++)
        tls_case_cert_fini(&certs[i]);
    return rmdir(tls_case_folder);
}

static struct key_service *service(void)
{
    int fds[CHANNELS];
    for (size_t i = 0; i < CHANNELS; i++)
        fds[i] = dup(ours[i]);
    assert_int_equal(key_service_add(++last_id, fds, CHANNELS), 0);
    struct key_service *s = key_service_find(last_id);
    assert_non_null(s);
    return s;
}

static void stop(void)
{
    for (size_t i = 0; i < CHANNELS; i++)
        shutdown(ours[i], SHUT_RDWR);
    pthread_join(thread, NULL);
    for (size_t i = 0; i < CHANNELS; i++)
        close(ours[i]);
}

static int sign(struct key_service *s, uint32_t key, gnutls_sign_algorithm_t algo, size_t bytes)
{
    unsigned char out[TLS_SIGNATURE_MAX];
    char data[KEY_DATA_MAX + 1] = "what is signed";
    size_t n = sizeof(out);
    return key_service_sign(s, key, (uint32_t)algo, str_n(data, bytes), out, &n);
}

static void test_signs(void **state)
{
    serve();
    struct key_service *s = service();
    for (uint32_t i = 0; i < N_KEYS; i++)
        assert_int_equal(sign(s, i, kinds[i].algo, 32), 0);
    assert_int_equal(sign(s, ED, kinds[ED].algo, KEY_DATA_MAX), 0);
    assert_int_equal(sign(s, ED, kinds[ED].algo, KEY_DATA_MAX + 1), -ERR_TOO_LONG);
    assert_int_equal(sign(s, N_KEYS, kinds[RSA].algo, 32), -ERR_NOT_FOUND);
    assert_int_equal(sign(s, UINT32_MAX, kinds[RSA].algo, 32), -ERR_NOT_FOUND);
    assert_int_equal(sign(s, EC, kinds[RSA].algo, 32), -ERR_UNSUPPORTED);
    assert_int_equal(sign(s, EC, (gnutls_sign_algorithm_t)UINT32_MAX, 32), -ERR_UNSUPPORTED);
    assert_int_equal(sign(s, RSA, kinds[RSA].algo, 31), -ERR_INVAL);
    assert_int_equal(sign(s, RSA, kinds[RSA].algo, 0), -ERR_INVAL);
    assert_int_equal(sign(NULL, RSA, kinds[RSA].algo, 32), -ERR_CLOSED);
    key_service_unref(s);
    stop();
}

/* What GnuTLS verifies with the certificate. */
static void test_as_key(void **state)
{
    serve();
    struct key_service *s = service();
    for (uint32_t i = 0; i < N_KEYS; i++) {
        places[i].service = last_id;
        const gnutls_datum_t data = {(unsigned char *)(uintptr_t) "some text", 9};
        gnutls_datum_t signature;
        gnutls_privkey_t key;
        gnutls_pubkey_t public;
        struct tls_key *k;
        assert_int_equal(tls_key_new_remote(&places[i], &k), 0);
        assert_int_equal(tls_key_import(k, &key), 0);
        assert_int_equal(gnutls_privkey_sign_data2(key, kinds[i].algo, 0, &data, &signature), 0);
        assert_int_equal(gnutls_pubkey_init(&public), 0);
        assert_int_equal(gnutls_pubkey_import_x509(public, certs[i].crt, 0), 0);
        assert_int_equal(gnutls_pubkey_verify_data2(public, kinds[i].algo, 0, &data, &signature),
                         0);
        gnutls_free(signature.data);
        gnutls_pubkey_deinit(public);
        gnutls_privkey_deinit(key);
    }
    key_service_unref(s);
    stop();
}

/* One wait of 300 ms, then none until a second has passed; an answer that comes late is nobody's.
 */
static void test_silence(void **state)
{
    struct key_service *s = service();
    uint64_t began = clock_ms();
    assert_int_equal(sign(s, EC, kinds[EC].algo, 32), -ERR_TIMEOUT);
    assert_in_range(clock_ms() - began, KEY_SIGN_MS, KEY_SIGN_MS + 2000);
    began = clock_ms();
    for (unsigned i = 0; i < 100; i++)
        assert_int_equal(sign(s, EC, kinds[EC].algo, 32), -ERR_TIMEOUT);
    assert_in_range(clock_ms() - began, 0, KEY_SIGN_MS - 1);
    serve();
    int err = -ERR_TIMEOUT;
    while (err == -ERR_TIMEOUT && clock_ms() < began + 20000) {
        usleep(10000);
        err = sign(s, RSA, kinds[RSA].algo, 32);
    }
    assert_int_equal(err, 0);
    for (uint32_t i = 0; i < N_KEYS; i++)
        assert_int_equal(sign(s, i, kinds[i].algo, 32), 0);
    key_service_unref(s);
    stop();
}

/* Who waits for the start of a process makes nobody else think that it is silent. */
static void test_awaited(void **state)
{
    struct key_service *s = service();
    assert_int_equal(key_service_await(s, 20), -ERR_TIMEOUT);
    serve();
    assert_int_equal(key_service_await(s, 20000), 0);
    assert_int_equal(sign(s, EC, kinds[EC].algo, 32), 0);
    assert_int_equal(key_service_await(NULL, 1), -ERR_CLOSED);
    key_service_unref(s);
    stop();
}

/* A process that is gone is known at once. */
static void test_gone(void **state)
{
    struct key_service *s = service();
    for (size_t i = 0; i < CHANNELS; i++) {
        close(theirs[i]);
        theirs[i] = -1;
    }
    assert_int_equal(sign(s, EC, kinds[EC].algo, 32), -ERR_CLOSED);
    key_service_unref(s);
    for (size_t i = 0; i < CHANNELS; i++)
        close(ours[i]);
}

/* Nothing that is sent there does more than be no question. */
static void test_nonsense(void **state)
{
    struct key_request r = {.id = 7, .key = EC, .algo = (uint32_t)kinds[EC].algo};
    struct key_answer a;
    for (size_t n = 0; n < KEY_REQUEST_HEAD; n++)
        assert_int_equal(key_server_answer(server, &r, n, &a), 0);
    assert_int_equal(key_server_answer(server, &r, sizeof(r) + 1, &a), 0);
    assert_int_equal(key_server_answer(server, &r, KEY_REQUEST_HEAD, &a), KEY_ANSWER_HEAD);
    assert_true(a.id == 7 && a.err == -ERR_INVAL);
    assert_true(key_server_answer(server, &r, KEY_REQUEST_HEAD + 32, &a) > KEY_ANSWER_HEAD);
    assert_int_equal(a.err, 0);
    for (size_t i = 0; i < CHANNELS; i++)
        close(ours[i]);
}

static void test_broken_records(void **state)
{
    static const struct record rows[] = {
        {KEY_SERVER_RECORD, 1, {STR("no key")}},
        {KEY_SERVER_RECORD, 2, {STR(""), STR("")}},
        {KEY_SERVER_RECORD + 1, 1, {STR("")}},
        {KEY_SERVER_FILE + 1, 2, {STR(""), STR("")}},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        AUTO_BUF out = BUF_INIT;
        struct key_server *s = NULL;
        assert_int_equal(record_append(&out, &rows[i]), 0);
        assert_true(key_server_new(buf_str(&out), &s) < 0);
        assert_null(s);
    }
    for (size_t i = 0; i < CHANNELS; i++)
        close(ours[i]);
}

/* Files stand between the keys and are none. */
static void test_files_of_keys(void **state)
{
    const struct record r = {KEY_SERVER_FILE, 2, {STR("/a.key"), STR("encrypted")}};
    AUTO_BUF out = BUF_INIT;
    struct key_server *s = NULL;
    assert_int_equal(record_append(&out, &r), 0);
    assert_int_equal(key_server_new(buf_str(&out), &s), 0);
    key_server_free(s);
    for (size_t i = 0; i < CHANNELS; i++)
        close(ours[i]);
}

/* A later set of channels is what later keys get; the earlier one stays for those who have it. */
static void test_replaced(void **state)
{
    struct key_service *first = service();
    int fd = dup(ours[0]);
    assert_int_equal(key_service_add(last_id, &fd, 1), 0);
    struct key_service *second = key_service_find(last_id);
    assert_true(second && second != first);
    assert_null(key_service_find(last_id + 1000));
    assert_int_equal(key_service_add(1, NULL, 0), -ERR_INVAL);
    key_service_unref(first);
    key_service_unref(second);
    for (size_t i = 0; i < CHANNELS; i++)
        close(ours[i]);
}

static void test_files(void **state)
{
    AUTO_BUF out = BUF_INIT;
    const struct tls_key_place place = {UINT64_MAX, 7, GNUTLS_PK_RSA, 2048};
    struct tls_key_place found = {0};
    static const char both[] =
        "-----BEGIN CERTIFICATE-----\nAA==\n-----END CERTIFICATE-----\n"
        "-----BEGIN RSA PRIVATE KEY-----\nsecret\n"
        "-----END RSA PRIVATE KEY-----\nafter\n"
        "-----BEGIN PRIVATE KEY-----\r\nsecret\r\n-----END PRIVATE KEY-----\r\n"
        "-----BEGIN ENCRYPTED PRIVATE KEY-----\nsecret, cut off";
    assert_int_equal(tls_key_file_strip(str_of(both), &out), 0);
    assert_null(strstr(buf_cstr(&out), "secret"));
    assert_non_null(strstr(buf_cstr(&out), "END CERTIFICATE-----\nafter\n"));
    assert_int_equal(tls_key_place_find(buf_str(&out), &found), -ERR_NOT_FOUND);
    assert_int_equal(tls_key_place_append(&place, &out), 0);
    assert_int_equal(tls_key_place_find(buf_str(&out), &found), 0);
    assert_true(found.service == UINT64_MAX && found.number == 7 && found.kind == GNUTLS_PK_RSA &&
                found.bits == 2048);
    assert_int_equal(
        tls_key_place_find(STR("-----BEGIN MAILPROXY KEY PLACE-----\n1 2 x 4\n"), &found),
        -ERR_SYNTAX);
    for (size_t i = 0; i < CHANNELS; i++)
        close(ours[i]);
}

#define FIRST KEY_DIRECTORY_FIRST

/* Keys that come while it runs, by the channel for it: so many, the longest unused goes. By other
 * channels none come, and those from the beginning stay. */
static void test_loaded(void **state)
{
    int fds[CHANNELS - 1], fd = ours[CHANNELS - 1];
    AUTO_SECRET_BUF der = BUF_INIT;
    AUTO_FREE char *long_der = calloc(1, KEY_DATA_MAX + 1);
    struct tls_key_place place;
    gnutls_datum_t text;
    assert_int_equal(gnutls_load_file(certs[EC].key_file, &text), 0);
    assert_int_equal(tls_key_file_take(str_n(text.data, text.size), STR(""), &der, &place), 0);
    gnutls_free(text.data);
    key_server_take_keys(server, 2);
    serve();
    for (size_t i = 0; i < CHANNELS - 1; i++)
        fds[i] = dup(ours[i]);
    assert_int_equal(key_service_add(++last_id, fds, CHANNELS - 1), 0);
    struct key_service *s = key_service_find(last_id);
    assert_int_equal(sign(s, FIRST, kinds[EC].algo, 32), -ERR_NOT_FOUND);
    for (uint32_t i = 0; i < 3; i++)
        assert_int_equal(key_channel_load(fd, FIRST + i, buf_str(&der)), 0);
    assert_int_equal(sign(s, FIRST, kinds[EC].algo, 32), -ERR_NOT_FOUND);
    assert_int_equal(sign(s, FIRST + 2, kinds[EC].algo, 32), 0);
    assert_int_equal(sign(s, FIRST + 1, kinds[EC].algo, 32), 0);
    assert_int_equal(key_channel_load(fd, FIRST + 1, buf_str(&der)), 0); /* once more */
    assert_int_equal(key_channel_load(fd, FIRST + 3, buf_str(&der)), 0);
    assert_int_equal(sign(s, FIRST + 2, kinds[EC].algo, 32), -ERR_NOT_FOUND);
    assert_int_equal(sign(s, FIRST + 1, kinds[EC].algo, 32), 0);
    assert_int_equal(key_channel_load(fd, EC, buf_str(&der)), -ERR_INVAL);
    assert_int_equal(key_channel_load(fd, FIRST, STR("no key")), -ERR_TLS);
    assert_int_equal(key_channel_load(fd, FIRST, str_n(long_der, KEY_DATA_MAX + 1)), -ERR_TOO_LONG);
    struct key_request r = {.id = 1, .key = FIRST + 9};
    struct key_answer a;
    memcpy(r.data, der.data + der.start, der.len);
    assert_true(key_server_answer(server, &r, KEY_REQUEST_HEAD + der.len, &a) > 0);
    assert_int_equal(a.err, -ERR_NOT_FOUND);
    for (size_t n = 0; n < KEY_REQUEST_HEAD; n++)
        assert_int_equal(key_server_load(server, &r, n, &a), 0);
    for (uint32_t i = 0; i < N_KEYS; i++)
        assert_int_equal(sign(s, i, kinds[i].algo, 32), 0);
    key_service_unref(s);
    stop();
    fd = dup(0);
    assert_true(key_channel_load(fd, FIRST, buf_str(&der)) < 0);
    close(fd);
}

#define SERVICE_TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        SERVICE_TEST(test_signs),          SERVICE_TEST(test_as_key),   SERVICE_TEST(test_silence),
        SERVICE_TEST(test_awaited),        SERVICE_TEST(test_gone),     SERVICE_TEST(test_nonsense),
        SERVICE_TEST(test_broken_records), SERVICE_TEST(test_replaced), SERVICE_TEST(test_files),
        SERVICE_TEST(test_files_of_keys),  SERVICE_TEST(test_loaded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
