/* SPDX-License-Identifier: ISC */
/* Sessions of one worker: a client, its login, its mail server and the relay between them. */
#pragma once

#include "auth/auth.h"
#include "backend/pool.h"
#include "backend/warm.h"
#include "base/container/free_list.h"
#include "base/container/safe_iter.h"
#include "base/container/table.h"
#include "base/log/log_quota.h"
#include "fleet/pins/pins.h"
#include "io/loop.h"
#include "io/resolver_set.h"
#include "session/counters.h"
#include "session/snapshot.h"

struct session;
struct capabilities;
struct session_phases;

enum session_state {
#define S(id, name, timeout, next) SESSION_##id,
#include "session/states.def"
#undef S
    SESSION_STATE_COUNT
};

/* Why a session is over. */
enum session_end {
#define X(id, name, who) SESSION_END_##id,
#include "session/ends.def"
#undef X
    SESSION_END_COUNT
};

/* As states.def has it; static. */
const char *session_state_name(enum session_state s);
/* As ends.def has it; static. */
const char *session_end_name(enum session_end e);
/* "client", "backend", "proxy", "operator", "both". */
const char *session_end_who(enum session_end e);

/* What happened to a session, for whoever owns the worker. */
enum session_note { SESSION_NOTE_LOGIN, SESSION_NOTE_FAILURE, SESSION_NOTE_END };

/* What limits and bans say to a session. */
struct session_verdict {
    bool is_refused;
    bool is_counted;               /* to be released in the end, by the hooks */
    enum reply_kind kind;          /* of a refusal */
    uint64_t delay_ms;             /* before a failed login is answered */
    char text[REPLY_TEXT_MAX + 1]; /* words for the client, "" = those of the kind */
};

/* The worker's owner as sessions see it. Any function may be NULL. Thread: the worker's; nothing
 * may block. */
struct session_hooks {
    /* reason: end or reply name, static. detail: words for operators, or empty. */
    void (*note)(void *arg, enum session_note note, const struct session *s, const char *reason,
                 struct str detail);
    /* May this user log in now? */
    void (*admit)(void *arg, const struct session *s, struct session_verdict *ret);
    /* The same for a client whose address came in a PROXY header. */
    void (*admit_client)(void *arg, const struct session *s, struct session_verdict *ret);
    /* Most sessions of this user, 0 = no limit; where a fleet counts them. */
    unsigned (*max_user_sessions)(void *arg, const struct session *s);
    /* Wrong credentials; credentials: their keyed hash, 0 = unknown. The verdict says when to
     * answer, and whether that is the last word. */
    void (*fail)(void *arg, const struct session *s, uint32_t credentials, uint64_t delay_ms,
                 struct session_verdict *ret);
    /* What was counted for a verdict counts no more. */
    void (*release_client)(void *arg, const struct session *s);
    void (*release_user)(void *arg, const struct session *s);
    void *arg;
};

/* Everything that the sessions of one worker share. The worker fills it in. */
struct session_env {
    struct loop *loop;
    struct snapshot *snapshot; /* for new sessions; one reference */
    struct auth *auth;
    struct resolver_set *resolvers;
    struct resolver *resolver; /* the first of them: for the names of servers */
    struct warm *warm; /* connections to mail servers that are ready; NULL = none are kept */
    struct pins *pins; /* which backend a user is on in the fleet; NULL = there is no fleet */
    struct backend_registry *registry;
    struct session_hooks hooks;
    const struct session_phases *phases; /* set by session_env_init */
    struct counters *counters;
    unsigned worker;      /* 0.. */
    unsigned start;       /* how often the engine was started before: keeps ids apart */
    uint64_t last_number; /* of the sessions made so far */
    struct list sessions; /* oldest first */
    struct list walks;    /* over them */
    struct list queries, kills;
    struct list sorting; /* of the queries: one after another, so that memory is bounded */
    struct list held;    /* of those before the relay: whose logins wait */
    struct table by_id;
    size_t count;
    struct free_list preauths; /* what sessions need before their relay */
    unsigned round_robin;
    struct capabilities *capabilities; /* learned, by listener */
    struct worker_traces *traces;      /* NULL = none */
    struct holds *holds;               /* users whose logins wait for an operator; NULL = none */
    uint8_t guess_key[16];             /* of the hashes of wrong credentials */
    struct log_quota *log_quota;       /* of lines about clients without a login; NULL = none */
};

