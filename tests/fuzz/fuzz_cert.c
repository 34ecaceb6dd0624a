/* SPDX-License-Identifier: ISC */
/* Certificates of clients: what of them gets into logins, listings and the headers of a request to
 * the auth server. Input: DER. */
#include "auth/auth_http_request.h"
#include "base/cleanup.h"
#include "fuzz.h"
#include "io/tls/tls_session.h"

/* It is a login name then. */
static void check_identity(const char *identity)
{
    FUZZ_CHECK(!identity || identity[0]);
    FUZZ_CHECK(!identity || !str_has_crlf_nul(str_of(identity)));
}

static void check_hex(const char *hex)
{
    FUZZ_CHECK(!hex || strspn(hex, "0123456789abcdefABCDEF") == strlen(hex));
}

/* No certificate puts a line into a request, nor takes one away. */
static void check_request(const struct tls_peer_cert *cert)
{
    static const char *const names[] = {
        "Auth-Method",          "Auth-User",        "Auth-Pass",       "Auth-Protocol",
        "Auth-Login-Attempt",   "Client-IP",        "Auth-SSL",        "Auth-SSL-Protocol",
        "Auth-SSL-Verify",      "Auth-SSL-Subject", "Auth-SSL-Issuer", "Auth-SSL-Serial",
        "Auth-SSL-Fingerprint", "Auth-SSL-Cert"};
    AUTO_BUF text = BUF_INIT;
    struct credentials cred = {.mech = SASL_EXTERNAL};
    const struct tls_info tls = {.version = "TLSv1.3", .verify = TLS_VERIFY_SUCCESS};
    const struct config_auth config = {.is_client_cert_passed = true};
    struct auth_request r = {.cred = &cred,
                             .proto = &proto_imap,
                             .attempt = 1,
                             .tls = &tls,
                             .client_auth = TLS_CLIENT_AUTH_OPTIONAL,
                             .peer_cert = cert};
    FUZZ_CHECK(addr_parse(STR("192.0.2.1:1"), &r.client) == 0);
    if (cert->identity)
        FUZZ_CHECK(buf_append_c(&cred.user, cert->identity) == 0);
    FUZZ_CHECK(auth_http_request(&r, &config, &text) == 0);
    struct str rest = buf_str(&text);
    for (size_t at = 0; rest.n > 0;) {
        struct str line = str_cut(&rest, '\n');
        FUZZ_CHECK(memchr(line.p, '\r', line.n) == line.p + line.n - 1);
        FUZZ_CHECK(!memchr(line.p, '\0', line.n));
        struct str name = str_cut(&line, ':');
        while (at < ARRAY_LEN(names) && !str_eq(name, str_of(names[at])))
            at++;
        FUZZ_CHECK(at++ < ARRAY_LEN(names));
    }
    credentials_wipe(&cred);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const gnutls_datum_t der = {(void *)data, (unsigned)size};
    struct tls_peer_cert cert = {0};
    int err = tls_cert_details(&der, &cert);
    int64_t expires = tls_cert_expires(&der);
    FUZZ_CHECK(err == 0 || (expires == 0 && !cert.subject && !cert.identity && !cert.pem));
    if (err < 0)
        return 0;
    check_identity(cert.identity);
    check_hex(cert.serial);
    check_hex(cert.fingerprint);
    check_request(&cert);
    tls_peer_cert_fini(&cert);
    return 0;
}
