/* SPDX-License-Identifier: ISC */
/* Passwords that were proved a moment ago: when all cached answers are forgotten, after a reload or
 * a move, the hashes need not be made again. What is remembered is that a hash and a password
 * belong together, which nothing ever changes. */
#pragma once

#include <stdint.h>

#include "base/str.h"

/* As password_verify; a right password is remembered for life_ms, 0 = not at all. Blocking. Thread:
 * any. */
int proof_verify(const char *hash, struct str password, uint64_t life_ms) NODISCARD;
