/* SPDX-License-Identifier: ISC */
/* SMTP towards clients. */
#include "fuzz_front.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    fuzz_front(&proto_smtp, str_n(data, size));
    return 0;
}
