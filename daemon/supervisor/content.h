/* SPDX-License-Identifier: ISC */
/* A content: what a configuration file and all files that it names said at one moment, in memory
 * that nobody can change any more. */
#pragma once

#include "supervisor/key_process.h"
#include "supervisor/plan.h"

/* Reference-counted, immutable. */
struct content {
    unsigned refs;
    uint64_t number; /* of contents that may be put in force; 0 = none yet */
    int fd;          /* sealed; the bundle */
    struct plan plan;
    struct key_process *keys; /* NULL = the bundle has them */
    bool is_valid;            /* false: the bundle only says what is wrong with the file */
};

/* Channels of its key process that engines get. */
static inline size_t content_channels(const struct content *c)
{
    return c->keys ? c->keys->n - (c->plan.keys.n_loaded > 0) : 0;
}

/* An empty memory for a bundle; *ret_fd is owned, close-on-exec. */
int content_memory(int *ret_fd) NODISCARD;
/* The memories of a content that is being read. */
struct content_memory {
    int bundle, keys; /* -1 = none; keys stays empty without tls.key_process */
};
int content_memory_make(struct content_memory *ret) NODISCARD;
void content_memory_close(struct content_memory *m);
/* Reads and checks a file and writes the bundle, with whatever is wrong. keys: where private keys
 * are written that are not in the bundle, -1 = such a file cannot be used. Blocking: reads files.
 * -ERR_CONFIG: the file cannot be used, the bundle says why; other -ERR_x: there is no bundle.
 * ret_problems NULL = they are only written. */
int content_write(const char *config_path, int fd, int keys,
                  struct config_problems *ret_problems) NODISCARD;
/* Writes the bundle of a content (`from`, a descriptor; from_keys: what its key process has, -1 =
 * none) once more, with the certificates and the like as their files are now: see config_refresh.
 * The rest, also the configuration, is as it was. The same results; blocking. */
int content_refresh(int from, int from_keys, int fd, int keys) NODISCARD;
/* Seals a bundle that was written, and reads the plan; its key process is not started. keys: -1 =
 * none. Takes the descriptors over, also when it fails. */
int content_new(int fd, int keys, struct content **ret) NODISCARD;
/* The same for one that was sealed by the program before, with its key process, which is taken
 * over, too; NULL = none. */
int content_adopt(int fd, struct key_process *keys, struct content **ret) NODISCARD;
struct content *content_ref(struct content *c);
void content_unref(struct content *c); /* NULL is fine */

/* ---- private keys, taken out of what a configuration names, and put back ---- */

/* For a configuration with tls.key_process: *ret_files (owned) is what it names, with places
 * instead of keys (io/tls/tls_key_file.h) and without their passwords; the keys, and the files as
 * they were, are appended to *keys as records of io/tls/key_server.h. What cannot be done is added
 * to *problems: -ERR_CONFIG. -ERR_NOMEM. */
int content_keys_take(const struct config *c, uint64_t service, struct buf *keys,
                      struct files **ret_files, struct config_problems *problems) NODISCARD;
/* The other way: *ret (owned, closed) is `files` with those of `records` as they were. -ERR_SYNTAX,
 * -ERR_NOMEM. */
int content_keys_restore(const struct files *files, struct str records,
                         struct files **ret) NODISCARD;