/* For a worker's own env whose other fields are set. */
void session_env_init(struct session_env *env);
/* No session may be left, nor anything that is asked of them (session/admin/query.h). */
void session_env_fini(struct session_env *env);

/* Starts a session on an accepted socket, which it owns from now on, as one of snapshot's listener
 * number. is_counted: its address is, and has to be released at its end. 0, or -ERR_x with fd
 * closed. */
int session_start(struct session_env *env, struct snapshot *snapshot, unsigned listener, int fd,
                  const struct addr *peer, bool is_counted) NODISCARD;

/* Ids are shown as "3-1a2b": worker and number in hexadecimal. dst of 32 bytes. */
void session_id_format(char dst[32], uint64_t id);
/* -ERR_SYNTAX. */
int session_id_parse(struct str text, uint64_t *ret) NODISCARD;
/* Worker (0..) of an id. */
unsigned session_id_worker(uint64_t id);
/* Which engine of the daemon, counted from its first, made it: see session_env.start. */
unsigned session_id_start(uint64_t id);

/* NULL when there is none. */
struct session *session_find(const struct session_env *env, uint64_t id);

/* The session of a node of env->sessions. */
struct session *session_of_link(struct list *link);

#define SESSION_OUTCOME_USER_MAX 80

/* How a session ended that was told to. */
struct session_outcome {
    uint64_t id;
    bool is_clean;  /* the goodbye was said, and every command had its answer before */
    uint32_t n_cut; /* commands without an answer */
    char verb[15];  /* the last command, where some were cut */
    char user[SESSION_OUTCOME_USER_MAX]; /* likewise; perhaps shortened */
};

/* Somebody who wants to know. Embed; unlink to lose interest. */
struct session_end_watch {
    struct list link;
    /* Once; w is unlinked. The session must not be touched. */
    void (*ended)(struct session_end_watch *w, const struct session_outcome *o);
};

/* Ends a session: no new command of the client is read, those that have begun are answered, then
 * come the words of kind (or text). After grace_ms they come at the next response boundary; 0 = it
 * ends at once, without words. Told again, the shorter time counts. watch may be NULL. False: it
 * was over already, and watch will hear nothing. */
bool session_kill(struct session *s, enum reply_kind kind, const char *text, uint64_t grace_ms,
                  struct session_end_watch *watch);
/* Ends a session at once, whatever it is about, also one that waits for its client to read the last
 * words: its worker stops. Thread: its worker. */
void session_cut(struct session *s);
/* What is known of a user has changed: a login that was judged before is judged again before it
 * goes on. */
void session_judge_anew(struct session_env *env, const char *user);
/* Logins that are held try again: all, or those of one user. */
void session_wake_held(struct session_env *env, const char *user);
/* Facts for hooks. */
uint64_t session_id(const struct session *s);
const char *session_user(const struct session *s); /* NULL before authentication */
/* The name that is being judged, as the client wrote it; empty when there is none. */
struct str session_claimed_user(const struct session *s);
const char *session_backend(const struct session *s); /* NULL before a choice */
const char *session_judge(const struct session *s);   /* who judged the last try; static, NULL */
unsigned session_provider(const struct session *s);   /* index of the last provider asked */
const char *session_listener(const struct session *s);
const struct addr *session_peer(const struct session *s);
/* Bytes from and to the client, and the time since it was accepted. */
void session_figures(const struct session *s, uint64_t *ret_in, uint64_t *ret_out,
                     uint64_t *ret_age_ms);
unsigned session_max_sessions(const struct session *s); /* of the user's entry, 0 = as configured */
/* Do limits count its client? */
bool session_is_client_counted(const struct session *s);
enum proto_id session_proto(const struct session *s);
/* Of the snapshot that it began under. */
uint64_t session_generation(const struct session *s);
