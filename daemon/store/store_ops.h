/* SPDX-License-Identifier: ISC */
/* What a kind of store has to offer: one table of functions, with the meanings of store.h. */
#pragma once

#include "store/store_sync.h"

/* Every store object begins with this. */
struct store {
    const struct store_ops *ops;
};

struct store_ops {
    const char *type; /* store_spec.type */
    int (*open)(const struct store_spec *spec, struct store **ret, char **ret_error);
    void (*close)(struct store *s);
    int (*check)(struct store *s, char **ret_error);

    int (*user_get)(struct store *s, const char *name, struct store_user *ret);
    int (*user_put)(struct store *s, const struct store_user *u, enum store_write how,
                    uint64_t now_ms);
    int (*user_remove)(struct store *s, const char *name);
    int (*user_each)(struct store *s, const char *after, size_t limit,
                     bool (*fn)(void *arg, const struct store_user *u), void *arg);
    int (*user_count)(struct store *s, uint64_t *ret);
    int (*name_each)(struct store *s, bool (*fn)(void *arg, const char *name), void *arg);
    int (*has_names)(struct store *s, bool *ret);
    int (*user_import)(struct store *s, const struct store_user *users, size_t n,
                       enum store_write how, uint64_t now_ms,
                       bool (*progress)(void *arg, size_t done), void *arg, size_t *ret_added,
                       size_t *ret_changed);
    int (*user_logins)(struct store *s, const struct store_login *v, size_t n);

    int (*runtime_put)(struct store *s, const char *kind, const char *name, const char *json,
                       uint64_t now_ms);
    int (*runtime_remove)(struct store *s, const char *kind, const char *name);
    int (*runtime_each)(struct store *s,
                        bool (*fn)(void *arg, const char *kind, const char *name, const char *json,
                                   uint64_t at_ms),
                        void *arg);

    int (*audit_add)(struct store *s, const struct store_audit *a);
    int (*audit_each)(struct store *s, uint64_t before_id, size_t limit,
                      bool (*fn)(void *arg, const struct store_audit *a), void *arg);
    int (*audit_expire)(struct store *s, uint64_t at_ms);

    int (*sync_track)(struct store *s);
    uint64_t (*sync_edits)(const struct store *s);
    int (*sync_doubt_all)(struct store *s);
    int (*sync_get)(struct store *s, const char *name, struct store_sync *ret);
    int (*sync_each)(struct store *s, enum store_sync_state state, size_t limit,
                     bool (*fn)(void *arg, const char *name, const struct store_sync *row),
                     void *arg);
    int (*sync_removed)(struct store *s, uint64_t before_ms, size_t limit,
                        bool (*fn)(void *arg, const char *name, const struct store_sync *row),
                        void *arg);
    int (*sync_count)(struct store *s, enum store_sync_state state, uint64_t *ret);
    int (*sync_write)(struct store *s, const struct store_sync_write *v, size_t n);
};

/* The kinds there are, each defined in its own files. */
extern const struct store_ops store_sqlite_ops;
