/* SPDX-License-Identifier: ISC */
/* A configuration of nginx with its includes. Input: files, each after a line "=== NAME"; the first
 * one is /n/nginx.conf. What is imported is a text, the same each time. */
#include "fuzz.h"
#include "tests/unit/nginx/nginx_case.h"

#define OUTPUT_BYTES_MAX (64 << 20)

static int import(struct str files, struct nginx_result *r)
{
    struct nginx_source source = nginx_case_source(&files);
    return nginx_import("/n/nginx.conf", &source, r);
}

/* Every line of the report has a place. */
static void check_report(const struct nginx_result *r)
{
    struct str rest = buf_str(&r->report);
    size_t n = 0;
    while (rest.n > 0 && ++n)
        FUZZ_CHECK(str_cut(&rest, '\n').n > 0);
    FUZZ_CHECK(n >= 1);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct nginx_result r = {0}, again = {0};
    struct str in = str_n(data, size);
    AUTO_BUF files = BUF_INIT;
    if (!str_is_prefix(in, STR(NGINX_CASE_MARK)))
        FUZZ_CHECK(buf_append_c(&files, NGINX_CASE_MARK "/n/nginx.conf\n") == 0);
    FUZZ_CHECK(buf_append_str(&files, in) == 0);
    int err = import(buf_str(&files), &r);
    FUZZ_CHECK(err == 0 || err == -ERR_CONFIG);
    FUZZ_CHECK(r.conf.len < OUTPUT_BYTES_MAX && r.report.len < OUTPUT_BYTES_MAX);
    FUZZ_CHECK((r.error.len > 0) == (err < 0));
    if (err == 0) {
        check_report(&r);
        FUZZ_CHECK(import(buf_str(&files), &again) == 0);
        FUZZ_CHECK(str_eq(buf_str(&r.conf), buf_str(&again.conf)));
        const char *text = buf_cstr(&r.conf);
        FUZZ_CHECK(text && strlen(text) == r.conf.len);
    }
    nginx_result_fini(&r);
    nginx_result_fini(&again);
    return 0;
}
