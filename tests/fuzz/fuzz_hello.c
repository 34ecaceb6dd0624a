/* SPDX-License-Identifier: ISC */
/* The start of what clients of TLS send: each beginning of it either is not enough or says what the
 * whole says, and a name is a text. */
#include "fuzz.h"
#include "io/tls/tls_hello.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char whole[TLS_HELLO_NAME_MAX] = "", name[TLS_HELLO_NAME_MAX];
    struct str in = str_n(data, size < 2048 ? size : 2048);
    int err = tls_hello_name(in, whole);
    FUZZ_CHECK(err == 0 || err == -ERR_AGAIN || err == -ERR_NOT_FOUND);
    FUZZ_CHECK(err != 0 || (whole[0] && memchr(whole, '\0', sizeof(whole))));
    for (size_t n = 0; n < in.n; n++) {
        char *exact = malloc(n ? n : 1);
        FUZZ_CHECK(exact);
        memcpy(exact, in.p, n);
        int now = tls_hello_name(str_n(exact, n), name);
        free(exact);
        FUZZ_CHECK(now == -ERR_AGAIN || now == err);
        FUZZ_CHECK(now != 0 || strcmp(name, whole) == 0);
    }
    return 0;
}
