/* SPDX-License-Identifier: ISC */
/* TLS between two conns: handshakes good and bad, verification, names, certificates by name and key
 * type, client certificates, resumption, and what comes in clear before. */
#include "io/tls/tls_tickets.h"
#include "tls_case.h"

/* ---- what all tests use ---- */

static struct loop *loop;
static struct end client, server;
static struct tls_client *client_tls;
static struct tls_server *server_tls;

static struct tls_case_cert ca, other_ca, ec, rsa, second, expired, ip_only, user, bad_user,
    stranger;

static int setup_all(void **state)
{
    if (tls_case_setup(state) != 0)
        return -1;
    ca = tls_case_make(&(struct tls_case_spec){.file = "ca", .cn = "CA", .is_ca = true});
    other_ca =
        tls_case_make(&(struct tls_case_spec){.file = "other", .cn = "Other", .is_ca = true});
    struct tls_case_spec spec = {
        .file = "ec", .cn = "mail.example.org", .dns = "mail.example.org", .issuer = &ca};
    ec = tls_case_make(&spec);
    spec.file = "rsa";
    spec.is_rsa = true;
    rsa = tls_case_make(&spec);
    spec = (struct tls_case_spec){.file = "second",
                                  .cn = "x",
                                  .dns = "second.example.org",
                                  .issuer = &ca,
                                  .password = "pass"};
    second = tls_case_make(&spec);
    spec = (struct tls_case_spec){
        .file = "expired", .cn = "x", .dns = "mail.example.org", .issuer = &ca, .is_expired = true};
    expired = tls_case_make(&spec);
    spec = (struct tls_case_spec){.file = "ip", .cn = "x", .ip = "127.0.0.1", .issuer = &ca};
    ip_only = tls_case_make(&spec);
    spec = (struct tls_case_spec){.file = "user",
                                  .cn = "Joe",
                                  .dns = "mail.example.org",
                                  .email = "joe@example.org",
                                  .issuer = &ca,
                                  .is_client = true};
    user = tls_case_make(&spec);
    spec.file = "bad";
    bad_user = tls_case_make(&spec);
    spec.file = "stranger";
    spec.issuer = &other_ca;
    spec.email = NULL;
    stranger = tls_case_make(&spec);
    return 0;
}

static int teardown_all(void **state)
{
    struct tls_case_cert *all[] = {&ca,      &other_ca, &ec,   &rsa,      &second,
                                   &expired, &ip_only,  &user, &bad_user, &stranger};
    for (size_t i = 0; i < ARRAY_LEN(all); i++)
        tls_case_cert_fini(all[i]);
    return rmdir(tls_case_folder);
}

/* Fresh ends on a fresh connection; the credentials stay. */
static void connect_ends(void)
{
    int fds[2];
    end_fini(&client);
    end_fini(&server);
    end_init(&client, loop);
    end_init(&server, loop);
    io_case_pair(fds);
    assert_int_equal(conn_adopt(&client.conn, fds[0]), 0);
    assert_int_equal(conn_adopt(&server.conn, fds[1]), 0);
    conn_want_read(&client.conn, true);
    conn_want_read(&server.conn, true);
}

static int setup(void **state)
{
    if (loop_new(NULL, &loop) != 0)
        return -1;
    end_init(&client, loop);
    end_init(&server, loop);
    connect_ends();
    client_tls = NULL;
    server_tls = NULL;
    return 0;
}

static int teardown(void **state)
{
    end_fini(&client);
    end_fini(&server);
    tls_client_unref(client_tls);
    tls_server_unref(server_tls);
    loop_free(loop);
    return 0;
}

static void make_server(const struct tls_server_spec *spec)
{
    char *error = NULL;
    tls_server_unref(server_tls);
    server_tls = NULL;
    if (tls_server_new(spec, &server_tls, &error) < 0)
        fail_msg("%s", error ? error : "no memory");
    assert_null(error);
}

static void make_client(const struct tls_client_spec *spec)
{
    char *error = NULL;
    tls_client_unref(client_tls);
    client_tls = NULL;
    if (tls_client_new(spec, &client_tls, &error) < 0)
        fail_msg("%s", error ? error : "no memory");
    assert_null(error);
}

