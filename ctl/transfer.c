/* SPDX-License-Identifier: ISC */
/* Files in parts. */
#include "ctl/transfer.h"

#include <errno.h>
#include <fcntl.h>

#include "base/buf.h"

/* JSON of a part, with room for the other parameters of the request. */
#define TRANSFER_JSON_BYTES (56ul * 1024)
#define TRANSFER_READ_SIZE (64ul * 1024)

static int transfer_read_fd(int fd, struct buf *out)
{
    for (;;) {
        if (buf_reserve(out, TRANSFER_READ_SIZE))
            return ENOMEM;
        ssize_t n = read(fd, buf_tail(out), TRANSFER_READ_SIZE);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return errno;
        if (n == 0)
            return 0;
        buf_commit(out, (size_t)n);
    }
}

static size_t transfer_bad_line(struct str s)
{
    size_t line = 1;
    while (s.n) {
        struct str one = str_cut(&s, '\n');
        if (!str_is_utf8(one) || memchr(one.p, '\0', one.n))
            return line;
        line++;
    }
    return 0;
}

int transfer_read(const struct args *a, struct buf *ret, struct problem *problem)
{
    bool is_stdin = strcmp(a->file_path, "-") == 0;
    AUTO_CLOSE int fd = is_stdin ? dup(STDIN_FILENO) : open(a->file_path, O_RDONLY | O_CLOEXEC);
    int errnum = fd < 0 ? errno : transfer_read_fd(fd, ret);
    if (errnum)
        return problem_set(problem, PROBLEM_FAILED, "E_IO", NULL, "cannot read %s: %s",
                           a->file_path, strerror(errnum));
    size_t line = transfer_bad_line(buf_str(ret));
    if (line)
        return problem_set(problem, PROBLEM_FAILED, "E_SYNTAX", NULL, "%s:%zu: not UTF-8 text",
                           a->file_path, line);
    return 0;
}

/* Bytes that a character takes in a JSON text. */
static size_t transfer_json_size(unsigned char c)
{
    if (c == '"' || c == '\\' || c == '\n' || c == '\t' || c == '\r')
        return 2;
    return c < 0x20 || c == 0x7f ? 6 : 1;
}

size_t transfer_part(struct str s)
{
    size_t n = 0, json = 0, line_end = 0;
    while (n < s.n && n < TRANSFER_PART_BYTES) {
        json += transfer_json_size((unsigned char)s.p[n]);
        if (json > TRANSFER_JSON_BYTES)
            break;
        n++;
        if (s.p[n - 1] == '\n')
            line_end = n;
    }
    if (n == s.n)
        return n;
    if (line_end)
        return line_end;
    /* Never within a character. */
    while (n > 1 && ((unsigned char)s.p[n] & 0xc0) == 0x80)
        n--;
    return n;
}

/* Takes over params. */
static int transfer_one(struct run_node *node, const struct args *a, json_t *params,
                        struct str part, json_int_t number, bool has_more, json_t **ret_result,
                        struct problem *problem)
{
    json_object_set_new(params, a->file_arg->name, json_stringn(part.p ? part.p : "", part.n));
    if (number > 1 || has_more) {
        json_object_set_new(params, "part", json_integer(number));
        json_object_set_new(params, "more", json_boolean(has_more));
    }
    return run_call(node, a, params, ret_result, problem);
}

int transfer_send(struct run_node *node, const struct args *a, const json_t *params,
                  struct str text, json_t **ret_result, struct problem *problem)
{
    bool can_split = commands_arg(a->command, "part") && commands_arg(a->command, "more");
    for (json_int_t number = 1;; number++) {
        size_t n = can_split ? transfer_part(text) : text.n;
        struct str part = {text.p, n};
        bool has_more = n < text.n;
        json_t *result = NULL;
        int code = transfer_one(node, a, json_copy((json_t *)params), part, number, has_more,
                                &result, problem);
        if (code)
            return code;
        if (!has_more) {
            *ret_result = result;
            return 0;
        }
        json_decref(result);
        text = (struct str){text.p + n, text.n - n};
    }
}
