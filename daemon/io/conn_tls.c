/* SPDX-License-Identifier: ISC */
/* TLS over a conn: handshake, records, and the transport that spares system calls. */
#include <errno.h>
#include <string.h>

#include "io/conn_tls_priv.h"
#include "io/loop_priv.h"
#include "io/tls/tls_certs.h"
#include "io/tls/tls_key.h"
#include "io/tls/tls_memory.h"

#define RECORD_MAX 16384

/* GnuTLS goes on for as long as there are bytes, through any number of alerts, empty records, key
 * updates and fragments. It asks for each record twice, header and body: no more of them than this
 * in one visit, whatever they are. */
#define VISIT_PULLS (2 * 64)

/* Records that carry little: each costs one credit, as does each RECORD_WASTE_BYTES that are no
 * data; each RECORD_FAIR_BYTES of data earn one. A client that sends every command in a record of
 * its own spends none; one that sends alerts, empty records, key updates or single bytes in a loop
 * has spent all within a tenth of a second. */
#define RECORD_FAIR_BYTES 8
#define RECORD_WASTE_BYTES 128
#define RECORD_CREDIT 16384          /* at the beginning, and at most */
#define RECORD_CREDIT_PER_MS 2       /* a slow machine that writes byte by byte sends fewer */
#define RECORD_CREDIT_HANDSHAKE 2048 /* of a whole handshake: 256 KiB */

static size_t tls_raw_pending(const struct conn_tls *t)
{
    const struct loop_tls_io *io = loop_tls_io(t->conn->loop);
    return t->rest.len + (io && io->in_owner == t ? io->in_len : 0);
}

static ssize_t tls_take(struct conn_tls *t, struct loop_tls_io *io, void *data, size_t cap)
{
    size_t n;
    if (t->rest.len > 0) {
        struct str s = buf_str(&t->rest);
        n = s.n < cap ? s.n : cap;
        memcpy(data, s.p, n);
        buf_consume(&t->rest, n);
        if (t->rest.len == 0)
            buf_fini(&t->rest);
    } else if (io->in_owner == t && io->in_len > 0) {
        n = io->in_len < cap ? io->in_len : cap;
        memcpy(data, io->in + io->in_start, n);
        io->in_start += n;
        io->in_len -= n;
    } else {
        return 0;
    }
    t->pulls_left--;
    t->pulls++;
    t->raw_bytes += (uint32_t)n;
    return (ssize_t)n;
}

/* GnuTLS asks for 5 bytes of header and then for the body; one recv serves many such requests. */
static ssize_t tls_pull(gnutls_transport_ptr_t ptr, void *data, size_t cap)
{
    struct conn *c = ptr;
    struct conn_tls *t = c->tls;
    struct loop_tls_io *io = loop_tls_io(c->loop);
    if (!io) {
        gnutls_transport_set_errno(t->session, ENOMEM);
        return -1;
    }
    c->is_cut = c->is_cut || t->pulls_left == 0;
    ssize_t n = t->pulls_left > 0 ? tls_take(t, io, data, cap) : 0;
    if (n > 0)
        return n;
    if (t->is_raw_eof && t->pulls_left > 0)
        return 0;
    if (c->is_dry || t->pulls_left == 0) {
        gnutls_transport_set_errno(t->session, EAGAIN);
        return -1;
    }
    if (io->in_owner != t) {
        /* Only the last reader's bytes lie in the loop's buffer: whoever comes next moves them to
         * their owner. */
        struct conn_tls *owner = io->in_owner;
        if (owner && io->in_len > 0 &&
            buf_append(&owner->rest, io->in + io->in_start, io->in_len) != 0)
            owner->read_error = ERR_NOMEM;
        io->in_owner = NULL;
        io->in_start = io->in_len = 0;
    }
    do
        n = recv(c->fd, io->in, sizeof(io->in), MSG_DONTWAIT);
    while (n < 0 && errno == EINTR);
    if (n < 0) {
        c->is_dry = true;
        if (errno != EAGAIN && errno != EWOULDBLOCK)
            t->read_error = (uint8_t)conn_errno(errno);
        gnutls_transport_set_errno(t->session, errno);
        return -1;
    }
    t->is_raw_eof = n == 0;
    c->is_dry = (size_t)n < sizeof(io->in);
    io->in_owner = t;
    io->in_start = 0;
    io->in_len = (size_t)n;
    return n == 0 ? 0 : tls_take(t, io, data, cap);
}

static int tls_batch_flush(struct conn *c, struct loop_tls_io *io)
{
    size_t n = io->out_len;
    io->out_len = 0;
    return n > 0 ? conn_raw_send(c, io->out, n) : 0;
}

/* Takes everything always (what the kernel refuses waits in c->out), so GnuTLS never sees EAGAIN
 * and never has to be called again for the same record. */