/* Server with one certificate, client that verifies it. */
static void make_both(const struct tls_case_cert *cert)
{
    const struct tls_cert_spec certs[] = {
        {.cert_file = cert->crt_file, .key_file = cert->key_file}};
    make_server(&(struct tls_server_spec){.certs = certs, .n_certs = 1, .has_tickets = true});
    make_client(&(struct tls_client_spec){.is_verified = true, .ca_file = ca.crt_file});
}

static bool both_secured(void *arg)
{
    (void)arg;
    return client.n_secured > 0 && server.n_secured > 0;
}

static void secure(const char *host, const char *alpn)
{
    assert_int_equal(conn_secure_server(&server.conn, server_tls, alpn), 0);
    assert_int_equal(conn_secure_client(&client.conn, client_tls, host), 0);
    io_case_run(loop, both_secured, NULL);
}

static void secure_well(const char *host)
{
    secure(host, "imap");
    if (client.secured_err || server.secured_err)
        fail_msg("client %s, server %s", err_name(client.secured_err),
                 err_name(server.secured_err));
}

static void talk(void)
{
    end_say(&client, "question");
    end_wait(&server, "question");
    end_say(&server, "answer");
    end_wait(&client, "answer");
}

/* ---- good handshakes ---- */

static void test_talk(void **state)
{
    struct tls_info info;
    make_both(&ec);
    secure_well("mail.example.org");
    talk();
    assert_true(conn_tls_info(&server.conn, &info));
    assert_string_equal(info.version, "TLSv1.3");
    assert_string_equal(info.cipher, "TLS_AES_128_GCM_SHA256");
    assert_string_equal(info.sni, "mail.example.org");
    assert_string_equal(info.alpn, "");
    assert_false(info.is_resumed);
    assert_int_equal(info.verify, TLS_VERIFY_NONE);
    assert_true(conn_tls_info(&client.conn, &info));
    assert_int_equal(info.verify, TLS_VERIFY_SUCCESS);
    assert_true(info.cert_expires > time(NULL));
    assert_int_equal(server.conn.in_bytes, 8); /* of the application */
    assert_int_equal(server.conn.out_bytes, 6);
    assert_int_equal(conn_secure_client(&client.conn, client_tls, "x"), -ERR_INVAL); /* twice */
}

static void test_early_words(void **state)
{
    make_both(&ec);
    assert_int_equal(conn_secure_server(&server.conn, server_tls, NULL), 0);
    assert_int_equal(conn_secure_client(&client.conn, client_tls, "mail.example.org"), 0);
    end_say(&client, "said during ");
    end_say(&client, "the handshake");
    end_say(&server, "greeting");
    end_wait(&server, "said during the handshake");
    end_wait(&client, "greeting");
}

#define BIG (4 * 1024 * 1024)

static void test_big_and_half_close(void **state)
{
    uint64_t sum;
    AUTO_FREE char *noise = end_noise(BIG, &sum);
    make_both(&ec);
    secure_well("mail.example.org");
    server.is_counting = true;
    conn_want_read(&server.conn, false);
    assert_int_equal(conn_send(&client.conn, noise, BIG), 0);
    assert_true(conn_pending(&client.conn) > BIG / 2);
    conn_shutdown(&client.conn);
    io_case_idle(loop, 20);
    assert_int_equal(server.in_n, 0);
    conn_want_read(&server.conn, true);
    io_case_run(loop, end_is_over, &server);
    assert_int_equal(server.read_err, -ERR_EOF);
    assert_true(server.in_n == BIG && server.in_sum == sum);
    end_say(&server, "late answer");
    conn_close(&server.conn);
    end_wait(&client, "late answer");
    io_case_run(loop, end_is_over, &client);
    assert_int_equal(client.read_err, -ERR_EOF);
}

/* Bytes that are decrypted already are told of, though the socket has none. */
static void test_small_reads(void **state)
{
    make_both(&ec);
    secure_well("mail.example.org");
    server.read_max = 1;
    end_say(&client, "byte by byte");
    end_wait(&server, "byte by byte");
    conn_want_read(&server.conn, false);
    end_say(&client, "!");
    io_case_idle(loop, 20);
    conn_want_read(&server.conn, true);
    end_wait(&server, "byte by byte!");
}

