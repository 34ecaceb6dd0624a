/* SPDX-License-Identifier: ISC */
/* Signing for another process: the side that has the private keys and does nothing else. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/str.h"

struct key_server;

/* Kinds of the records (base/record.h) in which keys are handed over. */
enum {
    KEY_SERVER_RECORD = 1, /* PKCS #8 in DER; the first is key 0 */
    KEY_SERVER_FILE = 2, /* path, content: a file that keys or passwords are from; it is skipped */
};

/* Keys of records. -ERR_SYNTAX, -ERR_TLS: one that cannot sign; -ERR_NOMEM. */
int key_server_new(struct str records, struct key_server **ret) NODISCARD;
void key_server_free(struct key_server *s); /* NULL is fine */
/* Answers one packet of n bytes: *ret_n bytes of a struct key_answer into out; 0 = it was no
 * question. Thread: any, several at once. */
size_t key_server_answer(struct key_server *s, const void *packet, size_t n, void *out);
/* Keeps so many keys more, which come while it runs: those of a directory. Before it runs. */
void key_server_take_keys(struct key_server *s, size_t max);
/* Takes a key over from a packet as of a question, whose data is PKCS #8 in DER; the longest
 * unused one goes for it. The same results, without a signature. Thread: any. */
size_t key_server_load(struct key_server *s, const void *packet, size_t n, void *out);
/* Answers on each channel in a thread of its own, until all are closed; where it takes keys these
 * come by the last one, and by no other. begin is called first in each thread. -ERR_x: threads
 * could not be started. */
int key_server_run(struct key_server *s, const int *fds, size_t n, void (*begin)(void)) NODISCARD;
