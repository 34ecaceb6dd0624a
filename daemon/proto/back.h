/* SPDX-License-Identifier: ISC */
/* Logging in at a mail server: what the dialogue is given and how it ends. The same dialogue serves
 * health checks. */
#pragma once

#include "proto/proto.h"

/* B(ID, name, retry on another backend?, reply to the client, counts against the backend's health?)
 */
#define BACK_FAILURES(B)                                                                           \
    B(NONE, "none", false, REPLY_INTERNAL, false)                                                  \
    B(CONNECT, "connect", true, REPLY_BACKEND_DOWN, true)                                          \
    B(TLS, "tls", true, REPLY_BACKEND_DOWN, true)                                                  \
    B(TIMEOUT, "timeout", true, REPLY_BACKEND_DOWN, true)                                          \
    B(CLOSED, "closed", true, REPLY_BACKEND_DOWN, true)                                            \
    B(PROTOCOL, "protocol", true, REPLY_BACKEND_DOWN, true)                                        \
    B(BYE, "bye", true, REPLY_BACKEND_DOWN, true)                                                  \
    B(NO_TLS, "no-tls", false, REPLY_BACKEND_DOWN, true)                                           \
    B(NO_MECHANISM, "no-mechanism", false, REPLY_BACKEND_DOWN, false)                              \
    B(AUTH, "auth", false, REPLY_AUTH_FAILED, false)                                               \
    B(AUTH_TEMP, "auth-temp", false, REPLY_AUTH_TEMPFAIL, false)                                   \
    B(LIMIT, "limit", false, REPLY_LIMIT, false)                                                   \
    B(BAD_CREDENTIAL, "bad-credential", false, REPLY_AUTH_FAILED, false)                           \
    B(LOOP, "loop", false, REPLY_BACKEND_DOWN, false)                                              \
    B(REJECTED, "rejected", false, REPLY_INTERNAL, false)                                          \
    B(SHORTAGE, "shortage", true, REPLY_BACKEND_DOWN, false)                                       \
    B(INTERNAL, "internal", false, REPLY_INTERNAL, false)

enum back_failure {
#define B(id, name, retry, reply, health) BACK_FAIL_##id,
    BACK_FAILURES(B)
#undef B
        BACK_FAILURE_COUNT
};

/* A word for logs and metrics; static. */
const char *back_failure_name(enum back_failure f);
/* May another backend be tried? Only as long as no backend judged the credentials. */
bool back_failure_may_retry(enum back_failure f);
enum reply_kind back_failure_reply(enum back_failure f);
bool back_failure_is_unhealthy(enum back_failure f);
/* Is it trouble of this process or machine alone, which proves nothing about the server? */
bool back_failure_is_ours(enum back_failure f);

enum back_tls { BACK_TLS_OFF, BACK_TLS_STARTTLS, BACK_TLS_IMPLICIT };

/* Everything one dialogue needs; strings and credentials are borrowed until back_free. */
struct back_env {
    const struct credentials
        *cred; /* user name and secret for the backend; NULL = health check without login */
    const char *master_user; /* log in as this user with cred->user as authzid; NULL = none */
    enum back_tls tls;
    bool is_tls_active;         /* implicit TLS is up before the first byte */
    bool is_pipelining_allowed; /* send several commands at once where safe */
    bool is_pipelining_known;   /* the server announced it before, so it need not be asked */
    bool want_capabilities;     /* health check: learn capabilities before leaving */
    bool is_check;              /* end politely (LOGOUT/QUIT) after the last step */
    bool is_warming; /* without cred: stop with BACK_READY where a login would begin; back_resume
                        goes on */
    /* identity of the client, forwarded by IMAP ID / XCLIENT */
    bool forward_id;           /* allowed by the pool's `forward` */
    bool xclient_forced;       /* send XCLIENT even when it is not advertised */
    struct addr client, local; /* AF_UNSPEC = unknown */
    const char *session_id;
    const char *client_name; /* confirmed PTR name, NULL = [UNAVAILABLE] */
    const char *client_tls;  /* "TLSv1.3", NULL = clear */
    unsigned ttl;            /* hops left; 0 = refuse (loop) */
    struct str
        client_id; /* the client's own IMAP ID (raw parameter list), passed on when not empty */
    /* SMTP */
    const char *server_name; /* our EHLO name */
    struct str helo;         /* the client's name */
    bool is_ehlo;
    bool is_auth_wanted;           /* AUTH to the backend, else trust by XCLIENT LOGIN */
    bool is_auth_forced;           /* by PLAIN where it announces no AUTH */
    struct str mail_from, rcpt_to; /* relay without authentication: whole command lines */
};

/* Common head of each protocol's back object. */
struct back {
    const struct back_env *env;
    const char *step; /* name of the running step, for logs: "greeting" "starttls" "capability" "id"
                         "auth"... static */
    enum back_failure failure;
    struct buf message;  /* of a failure: the server's words, or the proxy's own; printable, at most
                            512 bytes */
    bool is_message_own; /* not the server's: never passed on to a client */
    struct buf message_code; /* SMTP reply code and enhanced status with a failure ("535 5.7.8") */
    bool were_credentials_sent; /* from here on no other backend may be tried silently after an AUTH
                                   judgement */
    struct back_success success;
    struct buf learned; /* capabilities seen (IMAP: space separated, else LF separated lines); SMTP:
                           CHUNKING, and all others where they are wanted */
};

/* For the back_new of a protocol: the part that all have. env is borrowed. */
void back_init(struct back *b, const struct back_env *env);
/* Wipes and frees what it owns, not b itself. */
void back_fini(struct back *b);
/* Records a failure with the server's words (sanitised copy) and returns BACK_FAILED. */
enum back_result back_fail(struct back *b, enum back_failure f, struct str message);
/* The same where the proxy itself tells what is wrong. */
enum back_result back_fail_own(struct back *b, enum back_failure f, struct str message);
