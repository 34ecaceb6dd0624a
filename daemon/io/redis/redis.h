/* SPDX-License-Identifier: ISC */
/* Asynchronous client of Redis or Valkey on a loop: one connection that comes back by itself,
 * commands with a time-out of their own, scripts, Sentinel, a breaker. Knows nothing of mail. */
#pragma once

#include <hiredis/hiredis.h>
#include <stdbool.h>
#include <stdint.h>

#include "io/loop.h"
#include "io/resolver.h"
#include "io/tls/tls.h"

struct redis_client;
struct redis_call;

/* Everything is copied but what is said to be borrowed. */
struct redis_spec {
    const char *const *servers; /* "host:port", "[::1]:6379", "unix:/path"; a missing port is 6379,
                                   of a Sentinel 26379 */
    size_t n_servers;           /* 1 at least */
    const char *sentinel; /* NULL: the servers are Redis itself, and the first that answers and is a
                             primary is taken; else they are Sentinels, asked for the primary of
                             this name */
    const char *user, *password; /* AUTH; NULL = none. Wiped when the client goes. Sentinels are
                                    told them when they ask only */
    struct tls_client *tls;      /* NULL = clear; a reference is taken */
    const char *tls_name;        /* to verify; NULL = the host */
    struct resolver *resolver;   /* borrowed, outlives the client; NULL: servers are addresses */
    unsigned database;
    uint64_t timeout_ms;    /* of a call; 0 = 50 */
    uint64_t connect_ms;    /* of a connection with all that is said before it is used; 0 = 1 s */
    size_t max_reply_bytes; /* memory of one reply; more breaks the connection. 0 = 64 KiB */
    size_t max_calls;       /* that were sent and have no reply; 0 = 10,000 */
    /* The client is usable from now on, or not; in a turn of its own. May be NULL. */
    void (*changed)(void *arg, bool is_up);
    void *arg;
};

/* A server as the specification writes it; slices of the text. */
struct redis_server {
    struct str unix_path; /* n 0 = TCP */
    struct str host;      /* name or address, without brackets */
    uint16_t port;
};

/* 0, or -ERR_SYNTAX with the end of a sentence that begins with the text in *ret_why (static).
 * Thread: any. */
int redis_server_parse(struct str text, uint16_t usual_port, struct redis_server *ret,
                       const char **ret_why) NODISCARD;

/* Borrowed during the callback. */
struct redis_result {
    int err; /* 0; -ERR_TIMEOUT; -ERR_CLOSED: the connection broke, or was given up; -ERR_REFUSED:
                an error reply, whose words `error` has; -ERR_NOMEM. With any but -ERR_REFUSED the
                server may have run the command, or may run it yet. */
    const char *error; /* NULL without an error; the words of a server are not to be trusted */
    const struct redisReply *reply; /* NULL with an error */
};
typedef void redis_fn(void *arg, const struct redis_result *r);

/* Makes a client, which connects by itself, again and again (at first at once, then with pauses of
 * a second at most). 0, -ERR_NOMEM, -ERR_SYNTAX (a server), -ERR_INVAL (none). Thread of everything
 * here: the loop's. */
int redis_client_new(struct loop *l, const struct redis_spec *spec,
                     struct redis_client **ret) NODISCARD;
/* Another specification from now on (resolver, limits of calls and callback stay): connects anew,
 * and what was asked before ends with -ERR_CLOSED. Errors as of redis_client_new: then nothing has
 * changed. */
int redis_client_configure(struct redis_client *c, const struct redis_spec *spec) NODISCARD;
/* Pending calls end without callback. Allowed in callbacks; NULL is fine. */
void redis_client_free(struct redis_client *c);
/* Connected to a primary, and not given up: the breaker is closed. Three calls in a row without an
 * answer in time, or a broken connection, open it: calls fail at once until a new connection has
 * run an empty script. The connection itself is replaced then, so that a reply that comes too late
 * is nobody's; one that is late without that is dropped when it comes. */
bool redis_is_up(const struct redis_client *c);

/* Sends one command at the end of this turn, with the others of the turn. words are copied. cb runs
 * once on the loop, never within this call; NULL: nobody waits for the reply. timeout_ms 0 = the
 * specification's. *ret (may be NULL): valid until cb ran.
 * -ERR_UNREACHABLE: it is down; -ERR_BUSY: too much is pending; -ERR_NOMEM: cb will not run. */
int redis_call(struct redis_client *c, const struct str *words, size_t n_words, uint64_t timeout_ms,
               redis_fn *cb, void *arg, struct redis_call **ret) NODISCARD;
/* Sends what this turn has so far, for who ends before the turn does. */
void redis_flush(struct redis_client *c);
/* cb will not run; the reply is read and dropped. Only before cb ran; NULL is fine. */
void redis_cancel(struct redis_call *call);

/* A Lua script; static storage. */
struct redis_script {
    const char *text;
    char sha[41]; /* of redis_script_init; "" = the text is sent each time */
};
/* Computes the hash, once, before other threads use the script. */
void redis_script_init(struct redis_script *s);
/* Runs a script: EVALSHA, and EVAL once when the server does not know it, within the same time-out;
 * that one is run after what was sent meanwhile. words: n_keys keys, then arguments; copied. All
 * else as of redis_call. */
int redis_eval(struct redis_client *c, const struct redis_script *s, const struct str *words,
               size_t n_words, size_t n_keys, uint64_t timeout_ms, redis_fn *cb, void *arg,
               struct redis_call **ret) NODISCARD;

#define REDIS_WHY_MAX 384

struct redis_facts {
    bool is_up;
    bool is_open;            /* the breaker: it was up and was given up since */
    char server[128];        /* that is used, or was tried last; "" = none */
    char why[REDIS_WHY_MAX]; /* it is down, or a call failed last; "" = never */
    uint64_t why_ms;         /* when that was; monotonic */
    uint64_t up_since_ms;    /* monotonic; 0 = down */
    uint64_t calls, timeouts;
    uint64_t errors;     /* error replies, and calls that the end of a connection ended */
    uint64_t refused;    /* calls that failed at once */
    uint64_t reconnects; /* connections after the first that became usable */
    uint32_t latency_us; /* of the last calls, smoothed */
};
void redis_look(const struct redis_client *c, struct redis_facts *ret);
#define REDIS_WHY_MS 60000
/* facts->why for people: "" when it is up and has been well for REDIS_WHY_MS, lest what is over be
 * taken for what is. now_ms: monotonic. */
const char *redis_why(const struct redis_facts *facts, uint64_t now_ms);
