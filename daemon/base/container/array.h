/* SPDX-License-Identifier: ISC */
/* Arrays that grow as elements come. */
#pragma once

#include <stdbool.h>
#include <stdlib.h>

#define ARRAY_CAP_MIN 16 /* elements */

/* Room for one more element, v[n], in an array that has room for cap: v and cap change where it
 * grows, to the double. False without memory: all is as it was. */
#define ARRAY_ROOM(v, n, cap)                                                                      \
    ({                                                                                             \
        bool has_room_ = (n) < (cap);                                                              \
        if (!has_room_) {                                                                          \
            size_t cap_ = (cap) > 0 ? 2 * (cap) : ARRAY_CAP_MIN;                                   \
            __typeof__(v) v_ = realloc((v), cap_ * sizeof(*v_));                                   \
            if (v_) {                                                                              \
                (v) = v_;                                                                          \
                (cap) = cap_;                                                                      \
                has_room_ = true;                                                                  \
            }                                                                                      \
        }                                                                                          \
        has_room_;                                                                                 \
    })
