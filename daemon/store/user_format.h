/* SPDX-License-Identifier: ISC */
/* The formats of user files: a parser that goes through a whole text and leaves problems with the
 * reader, and the writers of an export's head, of one user, and of the foot (user_file.h). */
#pragma once

#include "store/user_field.h"

void user_csv_parse(struct str text, struct user_reader *r);
int user_csv_begin(struct buf *out) NODISCARD;
int user_csv_user(const struct store_user *u, bool is_first, struct buf *out) NODISCARD;
void user_passwd_parse(struct str text, struct user_reader *r);
int user_passwd_user(const struct store_user *u, bool is_first, struct buf *out) NODISCARD;
void user_libconfig_parse(struct str text, struct user_reader *r);
int user_libconfig_begin(struct buf *out) NODISCARD;
int user_libconfig_user(const struct store_user *u, bool is_first, struct buf *out) NODISCARD;
int user_libconfig_end(struct buf *out) NODISCARD;