static void test_channel_binding(void **state)
{
    static const struct {
        const char *priority, *name;
    } cases[] = {{NULL, "tls-exporter"}, {"NORMAL:-VERS-ALL:+VERS-TLS1.2", "tls-unique"}};
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        AUTO_BUF a = BUF_INIT;
        AUTO_BUF b = BUF_INIT;
        const char *a_name, *b_name;
        connect_ends();
        make_both(&ec);
        make_client(&(struct tls_client_spec){.priority = cases[i].priority});
        assert_int_equal(conn_channel_binding(&client.conn, &a, &a_name), -ERR_UNSUPPORTED);
        secure_well("mail.example.org");
        assert_int_equal(conn_channel_binding(&client.conn, &a, &a_name), 0);
        assert_int_equal(conn_channel_binding(&server.conn, &b, &b_name), 0);
        assert_string_equal(a_name, cases[i].name);
        assert_string_equal(b_name, cases[i].name);
        assert_true(a.len >= 12 && str_eq(buf_str(&a), buf_str(&b)));
    }
}

/* ---- verification of servers ---- */

static void refused(const struct tls_case_cert *cert, const char *ca_file, const char *host,
                    int err, const char *why)
{
    connect_ends();
    make_both(cert);
    make_client(&(struct tls_client_spec){.is_verified = true, .ca_file = ca_file});
    secure(host, NULL);
    assert_int_equal(client.secured_err, err);
    assert_string_equal(conn_tls_error(&client.conn), why);
    assert_true(server.secured_err < 0 || server.n_secured == 1);
    assert_int_equal(conn_send(&client.conn, "secret", 6), err);
    size_t n;
    char c;
    assert_int_equal(conn_read(&client.conn, &c, 1, &n), err);
}

static void test_wrong_server(void **state)
{
    refused(&ec, ca.crt_file, "other.example.org", -ERR_TLS_NAME, "hostname mismatch");
    refused(&ec, ca.crt_file, "127.0.0.1", -ERR_TLS_NAME, "hostname mismatch");
    refused(&ec, other_ca.crt_file, "mail.example.org", -ERR_TLS_VERIFY,
            "unable to get local issuer certificate");
    refused(&expired, ca.crt_file, "mail.example.org", -ERR_TLS_VERIFY, "certificate has expired");
    refused(&user, ca.crt_file, "mail.example.org", -ERR_TLS_VERIFY,
            "unsuitable certificate purpose");
}

static void test_ip_and_unverified(void **state)
{
    struct tls_info info;
    make_both(&ip_only);
    secure_well("127.0.0.1");
    talk();
    assert_true(conn_tls_info(&server.conn, &info));
    assert_string_equal(info.sni, ""); /* names only */
    connect_ends();
    make_client(&(struct tls_client_spec){.is_verified = false});
    secure_well("anything.example.org");
    talk();
    assert_true(conn_tls_info(&client.conn, &info));
    assert_int_equal(info.verify, TLS_VERIFY_NONE);
}

/* ---- which certificate ---- */

static void expect_key(const char *host, const char *priority, const struct tls_case_cert *want)
{
    struct tls_peer_cert seen = {0};
    unsigned char id[64];
    char hex[129];
    size_t n = sizeof(id);
    connect_ends();
    make_client(&(struct tls_client_spec){.priority = priority});
    secure_well(host);
    assert_int_equal(conn_peer_cert(&client.conn, &seen), 0);
    assert_int_equal(gnutls_x509_crt_get_fingerprint(want->crt, GNUTLS_DIG_SHA1, id, &n), 0);
    str_hex(hex, id, n);
    assert_string_equal(seen.fingerprint, hex);
    tls_peer_cert_fini(&seen);
}

static void test_choice_of_certificate(void **state)
{
    static const char only_rsa[] = "NORMAL:-VERS-ALL:+VERS-TLS1.2:-KX-ALL:+ECDHE-RSA";
    static const char only_rsa_13[] =
        "NORMAL:-VERS-ALL:+VERS-TLS1.3:-SIGN-ALL:+SIGN-RSA-PSS-RSAE-SHA256";
    char passwords[128];
    const struct tls_cert_spec certs[] = {
        {.cert_file = ec.crt_file, .key_file = ec.key_file},
        {.cert_file = rsa.crt_file, .key_file = rsa.key_file},
        {.cert_file = second.crt_file, .key_file = second.key_file},
    };
    tls_case_write(tls_case_path(passwords, "passwords", ""), "wrong\r\n\r\npass\r\nother\n", 22);
    make_server(
        &(struct tls_server_spec){.certs = certs, .n_certs = 3, .password_file = passwords});
    (void)remove(passwords);
    expect_key("mail.example.org", NULL, &ec);
    expect_key("mail.example.org", only_rsa, &rsa);
    expect_key("mail.example.org", only_rsa_13, &rsa);
    expect_key("second.example.org", NULL, &second);
    expect_key("unknown.example.org", NULL, &ec); /* the first is the default */
    expect_key("127.0.0.1", NULL, &ec);
}

