/* SPDX-License-Identifier: ISC */
/* The formats of user files: a parser that goes through a whole text and leaves problems with the
 * reader, and the writers of an export's head, of one user, and of the foot (user_file.h). */
#pragma once

#include "store/user_field.h"

/* Comma-separated values with a line of names first (RFC 4180); what spreadsheets write. */
void user_csv_parse(struct str text, struct user_reader *r);
/* The line of names. Writers: -ERR_NOMEM. */
int user_csv_begin(struct buf *out) NODISCARD;
/* Values with quotes where they are needed. is_first: no user was written before. */
int user_csv_user(const struct store_user *u, bool is_first, struct buf *out) NODISCARD;
/* Lines of Dovecot's passwd-file: user:hash:::::extra fields. */
void user_passwd_parse(struct str text, struct user_reader *r);
/* What the format has no field for is left out. */
int user_passwd_user(const struct store_user *u, bool is_first, struct buf *out) NODISCARD;
/* A list `users` of groups, as in the configuration file; without @include. */
void user_libconfig_parse(struct str text, struct user_reader *r);
/* Opens the list. */
int user_libconfig_begin(struct buf *out) NODISCARD;
/* A group of those members that are set. */
int user_libconfig_user(const struct store_user *u, bool is_first, struct buf *out) NODISCARD;
/* Closes the list. */
int user_libconfig_end(struct buf *out) NODISCARD;
