/* SPDX-License-Identifier: ISC */
/* Records put together, then the fields of a ClientHello (RFC 8446 sections 5.1 and 4.1.2). */
#include "io/tls/tls_hello.h"

#include <stdint.h>

#include "base/buf.h"

enum {
    RECORD_HANDSHAKE = 22,
    RECORD_HEAD = 5,
    RECORD_BYTES_MAX = 16384,
    HANDSHAKE_HEAD = 4,
    CLIENT_HELLO = 1,
    HELLO_FIXED = 34, /* version and random */
    EXTENSION_SERVER_NAME = 0,
    NAME_HOST = 0
};

static size_t hello_number(struct str s, size_t n)
{
    size_t v = 0;
    for (size_t i = 0; i < n; i++)
        v = v << 8 | (uint8_t)s.p[i];
    return v;
}

/* Takes a field with its length, of n bytes, in front off *in. False: there is none. */
static bool hello_field(struct str *in, size_t n, struct str *ret)
{
    if (in->n < n || in->n - n < hello_number(*in, n))
        return false;
    *ret = str_n(in->p + n, hello_number(*in, n));
    *in = str_skip(*in, n + ret->n);
    return true;
}

/* ---- records ---- */

/* Is the message whole? */
static bool hello_is_whole(struct str m)
{
    return m.n >= HANDSHAKE_HEAD && m.n - HANDSHAKE_HEAD >= hello_number(str_skip(m, 1), 3);
}

/* What the records of the first message carry, as far as they have come; what is behind it, early
 * data for one, is not looked at. -ERR_NOT_FOUND: something else. */
static int hello_join(struct str bytes, struct buf *ret)
{
    while (bytes.n > 0 && !hello_is_whole(buf_str(ret))) {
        if ((uint8_t)bytes.p[0] != RECORD_HANDSHAKE || (bytes.n > 1 && bytes.p[1] != 3))
            return -ERR_NOT_FOUND;
        if (bytes.n < RECORD_HEAD)
            return 0;
        size_t n = hello_number(str_skip(bytes, 3), 2);
        if (n == 0 || n > RECORD_BYTES_MAX)
            return -ERR_NOT_FOUND;
        bytes = str_skip(bytes, RECORD_HEAD);
        struct str part = str_head(bytes, n);
        int err = buf_append_str(ret, part);
        if (err < 0)
            return err;
        bytes = str_skip(bytes, part.n);
    }
    return 0;
}

/* ---- the message ---- */

static int hello_parse(struct str body, char *ret)
{
    struct str session, suites, compressions, extensions, extension;
    if (body.n < HELLO_FIXED)
        return -ERR_NOT_FOUND;
    body = str_skip(body, HELLO_FIXED);
    if (!hello_field(&body, 1, &session) || !hello_field(&body, 2, &suites) ||
        !hello_field(&body, 1, &compressions) || !hello_field(&body, 2, &extensions))
        return -ERR_NOT_FOUND;
    while (extensions.n >= 4) {
        size_t type = hello_number(extensions, 2);
        extensions = str_skip(extensions, 2);
        if (!hello_field(&extensions, 2, &extension))
            return -ERR_NOT_FOUND;
        if (type == EXTENSION_SERVER_NAME) {
            struct str list, name;
            if (!hello_field(&extension, 2, &list) || list.n < 1 || list.p[0] != NAME_HOST)
                return -ERR_NOT_FOUND;
            list = str_skip(list, 1);
            if (!hello_field(&list, 2, &name) || name.n == 0 || memchr(name.p, '\0', name.n))
                return -ERR_NOT_FOUND;
            return str_copy(ret, TLS_HELLO_NAME_MAX, name) ? 0 : -ERR_NOT_FOUND;
        }
    }
    return -ERR_NOT_FOUND;
}

int tls_hello_name(struct str bytes, char ret[TLS_HELLO_NAME_MAX])
{
    AUTO_BUF message = BUF_INIT;
    bool is_full = bytes.n >= TLS_HELLO_MAX;
    int err = hello_join(str_head(bytes, TLS_HELLO_MAX), &message);
    struct str m = buf_str(&message);
    if (err < 0)
        return err == -ERR_NOMEM ? -ERR_NOT_FOUND : err;
    if (m.n > 0 && m.p[0] != CLIENT_HELLO)
        return -ERR_NOT_FOUND;
    if (!hello_is_whole(m))
        return is_full ? -ERR_NOT_FOUND : -ERR_AGAIN;
    return hello_parse(str_n(m.p + HANDSHAKE_HEAD, hello_number(str_skip(m, 1), 3)), ret);
}