/* ---- ALPN ---- */

static void test_alpn(void **state)
{
    static const struct {
        const char *client, *server;
        bool is_good;
        const char *chosen;
    } cases[] = {
        {"imap", "imap", true, "imap"},    {NULL, "imap", true, ""},      {"imap", NULL, true, ""},
        {"http/1.1", "imap", false, NULL}, {"pop3", "imap", false, NULL},
    };
    make_both(&ec);
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct tls_info info;
        connect_ends();
        make_client(&(struct tls_client_spec){.alpn = cases[i].client});
        secure("mail.example.org", cases[i].server);
        assert_int_equal(server.secured_err, cases[i].is_good ? 0 : -ERR_TLS);
        assert_int_equal(client.secured_err, cases[i].is_good ? 0 : -ERR_TLS);
        assert_int_equal(conn_tls_info(&server.conn, &info), cases[i].is_good);
        if (cases[i].is_good)
            assert_string_equal(info.alpn, cases[i].chosen);
        else
            assert_string_equal(conn_tls_error(&server.conn), "no shared application protocol");
    }
}

/* ---- resumption ---- */

static bool resumed(void)
{
    struct tls_info on_client, on_server;
    connect_ends();
    secure_well("mail.example.org");
    talk(); /* the ticket comes behind the handshake */
    assert_true(conn_tls_info(&client.conn, &on_client));
    assert_true(conn_tls_info(&server.conn, &on_server));
    assert_int_equal(on_client.is_resumed, on_server.is_resumed);
    assert_int_equal(on_client.verify, TLS_VERIFY_SUCCESS);
    return on_client.is_resumed;
}

static void test_resumption(void **state)
{
    static const char *const versions[] = {NULL, "NORMAL:-VERS-ALL:+VERS-TLS1.2"};
    const struct tls_cert_spec certs[] = {{.cert_file = ec.crt_file, .key_file = ec.key_file}};
    struct tls_server_spec spec = {.certs = certs, .n_certs = 1, .has_tickets = true};
    for (size_t i = 0; i < ARRAY_LEN(versions); i++) {
        make_server(&spec);
        make_client(&(struct tls_client_spec){
            .is_verified = true, .ca_file = ca.crt_file, .priority = versions[i]});
        assert_false(resumed());
        assert_true(resumed());
        assert_true(resumed());
        /* a reload keeps it */
        struct tls_server *old = tls_server_ref(server_tls);
        make_server(&spec);
        tls_server_inherit_tickets(server_tls, old);
        tls_server_inherit_tickets(server_tls, server_tls);
        tls_server_unref(old);
        assert_true(resumed());
        /* other keys end it, without harm */
        make_server(&spec);
        assert_false(resumed());
    }
    spec.has_tickets = false;
    make_server(&spec);
    assert_false(resumed());
    assert_false(resumed());
}

static void test_session_timeout(void **state)
{
    static const char *const versions[] = {NULL, "NORMAL:-VERS-ALL:+VERS-TLS1.2"};
    const struct tls_cert_spec certs[] = {{.cert_file = ec.crt_file, .key_file = ec.key_file}};
    make_server(&(struct tls_server_spec){
        .certs = certs, .n_certs = 1, .has_tickets = true, .session_timeout_ms = 2000});
    for (size_t i = 0; i < ARRAY_LEN(versions); i++) {
        make_client(&(struct tls_client_spec){
            .is_verified = true, .ca_file = ca.crt_file, .priority = versions[i]});
        assert_false(resumed());
        assert_true(resumed());
        sleep(4); /* whole seconds count */
        assert_false(resumed());
    }
}

static void write_secret(const char *path, const unsigned char *secret, size_t n)
{
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    assert_int_equal(fwrite(secret, 1, n, f), n);
    assert_int_equal(fclose(f), 0);
}

