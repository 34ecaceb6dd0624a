/* SPDX-License-Identifier: ISC */
/* POP3 towards mail servers. */
#include "fuzz_back.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    fuzz_back(&proto_pop3, str_n(data, size));
    return 0;
}