static ssize_t tls_push(gnutls_transport_ptr_t ptr, const giovec_t *vec, int n_vec)
{
    struct conn *c = ptr;
    struct conn_tls *t = c->tls;
    const struct iovec *iov =
        (const struct iovec *)vec; /* giovec_t is struct iovec by definition */
    size_t total = 0;
    int err = 0;
    for (int i = 0; i < n_vec; i++)
        total += iov[i].iov_len;
    struct loop_tls_io *io = t->is_batching ? loop_tls_io(c->loop) : NULL;
    if (io && io->out_len + total > sizeof(io->out))
        err = tls_batch_flush(c, io);
    if (err == 0 && io && total <= sizeof(io->out)) {
        for (int i = 0; i < n_vec; i++) {
            memcpy(io->out + io->out_len, iov[i].iov_base, iov[i].iov_len);
            io->out_len += iov[i].iov_len;
        }
    } else if (err == 0) {
        err = n_vec == 1 ? conn_raw_send(c, iov->iov_base, total) : conn_raw_write(c, iov, n_vec);
    }
    if (err == 0)
        return (ssize_t)total;
    gnutls_transport_set_errno(t->session, EPIPE);
    return -1;
}

/* Asked only where GnuTLS would wait; nothing here ever waits. */
static int tls_pull_timeout(gnutls_transport_ptr_t ptr, unsigned ms)
{
    const struct conn *c = ptr;
    (void)ms;
    return tls_raw_pending(c->tls) > 0 ? 1 : 0;
}

bool conn_tls_has_pending(const struct conn_tls *t)
{
    return t->is_closed || t->read_error || t->packet || tls_raw_pending(t) > 0 ||
           gnutls_record_check_pending(t->session) > 0;
}

void conn_tls_visit(struct conn_tls *t)
{
    t->pulls_left = VISIT_PULLS;
}

/* Settles what the records since the last call were worth, of which n_bytes were data; false when
 * the peer has wasted all its credit. */
static bool tls_is_worth_it(struct conn_tls *t, size_t n_bytes)
{
    uint32_t records = t->pulls / 2;
    uint32_t wasted = t->raw_bytes > n_bytes ? t->raw_bytes - (uint32_t)n_bytes : 0;
    uint32_t cost = records > wasted / RECORD_WASTE_BYTES ? records : wasted / RECORD_WASTE_BYTES;
    int64_t left = (int64_t)t->credit - cost + (int64_t)(n_bytes / RECORD_FAIR_BYTES);
    t->pulls %= 2;
    t->raw_bytes = 0;
    if (left < 0 && !t->conn->is_securing) {
        uint64_t now_ms = loop_now_ms(t->conn->loop);
        left += (int64_t)(now_ms - t->credit_ms) * RECORD_CREDIT_PER_MS;
        t->credit_ms = now_ms;
    }
    t->credit = (int32_t)(left < RECORD_CREDIT ? left : RECORD_CREDIT);
    if (t->credit >= 0)
        return true;
    conn_tls_set_error(t, "too many TLS records with little or no data");
    return false;
}

static struct conn_tls *conn_tls_new(struct conn *c)
{
    struct conn_tls *t = c->fd < 0 || c->tls || c->is_connecting ? NULL : calloc(1, sizeof(*t));
    if (!t)
        return NULL;
    t->conn = c;
    t->credit = RECORD_CREDIT_HANDSHAKE;
    conn_tls_visit(t);
    return t;
}

static void tls_packet_free(struct conn_tls *t)
{
    gnutls_datum_t data = {0};
    if (!t->packet)
        return;
    gnutls_packet_get(t->packet, &data, NULL);
    explicit_bzero(data.data + t->packet_at, data.size - t->packet_at);
    gnutls_packet_deinit(t->packet);
    t->packet = NULL;
}

void conn_tls_free(struct conn *c)
{
    struct conn_tls *t = c->tls;
    if (!t)
        return;
    struct loop_tls_io *io = loop_tls_io(c->loop);
    if (io && io->in_owner == t) {
        io->in_owner = NULL;
        io->in_len = 0;
    }
    conn_tls_wait_end(c);
    tls_packet_free(t);
    if (t->session)
        gnutls_deinit(t->session);
    tls_pair_unref(t->pair);
    tls_server_unref(t->server);
    tls_client_unref(t->client);
    buf_fini(&t->rest);
    buf_wipe(&t->early);
    free(t->host);
    free(t->error);
    free(t->verify_error);
    free(t);
    c->tls = NULL;
}

void conn_tls_moved(struct conn *c)
{
    c->tls->conn = c;
    gnutls_transport_set_ptr(c->tls->session, c);
}