/* Two proxies with one file take each other's tickets; another file, or a short one, does not do.
 */
static void test_ticket_key_file(void **state)
{
    char path[128];
    static unsigned char secret[48] = "a secret that two proxies share";
    const struct tls_cert_spec certs[] = {{.cert_file = ec.crt_file, .key_file = ec.key_file}};
    const struct tls_server_spec spec = {
        .certs = certs, .n_certs = 1, .has_tickets = true, .ticket_key_file = path};
    write_secret(tls_case_path(path, "tickets", ".key"), secret, sizeof(secret));
    make_server(&spec);
    make_client(&(struct tls_client_spec){.is_verified = true, .ca_file = ca.crt_file});
    assert_false(resumed());
    make_server(&spec); /* another process would do no more */
    assert_true(resumed());
    struct tls_server *old = tls_server_ref(server_tls);
    secret[0]++;
    write_secret(path, secret, sizeof(secret));
    make_server(&spec);
    tls_server_inherit_tickets(server_tls, old); /* the file's word counts */
    tls_server_unref(old);
    assert_false(resumed());
    write_secret(path, secret, 31);
    struct tls_server *none = NULL;
    AUTO_FREE char *why = NULL;
    assert_int_equal(tls_server_new(&spec, &none, &why), -ERR_TLS);
    assert_non_null(strstr(why, "has less than 32 bytes"));
    (void)remove(path);
}

/* Servers that share a secret, as those of several proxies do, also when it changes; a file goes
 * before it. */
static void test_shared_tickets(void **state)
{
    char path[128];
    static unsigned char of_file[48] = "a secret that is in a file";
    uint8_t secret[TLS_TICKETS_BYTES] = "a secret that two servers share", copy[sizeof(secret)];
    struct tls_tickets *tickets = NULL;
    const struct tls_cert_spec certs[] = {{.cert_file = ec.crt_file, .key_file = ec.key_file}};
    struct tls_server_spec spec = {.certs = certs, .n_certs = 1, .has_tickets = true};
    assert_int_equal(tls_tickets_new(&tickets), 0);
    assert_false(tls_tickets_get(tickets, copy));
    make_server(&spec);
    tls_server_set_tickets(server_tls, tickets);
    make_client(&(struct tls_client_spec){.is_verified = true, .ca_file = ca.crt_file});
    assert_false(resumed());
    assert_true(resumed()); /* by a secret of its own, as there is none yet */
    tls_tickets_set(tickets, secret);
    assert_true(tls_tickets_get(tickets, copy));
    assert_memory_equal(copy, secret, sizeof(secret));
    assert_false(resumed());
    make_server(&spec);
    tls_server_set_tickets(server_tls, tickets);
    assert_true(resumed());
    secret[0]++;
    tls_tickets_set(tickets, secret);
    assert_false(resumed());
    assert_true(resumed());
    spec.ticket_key_file = tls_case_path(path, "shared", ".key");
    write_secret(path, of_file, sizeof(of_file));
    make_server(&spec);
    tls_server_set_tickets(server_tls, tickets);
    assert_false(resumed());
    secret[0]++;
    tls_tickets_set(tickets, secret);
    assert_true(resumed());
    make_server(&(struct tls_server_spec){.certs = certs, .n_certs = 1});
    tls_tickets_free(tickets);
    (void)remove(path);
}

/* ---- client certificates ---- */

static void expect_verdict(enum tls_client_auth mode, const char *crl,
                           const struct tls_case_cert *cert, enum tls_verify verify,
                           const char *why)
{
    struct tls_info info;
    const struct tls_cert_spec certs[] = {{.cert_file = ec.crt_file, .key_file = ec.key_file}};
    connect_ends();
    make_server(&(struct tls_server_spec){.certs = certs,
                                          .n_certs = 1,
                                          .client_auth = mode,
                                          .client_ca_file = ca.crt_file,
                                          .client_crl_file = crl,
                                          .has_tickets = true});
    make_client(&(struct tls_client_spec){.cert_file = cert ? cert->crt_file : NULL,
                                          .key_file = cert ? cert->key_file : NULL});
    secure_well("mail.example.org"); /* whatever the certificate: the mail protocol answers it */
    talk();
    assert_true(conn_tls_info(&server.conn, &info));
    assert_int_equal(info.verify, verify);
    assert_string_equal(info.verify_error, why);
    assert_int_equal(info.is_only_untrusted, cert == &stranger);
}

