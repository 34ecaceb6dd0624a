/* SPDX-License-Identifier: ISC */
/* The client side of TLS. OpenSSL: its handshakes cost the load generator least. */
#include <errno.h>
#include <openssl/err.h>
#include <string.h>

#include "load.h"

/* TLS 1.3 tickets come after the handshake, some time before the session ends. */
static int on_ticket(SSL *ssl, SSL_SESSION *ticket)
{
    struct load_session *s = SSL_get_app_data(ssl);
    SSL_SESSION_free(s->ticket);
    s->ticket = ticket;
    return 1;
}

int load_tls_init(struct load *l)
{
    if (l->options.tls == LOAD_TLS_OFF)
        return 0;
    l->ctx = SSL_CTX_new(TLS_client_method());
    if (!l->ctx || !SSL_CTX_set_min_proto_version(l->ctx, TLS1_3_VERSION))
        return -ERR_TLS;
    SSL_CTX_set_verify(l->ctx, SSL_VERIFY_NONE, NULL);
    SSL_CTX_set_mode(l->ctx, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
                                 SSL_MODE_RELEASE_BUFFERS);
    SSL_CTX_set_session_cache_mode(l->ctx,
                                   SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL_STORE);
    if (l->options.is_resumed)
        SSL_CTX_sess_set_new_cb(l->ctx, on_ticket);
    if (l->options.bytes >= 65536) { /* fewer reads; smaller answers are not worth the buffer */
        SSL_CTX_set_read_ahead(l->ctx, 1);
        SSL_CTX_set_default_read_buffer_len(l->ctx, 131072);
    }
    return 0;
}

int load_tls_start(struct load_session *s)
{
    s->ssl = SSL_new(s->load->ctx);
    if (!s->ssl || !SSL_set_fd(s->ssl, s->source.fd))
        return -ERR_TLS;
    SSL_set_app_data(s->ssl, s);
    SSL_set_connect_state(s->ssl);
    if (s->ticket)
        SSL_set_session(s->ssl, s->ticket);
    s->is_handshaking = true;
    return 0;
}

/* Without the mark of an orderly end OpenSSL would not use the ticket again. */
void load_tls_end(struct load_session *s)
{
    if (s->ssl)
        SSL_set_shutdown(s->ssl, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
    SSL_free(s->ssl);
    s->ssl = NULL;
}

static void load_tls_note(struct load_session *s)
{
    struct load_report *r = &s->load->report;
    r->handshakes++;
    r->resumed += SSL_session_reused(s->ssl) != 0;
    if (r->cipher[0])
        return;
    X509 *cert = SSL_get1_peer_certificate(s->ssl);
    snprintf(r->cipher, sizeof(r->cipher), "%s %s %s", SSL_get_version(s->ssl),
             SSL_get_cipher(s->ssl),
             cert ? OBJ_nid2sn(EVP_PKEY_get_base_id(X509_get0_pubkey(cert))) : "");
    X509_free(cert);
}

/* -ERR_x of an OpenSSL result; the end of the stream counts as such with and without close_notify.
 */
static int load_tls_error(struct load_session *s, int rc)
{
    switch (SSL_get_error(s->ssl, rc)) {
    case SSL_ERROR_WANT_READ:
    case SSL_ERROR_WANT_WRITE:
        return -ERR_AGAIN;
    case SSL_ERROR_ZERO_RETURN:
        return -ERR_EOF;
    case SSL_ERROR_SSL:
        return ERR_GET_REASON(ERR_peek_error()) == SSL_R_UNEXPECTED_EOF_WHILE_READING ? -ERR_EOF
                                                                                      : -ERR_TLS;
    default:
        return -ERR_CLOSED;
    }
}

int load_tls_handshake(struct load_session *s)
{
    ERR_clear_error();
    int rc = SSL_do_handshake(s->ssl);
    if (rc != 1)
        return load_tls_error(s, rc);
    s->is_handshaking = false;
    load_tls_note(s);
    return 0;
}

static int load_errno(void)
{
    return errno == EAGAIN ? -ERR_AGAIN : err_from_errno(errno);
}

int load_recv(struct load_session *s, void *p, size_t cap, size_t *ret_n)
{
    if (s->ssl) {
        ERR_clear_error();
        int rc = SSL_read_ex(s->ssl, p, cap, ret_n);
        return rc == 1 ? 0 : load_tls_error(s, rc);
    }
    ssize_t n = recv(s->source.fd, p, cap, MSG_DONTWAIT);
    if (n < 0)
        return load_errno();
    *ret_n = (size_t)n;
    return n == 0 ? -ERR_EOF : 0;
}

int load_send(struct load_session *s, const void *p, size_t n, size_t *ret_n)
{
    if (s->ssl) {
        ERR_clear_error();
        int rc = SSL_write_ex(s->ssl, p, n, ret_n);
        return rc == 1 ? 0 : load_tls_error(s, rc);
    }
    ssize_t sent = send(s->source.fd, p, n, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (sent < 0)
        return load_errno();
    *ret_n = (size_t)sent;
    return 0;
}