static void conn_tls_attach(struct conn *c, struct conn_tls *t)
{
    gnutls_transport_set_ptr(t->session, c);
    gnutls_transport_set_pull_function(t->session, tls_pull);
    gnutls_transport_set_vec_push_function(t->session, tls_push);
    gnutls_transport_set_pull_timeout_function(t->session, tls_pull_timeout);
    c->tls = t;
    c->is_securing = true;
    conn_update_read(c);
}

int conn_secure_server(struct conn *c, struct tls_server *server, const char *alpn)
{
    struct conn_tls *t = conn_tls_new(c);
    if (!t)
        return c->fd < 0 || c->tls || c->is_connecting ? -ERR_INVAL : -ERR_NOMEM;
    int err = tls_memory_is_low() ? -ERR_NOMEM : tls_server_session(server, alpn, &t->session);
    if (err != 0) {
        free(t);
        return err;
    }
    t->server = tls_server_ref(server);
    c->is_dry = false;
    conn_tls_attach(c, t);
    return 0;
}

int conn_secure_client(struct conn *c, struct tls_client *client, const char *host)
{
    struct conn_tls *t = conn_tls_new(c);
    if (!t)
        return c->fd < 0 || c->tls || c->is_connecting ? -ERR_INVAL : -ERR_NOMEM;
    t->host = tls_memory_is_low() ? NULL : str_dup_c(host);
    int err = t->host ? tls_client_session(client, t->host, t->expected, &t->session) : -ERR_NOMEM;
    if (err != 0) {
        free(t->host);
        free(t);
        return err;
    }
    t->client = tls_client_ref(client);
    conn_tls_attach(c, t);
    c->is_dry = true; /* the server waits for our hello: nothing to read yet */
    int rc = gnutls_handshake(t->session);
    if (rc == GNUTLS_E_AGAIN)
        return 0;
    err = conn_tls_explain(t, rc);
    c->is_securing = false;
    c->error = (uint8_t)err;
    conn_update_read(c);
    return -err;
}

/* TLS 1.3 tickets come after the handshake, TLS 1.2 has them with it. */
static void tls_keep_ticket(struct conn_tls *t)
{
    bool is_13 = gnutls_protocol_get_version(t->session) == GNUTLS_TLS1_3;
    if (is_13 && !(gnutls_session_get_flags(t->session) & GNUTLS_SFLAGS_SESSION_TICKET))
        return;
    tls_client_save(t->client, t->host, t->session);
    free(t->host);
    t->host = NULL;
}

/* GnuTLS says "again" after each part of a message, though the next one may lie here, read ahead.
 * Warnings are no reason to fail. */
static int tls_handshake_step(struct conn_tls *t)
{
    size_t before;
    int rc;
    do {
        before = tls_raw_pending(t);
        rc = gnutls_handshake(t->session);
    } while (rc < 0 && !gnutls_error_is_fatal(rc) && tls_raw_pending(t) != before);
    if (rc < 0 && !gnutls_error_is_fatal(rc))
        return tls_is_worth_it(t, 0) ? GNUTLS_E_AGAIN : GNUTLS_E_TOO_MANY_HANDSHAKE_PACKETS;
    return rc;
}

int conn_tls_handshake(struct conn *c)
{
    struct conn_tls *t = c->tls;
    bool is_ready = !t->server || !tls_server_certs(t->server) || t->is_chosen;
    int rc = is_ready || conn_tls_choose(c) == 0 ? tls_handshake_step(t) : GNUTLS_E_AGAIN;
    if (rc == GNUTLS_E_AGAIN)
        return -ERR_AGAIN;
    c->is_securing = false;
    if (rc == TLS_KEY_IS_GONE && t->pair) /* who comes next has it loaded again */
        tls_certs_forget_one(tls_server_certs(t->server), t->pair);
    tls_pair_unref(STEAL(t->pair)); /* nothing is signed any more */
    if (rc < 0) {
        int err = c->error ? c->error : conn_tls_explain(t, rc);
        if (t->client)
            tls_client_forget(t->client, t->host);
        (void)gnutls_alert_send_appropriate(t->session, rc);
        return -err;
    }
    t->credit = RECORD_CREDIT;
    t->credit_ms = loop_now_ms(c->loop);
    conn_tls_judge(t);
    bool is_13 = gnutls_protocol_get_version(t->session) == GNUTLS_TLS1_3;
    if (t->server && is_13 && tls_server_has_tickets(t->server))
        (void)gnutls_session_ticket_send(t->session, 1, 0);
    if (t->client && !is_13)
        tls_keep_ticket(t);
    struct str early = buf_str(&t->early);
    int err = early.n > 0 ? conn_tls_send(c, early.p, early.n) : 0;
    buf_wipe(&t->early);
    return err;
}

