/* SPDX-License-Identifier: ISC */
/* Durable state behind one vtable: users, runtime edits, operations, audit. All calls may block:
 * job threads, or the control thread at start. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"

struct store;

#define USER_NAME_MAX 255 /* bytes of a login name */
/* Bytes of each other text of a user: lists, and nodes of a fleet, carry all of them. */
#define USER_TEXT_MAX 2048

enum store_user_state { USER_ACTIVE, USER_LOCKED, USER_HELD };

/* One name: its account when it has one here, and what operators said of it, which holds whoever
 * judges its password. All strings owned (store_user_fini), NULL = not set. Times are Unix ms, 0 =
 * none. */
struct store_user {
    char *name; /* the login name, lower-cased by the store's callers (user_name_normalise) */

    /* The account. */
    bool is_stored; /* there is one; else its members are not set */
    char
        *password_hash; /* crypt(3) or {SCHEME}..., NULL = another provider or the backend judges */
    char *scram;        /* SCRAM-SHA-256 keys, RFC 5803 text, NULL */
    char *backend_user; /* name at the backend, NULL = name */
    char *backend_password; /* secret */
    char *master_user;    /* log in at the backend as this master user (backend_password is then the
                             master's) */
    char *plain_password; /* secret: only for CRAM-MD5/APOP when the operator chose to keep it */
    char *note;
    uint64_t created_ms, last_login_ms;

    /* The name. */
    enum store_user_state state;
    char *state_text; /* words for the client, who proved to be the user */
    uint64_t state_until_ms;
    char *pool, *backend;  /* pin */
    unsigned protocols;    /* bits 1 << PROTO_x, 0 = all */
    unsigned max_sessions; /* 0 = the configured limit */

    uint64_t changed_ms; /* either of both */
};

/* Frees and wipes what u owns; NULL is fine. */
void store_user_fini(struct store_user *u);
/* Deep copy; dst is overwritten. -ERR_NOMEM. */
int store_user_copy(struct store_user *dst, const struct store_user *src) NODISCARD;

/* Do operators say anything of the name: a state, a pin, protocols, a limit? */
bool store_user_has_rules(const struct store_user *u);
/* Can the store judge a password of the user? */
bool store_user_has_password(const struct store_user *u);
/* Is this the user's state now? One that has ended is USER_ACTIVE. */
bool store_user_is(const struct store_user *u, enum store_user_state state, uint64_t now_ms);
/* Is one of its texts longer than USER_TEXT_MAX? */
bool store_user_is_too_long(const struct store_user *u);
/* "active", "locked", "held". */
const char *store_user_state_name(enum store_user_state s);
int store_user_state_find(struct str name, enum store_user_state *ret) NODISCARD;
/* Allowed protocols as "imap,pop3"; nothing for all. */
int store_protocols_format(unsigned mask, struct buf *out) NODISCARD;
/* -ERR_NOT_FOUND with the unknown name in *ret_unknown (may be NULL). */
int store_protocols_parse(struct str text, unsigned *ret_mask, struct str *ret_unknown) NODISCARD;

/* Checks a login name: 1..255 bytes UTF-8, no control bytes, no blanks at the ends; ASCII letters
 * are lower-cased into dst (USER_NAME_MAX + 1 bytes). -ERR_SYNTAX. */
int user_name_normalise(struct str name, char dst[256]) NODISCARD;

struct store_spec {
    const char *type; /* "sqlite" */
    const char *path;
};

enum store_write { STORE_ADD, STORE_REPLACE, STORE_UPSERT };

/* Opens: creates with schema, migrates older schemas in a transaction, checks integrity (a broken
 * or foreign file is -ERR_STORE_CORRUPT with a sentence and is left untouched), refuses a newer
 * schema. *ret_error owned. Thread-safe object: readers in parallel, one writer. */
