/* SPDX-License-Identifier: ISC */
/* SMTP towards mail servers. */
#include "fuzz_back.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    fuzz_back(&proto_smtp, str_n(data, size));
    return 0;
}
