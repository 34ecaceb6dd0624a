/* SPDX-License-Identifier: ISC */
/* The keys of a pool by their numbers, for who changes pools beside the file: pool_keys.def and
 * check_keys.def, those of the health checks with "check_" before them. Thread: any. */
#pragma once

#include "config/config.h"

enum config_pool_kind { POOL_KEY_TEXT, POOL_KEY_BOOL, POOL_KEY_NUMBER, POOL_KEY_DURATION };

/* How many there are, without the list of backends. */
size_t config_pool_keys(void);
/* "check_interval": the name of an option, a column, a member. Static. */
const char *config_pool_key_name(size_t i);
/* "check.interval": as it stands in the file. Static. */
const char *config_pool_key_path(size_t i);
enum config_pool_kind config_pool_key_kind(size_t i);
/* Can it change while the proxy runs? Not its name, and no file: the engine opens none. */
bool config_pool_key_is_live(size_t i);
/* -ERR_NO_PARAM when there is no such key. */
int config_pool_key_find(const char *name, size_t *ret) NODISCARD;

/* Appends the value as config_pool_set takes it: words without quotes, several with commas, nothing
 * for a text that is not set. */
int config_pool_print(const struct config_pool *p, size_t key, struct buf *out) NODISCARD;
/* Its number (of a duration in milliseconds; 0 and 1 of a truth value); 0 for texts. */
uint64_t config_pool_number(const struct config_pool *p, size_t key);

/* A config (one reference) that is as c, of which it takes a reference, but for its pools, which
 * the caller may write: those of c, and room for n_more behind them. -ERR_NOMEM. */
int config_derive(struct config *c, size_t n_more, struct config **ret) NODISCARD;
/* The config that it was derived from; c itself when it was not. Borrowed. */
const struct config *config_base(const struct config *c);
/* Makes an element of the pools of a derived config: the defaults, or the values of `like`, without
 * backends. The text is copied. -ERR_NOMEM. */
int config_pool_init(struct config *derived, struct config_pool *p, const char *name,
                     const struct config_pool *like) NODISCARD;
/* Sets a key; an empty text unsets it. -ERR_CONFIG with a sentence that begins with the key's name
 * in *ret_error (owned), -ERR_NOMEM. */
int config_pool_set(struct config *derived, struct config_pool *p, size_t key, const char *text,
                    char **ret_error) NODISCARD;
/* What keys have to have in common, as for a file: -ERR_CONFIG with the first fault as a sentence
 * in *ret_error (owned). */
int config_pool_check(const struct config *c, const struct config_pool *p,
                      char **ret_error) NODISCARD;
