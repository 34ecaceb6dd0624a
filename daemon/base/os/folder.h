/* SPDX-License-Identifier: ISC */
/* The folder of a path, opened so that nobody but root and we ourselves has a say in where it is.
 */
#pragma once

#include <stdbool.h>

#include "base/err.h"

/* Opens the folder in which the last component of a path stands, one component after another: a
 * symbolic link on the way is followed only if it belongs to root or to us. *ret_fd (O_PATH, owned)
 * is for openat and the like; *ret_name points to the last component within path. *ret_is_fixed
 * (may be NULL): no other user could put another folder in the place of this one or of one above
 * it; the folder itself may be anybody's. 0 or -ERR_x: -ERR_SYMLINK for a link that is not
 * followed, -ERR_INVAL for a path that ends in no name. */
int folder_open(const char *path, int *ret_fd, const char **ret_name, bool *ret_is_fixed) NODISCARD;
