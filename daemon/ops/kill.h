/* SPDX-License-Identifier: ISC */
/* Ending sessions, whoever wants it (kill, drain, move, lock, kick, disable): those that match are
 * found first, then told to end, then waited for. All functions: control thread. */
#pragma once

#include "ops/breakdown.h"
#include "peers/ask.h"

struct control;

struct kill_found {
    uint64_t id, idle;
};

/* A session whose commands had no answer when it ended. */
struct kill_cut {
    uint64_t id;
    uint32_t n;
    char verb[15]; /* the last one */
    char user[SESSION_OUTCOME_USER_MAX];
};
#define KILL_CUTS_MAX 1000 /* that are named; all are counted */

/* What became of sessions, in one kill or several. Counted: an owner that ends before its kills
 * leaves it to them. */
struct kill_tally {
    unsigned refs;
    unsigned n_running;          /* kills that go on */
    uint64_t told, ended, clean; /* sessions; clean: see session_outcome */
    uint64_t cut;                /* commands */
    struct breakdown *found;     /* by kills that only look; owned, NULL = there were none */
    struct kill_cut *cuts;
    size_t n_cuts, cap_cuts;
};
struct kill_tally *kill_tally_new(void);     /* NULL without memory */
void kill_tally_unref(struct kill_tally *t); /* NULL is fine */
/* Adds what became of others. */
void kill_tally_merge(struct kill_tally *t, const struct kill_tally *from);
/* "12 ended, 11 clean, 1 command cut: FETCH of anna (3-1a2b)"; owned, NULL without memory. */
char *kill_tally_text(const struct kill_tally *t);

struct kill_result {
    int err;                        /* -ERR_x */
    uint64_t matched;               /* that were found */
    const struct kill_tally *tally; /* ended = found when nothing was to be done but look */
    struct str rows; /* objects of JSON with commas between them, id, user, ip of those that ended,
                        cut and verb where commands were cut; the first KILL_ROWS_MAX */
};

struct kill_spec {
    struct filter *filter; /* NULL = all; a reference is taken */
    /* Of those that it finds only these, NULL = all; arg is that of done. */
    bool (*is_wanted)(void *arg, const struct session_row *row);
    bool has_max;
    uint64_t max;        /* with has_max: more than this: -ERR_TOO_MANY before anything is done */
    size_t first_idle;   /* not 0: only this many, the longest idle first */
    bool is_dry;         /* only finds */
    const uint64_t *ids; /* these, without a search; copied; NULL = search */
    size_t n_ids;
    enum reply_kind kind;
    const char *text;         /* words for the clients; copied; NULL = the kind's */
    uint64_t grace_ms;        /* 0 = at once */
    bool has_rows;            /* done wants to know who was hit */
    struct kill_tally *tally; /* a reference is taken; NULL = one of its own */
    /* Once, never within kill_start, when all have been told to end (n of them) or nobody will be.
     * May be NULL. */
    void (*told)(void *arg, int err, uint64_t n);
    /* Once, never within kill_start, when all have ended, at the latest some seconds after the
     * grace. May be NULL: then the tally tells. */
    void (*done)(void *arg, const struct kill_result *r);
    /* Right before done, unless it failed: what was found, in no order; takes over v (free). May be
     * NULL. */
    void (*found)(void *arg, struct kill_found *v, size_t n);
    void *arg;
};
#define KILL_ROWS_MAX 10000 /* of an answer */
#define KILL_GRACE_MS 30000 /* unless the operator says otherwise */

/* -ERR_NOMEM, -ERR_NO_MATCH (ids of no worker): nothing was started. */
int kill_start(struct control *c, const struct kill_spec *spec) NODISCARD;

/* Answers with the outcome of a kill, or with what it would hit; takes over r. */
void kill_answer(struct request *r, const struct kill_result *result);
/* Answers a dry run; what: what becomes of the sessions, "would end". Takes over r. */
void kill_answer_found(struct request *r, const struct kill_tally *t, struct str rows,
                       const char *what);
/* The same of a command that is about something else, of which it would hit count: what: "1 user
 * would be locked; ". Takes over r. */
void kill_answer_about(struct request *r, const char *what, uint64_t count,
                       const struct kill_tally *t, struct str rows);
/* The same for kills that went well. is_changed: something is different now even if nobody was hit.
 */
void kill_answer_changed(struct request *r, const struct kill_tally *t, struct str rows,
                         bool is_changed);
/* For commands that end sessions with their answer: takes over r. */
void kill_for_request(struct request *r, struct kill_spec *spec);
/* How long the sessions of a request get to end well: its arguments grace and now. */
uint64_t kill_grace_ms(const struct request *r);
/* As kill_start with a filter of these terms in the place of spec->filter. -ERR_x. */
int kill_start_terms(struct control *c, const struct kill_spec *spec, const struct filter_is *terms,
                     size_t n) NODISCARD;
/* The terms that find who can be told to end: who logs in at this moment is not disturbed, and told
 * a moment later. */
#define KILL_RELAYED_TERMS 2
extern const struct filter_is kill_relayed[KILL_RELAYED_TERMS];
/* A filter that finds the sessions of one user. -ERR_x. */
int kill_filter_user(const char *user, struct filter **ret) NODISCARD;
/* session kill with a rate: an operation; takes over r. filter NULL = all; borrowed. */
void kill_paced(struct request *r, struct filter *filter);
