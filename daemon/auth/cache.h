/* SPDX-License-Identifier: ISC */
/* Right answers remembered for a while, so that a client that logs in every few seconds costs no
 * password hash and no request. One cache per worker, on its thread. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "proto/sasl/sasl.h"

struct cache;
struct auth_result;

/* Who asks, and how. Nobody can find out the password from it. */
struct cache_key {
    uint8_t digest[32]; /* keyed hash of the credentials */
    uint64_t context;   /* keyed hash of what else an answer may depend on */
};

/* max_bytes bounds the memory of all entries: the least recently used go first. */
int cache_new(size_t max_bytes, struct cache **ret) NODISCARD;
void cache_free(struct cache *c); /* NULL is fine */

/* context: any bytes that tell apart askers who may get different answers. -ERR_NOMEM. */
int cache_key(struct cache *c, const struct credentials *cred, struct str context,
              struct cache_key *ret) NODISCARD;
/* Remembers a positive answer. The client's own secret is not kept, others are (and wiped).
 * is_judged false: not to be used before cache_judge says that the backend took it. Failure only
 * means that nothing is remembered. */
void cache_put(struct cache *c, const struct cache_key *key, const struct credentials *cred,
               const struct auth_result *r, bool is_judged, uint64_t now_ms, uint64_t ttl_ms);
/* True with a deep copy in *ret (auth_result_fini). */
bool cache_get(struct cache *c, const struct cache_key *key, const struct credentials *cred,
               uint64_t now_ms, struct auth_result *ret);
/* What the backend said about these credentials: wrong ones are forgotten. */
void cache_judge(struct cache *c, const struct credentials *cred, bool is_right);
/* Forgets a user by normalised name, that of the mailbox or that of the login; NULL = everything.
 */
void cache_forget(struct cache *c, const char *user);
size_t cache_count(const struct cache *c);
