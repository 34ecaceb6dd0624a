/* SPDX-License-Identifier: ISC */
/* Users as text: import and export formats (libconfig list, CSV, Dovecot passwd-file). */
#pragma once

#include "store/store.h"

enum user_file_format { USER_FILE_LIBCONFIG, USER_FILE_CSV, USER_FILE_PASSWD };

/* Parses a whole text. All problems are collected as "line N: text\n" in *ret_errors; with any
 * problem -ERR_SYNTAX and nothing is returned. *ret_users: owned array (each store_user_fini, then
 * free). */
int user_file_parse(enum user_file_format f, struct str text, struct store_user **ret_users,
                    size_t *ret_n, struct buf *ret_errors) NODISCARD;
/* Appends the head of an export / one user / the foot. Password hashes are included; clear secrets
 * too (an export is a backup): callers guard it. */
int user_file_begin(enum user_file_format f, struct buf *out) NODISCARD;
int user_file_user(enum user_file_format f, const struct store_user *u, bool is_first,
                   struct buf *out) NODISCARD;
int user_file_end(enum user_file_format f, struct buf *out) NODISCARD;
int user_file_format_find(const char *name, enum user_file_format *ret) NODISCARD;
