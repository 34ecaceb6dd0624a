/* SPDX-License-Identifier: ISC */
/* Parts of lists. */
#include "rpc/page.h"

#include "rpc/json_text.h"

int page_init(struct page *p, struct request *r, size_t usual, size_t most)
{
    struct filter *filter;
    int err = request_filter_rows(r, NULL, &filter);
    if (err < 0)
        return err;
    uint64_t limit = request_number(r, "limit", usual);
    bool is_counted = request_has(r, "offset") && !request_has(r, "cursor");
    *p = (struct page){.filter = filter,
                       .is_counted = is_counted,
                       .offset = is_counted ? (size_t)request_number(r, "offset", 0) : 0,
                       .limit = limit == 0 || limit > most ? most : (size_t)limit};
    return 0;
}

void page_fini(struct page *p)
{
    filter_unref(p->filter);
    p->filter = NULL;
}

bool page_match(struct page *p, const json_t *row)
{
    p->seen++;
    if (p->filter && (!row || !filter_match(p->filter, command_row_get, row)))
        return false;
    p->matched++;
    return true;
}

int page_begin(struct buf *out)
{
    return buf_append_str(out, STR("{\"rows\":["));
}

int page_end(const struct page *p, struct buf *out, const char *cursor)
{
    int err = buf_printf(out, "],\"more\":%s,\"seen\":%zu,\"matched\":%zu",
                         cursor ? "true" : "false", p->seen, p->matched);
    if (err == 0 && cursor)
        err = json_text_key(out, "cursor", false);
    if (err == 0 && cursor)
        err = json_text_string(out, str_of(cursor));
    return err == 0 ? buf_append_char(out, '}') : err;
}

void page_answer(const struct page *p, struct request *r, json_t *rows, const char *cursor)
{
    json_t *answer = json_pack("{s:o, s:b, s:I, s:I}", "rows", rows, "more", cursor != NULL, "seen",
                               (json_int_t)p->seen, "matched", (json_int_t)p->matched);
    if (answer && cursor)
        request_set_text(answer, "cursor", cursor);
    request_answer(r, answer);
}
