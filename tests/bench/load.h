/* SPDX-License-Identifier: ISC */
/* The load generator: sessions that work through dialogues, and what is measured of them. */
#pragma once

#include <openssl/ssl.h>

#include "base/buf.h"
#include "base/container/list.h"
#include "net.h"

#define LOAD_READ_BYTES (256 * 1024)

enum load_tls { LOAD_TLS_OFF, LOAD_TLS_STARTTLS, LOAD_TLS_ON };

/* What a session does over and over once the run has begun. */
enum load_work {
    LOAD_LOGIN,  /* connect, log in, log out: the unit is the session itself */
    LOAD_IDLE,   /* IDLE, for ever */
    LOAD_NOOP,   /* a round trip */
    LOAD_FETCH,  /* a message of `bytes` */
    LOAD_APPEND, /* the same upwards */
    LOAD_DAY,    /* nine of ten idle; the tenth fetches, thinks, fetches */
    LOAD_WORKS
};

struct load_options {
    struct addr to;
    const struct load_dialogue *proto;
    enum load_tls tls;
    enum load_work work;
    bool is_resumed;
    uint64_t clients, bytes, think_ms, run_ms;
    uint64_t units;   /* most that are begun; 0 = as many as run_ms allows */
    uint64_t sources; /* local addresses the clients come from */
};

/* ---- dialogues ---- */

enum load_step_kind {
    LOAD_SEND,   /* text; $u user, $a SASL PLAIN response, $n bytes */
    LOAD_EXPECT, /* a line that begins with text; lines of `notes` come before */
    LOAD_BODY,   /* `bytes` bytes of message */
    LOAD_EOF,    /* the other side closes */
    LOAD_END     /* of the dialogue */
};

struct load_step {
    enum load_step_kind kind;
    const char *text;
};

struct load_dialogue {
    const char *name;
    const char *notes; /* how lines begin that say nothing about the step: "*" or "250-" */
    const struct load_step *greeting, *starttls, *login, *logout;
    const struct load_step *work[LOAD_WORKS];
};

/* NULL when there is none of that name. */
const struct load_dialogue *load_dialogue_find(struct str name);
/* Index of a kind of work by its name; LOAD_WORKS when there is none. */
enum load_work load_work_find(struct str name);

/* ---- results ---- */

struct load_report {
    uint64_t units, errors, resumed, handshakes;
    uint64_t begun_us, ended_us;
    uint32_t *us; /* time of each unit */
    size_t cap;
    char first_error[200];
    char cipher[80]; /* of the last handshake */
};

void load_report_unit(struct load_report *r, uint64_t us);
void load_report_error(struct load_report *r, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));
/* One line of JSON on stdout. */
void load_report_print(struct load_report *r);

/* ---- sessions ---- */

enum load_phase {
    LOAD_GREETING,
    LOAD_STARTING_TLS,
    LOAD_LOGGING_IN,
    LOAD_READY,
    LOAD_WORKING,
    LOAD_LEAVING,
    LOAD_CLOSED
};

struct load;

struct load_session {
    struct net_source source;
    struct load *load;
    SSL *ssl;
    SSL_SESSION *ticket;  /* of its last session */
    struct list link;     /* in load.thinking */
    struct buf line, out; /* incomplete; not yet sent */
    const struct load_step *step;
    uint64_t skip; /* bytes of a literal still to come */
    uint64_t body; /* bytes of a message still to be sent */
    uint64_t begun_us, due_us;
    unsigned number;
    enum load_phase phase;
    bool is_handshaking;
    bool is_continued; /* the next line goes on behind a literal */
};

struct load {
    struct net net;
    struct load_options options;
    struct load_report report;
    SSL_CTX *ctx;
    struct load_session *sessions;
    struct list thinking; /* in the order of due_us */
    uint64_t n_begun;     /* units */
    uint64_t n_busy;      /* sessions on their way or in a unit */
    uint64_t end_us;      /* no unit begins after this; 0 = no limit */
    bool is_over;         /* sessions do not go on to the next unit */
    char in[LOAD_READ_BYTES], body[LOAD_READ_BYTES];
};

/* load_session.c */

void load_session_init(struct load_session *s, struct load *l, unsigned number);
/* Connects and logs in; counts as busy until it is ready or has failed. A session of a login run
 * logs out again and goes on with the next unit. */
void load_session_open(struct load_session *s);
/* The next unit of a ready session, unless the run is over. */
void load_session_work(struct load_session *s);
/* One of those that only idle. */
bool load_session_is_idler(const struct load_session *s);

/* load_tls.c */

int load_tls_init(struct load *l) NODISCARD;
int load_tls_start(struct load_session *s) NODISCARD;
void load_tls_end(struct load_session *s);
/* 0 when done, -ERR_AGAIN, -ERR_TLS. */
int load_tls_handshake(struct load_session *s) NODISCARD;
/* As recv and send on non-blocking sockets, with or without TLS: -ERR_AGAIN, -ERR_EOF, -ERR_x. */
int load_recv(struct load_session *s, void *p, size_t cap, size_t *ret_n) NODISCARD;
int load_send(struct load_session *s, const void *p, size_t n, size_t *ret_n) NODISCARD;
