/* SPDX-License-Identifier: ISC */
/* ManageSieve towards clients. */
#include "fuzz_front.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    fuzz_front(&proto_sieve, str_n(data, size));
    return 0;
}
