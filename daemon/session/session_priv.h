/* SPDX-License-Identifier: ISC */
/* Inside of a session: the object and the functions that its files share. */
#pragma once

#include "backend/login.h"
#include "backend/places.h"
#include "base/cleanup.h"
#include "base/log/log.h"
#include "io/conn.h"
#include "proto/proxyhdr.h"
#include "proto/watch.h"
#include "session/route.h"
#include "session/session.h"

/* A failed login whose answer waits for its delay. */
struct preauth_failure {
    enum reply_kind kind;
    enum session_end end;
    bool is_set, is_final;
    bool is_banned; /* nothing but last words, ban_text, follows it */
    char code[32];
    char text[REPLY_TEXT_MAX + 1];
    char ban_text[REPLY_TEXT_MAX + 1];
};

/* What the store of the fleet says of a login's backend. */
struct preauth_pin {
    struct pins_call *call;
    void (*done)(struct session *s);
    struct backend *backend;     /* where it belongs; one reference, NULL = not asked */
    char *avoid;                 /* where it would belong, and cannot be: by name; NULL */
    uint64_t asked_us, spent_us; /* when it was asked last; time of all questions before */
    unsigned n_asks;
};

/* What only a session before its relay needs; wiped and freed as a whole when the relay starts. */
struct preauth {
    struct list held; /* of env->held */
    struct session *session;
    struct front *front;
    struct buf in; /* read and not yet understood */
    struct auth_query *query;
    struct login *login;
    struct sasl *sasl;
    struct credentials *cred; /* what is being judged: of front or sasl */
    struct backend *granted;  /* the place that it waited for: one reference; NULL */
    uint64_t deadline_ms;     /* of everything before the relay */
    uint64_t login_us;        /* monotonic: when the credentials were there */
    unsigned failures;        /* bad commands and refused logins */
    unsigned commands;        /* all, and the responses of SASL exchanges */
    bool is_client_eof, is_starttls, is_pumping;
    bool is_behind;          /* whole commands wait for their share of the next turns */
    bool is_sasl_over;       /* the last challenge ends the exchange: its answer is empty */
    bool is_error_challenge; /* the answer to it is followed by the failure */
    bool is_backend_judge;   /* nobody but the backend has judged the credentials */
    bool is_user_held;
    bool has_proxy;
    struct place_wait wait; /* for a place on a backend that is full */
    struct front_env front_env;
    struct capabilities_list *capabilities;
    struct sasl_env sasl_env;
    struct buf channel_binding;
    char *identity; /* of the client's certificate, for EXTERNAL */
    char apop_salt[96];
    struct resolver_query *lookup; /* the client's name (SMTP) */
    struct credentials backend_cred;
    char *master_user;
    struct route route;
    struct pools *pools; /* that route.pool is of, when it changed while the login waited; one
                            reference, NULL = the snapshot's */
    struct pool_choice choice;
    struct preauth_pin pin;
    struct proxyhdr proxy; /* what the load balancer said */
    int smtp_auth;
    char *client_host;               /* PTR name or "[UNAVAILABLE]" */
    struct preauth_failure *failure; /* the last one; NULL: there was none */
    uint64_t held_ms, held_until_ms, keepalive_ms;
    unsigned max_sessions;    /* of the user's entry */
    uint64_t judged;          /* hold_count when the judging of the user began */
    size_t peeked;            /* bytes of the PROXY header seen so far */
    enum auth_status refusal; /* once the backend found the password right; AUTH_OK = none */
    char *refusal_text;       /* words for the client, NULL */
    char session_id[32];
};

/* A session that was told to end. */
struct session_kill {
    enum reply_kind kind;
    uint64_t deadline_ms; /* monotonic: the grace is over */
    bool is_late;         /* it is: the next response boundary will do */
    bool is_client_last;  /* the client was the last to speak */
    bool is_told;         /* those who watch know how it ended */
    uint32_t n_cut;       /* then: commands without an answer */
    struct list watches;  /* struct session_end_watch */
    char text[REPLY_TEXT_MAX + 1];
};

