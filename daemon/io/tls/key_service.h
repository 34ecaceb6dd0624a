/* SPDX-License-Identifier: ISC */
/* Signing in another process, which has the private keys: the side of the process without them. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/str.h"

#define KEY_DATA_MAX 16384     /* EdDSA signs a whole message */
#define KEY_SIGNATURE_MAX 2048 /* see TLS_SIGNATURE_MAX */
#define KEY_CHANNELS_MAX 64
/* A signature takes less than 10 ms; a thread that waits longer keeps its sessions waiting. */
#define KEY_SIGN_MS 300
#define KEY_LOAD_MS 1000 /* for a key to be taken over */
/* Keys from this number on are those of a directory, in the order of its listing. */
#define KEY_DIRECTORY_FIRST (UINT32_C(1) << 24)
#define KEY_PAUSE_MS 1000 /* after that nobody asks for so long, then one */

/* One packet each way on a SOCK_SEQPACKET socket. */
struct key_request {
    uint64_t id; /* of the question, told with the answer */
    uint32_t key, algo;
    char data[KEY_DATA_MAX]; /* the rest of the packet */
};
struct key_answer {
    uint64_t id;
    int32_t err; /* 0 or -ERR_x */
    uint32_t reserved;
    unsigned char signature[KEY_SIGNATURE_MAX]; /* the rest of the packet */
};
#define KEY_REQUEST_HEAD offsetof(struct key_request, data)
#define KEY_ANSWER_HEAD offsetof(struct key_answer, signature)

/* Channels to one key process, at least one more than there are threads that sign.
 * Reference-counted; for all threads. */
struct key_service;

/* Makes a set of channels known by its number; a later one of the same number takes its place for
 * those who look for it from then on. Takes the descriptors over, also when it fails. -ERR_NOMEM,
 * -ERR_INVAL. Thread: any. */
int key_service_add(uint64_t id, const int *fds, size_t n) NODISCARD;
/* One reference, or NULL. Thread: any. */
struct key_service *key_service_find(uint64_t id);
void key_service_unref(struct key_service *s); /* NULL is fine */
/* Hands a key (PKCS #8 in DER) to a key process, by a channel that key_server_run takes keys from:
 * it is key `number` from then on. Waits KEY_LOAD_MS at most. -ERR_TIMEOUT, -ERR_CLOSED,
 * -ERR_TOO_LONG, or what it said. Thread: the only one that uses the channel. */
int key_channel_load(int fd, uint32_t number, struct str der) NODISCARD;
/* A signature of data by a key. *ret_n: in the room of out, out its bytes. Waits KEY_SIGN_MS at
 * most. -ERR_TIMEOUT: the process does not answer, or did not a moment ago; -ERR_CLOSED: it is
 * gone; or what it said. Thread: any. */
int key_service_sign(struct key_service *s, uint32_t key, uint32_t algo, struct str data,
                     unsigned char *out, size_t *ret_n) NODISCARD;
/* Waits until the process answers: one that was just started takes a moment, in which no handshake
 * would succeed. -ERR_TIMEOUT, -ERR_CLOSED, -ERR_BUSY. Thread: any that may block. */
int key_service_await(struct key_service *s, uint64_t limit_ms) NODISCARD;
