/* SPDX-License-Identifier: ISC */
/* Contents of files by their names: read once, then the same for everybody who asks, also in a
 * process that may not open the files. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/str.h"

#define FILES_BYTES_MAX (16 << 20) /* a larger file is refused: ERR_TOO_LONG */

/* Reference-counted. Open, it belongs to one thread; closed, it is immutable and for all threads.
 */
struct files;

/* Tells whether the file at a path is still the one that was read, as it was: a file that is
 * renamed into its place, a link that leads elsewhere, and each write change it. */
struct file_stamp {
    uint64_t device, inode, bytes, written_ns, changed_ns; /* all 0 = there is no file */
};
/* Of what is at the path now; links are followed. Blocking, but opens nothing. */
void file_stamp_of(const char *path, struct file_stamp *ret);
bool file_stamp_eq(const struct file_stamp *a, const struct file_stamp *b);

/* An empty, open one. -ERR_NOMEM. */
int files_new(struct files **ret) NODISCARD;
struct files *files_ref(struct files *f);
/* The contents are overwritten before their memory is freed. NULL is fine. */
void files_unref(struct files *f);

/* The content of a file. As long as f is open a file that is not there yet is read from the disk:
 * only a regular one, so that nothing waits for a FIFO. *ret is borrowed from f, and the byte after
 * its end is a NUL. 0 or -ERR_x, errno tells more; -ERR_NOT_FOUND with a closed one that does not
 * have it. Blocking while open. */
int files_read(struct files *f, const char *path, struct str *ret) NODISCARD;
/* Puts a copy of a content there. -ERR_NOMEM; -ERR_EXISTS: there is one of that name. */
int files_put(struct files *f, struct str path, struct str content) NODISCARD;
/* The same with the stamp that the content had when it was read. */
int files_put_stamped(struct files *f, struct str path, struct str content,
                      const struct file_stamp *stamp) NODISCARD;
/* The stamp that a file had when its content was read; zeros for one that was not read or was put
 * there. */
void files_stamp(const struct files *f, const char *path, struct file_stamp *ret);
/* From now on nothing is read from the disk. */
void files_close(struct files *f);
/* Iterates in any order: start with *pos = 0; false at the end. */
bool files_next(const struct files *f, size_t *pos, struct str *ret_path, struct str *ret_content);
