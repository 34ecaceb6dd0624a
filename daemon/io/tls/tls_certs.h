/* SPDX-License-Identifier: ISC */
/* The certificates of a directory in memory: loaded when a client first asks for their name, a
 * bounded number of them, the longest unused the first to go. All functions: any thread; the lock
 * is held for a look-up only. */
#pragma once

#include "io/tls/tls_directory.h"
#include "io/tls/tls_pair.h"

struct tls_certs;

#define TLS_CERTS_PENDING_MAX                                                                      \
    256                          /* that are wanted or being loaded; others wait for their turn    \
                                  */
#define TLS_CERTS_FRESH_MS 3000  /* one that somebody waits for stays so long before it was used */
#define TLS_CERTS_LOST_MS 5000   /* then a load that nobody answered may be asked for again */
#define TLS_CERTS_RETRY_MS 10000 /* after one that failed for no fault of its files */

/* wanted is called when there is something for tls_certs_next, by whoever picks, without the lock.
 * -ERR_NOMEM. */
int tls_certs_new(void (*wanted)(void *arg), void *arg, struct tls_certs **ret) NODISCARD;
void tls_certs_free(struct tls_certs *c); /* NULL is fine */
/* What is in the directory from now on (taken over; NULL = nothing is), and how many certificates
 * are kept. What is loaded stays, as far as its files are the same. */
void tls_certs_configure(struct tls_certs *c, struct tls_directory *d, size_t max);

/* Who is told when certificates have been loaded: wake is called with arg, once after each pick
 * that had to wait, by whoever loaded them; it must not call back. */
struct tls_waker {
    void (*wake)(void *arg);
    void *arg;
};
#define TLS_CERTS_WAKERS_MAX 256

/* The certificate for the name that a client asks for. 0: *ret is one reference. -ERR_AGAIN: it is
 * being loaded, and w is woken. -ERR_NOT_FOUND: the directory has none, or none that can be used.
 * is_late: who asks waits no longer. A certificate whose files have changed is used until the new
 * one is there, or for as long as that cannot be used. */
int tls_certs_pick(struct tls_certs *c, struct str name, uint64_t now_ms, bool is_late,
                   const struct tls_waker *w, struct tls_pair **ret) NODISCARD;

/* Takes the next certificate to be loaded: the number of its entry. False: there is none. */
bool tls_certs_next(struct tls_certs *c, uint64_t now_ms, uint32_t *ret_number);
/* What came of a load of these files: p (taken over), or err. False: that they cannot be used was
 * known already, by a load that was asked for twice because it took so long. */
bool tls_certs_put(struct tls_certs *c, struct str name, uint64_t version, struct tls_pair *p,
                   int err, uint64_t now_ms);
/* Wakes those that wait. */
void tls_certs_wake(struct tls_certs *c);
/* A key process no longer has the keys of what is loaded: all of it is loaded again when it is
 * asked for. */
void tls_certs_forget(struct tls_certs *c);
/* The same of one that did not sign. */
void tls_certs_forget_one(struct tls_certs *c, const struct tls_pair *p);

struct tls_certs_figures {
    size_t names, loaded, refused, pending;    /* now */
    uint64_t n_loads, n_refusals, n_evictions; /* since the start */
    size_t max;                                /* that are kept */
};
struct tls_certs_figures tls_certs_figures(struct tls_certs *c);

/* One entry of the directory for a listing; name is borrowed for the call. */
struct tls_certs_row {
    struct str name;
    enum tls_certs_state { TLS_CERTS_UNLOADED, TLS_CERTS_LOADED, TLS_CERTS_REFUSED } state;
    int64_t expires; /* Unix seconds; 0 = unknown */
};
/* The entry of a number, the lock being held for this one only. False: there is none. */
bool tls_certs_row(struct tls_certs *c, uint32_t number, char name[TLS_DIRECTORY_NAME_MAX + 1],
                   struct tls_certs_row *ret);
