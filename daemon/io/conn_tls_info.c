/* SPDX-License-Identifier: ISC */
/* What is known about a TLS session: facts for logs and auth servers, peer certificate, why it
 * failed. */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "io/conn_tls_priv.h"
#include "io/tls/tls_names.h"

/* GnuTLS's own sentences are for programmers; these are for the log. */
static const struct {
    int rc;
    const char *text;
} FAILURES[] = {
    {GNUTLS_E_NO_CIPHER_SUITES, "no shared cipher"},
    {GNUTLS_E_INSUFFICIENT_SECURITY, "no shared cipher that is strong enough"},
    {GNUTLS_E_UNSUPPORTED_VERSION_PACKET, "unsupported protocol version"},
    {GNUTLS_E_NO_APPLICATION_PROTOCOL, "no shared application protocol"},
    {GNUTLS_E_NO_COMMON_KEY_SHARE, "no shared group"},
    {GNUTLS_E_UNEXPECTED_PACKET, "not a TLS handshake"},
    {GNUTLS_E_UNEXPECTED_PACKET_LENGTH, "not a TLS handshake"},
    {GNUTLS_E_PREMATURE_TERMINATION, "connection closed in the handshake"},
    {GNUTLS_E_PULL_ERROR, "connection lost"},
    {GNUTLS_E_PUSH_ERROR, "connection lost"},
    {GNUTLS_E_TOO_MANY_HANDSHAKE_PACKETS, "too many TLS records with little or no data"},
    {GNUTLS_E_TOO_MANY_EMPTY_PACKETS, "too many TLS records with little or no data"},
    {GNUTLS_E_DECRYPTION_FAILED, "decryption failed or bad record"},
};

void conn_tls_set_error(struct conn_tls *t, const char *fmt, ...)
{
    char text[200];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    free(t->error);
    t->error = str_dup_c(text);
}

int conn_tls_explain(struct conn_tls *t, int rc)
{
    if (rc == GNUTLS_E_CERTIFICATE_VERIFICATION_ERROR) {
        unsigned status = gnutls_session_get_verify_cert_status(t->session);
        conn_tls_set_error(t, "%s", tls_status_text(status));
        /* Only a certificate that is good but for its name is "for another name". */
        status &= ~(unsigned)(GNUTLS_CERT_INVALID | GNUTLS_CERT_UNEXPECTED_OWNER);
        return status == 0 ? ERR_TLS_NAME : ERR_TLS_VERIFY;
    }
    if (rc == GNUTLS_E_FATAL_ALERT_RECEIVED) {
        const char *name = gnutls_alert_get_name(gnutls_alert_get(t->session));
        conn_tls_set_error(t, "peer sent alert: %s", name ? name : "unknown");
        return ERR_TLS;
    }
    const char *text = gnutls_strerror(rc);
    for (size_t i = 0; i < ARRAY_LEN(FAILURES); i++) {
        if (FAILURES[i].rc == rc)
            text = FAILURES[i].text;
    }
    conn_tls_set_error(t, "%s", text);
    if (rc == GNUTLS_E_MEMORY_ERROR)
        return ERR_NOMEM;
    bool is_closed = rc == GNUTLS_E_PREMATURE_TERMINATION || rc == GNUTLS_E_PULL_ERROR ||
                     rc == GNUTLS_E_PUSH_ERROR;
    return is_closed ? ERR_CLOSED : ERR_TLS;
}

void conn_tls_judge(struct conn_tls *t)
{
    struct tls_verdict v = {.verify = TLS_VERIFY_NONE};
    if (t->server)
        tls_server_verify(t->server, t->session, &v);
    else if (tls_client_is_verified(t->client))
        v.verify = TLS_VERIFY_SUCCESS; /* else the handshake had failed; a resumed session was
                                          verified when its ticket was kept */
    t->verify = (uint8_t)v.verify;
    t->is_only_untrusted = v.is_only_untrusted;
    if (v.error[0])
        t->verify_error = str_dup_c(v.error);
}

bool conn_tls_info(const struct conn *c, struct tls_info *ret)
{
    const struct conn_tls *t = c->tls;
    char sni[sizeof(ret->sni)];
    size_t n_sni = sizeof(sni);
    gnutls_datum_t alpn;
    unsigned n = 0, type;
    if (!t || c->is_securing || !gnutls_ciphersuite_get(t->session))
        return false;
    *ret = (struct tls_info){.verify = t->verify, .is_only_untrusted = t->is_only_untrusted};
    ret->is_resumed = gnutls_session_is_resumed(t->session) != 0;
    (void)str_copy(ret->version, sizeof(ret->version),
                   str_of(tls_version_name(gnutls_protocol_get_version(t->session))));
    (void)str_copy(ret->cipher, sizeof(ret->cipher),
                   str_of(tls_cipher_name(gnutls_ciphersuite_get(t->session))));
    if (gnutls_alpn_get_selected_protocol(t->session, &alpn) == 0)
        (void)str_copy(ret->alpn, sizeof(ret->alpn), str_n(alpn.data, alpn.size));
    if (t->server && gnutls_server_name_get(t->session, sni, &n_sni, &type, 0) == 0 &&
        type == GNUTLS_NAME_DNS)
        (void)str_copy(ret->sni, sizeof(ret->sni), str_of(sni));
    if (t->verify_error)
        (void)str_copy(ret->verify_error, sizeof(ret->verify_error), str_of(t->verify_error));
    const gnutls_datum_t *list = gnutls_certificate_get_peers(t->session, &n);
    if (list && n > 0)
        ret->cert_expires = tls_cert_expires(&list[0]);
    return true;
}

bool conn_tls_names(const struct conn *c, const char **ret_cipher, const char **ret_group)
{
    const struct conn_tls *t = c->tls;
    const char *suite = t && !c->is_securing ? gnutls_ciphersuite_get(t->session) : NULL;
    if (!suite)
        return false;
    gnutls_group_t group = gnutls_group_get(t->session);
    *ret_cipher = tls_cipher_name(suite);
    *ret_group = group != GNUTLS_GROUP_INVALID ? gnutls_group_get_name(group) : NULL;
    return true;
}

int conn_peer_cert(const struct conn *c, struct tls_peer_cert *ret)
{
    unsigned n = 0;
    const gnutls_datum_t *list =
        c->tls && !c->is_securing ? gnutls_certificate_get_peers(c->tls->session, &n) : NULL;
    return list && n > 0 ? tls_cert_details(&list[0], ret) : -ERR_NOT_FOUND;
}

/* tls-unique is only safe with the extended master secret (RFC 7627, RFC 9266 section 3). */
int conn_channel_binding(const struct conn *c, struct buf *out, const char **ret_name)
{
    const struct conn_tls *t = c->tls;
    gnutls_datum_t cb = {0};
    if (!t || c->is_securing)
        return -ERR_UNSUPPORTED;
    bool is_13 = gnutls_protocol_get_version(t->session) == GNUTLS_TLS1_3;
    if (!is_13 && !gnutls_session_ext_master_secret_status(t->session))
        return -ERR_UNSUPPORTED;
    int rc = gnutls_session_channel_binding(
        t->session, is_13 ? GNUTLS_CB_TLS_EXPORTER : GNUTLS_CB_TLS_UNIQUE, &cb);
    if (rc < 0)
        return -ERR_UNSUPPORTED;
    int err = buf_append(out, cb.data, cb.size);
    gnutls_free(cb.data);
    if (err == 0)
        *ret_name = is_13 ? "tls-exporter" : "tls-unique";
    return err;
}

const char *conn_tls_error(const struct conn *c)
{
    return c->tls ? c->tls->error : NULL;
}