/* Where a read ends without data: 0 = go on later, else ERR_x. Renegotiation is refused outright:
 * it is old, dangerous, and gone in TLS 1.3. */
static int tls_read_failed(struct conn_tls *t, int rc)
{
    if (rc == GNUTLS_E_REHANDSHAKE) {
        (void)gnutls_alert_send(t->session, GNUTLS_AL_WARNING, GNUTLS_A_NO_RENEGOTIATION);
        conn_tls_set_error(t, "peer asked for renegotiation");
        return ERR_PROTOCOL;
    }
    if (rc == GNUTLS_E_PREMATURE_TERMINATION) {
        t->is_closed = true; /* a FIN without close_notify: mail protocols have their own ends */
        return 0;
    }
    if (t->read_error)
        return t->read_error;
    if (!gnutls_error_is_fatal(rc))
        return 0;
    int err = conn_tls_explain(t, rc);
    (void)gnutls_alert_send_appropriate(t->session, rc);
    return err;
}

/* As gnutls_record_recv, which frees what it decrypted as it is: passwords would lie in free
 * memory. Taken as a packet, each byte is wiped when it has been read. */
static ssize_t tls_receive(struct conn_tls *t, void *p, size_t cap)
{
    gnutls_datum_t data = {0};
    if (!t->packet) {
        ssize_t rc = gnutls_record_recv_packet(t->session, &t->packet);
        t->packet_at = 0;
        if (rc <= 0 || !t->packet)
            return rc;
    }
    gnutls_packet_get(t->packet, &data, NULL);
    size_t left = data.size - t->packet_at;
    size_t n = left < cap ? left : cap;
    memcpy(p, data.data + t->packet_at, n);
    explicit_bzero(data.data + t->packet_at, n);
    t->packet_at += n;
    if (n == left)
        tls_packet_free(t);
    return (ssize_t)n;
}

int conn_tls_read(struct conn *c, void *p, size_t cap, size_t *ret_n)
{
    struct conn_tls *t = c->tls;
    size_t total = 0;
    cap = cap < c->visit_left ? cap : c->visit_left;
    c->is_cut = c->is_cut || cap == 0;
    while (total < cap && !t->is_closed && !t->read_error) {
        size_t before = tls_raw_pending(t);
        ssize_t n = tls_receive(t, (char *)p + total, cap - total);
        if (n > 0) {
            total += (size_t)n;
            continue;
        }
        if (n == 0)
            t->is_closed = true;
        else if (n != GNUTLS_E_AGAIN && n != GNUTLS_E_INTERRUPTED)
            t->read_error = (uint8_t)tls_read_failed(t, (int)n);
        else if (tls_raw_pending(t) == 0 || tls_raw_pending(t) == before)
            break; /* tickets and key updates look like EAGAIN: go on while there are bytes */
    }
    if (t->host && t->client)
        tls_keep_ticket(t);
    if (!tls_is_worth_it(t, total) && !t->read_error)
        t->read_error = ERR_TLS_FLOOD;
    c->visit_left -= (uint32_t)total;
    if (total > 0) {
        c->in_bytes += total;
        *ret_n = total;
        return 0;
    }
    if (!t->read_error && !t->is_closed)
        return -ERR_AGAIN;
    if (t->read_error)
        c->error = t->read_error;
    else
        c->is_eof = true;
    conn_update_read(c);
    return t->read_error ? -t->read_error : -ERR_EOF;
}

int conn_tls_send(struct conn *c, const void *p, size_t n)
{
    struct conn_tls *t = c->tls;
    struct loop_tls_io *io = loop_tls_io(c->loop);
    if (c->is_securing)
        return buf_append(&t->early, p, n);
    t->is_batching = io && n > RECORD_MAX && !c->is_corked && c->out.len == 0;
    ssize_t rc = 0;
    for (size_t done = 0; done < n && rc >= 0; done += (size_t)rc) {
        do
            rc = gnutls_record_send(t->session, (const char *)p + done, n - done);
        while (rc == GNUTLS_E_INTERRUPTED || rc == GNUTLS_E_AGAIN);
        if (rc < 0)
            break;
    }
    if (t->is_batching && tls_batch_flush(c, io) != 0)
        rc = GNUTLS_E_PUSH_ERROR;
    t->is_batching = false;
    if (rc >= 0)
        return 0;
    if (!c->error)
        c->error = (uint8_t)conn_tls_explain(t, (int)rc);
    conn_update_read(c);
    return -c->error;
}

void conn_tls_bye(struct conn *c)
{
    struct conn_tls *t = c->tls;
    if (t->is_bye_sent || c->error || t->read_error)
        return;
    t->is_bye_sent = true;
    (void)gnutls_bye(t->session, GNUTLS_SHUT_WR);
}
