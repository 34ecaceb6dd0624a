/* SPDX-License-Identifier: ISC */
/* IMAP towards clients. */
#include "fuzz_front.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    fuzz_front(&proto_imap, str_n(data, size));
    return 0;
}