/* Traffic between two looks of an operator. */
struct session_rate {
    uint64_t at_ms, in_base, out_base;
    uint32_t in, out; /* bytes a second */
};

/* What each event looks at comes first, so that few lines of memory have to be fetched for it. */
struct session {
    struct list link;
    struct session_env *env;
    const struct snapshot_listener *listener;
    const struct proto *proto;
    struct preauth *pre;       /* NULL from the relay on */
    struct watch *watch;       /* only in the relay */
    struct trace_tap *tap;     /* somebody traces it, or may want to; NULL */
    struct session_kill *kill; /* an operator wants it to end */
    uint8_t state, end, mech;
    uint8_t attempts;      /* logins tried */
    uint8_t provider;      /* index of the provider that auth_source is of */
    bool is_login_command; /* the last try came by the protocol's own command, not by SASL */
    bool is_client_eof, is_server_eof, is_ended, is_counted;
    bool is_client_counted, is_user_counted; /* by limits */
    bool has_place;                          /* on its backend, see places.h */
    bool is_orphan;                          /* its mail server died; the timer ends it */
    bool is_keepalive_on;                    /* in the relay: it has been quiet once */
    uint64_t active_ms;
    struct conn client, server;
    struct loop_timer timer;
    struct loop_deferred death;
    struct snapshot *snapshot;
    struct buf *early; /* what the client said while watch->is_server_due, perhaps a secret; NULL =
                          nothing */
    struct backend *backend; /* one reference; NULL before a choice */
    struct pin_backend *pin; /* it counts there in the fleet; NULL = it does not */
    const struct pool *pool; /* that says how the backend is reached; of snapshot, set with it */
    char *user;
    char *client_name;        /* IMAP ID, printable; NULL */
    const char *auth_source;  /* who judged the last try, static; NULL: nobody yet */
    const char *route_reason; /* static */
    uint64_t id;
    uint64_t started_wall_ms, started_ms, relay_ms;
    struct session_rate rate;
    uint64_t told_in, told_out; /* bytes that the backend's totals have */
    struct addr peer, server_addr;
    char client_tls[8], server_tls[8]; /* "TLSv1.3", "" = clear */
};

/* A log line about a session goes where its listener's lines go. */
#define SESSION_LOG(s, level, event, ...)                                                          \
    LOG_EVENT_TO((s)->listener->config->log.v, level, event, __VA_ARGS__)

/* session_facts.c */

/* A new id, which no other session of any worker or earlier engine has. */
uint64_t session_id_make(struct session_env *env);
const char *session_id_text(const struct session *s, char dst[32]);
/* How the last try to log in came: a SASL mechanism as sasl_method has it, or the protocol's own
 * command. Static. */
const char *session_method(const struct session *s);

/* session.c */

/* A session without a connection, in its first state, known to nobody. NULL when out of memory. */
struct session *session_new(struct session_env *env, struct snapshot *snapshot, unsigned listener,
                            const struct addr *peer);
/* Lists and counts it: from now on session_end is its end. -ERR_NOMEM. */
int session_enlist(struct session *s) NODISCARD;

/* Changes the state; a change that states.def does not allow ends the session. Sets the deadline.
 */
void session_enter(struct session *s, enum session_state state);
/* May a line of this level be logged about a client that has not logged in? One that may not is
 * counted (limits.log_lines). is_login: it is about a login that failed. */
bool session_may_log(const struct session *s, enum log_level level, bool is_login);
/* Over at once: closes both sides, logs, dies at the end of the turn. Harmless when it is over
 * already. */
void session_end(struct session *s, enum session_end end);
/* Says goodbye to the client in the words of kind (text NULL = default), then closes without
 * cutting them off. */
