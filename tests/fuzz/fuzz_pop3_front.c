/* SPDX-License-Identifier: ISC */
/* POP3 towards clients. */
#include "fuzz_front.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    fuzz_front(&proto_pop3, str_n(data, size));
    return 0;
}
