/* SPDX-License-Identifier: ISC */
/* Private to io/conn_tls*.c: the TLS half of a conn. */
#pragma once

#include "io/conn_priv.h"
#include "io/tls/tls_session.h"

struct conn_tls {
    struct conn *conn;
    gnutls_session_t session;
    struct tls_server *server; /* one of the two */
    struct tls_client *client;
    struct tls_pair *pair;      /* server: what the handshake shows; NULL = the server's own */
    struct conn_tls_wait *wait; /* server: for that to be loaded; NULL = it does not */
    char *host;                 /* client: name of the peer; NULL once its ticket was kept */
    gnutls_typed_vdata_st expected[TLS_EXPECTED]; /* client: of the peer's certificate */
    char *error;                                  /* text of the last failure */
    char *verify_error;
    struct buf rest; /* ciphertext read ahead, when the loop's buffer was needed for another conn */
    gnutls_packet_t packet;    /* decrypted, not yet read to its end; NULL = none */
    size_t packet_at;          /* bytes of it that were read (and wiped) */
    struct buf early;          /* plaintext sent during the handshake */
    uint32_t pulls_left;       /* of this visit */
    uint32_t pulls, raw_bytes; /* since the last judgement of its records */
    int32_t credit;            /* records with little data that the peer may still send */
    uint64_t credit_ms;        /* when the credit grew last */
    uint8_t verify;            /* enum tls_verify of the peer */
    uint8_t read_error;        /* ERR_x to be returned by the next conn_read */
    bool is_only_untrusted : 1;
    bool is_raw_eof : 1; /* FIN was read */
    bool is_closed : 1;  /* end of the plaintext, to be returned by the next conn_read */
    bool is_bye_sent : 1;
    bool is_chosen : 1;   /* server: the certificate of the handshake */
    bool is_batching : 1; /* records are gathered in the loop's buffer */
};

/* conn_tls_choose.c */

/* Chooses the certificate of a server with a directory. -ERR_AGAIN: its client has not said yet
 * what it asks for, or that is being loaded; else 0. */
int conn_tls_choose(struct conn *c) NODISCARD;
/* Nothing is waited for any more. */
void conn_tls_wait_end(struct conn *c);

/* conn_tls_info.c */

/* Keeps a text for conn_tls_error. */
void conn_tls_set_error(struct conn_tls *t, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));
/* Judges the peer's certificate after a server handshake; copies what conn_tls_info tells later. */
void conn_tls_judge(struct conn_tls *t);
/* Maps the return code of a failed handshake to ERR_x (positive) and keeps its text. */
int conn_tls_explain(struct conn_tls *t, int rc);
