/* SPDX-License-Identifier: ISC */
/* Sends a file in parts: a request line has at most 64 KiB. */
#pragma once

#include "ctl/nodes.h"

/* Bytes of one part, at most; fewer when they take more room as JSON. */
#define TRANSFER_PART_BYTES (40ul * 1024)

/* Reads the file of a->file_arg ("-" = stdin), NUL-terminated, UTF-8. 0 or an exit code. */
int transfer_read(const struct args *a, struct buf *ret, struct problem *problem);
/* How many bytes of s make the next part: it ends behind a line where possible. */
size_t transfer_part(struct str s);
/* Sends the text to one daemon beside these parameters (borrowed); the last answer in *ret_result
 * (owned). */
int transfer_send(struct run_node *node, const struct args *a, const json_t *params,
                  struct str text, json_t **ret_result, struct problem *problem);