static void test_client_certificates(void **state)
{
    static const char untrusted[] = "unable to get local issuer certificate";
    char crl[128];
    tls_case_revoke(crl, &ca, &bad_user);
    expect_verdict(TLS_CLIENT_AUTH_OFF, NULL, &user, TLS_VERIFY_NONE, "");
    for (int mode = TLS_CLIENT_AUTH_OPTIONAL; mode <= TLS_CLIENT_AUTH_OPTIONAL_NO_CA; mode++) {
        enum tls_client_auth auth = (enum tls_client_auth)mode;
        expect_verdict(auth, NULL, NULL, TLS_VERIFY_NONE, "");
        expect_verdict(auth, NULL, &user, TLS_VERIFY_SUCCESS, "");
        expect_verdict(auth, crl, &user, TLS_VERIFY_SUCCESS, "");
        expect_verdict(auth, NULL, &bad_user, TLS_VERIFY_SUCCESS, "");
        expect_verdict(auth, crl, &bad_user, TLS_VERIFY_FAILED, "certificate revoked");
        expect_verdict(auth, NULL, &stranger, TLS_VERIFY_FAILED, untrusted);
        expect_verdict(auth, NULL, &rsa, TLS_VERIFY_FAILED, "unsuitable certificate purpose");
    }
    (void)remove(crl);
}

static void test_peer_certificate(void **state)
{
    struct tls_peer_cert seen = {0};
    expect_verdict(TLS_CLIENT_AUTH_OPTIONAL, NULL, &user, TLS_VERIFY_SUCCESS, "");
    assert_int_equal(conn_peer_cert(&server.conn, &seen), 0);
    assert_string_equal(seen.subject, "CN=Joe");
    assert_string_equal(seen.issuer, "CN=CA");
    assert_string_equal(seen.identity, "joe@example.org");
    assert_int_equal(strlen(seen.fingerprint), 40);
    assert_int_equal(strspn(seen.serial, "0123456789ABCDEF"), strlen(seen.serial));
    assert_non_null(strstr(seen.pem, "-----BEGIN CERTIFICATE-----\n"));
    tls_peer_cert_fini(&seen);
    expect_verdict(TLS_CLIENT_AUTH_OPTIONAL, NULL, &stranger, TLS_VERIFY_FAILED,
                   "unable to get local issuer certificate");
    assert_int_equal(conn_peer_cert(&server.conn, &seen), 0);
    assert_string_equal(seen.identity, "Joe"); /* no address: the common name */
    tls_peer_cert_fini(&seen);
    expect_verdict(TLS_CLIENT_AUTH_OPTIONAL, NULL, NULL, TLS_VERIFY_NONE, "");
    assert_int_equal(conn_peer_cert(&server.conn, &seen), -ERR_NOT_FOUND);
}

/* ---- in clear before ---- */

/* What the owner read in clear stays apart from what comes within TLS: dropping it is enough. */
static void test_starttls(void **state)
{
    make_both(&ec);
    end_say(&client, "a STARTTLS\r\nb injected\r\n");
    end_wait(&server, "a STARTTLS\r\nb injected\r\n");
    buf_clear(&server.in);
    end_say(&server, "a OK\r\n");
    end_wait(&client, "a OK\r\n");
    buf_clear(&client.in);
    secure_well("mail.example.org");
    talk();
}

/* Bytes in clear that nobody read are no handshake. */
static void test_unread_injection(void **state)
{
    make_both(&ec);
    conn_want_read(&server.conn, false);
    end_say(&client, "b LOGIN mallory x\r\n");
    secure("mail.example.org", NULL);
    assert_int_equal(server.secured_err, -ERR_TLS);
    assert_string_equal(conn_tls_error(&server.conn), "not a TLS handshake");
    assert_true(client.secured_err < 0);
    assert_int_equal(server.in.len, 0);
}

static bool server_secured(void *arg)
{
    (void)arg;
    return server.n_secured > 0;
}

