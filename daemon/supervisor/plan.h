/* SPDX-License-Identifier: ISC */
/* What a supervisor has to do for a configuration: which folders, sockets and log files it names.
 * Written by the program that read the file, as records of its bundle, so that another version of
 * the program can do it. */
#pragma once

#include "base/buf.h"
#include "base/os/files.h"
#include "config/config.h"
#include "engine/listen.h"

/* A folder of the daemon's own, made when it is not there. */
struct plan_folder {
    char *path;
    char *owner, *group; /* NULL = ours */
};

struct plan_socket {
    struct listen_spec spec; /* its texts point to the ones below */
    char *address, *owner, *group;
};

struct plan_log {
    size_t index; /* in the configuration */
    char *path;
};

struct plan_file {
    char *path;
    struct file_stamp stamp; /* when it was read; zeros = there was none */
};

struct plan {
    uint64_t stop_limit_ms; /* sessions get this long to end */
    struct plan_folder *folders;
    size_t n_folders;
    char *store; /* its file, which one daemon alone may have; NULL = none is named */
    struct plan_socket *sockets; /* in the order of listen_list_make */
    size_t n_sockets;
    struct plan_log *logs;
    size_t n_logs;
    struct plan_keys {
        uint64_t service;  /* key_service_add */
        size_t n_channels; /* 0 = there is no key process */
        size_t n_loaded; /* keys of the directory that it keeps, which come by the last channel; 0 =
                            it has no such channel */
        char *user, *group; /* NULL = ours */
    } keys;
    struct plan_directory {  /* of certificates that engines want one by one */
        char *path;          /* NULL = none */
        char *password_file; /* NULL */
        char *listing;       /* io/tls/tls_directory.h */
        size_t n_bytes;      /* of it */
        size_t n;            /* entries */
        bool is_watched;
    } directory;
    struct plan_file *files; /* that are read again when they change */
    size_t n_files;
    bool is_same;    /* nothing to put in force: the files that changed say what they said before */
    bool is_refused; /* some of those that changed cannot be used */
};

/* Appends the records of a config. -ERR_NOMEM. */
int plan_append(const struct config *c, struct buf *out) NODISCARD;
/* Appends that the keys are in a key process, known to engines by a number. -ERR_NOMEM. */
int plan_append_keys(const struct config *c, uint64_t service, struct buf *out) NODISCARD;
/* Appends the files to watch, as they were when `read` took them from the disk: none where the
 * config wants none watched. -ERR_NOMEM. */
int plan_append_files(const struct config *c, const struct files *read, struct buf *out) NODISCARD;
/* Appends is_same and is_refused, where they are true. -ERR_NOMEM. */
int plan_append_refresh(bool is_same, bool is_refused, struct buf *out) NODISCARD;
/* Reads the records of a bundle; *ret is owned (plan_fini). -ERR_SYNTAX, -ERR_NOMEM. */
int plan_read(struct str bundle, struct plan *ret) NODISCARD;
void plan_fini(struct plan *p);
