/* SPDX-License-Identifier: ISC */
/* Replies of an SMTP server: cut, and taken apart line by line. */
#include "fuzz.h"
#include "proto/smtp/smtp.h"

static void take_apart(const struct smtp_reply *reply)
{
    struct str body = reply->body, text, status;
    size_t lines = 0, last = body.n;
    FUZZ_CHECK(reply->code >= 200 && reply->code <= 599);
    while (smtp_next_text(&body, &text)) {
        lines++;
        FUZZ_CHECK(body.n < last);
        FUZZ_CHECK(text.n == 0 ||
                   (text.p >= reply->body.p && text.p + text.n <= reply->body.p + reply->body.n));
        FUZZ_CHECK(str_index(text, '\n') < 0);
        last = body.n;
        if (smtp_cut_status(&text, reply->code, &status)) {
            AUTO_BUF code = BUF_INIT;
            FUZZ_CHECK((unsigned char)status.p[0] - '0' == (int)reply->code / 100);
            fuzz_note(&code, "%u %.*s", reply->code, STR_ARG(status));
            FUZZ_CHECK(reply->code < 400 || smtp_is_failure_code(buf_str(&code)));
        }
    }
    FUZZ_CHECK(lines > 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct str in = str_n(data, size);
    (void)smtp_is_failure_code(in);
    for (;;) {
        struct smtp_reply reply;
        size_t used = 0;
        int err = smtp_cut_reply(in, &reply, &used);
        FUZZ_CHECK(err == 0 || err == -ERR_AGAIN || err == -ERR_SYNTAX || err == -ERR_TOO_LONG);
        if (err < 0)
            return 0;
        FUZZ_CHECK(used > 0 && used <= in.n && reply.body.n == used);
        take_apart(&reply);
        in = str_n(in.p + used, in.n - used);
    }
}
