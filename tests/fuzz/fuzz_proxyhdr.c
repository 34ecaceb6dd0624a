/* SPDX-License-Identifier: ISC */
/* PROXY headers: every start of one is either not enough or says what the whole says; what was
 * parsed can be built and parsed again. */
#include "fuzz.h"
#include "proto/proxyhdr.h"

static bool is_same(const struct proxyhdr *a, const struct proxyhdr *b)
{
    return a->is_local == b->is_local && addr_eq(&a->src, &b->src) && addr_eq(&a->dst, &b->dst);
}

static void check_prefixes(struct str in, int err, const struct proxyhdr *whole, size_t used)
{
    for (size_t n = 0; n < in.n; n++) {
        char *exact = malloc(n ? n : 1);
        struct proxyhdr h = {0};
        size_t used_now = 0;
        FUZZ_CHECK(exact);
        memcpy(exact, in.p, n);
        int now = proxyhdr_parse(str_n(exact, n), &h, &used_now);
        free(exact);
        if (now == -ERR_AGAIN) {
            FUZZ_CHECK(n < PROXYHDR_MAX);
            FUZZ_CHECK(err != 0 || n < used);
            continue;
        }
        FUZZ_CHECK(now == err);
        FUZZ_CHECK(now != 0 || (used_now == used && is_same(&h, whole)));
    }
}

static void check_round_trip(const struct proxyhdr *h,
                             int (*build)(const struct proxyhdr *h, struct buf *out))
{
    AUTO_BUF out = BUF_INIT;
    struct proxyhdr again = {0};
    size_t used = 0;
    if (build(h, &out) < 0)
        return;
    FUZZ_CHECK(out.len <= PROXYHDR_MAX);
    FUZZ_CHECK(proxyhdr_parse(buf_str(&out), &again, &used) == 0);
    FUZZ_CHECK(used == out.len);
    /* UNIX peers have no address to tell */
    FUZZ_CHECK(again.is_local ? h->is_local || h->src.family == AF_UNIX : is_same(h, &again));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct str in = str_n(data, size < 1024 ? size : 1024);
    struct proxyhdr h = {0};
    size_t used = 0;
    int err = proxyhdr_parse(in, &h, &used);
    FUZZ_CHECK(err != 0 || (used > 0 && used <= in.n && used <= PROXYHDR_MAX));
    FUZZ_CHECK(err == 0 || err == -ERR_AGAIN || err == -ERR_SYNTAX || err == -ERR_TOO_LONG);
    check_prefixes(in, err, &h, used);
    if (err == 0) {
        check_round_trip(&h, proxyhdr_build_v1);
        check_round_trip(&h, proxyhdr_build_v2);
    }
    return 0;
}
