/* SPDX-License-Identifier: ISC */
/* A client or server as a script plays it: one end of a socket pair, with GnuTLS on it when the
 * script says so. */
#pragma once

#include <gnutls/gnutls.h>
#include <gnutls/x509.h>
#include <sys/mman.h>

#include "fuzz_world.h"

#define PEER_READ_BYTES 65536
#define PEER_PATIENCE 8 /* more than the flights of a handshake */

/* What all peers of a process show: one certificate, which is its own authority. */
struct peer_identity {
    gnutls_certificate_credentials_t cred;
    char cert_path[64], key_path[64]; /* files in memory */
};

struct peer {
    int fd; /* -1 = closed */
    gnutls_session_t tls;
    bool is_securing, is_secure, is_deaf; /* deaf: does not read */
    unsigned patience;                    /* turns that a handshake is still waited for */
};

/* ---- identity ---- */

static inline void peer_keep_file(char path[64], gnutls_datum_t *pem)
{
    int fd = memfd_create("peer", 0);
    FUZZ_CHECK(fd >= 0 && write(fd, pem->data, pem->size) == (ssize_t)pem->size);
    snprintf(path, 64, "/proc/self/fd/%d", fd);
    gnutls_free(pem->data);
    *pem = (gnutls_datum_t){0};
}

static inline void peer_identity_init(struct peer_identity *id)
{
    static const char name[] = "localhost", mail[] = "u@example.test";
    gnutls_x509_privkey_t key;
    gnutls_x509_crt_t crt;
    gnutls_datum_t pem = {0};
    time_t now = time(NULL);
    FUZZ_CHECK(gnutls_x509_privkey_init(&key) == 0);
    FUZZ_CHECK(gnutls_x509_privkey_generate(
                   key, GNUTLS_PK_ECDSA, GNUTLS_CURVE_TO_BITS(GNUTLS_ECC_CURVE_SECP256R1), 0) == 0);
    FUZZ_CHECK(gnutls_x509_crt_init(&crt) == 0);
    FUZZ_CHECK(gnutls_x509_crt_set_key(crt, key) == 0);
    FUZZ_CHECK(gnutls_x509_crt_set_version(crt, 3) == 0);
    FUZZ_CHECK(gnutls_x509_crt_set_serial(crt, "\x01", 1) == 0);
    FUZZ_CHECK(gnutls_x509_crt_set_activation_time(crt, now - 86400) == 0);
    FUZZ_CHECK(gnutls_x509_crt_set_expiration_time(crt, now + 30 * 86400) == 0);
    FUZZ_CHECK(gnutls_x509_crt_set_dn_by_oid(crt, GNUTLS_OID_X520_COMMON_NAME, 0, name,
                                             sizeof(name) - 1) == 0);
    FUZZ_CHECK(gnutls_x509_crt_set_subject_alt_name(crt, GNUTLS_SAN_RFC822NAME, mail,
                                                    sizeof(mail) - 1, GNUTLS_FSAN_SET) == 0);
    FUZZ_CHECK(gnutls_x509_crt_set_basic_constraints(crt, 1, -1) == 0);
    FUZZ_CHECK(gnutls_x509_crt_sign2(crt, crt, key, GNUTLS_DIG_SHA256, 0) == 0);
    FUZZ_CHECK(gnutls_certificate_allocate_credentials(&id->cred) == 0);
    FUZZ_CHECK(gnutls_certificate_set_x509_key(id->cred, &crt, 1, key) >= 0);
    FUZZ_CHECK(gnutls_x509_crt_export2(crt, GNUTLS_X509_FMT_PEM, &pem) == 0);
    peer_keep_file(id->cert_path, &pem);
    FUZZ_CHECK(gnutls_x509_privkey_export2(key, GNUTLS_X509_FMT_PEM, &pem) == 0);
    peer_keep_file(id->key_path, &pem);
    gnutls_x509_crt_deinit(crt);
    gnutls_x509_privkey_deinit(key);
}

/* ---- life ---- */

static inline void peer_open(struct peer *p, int fd)
{
    *p = (struct peer){.fd = fd};
}