void session_leave(struct session *s, enum reply_kind kind, const char *text, enum session_end end);
/* The same after a farewell that was sent already. */
void session_linger(struct session *s, enum session_end end);
/* Sends to the client; a failure ends the session and is returned. */
int session_send(struct session *s, const struct buf *b) NODISCARD;
void session_set_timer(struct session *s, uint64_t delay_ms);
void session_count(struct session *s, enum counter which, int64_t n);
/* The backend's totals learn of the bytes since the last call. Only in the relay. */
void session_tell_bytes(struct session *s);
void session_note(struct session *s, enum session_note note, const char *reason);
/* The event of a login that failed, see front_note_failure. */
void session_note_failure(struct session *s, enum reply_kind kind, struct str detail);
/* Gives back the place on its backend; harmless when it has none. session_enter does so where a
 * state does without. */
void session_give_place(struct session *s);
/* The same for a place that it waited for and did not take. Only with s->pre. */
void session_drop_grant(struct session *s);
/* It does not count in the fleet any more; harmless when it does not. session_enter does so where a
 * state does without. */
void session_leave_pin(struct session *s);
/* A new login, or the end of this: what the store said counts no more. Only with s->pre. */
void session_pin_forget(struct session *s);
/* The login that was admitted came to nothing; harmless when there is none. */
void session_release_user(struct session *s);
/* Ways back to an earlier phase, which belongs to a file above: the client's next command after an
 * answer that came later, and the same credentials once more because what is known of the user has
 * changed. */
void session_next_command(struct session *s);
void session_judge_again(struct session *s);
/* The same for somebody whose password the backend found right, and who may not log in. */
void session_refuse_proved(struct session *s);
/* One that was never enlisted. */
void session_free(struct session *s);
/* Frees s->pre, wiping it. */
void preauth_free(struct session *s);

/* pin.c: only with s->pre */

/* Has the store of the fleet to be asked before the login goes to b? */
bool session_pin_is_due(const struct session *s, const struct backend *b);
/* Asks whether it belongs on s->backend, on which it has a place. done runs, perhaps within this
 * call, when session_pin_backend says where it belongs; else the login fails. */
void session_pin_ask(struct session *s, void (*done)(struct session *s));
/* Where it belongs; NULL: nobody has said, or it cannot be used any more. Then the next question
 * says so. */
struct backend *session_pin_backend(struct session *s);
/* That one cannot be used. */
void session_pin_avoid(struct session *s);

/* front_fail.c: answers while the client logs in */

/* The exchange is over: forgets the mechanism and what it found. */
void front_forget_exchange(struct session *s);
/* Sends a challenge; its answer is PROTO_AUTH_DATA. */
void front_challenge(struct session *s, struct buf *challenge);
/* The error challenge of the OAuth mechanisms (RFC 7628 section 3.2.2); true when one was sent,
 * whose answer the failure waits for. text: the judge's own, NULL = the usual. */
bool front_challenge_error(struct session *s, const char *text);
/* A login failed, whoever judged it: one line and one event (once for each try). kind: what the
 * client is told. judge: who said so, static: a provider's name, "backend", "limits" or "proxy".
 * why: for operators, with the judge's own words. */
void front_note_failure(struct session *s, enum reply_kind kind, const char *judge, struct str why);
/* Counts a bad command or refused login; true when it was one too many and ended the session. */
bool front_has_failed_enough(struct session *s, enum session_end end);
/* A try to log in that the front has refused and answered (PROTO_REFUSED): noted as a failure, and
 * counted against max_errors, but never towards a ban. */
void front_refused(struct session *s);
/* The pending command failed: answers it and goes on with the next one (or closes). */
void front_fail(struct session *s, enum reply_kind kind, const char *code, const char *text);
/* The same after a delay, which is 0 for none. is_final: close after it. */
void front_fail_later(struct session *s, const struct preauth_failure *f, uint64_t delay_ms);
/* Keeps one whose answer comes by another way. -ERR_NOMEM: the session is over. */
int front_keep_failure(struct session *s, const struct preauth_failure *f) NODISCARD;
void front_failure_due(struct session *s);
/* The same for wrong credentials, of which limits hear: the delay may grow. */
void front_fail_wrong(struct session *s, const struct preauth_failure *f, uint64_t delay_ms);