static void test_peer_goes(void **state)
{
    make_both(&ec);
    assert_int_equal(conn_secure_server(&server.conn, server_tls, NULL), 0);
    end_say(&client, "\x16\x03\x01"); /* the start of a record */
    io_case_idle(loop, 10);
    assert_int_equal(server.n_secured, 0);
    conn_close(&client.conn);
    io_case_run(loop, server_secured, NULL);
    assert_int_equal(server.secured_err, -ERR_CLOSED);
}

static void test_close_in_secured(void **state)
{
    make_both(&ec);
    server.is_closing = true;
    assert_int_equal(conn_secure_server(&server.conn, server_tls, NULL), 0);
    assert_int_equal(conn_secure_client(&client.conn, client_tls, "mail.example.org"), 0);
    io_case_run(loop, end_is_over, &client);
    assert_int_equal(server.conn.fd, -1);
}

/* No two that share nothing. */
static void test_nothing_shared(void **state)
{
    make_both(&ec);
    make_client(&(struct tls_client_spec){.priority = "NORMAL:-VERS-ALL:+VERS-TLS1.1:%COMPAT"});
    secure("mail.example.org", NULL);
    assert_int_equal(server.secured_err, -ERR_TLS);
    assert_int_equal(client.secured_err, -ERR_TLS);
    assert_non_null(conn_tls_error(&client.conn));
}

/* ---- loading ---- */

static void refused_spec(const struct tls_server_spec *spec, int err, const char *word)
{
    struct tls_server *t = NULL;
    char *error = NULL;
    assert_int_equal(tls_server_new(spec, &t, &error), err);
    assert_null(t);
    assert_non_null(error);
    if (!strstr(error, word))
        fail_msg("\"%s\" does not say \"%s\"", error, word);
    free(error);
}

static void test_loading(void **state)
{
    char path[128];
    struct tls_cert_spec cert = {.cert_file = ec.crt_file, .key_file = ec.key_file};
    struct tls_server_spec spec = {.certs = &cert};
    refused_spec(&spec, -ERR_TLS, "no certificate");
    spec.n_certs = 1;
    cert.cert_file = tls_case_path(path, "absent", ".crt");
    refused_spec(&spec, -ERR_IO, "absent.crt: No such file");
    cert = (struct tls_cert_spec){.cert_file = ec.crt_file, .key_file = rsa.key_file};
    refused_spec(&spec, -ERR_TLS, "rsa.key");
    cert = (struct tls_cert_spec){.cert_file = ec.key_file, .key_file = ec.key_file};
    refused_spec(&spec, -ERR_TLS, "ec.key holds a private key and no certificate");
    cert = (struct tls_cert_spec){.cert_file = ec.crt_file, .key_file = ec.crt_file};
    refused_spec(&spec, -ERR_TLS, "ec.crt holds a certificate and no private key");
    tls_case_write(tls_case_path(path, "none", ".pem"), "0\x82\x01", 3);
    cert = (struct tls_cert_spec){.cert_file = path, .key_file = ec.key_file};
    refused_spec(&spec, -ERR_TLS, "none.pem holds no certificate in PEM form");
    cert = (struct tls_cert_spec){.cert_file = ec.crt_file, .key_file = path};
    refused_spec(&spec, -ERR_TLS, "none.pem holds no private key in PEM form");
    tls_case_write(path, "", 0);
    refused_spec(&spec, -ERR_TLS, "none.pem is empty");
    (void)unlink(path);
    tls_case_path(path, "absent", ".crt");
    cert = (struct tls_cert_spec){.cert_file = second.crt_file, .key_file = second.key_file};
    refused_spec(&spec, -ERR_TLS, "there is no password file");
    tls_case_write(path, "wrong\n", 6);
    spec.password_file = path;
    refused_spec(&spec, -ERR_TLS, "no line of the password file");
    (void)remove(path);
    cert = (struct tls_cert_spec){.cert_file = ec.crt_file, .key_file = ec.key_file};
    spec = (struct tls_server_spec){.certs = &cert, .n_certs = 1, .priority = "NORMAL:+NONSENSE"};
    refused_spec(&spec, -ERR_TLS, "+NONSENSE");
    spec.priority = NULL;
    spec.client_auth = TLS_CLIENT_AUTH_REQUIRED;
    refused_spec(&spec, -ERR_TLS, "client CA file");
    spec.client_ca_file = ec.key_file;
    refused_spec(&spec, -ERR_TLS, "CA file");
    spec.client_ca_file = ca.crt_file;
    spec.client_crl_file = ca.crt_file;
    refused_spec(&spec, -ERR_TLS, "CRL file");
    spec.client_crl_file = NULL;
    spec.dh_params_file = ca.crt_file;
    refused_spec(&spec, -ERR_TLS, "DH parameters");
    tls_server_unref(NULL);
    tls_client_unref(NULL);
}