int store_open(const struct store_spec *spec, struct store **ret, char **ret_error) NODISCARD;
void store_close(struct store *s);
/* Can changes be written, as far as one knows without writing? -ERR_STORE_GONE: its files were
 * removed or replaced; -ERR_STORE_READONLY. What it had is served on in both cases. *ret_error: a
 * sentence that names the file (owned), NULL with 0. */
int store_check(struct store *s, char **ret_error) NODISCARD;

/* -ERR_NO_USER when there is neither an account nor a word of operators. */
int store_user_get(struct store *s, const char *name, struct store_user *ret) NODISCARD;
/* Writes the account (of one that is_stored) and what is said of the name, together. STORE_ADD:
 * -ERR_EXISTS; STORE_REPLACE: -ERR_NO_USER; both look at the account, for a name without one at
 * what is said of it. An account is never taken away by it. changed_ms/created_ms are set here from
 * now_ms. -ERR_TOO_LONG: see store_user_is_too_long. */
int store_user_put(struct store *s, const struct store_user *u, enum store_write how,
                   uint64_t now_ms) NODISCARD;
/* Takes the account away, and all that is said of the name. */
int store_user_remove(struct store *s, const char *name) NODISCARD;
/* Names with an account or a word of operators, with name > after (NULL = from the start) in name
 * order, at most limit; fn returns false to stop early. */
int store_user_each(struct store *s, const char *after, size_t limit,
                    bool (*fn)(void *arg, const struct store_user *u), void *arg) NODISCARD;
/* Accounts. */
int store_user_count(struct store *s, uint64_t *ret) NODISCARD;
/* The names of store_user_each alone, in their order. */
int store_name_each(struct store *s, bool (*fn)(void *arg, const char *name), void *arg) NODISCARD;
/* Is anything said of any name? */
int store_has_names(struct store *s, bool *ret) NODISCARD;
/* Many users in one transaction: all or nothing. ret_added/ret_changed count those that were not so
 * already. progress (may be
 * NULL) is called now and then and returns false to cancel (-ERR_CANCELLED, nothing written). */
int store_user_import(struct store *s, const struct store_user *users, size_t n,
                      enum store_write how, uint64_t now_ms,
                      bool (*progress)(void *arg, size_t done), void *arg, size_t *ret_added,
                      size_t *ret_changed) NODISCARD;
/* Last logins of many users in one transaction (batched by the caller). Unknown users are ignored.
 */
struct store_login {
    const char *name;
    uint64_t at_ms;
};
int store_user_logins(struct store *s, const struct store_login *v, size_t n) NODISCARD;

/* Runtime layer: values (JSON text) under a kind and name, e.g. ("backend", "main/b1"). */
int store_runtime_put(struct store *s, const char *kind, const char *name, const char *json,
                      uint64_t now_ms) NODISCARD;
int store_runtime_remove(struct store *s, const char *kind, const char *name) NODISCARD;
/* As it is from now on: puts it, or removes it (NULL), which is fine where there is none. */
int store_runtime_set(struct store *s, const char *kind, const char *name,
                      const char *json) NODISCARD;
int store_runtime_each(struct store *s,
                       bool (*fn)(void *arg, const char *kind, const char *name, const char *json,
                                  uint64_t at_ms),
                       void *arg) NODISCARD;

/* Audit: append-only. */
struct store_audit {
    uint64_t id, at_ms;
    uint32_t uid, pid;
    const char *user, *command, *args, *reason, *result; /* borrowed */
    uint64_t count;
};
int store_audit_add(struct store *s, const struct store_audit *a) NODISCARD;
/* Newest first, older than before_id (0 = newest). */
int store_audit_each(struct store *s, uint64_t before_id, size_t limit,
                     bool (*fn)(void *arg, const struct store_audit *a), void *arg) NODISCARD;
/* Deletes rows older than at_ms, the oldest first, 1,000 at most: the rest goes with the next ones.
 */
int store_audit_expire(struct store *s, uint64_t at_ms) NODISCARD;
