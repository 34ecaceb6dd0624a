/* SPDX-License-Identifier: ISC */
/* The one protocol vtable: front (towards clients), back (towards mail servers), watch (during the
 * relay), as pure transforms of bytes. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/addr.h"
#include "base/buf.h"
#include "base/str.h"
#include "proto/protos.h"
#include "proto/redact.h"
#include "proto/reply.h"
#include "proto/sasl/sasl.h"

enum proto_id {
#define P(id, name, separator) PROTO_##id,
    PROTOS(P)
#undef P
        PROTO_COUNT
};

/* ---- front: the client's side before login ---- */

/* What one call of front_feed found. The session core owns every consequence. */
enum proto_intent {
    PROTO_NEED_MORE,  /* no complete command yet (a literal may have been invited into reply) */
    PROTO_REPLIED,    /* a command was answered into reply; go on */
    PROTO_STARTTLS,   /* reply holds the go-ahead: flush, drop all unread plaintext, start TLS, then
                         front_tls_started */
    PROTO_AUTH_BEGIN, /* auth_mech and, with has_initial, auth_data are set: start SASL */
    PROTO_AUTH_DATA,  /* auth_data holds the client's decoded SASL response */
    PROTO_AUTH_ABORT, /* the client cancelled the exchange (reply is written by front_reply
                         AUTH_CANCELLED) */
    PROTO_AUTH_BAD, /* the response was not base64: exchange is over (front_reply AUTH_BAD_RESPONSE)
                     */
    PROTO_READY,    /* cred is complete without SASL (LOGIN, USER/PASS, APOP) */
    PROTO_ROUTE,    /* SMTP without authentication: mail_from and rcpt_to are set, find a server */
    PROTO_QUIT,     /* reply holds the farewell; flush and close */
    PROTO_BAD,      /* a command was refused into reply: counts against max_errors */
    PROTO_REFUSED,  /* as BAD, of a try to log in that nobody judges: refusal says why, cred.mech
                       (its own command) or auth_mech how, cred.user who, as far as it is known */
    PROTO_FATAL,    /* reply says why; flush and close (over-long line, HTTP request, unskippable
                       literal) */
};

enum front_tls { FRONT_TLS_NONE, FRONT_TLS_OFFERED, FRONT_TLS_REQUIRED, FRONT_TLS_ACTIVE };

/* Capabilities as a front wrote them out for another session, see front_recall. Zero is empty; the
 * text is the owner's to free. Thread: one. */
struct front_memo {
    struct buf text;
    unsigned announced; /* mechanisms that it was written for, and the TLS */
    enum front_tls tls;
};
#define FRONT_MEMOS 2 /* before TLS and in it */

/* What a front needs to know; the core keeps it current between calls. Strings are borrowed and
 * outlive the front. */
struct front_env {
    const char *server_name;
    const char *greeting; /* text after the status of the greeting, NULL = default */
    const char *const
        *capabilities;   /* NULL-terminated list, configured or learned; NULL = built-in default */
    unsigned mechanisms; /* SASL_BIT mask that may be used now (already without clear text when
                            that is refused) */
    unsigned hidden;     /* those of them that are not announced */
    bool is_clear_text_refused; /* clear-text mechanisms are configured but wait for TLS:
                                   LOGINDISABLED, no USER, ... */
    enum front_tls tls;
    bool is_auth_optional;    /* SMTP relay: MAIL and RCPT work without AUTH */
    size_t max_line_bytes;    /* one command line without literals */
    size_t max_literal_bytes; /* all literals of one command together */
    const char *apop_salt;    /* "<...>" announced in the POP3 greeting, NULL = no APOP/CRAM salt */
    uint64_t smtp_size;       /* reserved for SIZE when capabilities are built in; 0 = none */
    struct front_memo *memos; /* FRONT_MEMOS of them, shared by envs with the same server_name,
                                 capabilities and smtp_size; NULL = none */
};

/* Common head of each protocol's front object. */
struct front {
    const struct front_env *env;
    enum sasl_mech auth_mech; /* with AUTH_BEGIN and REFUSED */
    enum reply_kind refusal;  /* with REFUSED */
    bool has_initial;         /* with AUTH_BEGIN */
    bool is_exchange;         /* the next line is a SASL response */
    struct buf auth_data;     /* decoded SASL bytes (wiped) */
    struct credentials cred;  /* with READY (wiped); reset before each login command */
    struct buf client_id;     /* IMAP ID list as "name" "version" text, printable; may be empty */
    struct buf helo;          /* SMTP: name given by the client, validated; may be empty */
    bool is_ehlo;
    struct buf mail_from; /* SMTP: the whole MAIL command line without CRLF */
    struct buf rcpt_to;   /* SMTP: the whole RCPT command line without CRLF */
};

