/* SPDX-License-Identifier: ISC */
/* HTTP replies of an auth server and the URL of one. Input: a byte of choices (the limit), then
 * bytes. */
#include "fuzz.h"
#include "io/http/http_reply.h"
#include "io/http/http_url.h"

struct exchange {
    size_t max_bytes;
    struct buf first;
};

struct exchange_run {
    struct exchange *x;
    struct http_reply reply;
    struct buf rest;
    int err;
};

static void *begin(void *arg)
{
    struct exchange_run *run = calloc(1, sizeof(*run));
    FUZZ_CHECK(run);
    run->x = arg;
    run->reply.max_bytes = run->x->max_bytes;
    run->err = -ERR_AGAIN;
    return run;
}

static size_t feed(void *object, struct str in)
{
    struct exchange_run *run = object;
    size_t used = 0;
    if (run->err != -ERR_AGAIN && run->err != 0)
        return SPLIT_STOP;
    if (run->err == -ERR_AGAIN)
        run->err = http_reply_feed(&run->reply, in, &used);
    FUZZ_CHECK(used <= in.n);
    FUZZ_CHECK(run->err == 0 || run->err == -ERR_AGAIN || run->err == -ERR_TOO_LONG ||
               run->err == -ERR_PROTOCOL);
    FUZZ_CHECK(run->err != -ERR_AGAIN || used == in.n);
    FUZZ_CHECK(run->reply.head.len <= run->x->max_bytes);
    if (run->err == 0)
        fuzz_note_str(&run->rest, str_skip(in, used));
    return in.n;
}

/* What callers rely on: texts within the head, without line ends and NUL. */
static void check_fields(const struct http_reply *r, struct buf *trace)
{
    struct str head = buf_str(&r->head);
    fuzz_note(trace, "%u %d ", r->status, r->is_kept);
    FUZZ_CHECK(r->status >= 200 && r->status <= 999);
    for (size_t i = 0; i < r->n_headers; i++) {
        const struct http_header *h = &r->headers[i];
        FUZZ_CHECK(h->name.n > 0 && h->name.p >= head.p && h->value.p >= head.p);
        FUZZ_CHECK(h->value.p + h->value.n <= head.p + head.n);
        FUZZ_CHECK(!str_has_crlf_nul(h->name) && !str_has_crlf_nul(h->value));
        fuzz_note_str(trace, h->name);
        fuzz_note_str(trace, STR("="));
        fuzz_note_str(trace, h->value);
        fuzz_note_str(trace, STR(";"));
    }
}

static void end(void *object, void *arg, const char *how)
{
    struct exchange_run *run = object;
    struct exchange *x = arg;
    AUTO_BUF trace = BUF_INIT;
    fuzz_note(&trace, "%d ", run->err);
    if (run->err == 0) {
        check_fields(&run->reply, &trace);
        fuzz_note_str(&trace, buf_str(&run->rest));
    }
    fuzz_compare(&x->first, &trace, how);
    (void)http_reply_end_text(&run->reply);
    http_reply_fini(&run->reply);
    buf_fini(&run->rest);
    free(run);
}

static void read_url(struct str in)
{
    struct http_url u;
    const char *why;
    char *text = str_dup(in);
    FUZZ_CHECK(text);
    if (http_url_parse(text, &u, &why) == 0) {
        FUZZ_CHECK(u.name.n > 0 && u.host.n > 0 && u.port > 0);
        FUZZ_CHECK(!str_has_crlf_nul(u.host) && !str_has_crlf_nul(u.target));
        FUZZ_CHECK(u.unix_path.n < 108);
    }
    free(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct split_ops ops = {begin, feed, end};
    struct str in = str_n(data, size);
    unsigned choice = fuzz_choice(&in);
    struct exchange x = {.max_bytes = choice & 1 ? 60 : 4000};
    read_url(in);
    fuzz_cuttings(&ops, &x, in);
    buf_fini(&x.first);
    return 0;
}