/* front.c: from the first byte to credentials */
void front_begin(struct session *s);
/* The client's address is known and may come in. */
void front_open(struct session *s);
void front_greet(struct session *s);
/* Goes through what was read. */
void front_pump(struct session *s);

/* sasl.c */
void sasl_begin(struct session *s);
void sasl_data(struct session *s);
/* The client broke the exchange off, or what it sent cannot be read. */
void sasl_broken(struct session *s, enum reply_kind kind);

/* authenticate.c */
void authenticate(struct session *s, struct credentials *cred);
/* The client is gone. Credentials that nobody has judged yet count as wrong ones: who does not wait
 * for the answer must not guess for nothing. */
void authenticate_client_left(struct session *s);
void authenticate_again(struct session *s);
/* The backend found the password right of somebody who may not log in: says so now. */
void authenticate_refuse_proved(struct session *s);

/* choose.c: what may take the login, one backend only or (NULL) any of the pool; -ERR_x: why
 * nothing may. */
int choose_fixed(struct session *s, struct backend **ret) NODISCARD;
/* 0 with *ret (NULL: the dynamic backend), on which the login has a place then. */
int choose_backend(struct session *s, const struct pool_member **ret) NODISCARD;
/* A backend as a member of a pool; NULL = it is none. */
const struct pool_member *choose_member(const struct pool *pool, const struct backend *b);

/* connect.c */
void connect_begin(struct session *s);
void connect_hold_tick(struct session *s);
/* Mail to the worker: a place for a login that waited for one, struct place_grant. */
void connect_granted(struct mail *grant, void *owner);
/* Something changed that a held login waits for. */
void connect_wake(struct session *s);

/* hold.c */

/* What the worker knows of a user's hold. */
enum hold_state {
    HOLD_NONE,
    HOLD_ON,    /* wait until it is over */
    HOLD_STALE, /* one is over that began or ended since the user was judged: judge again */
};
enum hold_state hold_state_of(const struct session *s);
/* From now on the user's logins wait. -ERR_NOMEM. */
int hold_begin(struct session_env *env, const char *user) NODISCARD;
/* False: there was no hold. True: its logins can be woken, and are judged again. */
bool hold_end(struct session_env *env, const char *user) NODISCARD;
/* How many holds ended on this worker so far. */
uint64_t hold_count(const struct session_env *env);
void holds_free(struct holds *h); /* NULL is fine */

/* relay.c */
/* Takes over after a login; rest: what the server said beyond it; learned: what it announced. */
void relay_begin(struct session *s, const struct buf *rest, struct str learned);
/* Follows the stream from here on; s->watch stays NULL without memory. */
void relay_watch(struct session *s, struct str learned);
/* Counts, logs and tells a login that relays from now on. */
void relay_enlist(struct session *s);
/* Nothing moved for too long, or the grace of a kill is over. */
void relay_timeout(struct session *s);

/* goodbye.c: a relay that is to end as s->kill says */

/* One side has spoken: passes on what is still wanted of it, and returns how much that was. The
 * session may be over then, or closing. */
size_t goodbye_pass(struct session *s, bool is_client, const char *p, size_t n);
/* Has the client begun something that only it can complete? */
bool goodbye_wants_client(const struct session *s);
/* The mail server has closed its side. */
void goodbye_server_gone(struct session *s);
/* The time that was set is over. */
void goodbye_timeout(struct session *s);

/* phases.c */

/* The ways back that session.c offers to lower phases; a worker's env has them. */
struct session_phases {
    void (*timeout)(struct session *s);
    void (*next_command)(struct session *s);
    void (*judge_again)(struct session *s);
    void (*refuse_proved)(struct session *s);
};
extern const struct session_phases session_phases;
