/* SPDX-License-Identifier: ISC */
/* The follower of relayed IMAP. */
#include "fuzz_watch.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    fuzz_watch(&proto_imap, str_n(data, size));
    return 0;
}