/* ---- the ends of certificates ---- */

static void test_ends(void **state)
{
    struct tls_case_spec later_spec = {.file = "later", .cn = "later", .ends_s = 20 * 86400};
    struct tls_case_spec sooner_spec = {.file = "sooner", .cn = "sooner", .ends_s = 5 * 86400};
    struct tls_case_cert later = tls_case_make(&later_spec), sooner = tls_case_make(&sooner_spec);
    const struct tls_cert_spec certs[] = {
        {.cert_file = later.crt_file, .key_file = later.key_file},
        {.cert_file = sooner.crt_file, .key_file = sooner.key_file},
        {.cert_file = expired.crt_file, .key_file = expired.key_file}};
    const struct tls_case_cert *made[] = {&later, &sooner, &expired};
    for (size_t n = 1; n <= ARRAY_LEN(certs); n++) {
        struct tls_server_spec spec = {.certs = certs, .n_certs = n};
        struct tls_server *t = NULL;
        char *error = NULL;
        size_t n_ends = 0;
        assert_int_equal(tls_server_new(&spec, &t, &error), 0);
        const struct tls_cert_end *ends = tls_server_cert_ends(t, &n_ends);
        assert_int_equal(n_ends, n);
        for (size_t i = 0; i < n; i++) {
            assert_string_equal(ends[i].file, made[i]->crt_file);
            assert_int_equal(ends[i].expires, gnutls_x509_crt_get_expiration_time(made[i]->crt));
        }
        assert_ptr_equal(tls_server_first_end(t), &ends[n - 1]);
        tls_server_unref(t);
    }
    /* In any order. */
    const struct tls_cert_spec turned[] = {certs[1], certs[0]};
    struct tls_server_spec spec = {.certs = turned, .n_certs = ARRAY_LEN(turned)};
    struct tls_server *t = NULL;
    char *error = NULL;
    assert_int_equal(tls_server_new(&spec, &t, &error), 0);
    assert_string_equal(tls_server_first_end(t)->file, sooner.crt_file);
    tls_server_unref(t);
    tls_case_cert_fini(&later);
    tls_case_cert_fini(&sooner);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_talk, setup, teardown),
        cmocka_unit_test_setup_teardown(test_early_words, setup, teardown),
        cmocka_unit_test_setup_teardown(test_big_and_half_close, setup, teardown),
        cmocka_unit_test_setup_teardown(test_small_reads, setup, teardown),
        cmocka_unit_test_setup_teardown(test_channel_binding, setup, teardown),
        cmocka_unit_test_setup_teardown(test_wrong_server, setup, teardown),
        cmocka_unit_test_setup_teardown(test_ip_and_unverified, setup, teardown),
        cmocka_unit_test_setup_teardown(test_choice_of_certificate, setup, teardown),
        cmocka_unit_test_setup_teardown(test_alpn, setup, teardown),
        cmocka_unit_test_setup_teardown(test_resumption, setup, teardown),
        cmocka_unit_test_setup_teardown(test_session_timeout, setup, teardown),
        cmocka_unit_test_setup_teardown(test_ticket_key_file, setup, teardown),
        cmocka_unit_test_setup_teardown(test_shared_tickets, setup, teardown),
        cmocka_unit_test_setup_teardown(test_client_certificates, setup, teardown),
        cmocka_unit_test_setup_teardown(test_peer_certificate, setup, teardown),
        cmocka_unit_test_setup_teardown(test_starttls, setup, teardown),
        cmocka_unit_test_setup_teardown(test_unread_injection, setup, teardown),
        cmocka_unit_test_setup_teardown(test_peer_goes, setup, teardown),
        cmocka_unit_test_setup_teardown(test_close_in_secured, setup, teardown),
        cmocka_unit_test_setup_teardown(test_nothing_shared, setup, teardown),
        cmocka_unit_test(test_loading),
        cmocka_unit_test(test_ends),
    };
    return cmocka_run_group_tests(tests, setup_all, teardown_all);
}
