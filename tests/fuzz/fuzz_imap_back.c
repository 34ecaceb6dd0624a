/* SPDX-License-Identifier: ISC */
/* IMAP towards mail servers. */
#include "fuzz_back.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    fuzz_back(&proto_imap, str_n(data, size));
    return 0;
}
