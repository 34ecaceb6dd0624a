/* SPDX-License-Identifier: ISC */
/* The follower of relayed POP3. */
#include "fuzz_watch.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    fuzz_watch(&proto_pop3, str_n(data, size));
    return 0;
}