/* How the backend accepted the login, for the words of the client's success reply. */
struct back_success {
    struct buf text;         /* human text of the backend's success reply */
    struct buf capabilities; /* IMAP: list from [CAPABILITY ...]; Sieve: capability block; empty =
                                unknown */
    struct buf raw; /* reply to be passed on verbatim when the protocol has no tag to exchange (SMTP
                       RCPT) */
};

struct watch;
struct back;
struct back_env;

enum back_result {
    BACK_NEED_MORE, /* wait for more bytes of the server (out may hold bytes to send now) */
    BACK_STARTTLS,  /* send nothing more: start TLS now, then call back_tls_started */
    BACK_READY,     /* warmed up: nothing is sent or asked until back_resume */
    BACK_DONE,      /* logged in (or checked): bytes after *ret_consumed belong to the relay */
    BACK_FAILED,    /* see back.failure and back.message */
};

/* Which end of the relay a chunk comes from. */
enum watch_side { WATCH_CLIENT, WATCH_SERVER };

/* One protocol. All functions are pure: same input, same output. Thread: any, one object on one
 * thread. */
struct proto {
    enum proto_id id;
    const char *name;      /* "imap": config, filter, metrics */
    const char *auth_name; /* Auth-Protocol of auth_http: "imap" "pop3" "smtp" "sieve" */
    const char *alpn;      /* "imap", "pop3", "smtp", "managesieve" */
    uint16_t default_port, default_tls_port;
    unsigned default_mechanisms; /* SASL_BIT mask */
    const char *quit_verb;       /* the command that ends a session, as watch.verb has it */
    const char *login_command;   /* how listings call its own way to log in with a password, beside
                                    SASL; NULL = it has none */
    bool has_apop;               /* APOP, with a salt in the greeting */
    bool can_skip_login;         /* `auth = "none"` of a listener: mail without login */
    bool has_client_name; /* the client's host name (PTR) matters: to be looked up before its login
                           */
    bool has_xclient;     /* servers are told of the client by XCLIENT, else by IMAP ID */
    bool has_tags;        /* commands begin with one */
    const struct redact_verb *redact_verbs; /* what of commands may be shown */

    struct front *(*front_new)(const struct front_env *env);
    void (*front_free)(struct front *f);
    int (*greet)(struct front *f, struct buf *reply);
    /* Looks at one command at the start of `in`; sets *ret_consumed (0 with NEED_MORE); appends to
     * reply. Called again with the rest. */
    enum proto_intent (*feed)(struct front *f, struct str in, size_t *ret_consumed,
                              struct buf *reply);
    /* Sends a SASL challenge (raw bytes, encoded here). */
    int (*auth_continue)(struct front *f, struct str challenge, struct buf *reply);
    /* The pending command failed (or, for kinds that end the session, an untagged farewell). text
     * NULL = default of the kind; text comes from outside: it is sanitised here (control bytes
     * removed, cut at 400 bytes). code: SMTP "451 4.3.0" or NULL. */
    int (*reply)(struct front *f, enum reply_kind kind, const char *code, const char *text,
                 struct buf *reply);
    /* The pending login succeeded. */
    int (*success)(struct front *f, const struct back_success *s, struct buf *reply);
    /* Keep-alive while a login is held (IMAP "* OK ..."), nothing for protocols without one. */
    int (*keepalive)(struct front *f, struct buf *reply);
    /* TLS is up: forget everything learnt in clear; Sieve announces capabilities again. */
    int (*tls_started)(struct front *f, struct buf *reply);

    struct back *(*back_new)(const struct back_env *env);
    void (*back_free)(struct back *b);
    /* The server sent `in`; consume complete replies, append what to send to `out`. */
    enum back_result (*back_feed)(struct back *b, struct str in, size_t *ret_consumed,
                                  struct buf *out);
    enum back_result (*back_tls_started)(struct back *b, struct buf *out);
    /* After BACK_READY: logs in as the env says now, which has credentials. */
    enum back_result (*back_resume)(struct back *b, struct buf *out);

    size_t watch_size; /* bytes of the follower's state, zero-initialised by the owner, then
                          watch_init */
    /* learned: what the server announced at its login (back.learned); borrowed for the call */
    void (*watch_init)(struct watch *w, struct str learned);
    /* Follows what one side said. Returns how many bytes it has looked at: all of them, unless
     * w->is_stepwise, or it has come to one of the stops that struct watch names. */
    size_t (*watch_feed)(struct watch *w, enum watch_side side, struct str bytes);
    /* Words of the farewell at a response boundary during the relay ("* BYE ...\r\n"). */
    int (*farewell)(enum reply_kind kind, const char *text, struct buf *out);
};

/* The rows of the registry, each defined in the protocol's own files. */
#define P(id, name, separator) extern const struct proto proto_##name;
PROTOS(P)
#undef P