/* At once, without close_notify. */
static inline void peer_close(struct peer *p)
{
    if (p->fd < 0)
        return;
    if (p->tls)
        gnutls_deinit(p->tls);
    close(p->fd);
    *p = (struct peer){.fd = -1};
}

/* Begins TLS; the handshake goes on in peer_pump. choice: its bits pick version and certificate. */
static inline void peer_secure(struct peer *p, const struct peer_identity *id, bool is_server,
                               unsigned choice)
{
    static const char *const priorities[] = {"NORMAL", "NORMAL:-VERS-ALL:+VERS-TLS1.2",
                                             "NORMAL:-VERS-ALL:+VERS-TLS1.3",
                                             "NORMAL:-VERS-ALL:+VERS-TLS1.0:+VERS-TLS1.1:%COMPAT"};
    if (p->fd < 0 || p->tls)
        return;
    unsigned flags =
        GNUTLS_NONBLOCK | GNUTLS_NO_SIGNAL | (is_server ? GNUTLS_SERVER : GNUTLS_CLIENT);
    FUZZ_CHECK(gnutls_init(&p->tls, flags) == 0);
    FUZZ_CHECK(gnutls_priority_set_direct(p->tls, priorities[choice & 3], NULL) == 0);
    static gnutls_certificate_credentials_t none;
    if (!none)
        FUZZ_CHECK(gnutls_certificate_allocate_credentials(&none) == 0);
    FUZZ_CHECK(gnutls_credentials_set(p->tls, GNUTLS_CRD_CERTIFICATE,
                                      is_server || (choice & 4) ? id->cred : none) == 0);
    gnutls_handshake_set_timeout(p->tls, 0);
    gnutls_transport_set_int(p->tls, p->fd);
    p->is_securing = true;
    p->patience = PEER_PATIENCE;
}

/* ---- bytes ---- */

/* What the kernel takes; false when it took nothing more. */
static inline bool peer_wire(struct peer *p, struct str bytes)
{
    return p->fd >= 0 && bytes.n > 0 &&
           send(p->fd, bytes.p, bytes.n, MSG_DONTWAIT | MSG_NOSIGNAL) == (ssize_t)bytes.n;
}

/* As records of at most `record` bytes once there is TLS, else in clear. */
static inline bool peer_send(struct peer *p, struct str bytes, size_t record)
{
    if (!p->tls)
        return peer_wire(p, bytes);
    if (!p->is_secure)
        return false;
    while (bytes.n > 0) {
        ssize_t n = gnutls_record_send(p->tls, bytes.p, bytes.n < record ? bytes.n : record);
        if (n <= 0)
            return false;
        if ((size_t)n >= bytes.n) /* with a key update what waited before it is counted, too */
            return true;
        bytes = str_n(bytes.p + n, bytes.n - (size_t)n);
    }
    return true;
}

/* How much may be read in clear: a PROXY header (version 2) alone, and nothing of a handshake,
 * which is left for peer_secure. */
static inline size_t peer_clear_bytes(const struct peer *p)
{
    unsigned char seen[16] = {0};
    ssize_t n = recv(p->fd, seen, sizeof(seen), MSG_DONTWAIT | MSG_PEEK);
    if (n <= 0 || seen[0] == 22)
        return 0;
    return n == 16 && seen[0] == '\r' ? 16 + (size_t)(seen[14] << 8 | seen[15]) : PEER_READ_BYTES;
}

/* Reads once: the number of bytes, 0 when there is nothing (more). */
static inline size_t peer_read(struct peer *p, char *into)
{
    size_t max = p->tls ? PEER_READ_BYTES : peer_clear_bytes(p);
    if (max == 0 || max > PEER_READ_BYTES)
        return 0;
    ssize_t n =
        p->tls ? gnutls_record_recv(p->tls, into, max) : recv(p->fd, into, max, MSG_DONTWAIT);
    return n > 0 ? (size_t)n : 0;
}

/* Goes on with a handshake; false when it has waited for its other side long enough. */
static inline bool peer_shake(struct peer *p)
{
    int rc = gnutls_handshake(p->tls);
    if (rc < 0 && !gnutls_error_is_fatal(rc))
        return p->patience > 0 && p->patience-- > 0;
    p->is_securing = false;
    p->is_secure = rc == 0;
    return true;
}
