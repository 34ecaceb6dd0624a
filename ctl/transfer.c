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

int transfer_read(const struct args *a, struct buf *ret, struct problem *problem)
{
    bool is_stdin = strcmp(a->file_path, "-") == 0;
    AUTO_CLOSE int fd = is_stdin ? dup(STDIN_FILENO) : open(a->file_path, O_RDONLY | O_CLOEXEC);
    int errnum = fd < 0 ? errno : transfer_read_fd(fd, ret);
    if (errnum)
        return problem_set(problem, PROBLEM_FAILED, "E_IO", NULL, "cannot read %s: %s",
                           a->file_path, strerror(errnum));
    struct str rest = buf_str(ret);
    for (size_t line = 1; rest.n; line++) {
        struct str one = str_cut(&rest, '\n');
        if (!str_is_utf8(one) || memchr(one.p, '\0', one.n))
            return problem_set(problem, PROBLEM_FAILED, "E_SYNTAX", NULL, "%s:%zu: not UTF-8 text",
                               a->file_path, line);
    }
    return 0;
}

size_t transfer_part(struct str s)
{
    size_t n = 0, json = 0, line_end = 0;
    while (n < s.n && n < TRANSFER_PART_BYTES) {
        unsigned char c = (unsigned char)s.p[n];
        bool has_backslash = c == '"' || c == '\\' || c == '\n' || c == '\t' || c == '\r';
        json += has_backslash ? 2 : c < 0x20 || c == 0x7f ? 6 : 1;
        if (json > TRANSFER_JSON_BYTES)
            break;
        n++;
        if (c == '\n')
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

int transfer_send(struct run_node *node, const struct args *a, const json_t *params,
                  struct str text, json_t **ret_result, struct problem *problem)
{
    bool can_split = commands_arg(a->command, "part") && commands_arg(a->command, "more");
    for (json_int_t number = 1;; number++) {
        size_t n = can_split ? transfer_part(text) : text.n;
        bool has_more = n < text.n;
        json_t *part = json_copy((json_t *)params), *result = NULL;
        json_object_set_new(part, a->file_arg->name, json_stringn(text.p ? text.p : "", n));
        if (number > 1 || has_more) {
            json_object_set_new(part, "part", json_integer(number));
            json_object_set_new(part, "more", json_boolean(has_more));
        }
        int code = run_call(node, a, part, &result, problem);
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
