/* SPDX-License-Identifier: ISC */
/* Putting the parts of a file together. */
#include "rpc/upload.h"

#define PARTS_MAX (256u * 1024 * 1024)

void upload_clear(struct upload *p)
{
    buf_wipe(&p->text);
    *p = (struct upload){.text = BUF_INIT};
}

bool upload_take(struct request *r, const char *name, struct buf *ret)
{
    struct upload *p = r->client ? r->upload : NULL;
    uint64_t part = request_number(r, "part", 1);
    if (!p) {
        request_fail(r, -ERR_SHUTDOWN, NULL, NULL);
        return false;
    }
    if (part == 1)
        upload_clear(p);
    if (part != p->n + 1 || (part > 1 && p->command != r->command)) {
        request_fail(r, -ERR_BAD_PARAM, NULL, "part %llu does not follow part %llu",
                     (unsigned long long)part, (unsigned long long)p->n);
        return false;
    }
    p->command = r->command;
    const char *data = request_text(r, name);
    int err = p->text.len + strlen(data) > PARTS_MAX ? -ERR_TOO_LONG : buf_append_c(&p->text, data);
    p->n += err == 0;
    if (err < 0) {
        upload_clear(p);
        request_fail(r, err, NULL, NULL);
        return false;
    }
    if (request_bool(r, "more")) {
        r->is_quiet = true;
        request_done(r, 0, false, "part %llu", (unsigned long long)part);
        return false;
    }
    *ret = p->text;
    *p = (struct upload){.text = BUF_INIT};
    return true;
}
