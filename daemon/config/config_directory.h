/* SPDX-License-Identifier: ISC */
/* tls.directory: its listing stands among the contents of the files, under the folder's path. */
#pragma once

#include "config/config.h"
#include "io/tls/tls_directory.h"

/* The listing of a folder, or the content of a path that is none. As long as `files` is open and
 * does not have it the folder is looked at; report (NULL = nobody) hears what was left out then.
 * *ret is borrowed from files. 0 or -ERR_x, errno tells more. Blocking while open. */
int config_directory_read(struct files *files, const char *path,
                          const struct tls_directory_report *report, struct str *ret) NODISCARD;
/* The listing that a config was read with, empty without tls.directory; borrowed from c. */
struct str config_directory(const struct config *c);
/* Can the first `most` certificates of the directory be used? Adds a warning for each that cannot.
 * How many there are. Blocking: reads the files. */
size_t config_directory_try(const struct config *c, size_t most, struct config_problems *problems);
