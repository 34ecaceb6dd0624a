/* SPDX-License-Identifier: ISC */
/* Inside of authentication: one query on its way through the providers, and what a provider offers.
 * Everything here runs on the worker's thread. */
#pragma once

#include <stdatomic.h>

#include "auth/auth.h"
#include "auth/cache.h"
#include "base/container/free_list.h"
#include "proto/reply.h"

#define QUERY_TEXT_MAX (REPLY_TEXT_MAX + 1)
#define QUERY_REASON_MAX 256

struct auth_provider;

/* A kind of provider. */
struct auth_provider_ops {
    const char *name;        /* auth_result.source */
    const char *cached_name; /* the same for an answer out of the cache */
    unsigned mechanisms;     /* SASL_BIT mask of what it can judge; others are passed on */
    bool is_always_asked;    /* knows something about users whatever the mechanism */
    /* tls: for an auth server, NULL = none needed; it takes a reference. */
    int (*new)(struct auth *a, const struct config_auth *c, struct tls_client *tls,
               struct auth_provider **ret);
    void (*free)(struct auth_provider *p);
    /* Judges: ends, now or later, in exactly one of query_answer and query_pass. */
    void (*check)(struct auth_provider *p, struct auth_query *q);
    /* SCRAM keys: ends in query_keys. NULL = has none. */
    void (*keys)(struct auth_provider *p, struct auth_query *q);
    /* Gives up what it holds for a query that ends (q->work). NULL = nothing. */
    void (*abandon)(struct auth_query *q);
    /* Has somebody else the question already? Then it is completed even when its client left.
     * NULL = never. */
    bool (*is_asked)(const struct auth_query *q);
};

extern const struct auth_provider_ops provider_users_ops, provider_http_ops, provider_backend_ops;

/* Every provider begins with this. */
struct auth_provider {
    const struct auth_provider_ops *ops;
    struct auth *auth;
    const struct config_auth *config; /* lives as long as the provider */
};

/* The providers of one config, in order. Kept by the queries that began with them. */
struct auth_snapshot {
    unsigned refs;
    struct config *config;
    bool has_cache; /* some provider's answers are remembered */
    size_t n;
    struct auth_provider *v[];
};

/* Gives a reference back; of the worker's thread alone. */
void auth_snapshot_unref(struct auth_snapshot *s); /* NULL is fine */

struct auth {
    struct loop *loop;
    struct jobs *jobs;
    struct store *store;
    struct resolver *resolver;
    struct auth_snapshot *snapshot;
    struct cache *cache;
    bool has_names; /* operators said something of some name, or may have */
    struct list queries;
    struct free_list free_queries; /* blocks for the next ones */
    uint64_t generation; /* grows when cached answers are forgotten: older answers stay out */
};

/* The copies behind the pointers of a request. */
struct auth_ask {
    struct auth_request r;
    struct credentials cred;
    struct buf helo, mail_from, rcpt_to;
    struct tls_info *tls; /* NULL = clear */
    struct tls_peer_cert cert;
    char *listener, *client_host;
    char user[256]; /* normalised; "" for SASL_NONE */
};

struct auth_query {
    struct list link;
    atomic_uint refs; /* the worker's and, while one runs, a job's: the last one frees the memory */
    struct auth *auth; /* NULL when the worker is done with it */
    struct auth_snapshot *snapshot;
    size_t at;          /* index of the provider that is asked */
    uint64_t providers; /* bit i: snapshot->v[i] may be asked */
    uint64_t generation;
    struct loop_deferred start;
    struct auth_ask ask; /* does not change: a job may read it */
    struct cache_key key;
    struct auth_result result;
    void *work;              /* the asked provider's */
    struct store_user login; /* what the store has of ask.user, once it is known */
    bool is_login_known;
    struct name_job *name_job; /* of name_rules.c, which looks somebody up; NULL */
    void (*abandon_names)(struct auth_query *q); /* gives that up; NULL = nothing to give up */
    void (*cb)(void *arg, struct auth_result *res);
    void (*keys_cb)(void *arg, int err, const struct sasl_scram_keys *keys);
    void *arg;
    /* Last: their first bytes are all that is zeroed, and there is no secret in them. */
    char text[QUERY_TEXT_MAX], code[32], reason[QUERY_REASON_MAX];
};

/* Asks the first provider from this index on that may judge; ends the query when none does. */
void query_ask(struct auth_query *q, size_t from);
/* Ends the query with q->result as it stands, not remembered. Frees q. */
void query_end(struct auth_query *q);
/* A provider's answer: with AUTH_OK what holds for the name is put on it. source is its name unless
 * it is set. Frees q, now or later. */
void query_answer(struct auth_query *q);
/* The end of an answer that is complete: remembered where that is allowed. Frees q. */
void query_finish(struct auth_query *q);
/* Ends it with a status, a reason for the log and no words for the client. Frees q. */
void query_refuse(struct auth_query *q, enum auth_status status, const char *reason);
/* Not this provider's user or mechanism: asks the next. */
void query_pass(struct auth_query *q);
/* Ends a query for SCRAM keys. Frees q. */
void query_keys(struct auth_query *q, int err, const struct sasl_scram_keys *keys);
/* May its answer be remembered: one that a secret of the client proved, and that may stay the same
 * for a while? */
bool query_is_cacheable(const struct auth_query *q);
/* Is there nobody behind this provider who could judge? */
bool query_is_last(const struct auth_query *q);
/* Makes a query of the worker with a copy of the request (NULL = for keys). NULL without memory. */
struct auth_query *query_new(struct auth *a, const struct auth_request *r);
/* Takes it out of the worker: no provider, list or timer knows it any more. */
void query_detach(struct auth_query *q);
/* Gives a detached query back. */
void query_close(struct auth *a, struct auth_query *q);
/* On whose account a job of this query is (struct job.source). */
uint64_t query_source(const struct auth_query *q);
/* For jobs: hold the memory; release it from any thread. */
struct auth_query *query_ref(struct auth_query *q);
void query_unref(struct auth_query *q);

/* Puts the words for the client into the result. */
void query_say(struct auth_query *q, struct str text);
/* Is the authorisation identity the user's own name (or not given)? */
bool auth_ask_is_own(const struct auth_ask *a);
/* Owned copy; NULL of NULL. False without memory. */
bool auth_copy_text(char **dst, const char *src) NODISCARD;
/* Frees what a result owns. */
void auth_result_fini(struct auth_result *r);
/* Deep copy of an answer with AUTH_OK (no texts). -ERR_NOMEM. */
int auth_result_copy(struct auth_result *dst, const struct auth_result *src) NODISCARD;

/* Is this password the one behind the keys of RFC 5803? 0 or -ERR_AUTH. Blocking. */
int password_scram_verify(const struct sasl_scram_keys *keys, struct str password) NODISCARD;
