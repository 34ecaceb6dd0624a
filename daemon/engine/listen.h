/* SPDX-License-Identifier: ISC */
/* Listening sockets: binding them, and telling which configured address a socket belongs to. */
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/err.h"
#include "config/config.h"

/* What a socket is for. */
enum listen_use { LISTEN_MAIL, LISTEN_METRICS, LISTEN_CONTROL };

/* What to bind. Strings are borrowed. */
struct listen_spec {
    enum listen_use use;
    size_t index;        /* of a control socket in the config */
    const char *address; /* "0.0.0.0:143", "[::]:143", "unix:/path" */
    int backlog;
    bool is_v6_only, is_multipath;
    size_t so_rcvbuf, so_sndbuf; /* 0 = the system's */
    unsigned mode;               /* of a UNIX socket; 0 = 0666 */
    const char *owner, *group;   /* of a UNIX socket; NULL = ours */
};

/* A bound, listening, non-blocking, close-on-exec socket. A UNIX socket that nobody answers on is
 * replaced, and nothing else; one that is in use is -ERR_EXISTS. As root only where no other user
 * could have moved the folder: -ERR_PERM. -ERR_x with a sentence naming the address in *ret_error
 * (owned). Blocking, briefly. */
int listen_open(const struct listen_spec *spec, int *ret_fd, char **ret_error) NODISCARD;
/* Is this listening socket bound to the address? */
bool listen_is_at(int fd, const char *address);

/* The file of a UNIX socket, to tell whether it is still the same. */
struct listen_file {
    uint64_t device, inode; /* 0 = none */
};
/* The socket that is now at the place of a UNIX address; none for other addresses. */
void listen_file_of(const char *address, struct listen_file *ret);
/* Removes that file if it is still this one; nothing for other addresses. */
void listen_unlink(const char *address, const struct listen_file *file);

/* Everything that a config listens on: listeners' addresses, the metrics page, control sockets. */
struct listen_list {
    struct listen_spec *v;
    size_t n;
    char **owned; /* addresses made for control sockets */
    size_t n_owned;
};
int listen_list_make(const struct config *c, struct listen_list *ret) NODISCARD;
void listen_list_fini(struct listen_list *l);
