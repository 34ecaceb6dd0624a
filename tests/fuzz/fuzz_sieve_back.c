/* SPDX-License-Identifier: ISC */
/* ManageSieve towards mail servers. */
#include "fuzz_back.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    fuzz_back(&proto_sieve, str_n(data, size));
    return 0;
}
