/* SPDX-License-Identifier: ISC */
/* A content as an engine gets it from the supervisor: the bundle, and descriptors for what it
 * names. */
#pragma once

#include "config/config.h"
#include "engine/wire.h"

/* Descriptors by their places in the configuration. */
struct delivery_fds {
    struct outlet {
        int fd; /* -1 = taken; of a log also -ERR_x */
        uint32_t index;
    } * v;
    size_t n;
};

struct delivery {
    uint64_t number;          /* 0 = it is only to be looked at */
    uint64_t ask;             /* that it answers; 0 = none */
    int err;                  /* -ERR_x: there is no content */
    bool is_kept;             /* of an engine that died */
    char *error;              /* a sentence; may be NULL */
    int bundle;               /* -1 = none */
    size_t n_sockets, n_logs; /* that belong to it */
    size_t n_keys;            /* channels of its key process that are still to come */
    uint64_t keys;            /* key_service_find; 0 = none have come */
    struct delivery_fds sockets, logs;
};

/* Begins with a WIRE_CONTENT; takes the descriptors over, also when it fails. -ERR_PROTOCOL,
 * -ERR_NOMEM. */
int delivery_new(const struct wire_packet *p, const int *fds, size_t n,
                 struct delivery **ret) NODISCARD;
void delivery_free(struct delivery *d); /* NULL is fine */
/* Adds a WIRE_SOCKETS, WIRE_LOG_FILES or WIRE_KEYS. The same. */
int delivery_add(struct delivery *d, const struct wire_packet *p, const int *fds,
                 size_t n) NODISCARD;
bool delivery_is_whole(const struct delivery *d);
/* Waits for a whole delivery, at most some seconds: before there is a loop. */
int delivery_receive(int wire, struct delivery **ret) NODISCARD;

/* The configuration; -ERR_CONFIG with problems. Thread: any. */
int delivery_load(const struct delivery *d, struct config **ret,
                  struct config_problems *ret_problems) NODISCARD;
/* Takes a descriptor out, owned by the caller; -1 = there is none. */
int delivery_take_socket(struct delivery *d, size_t index);

/* Descriptors of a packet with their places in its body from `skip` on; takes them over. */
int delivery_fds_add(struct delivery_fds *to, const struct wire_packet *p, size_t skip,
                     const int *fds, size_t n) NODISCARD;
void delivery_fds_fini(struct delivery_fds *f);
/* Takes out the one of a place; -1 = there is none. */
int delivery_fds_take(struct delivery_fds *f, size_t index);
/* The same of a WIRE_LOG_FILES. What the supervisor could not open is the -ERR_x of that. */
int delivery_logs_add(struct delivery_fds *to, const struct wire_packet *p, const int *fds,
                      size_t n) NODISCARD;
/* -ERR_NOT_FOUND when there is none. */
int delivery_logs_take(struct delivery_fds *f, size_t index);
