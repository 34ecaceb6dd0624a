/* SPDX-License-Identifier: ISC */
/* The text that one supervisor hands to the next: what is accepted is written as it was read. */
#include "fuzz.h"
#include "supervisor/takeover.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct takeover t, again;
    AUTO_BUF text = BUF_INIT;
    AUTO_BUF same = BUF_INIT;
    if (takeover_parse(str_n(data, size), &t) < 0)
        return 0;
    FUZZ_CHECK(t.now.pid > 0 && t.n_olds <= OLD_ENGINES_MAX);
    FUZZ_CHECK(takeover_format(&t, &text) == 0);
    FUZZ_CHECK(takeover_parse(buf_str(&text), &again) == 0);
    FUZZ_CHECK(takeover_format(&again, &same) == 0);
    FUZZ_CHECK(str_eq(buf_str(&text), buf_str(&same)));
    takeover_fini(&again);
    takeover_fini(&t);
    return 0;
}
