/* SPDX-License-Identifier: ISC */
/* Private to io/redis: a client, its calls and the one connection that it has. */
#pragma once

#include "io/conn.h"
#include "io/redis/redis.h"
#include "io/redis/redis_reader.h"

#define REDIS_ADDRESSES_MAX 8

enum redis_phase {
    REDIS_RESTING, /* until the next try */
    REDIS_RESOLVING,
    REDIS_CONNECTING,
    REDIS_SECURING,
    REDIS_GREETING, /* who are you, and do you run scripts? */
    REDIS_READY,
};

struct redis_client {
    struct loop *loop;
    struct resolver *resolver;
    struct tls_client *tls; /* NULL = clear */
    char *tls_name, *sentinel, *user, *password;
    char **servers; /* as they were written */
    size_t n_servers;
    unsigned database;
    uint64_t timeout_ms, connect_ms;
    size_t max_reply_bytes, max_calls;
    void (*changed)(void *arg, bool is_up);
    void *arg;

    /* redis_call.c */
    struct list sent; /* struct redis_call, as their replies come */
    struct list due;  /* those of them that somebody waits for, by their deadline */
    size_t n_sent;
    struct buf out;          /* of this turn */
    struct event *due_timer; /* a coarse one is too coarse for 50 ms */
    uint64_t due_timer_us;   /* when it runs; 0 = not set */
    unsigned timeouts_in_row;
    struct loop_deferred flush;
    /* Gives the usable connection up, ends its calls and begins anew: of redis_link.c. */
    void (*give_up)(struct redis_client *c, const char *why);

    /* redis_link.c */
    enum redis_phase phase;
    bool is_at_sentinel;         /* else at what may be the primary */
    bool was_asked_again;        /* the Sentinel, with the password that it wants */
    size_t next_server, n_tried; /* of this round of tries */
    char at_text[128];           /* the server as it is written, or as the Sentinel tells it */
    struct redis_server at;      /* slices of at_text */
    struct resolver_query *query;
    struct addr addrs[REDIS_ADDRESSES_MAX];
    size_t n_addrs, next_addr;
    struct conn conn;
    struct redis_reader reader;
    const struct redis_greeting *greeting; /* whose reply comes next */
    struct event *step_timer;              /* of the phase */
    unsigned n_rests;                      /* since it was up for some time */
    struct loop_deferred tell, end;
    bool was_told_up, was_ever_up, is_dead;
    struct redis_facts facts;
};

struct redis_call {
    struct list link; /* in sent */
    struct list due;  /* alone: nobody waits any more */
    struct redis_client *client;
    redis_fn *cb; /* NULL = nobody to tell */
    void *arg;
    uint64_t sent_us, deadline_us;
    const struct redis_script *script; /* EVALSHA: to send the text when it is unknown; else NULL */
    bool is_probe;                     /* of an idle connection: one without an answer is enough */
    size_t n_words;                    /* of the whole command */
    size_t n_tail;
    char tail[]; /* of a script: keys and arguments as they were sent */
};

/* Runs a timer once after so many microseconds. */
static inline void redis_timer_set(struct event *timer, uint64_t us)
{
    const struct timeval tv = {(time_t)(us / 1000000), (suseconds_t)(us % 1000000)};
    (void)event_add(timer, &tv);
}

/* ---- redis_call.c, below redis_link.c ---- */

/* No call is under way. -ERR_NOMEM. */
int redis_calls_init(struct redis_client *c) NODISCARD;
/* Frees all calls without telling anybody. */
void redis_calls_fini(struct redis_client *c);
/* Appends a command, or a word of one, as it is sent. */
int redis_put_head(struct buf *out, size_t n_words) NODISCARD;
int redis_put_word(struct buf *out, struct str word) NODISCARD;
/* Asks an idle connection whether it is there. */
void redis_call_probe(struct redis_client *c);
/* A whole reply came, owned from now on. -ERR_PROTOCOL: nobody asked. -ERR_CLOSED: it is told, and
 * says that this server is of no use any more. */
int redis_call_replied(struct redis_client *c, struct redisReply *reply) NODISCARD;
/* The connection has ended: ends all calls. */
void redis_calls_end(struct redis_client *c, const char *why);

/* ---- redis_link.c ---- */

/* Begins to connect in a turn of its own. */
int redis_link_init(struct redis_client *c) NODISCARD;
/* Begins anew, as after other servers were named. */
void redis_link_restart(struct redis_client *c, const char *why);
/* Closes it for good. */
void redis_link_fini(struct redis_client *c);
