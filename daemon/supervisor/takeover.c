/* SPDX-License-Identifier: ISC */
/* The text between two supervisors: a line each for the counters, an engine, a socket. */
#include "supervisor/takeover.h"

#include <inttypes.h>

#include "base/cleanup.h"

/* ---- writing ---- */

static int format_engine(struct buf *out, const char *word, const struct engine_process *p)
{
    if (p->pid <= 0)
        return 0;
    return buf_printf(out, "%s %d %d %" PRIu64 " %" PRIu64 " %" PRIu64 " %d\n", word, (int)p->pid,
                      p->wire, p->started_ms, p->stop_limit_ms, p->number, p->is_ready);
}

static int format_content(struct buf *out, const char *word, const struct takeover_content *c)
{
    if (c->fd < 0)
        return 0;
    int err = buf_printf(out, "%s %d %" PRIu64, word, c->fd, c->number);
    const struct key_process *k = c->keys;
    if (err == 0 && k)
        err = buf_printf(out, " %d %d", (int)k->pid, k->memory);
    for (size_t i = 0; k && i < k->n && err == 0; i++)
        err = buf_printf(out, " %d %d", k->engines[i], k->own[i]);
    return err < 0 ? err : buf_append_char(out, '\n');
}

int takeover_format(const struct takeover *t, struct buf *out)
{
    int err = buf_printf(out, "counts %u %u %" PRIu64 "\n", t->starts, t->failures, t->last_number);
    if (err == 0)
        err = format_engine(out, "now", &t->now);
    if (err == 0)
        err = format_content(out, "running", &t->running);
    if (err == 0)
        err = format_content(out, "kept", &t->kept);
    for (size_t i = 0; i < t->n_olds && err == 0; i++) {
        const struct old_engine *o = &t->olds[i];
        err = format_engine(out, "old", &o->process);
        /* What the lines after it say is of this one. */
        if (err == 0)
            err = buf_printf(out, "finishes %" PRIu64 " %" PRIu64 " %u\n", o->since_ms, o->sessions,
                             o->number);
        if (err == 0)
            err = format_content(out, "finishing", &t->finishing[i]);
    }
    /* Sockets of contents that are not in force are not handed over. */
    for (size_t i = 0; i < t->n_kept && err == 0; i++) {
        const struct kept_socket *k = &t->kept_sockets[i];
        if (str_has_crlf_nul(str_of(k->address)))
            return -ERR_SYNTAX; /* an address with a line break would forge another line */
        err = buf_printf(out, "socket %d %d %d %" PRIu64 " %" PRIu64 " %s\n", k->fd, (int)k->owner,
                         (int)k->use, k->file.device, k->file.inode, k->address);
    }
    return err;
}

/* ---- reading ---- */

static int parse_numbers(struct str *line, uint64_t *v, size_t n, uint64_t max)
{
    int err = 0;
    for (size_t i = 0; i < n && err == 0; i++)
        err = str_to_u64(str_word(line), max, &v[i]);
    return err < 0 ? -ERR_SYNTAX : 0;
}

static int parse_counts(struct takeover *t, struct str *line)
{
    uint64_t v[3];
    int err = parse_numbers(line, v, 2, UINT32_MAX);
    if (err == 0)
        err = parse_numbers(line, v + 2, 1, UINT64_MAX);
    if (err < 0)
        return err;
    t->starts = (unsigned)v[0];
    t->failures = (unsigned)v[1];
    t->last_number = v[2];
    return 0;
}

static int parse_engine(struct engine_process *p, struct str *line)
{
    uint64_t pid, wire = 0, v[3], is_ready;
    int err = parse_numbers(line, &pid, 1, INT32_MAX);
    if (err == 0 && pid == 0) /* there is a line only where there is an engine */
        err = -ERR_SYNTAX;
    struct str word = str_word(line);
    bool has_wire = !str_eq(word, STR("-1"));
    if (err == 0 && has_wire && str_to_u64(word, INT32_MAX, &wire) < 0)
        err = -ERR_SYNTAX;
    if (err == 0)
        err = parse_numbers(line, v, 3, UINT64_MAX);
    if (err == 0)
        err = parse_numbers(line, &is_ready, 1, 1);
    if (err == 0)
        *p = (struct engine_process){.pid = (pid_t)pid,
                                     .wire = has_wire ? (int)wire : -1,
                                     .started_ms = v[0],
                                     .stop_limit_ms = v[1],
                                     .number = v[2],
                                     .is_ready = is_ready};
    return err;
}

/* Pid, memory, then two ends of each channel. */
static int parse_keys(struct key_process **ret, struct str *line)
{
    uint64_t v[2];
    struct key_process *k = calloc(1, sizeof(*k));
    int err = k ? parse_numbers(line, v, 2, INT32_MAX) : -ERR_NOMEM;
    if (err == 0) {
        k->pid = (pid_t)v[0];
        k->memory = (int)v[1];
    }
    while (err == 0 && str_trim(*line).n > 0) {
        err = k->n < KEY_CHANNELS_MAX ? parse_numbers(line, v, 2, INT32_MAX) : -ERR_SYNTAX;
        if (err < 0)
            break;
        k->engines[k->n] = (int)v[0];
        k->own[k->n++] = (int)v[1];
    }
    if (err == 0 && k->n == 0)
        err = -ERR_SYNTAX;
    if (err < 0)
        free(k);
    else
        *ret = k;
    return err;
}

static int parse_old(struct takeover *t, struct str *line)
{
    if (t->n_olds == OLD_ENGINES_MAX)
        return -ERR_SYNTAX;
    struct old_engine *o = &t->olds[t->n_olds];
    int err = parse_engine(&o->process, line);
    t->finishing[t->n_olds] = (struct takeover_content){.fd = -1};
    t->n_olds += err == 0;
    return err;
}

static int parse_finishes(struct takeover *t, struct str *line)
{
    uint64_t v[2], number;
    int err = t->n_olds > 0 ? parse_numbers(line, v, 2, UINT64_MAX) : -ERR_SYNTAX;
    if (err == 0)
        err = parse_numbers(line, &number, 1, UINT32_MAX);
    if (err < 0)
        return err;
    struct old_engine *o = &t->olds[t->n_olds - 1];
    o->since_ms = v[0];
    o->sessions = v[1];
    o->number = (unsigned)number;
    return 0;
}

static int parse_content(struct takeover_content *c, struct str *line)
{
    uint64_t fd, number;
    int err = parse_numbers(line, &fd, 1, INT32_MAX);
    if (err == 0)
        err = parse_numbers(line, &number, 1, UINT64_MAX);
    if (err < 0 || c->keys)
        return -ERR_SYNTAX;
    *c = (struct takeover_content){(int)fd, number, NULL};
    return str_trim(*line).n > 0 ? parse_keys(&c->keys, line) : 0;
}

static int parse_socket(struct takeover *t, struct str *line)
{
    uint64_t v[2], use, file[2];
    if (parse_numbers(line, v, 2, INT32_MAX) < 0 ||
        parse_numbers(line, &use, 1, LISTEN_CONTROL) < 0 ||
        parse_numbers(line, file, 2, UINT64_MAX) < 0)
        return -ERR_SYNTAX;
    struct str text = str_trim(*line);
    if (text.n == 0 || str_has_crlf_nul(text))
        return -ERR_SYNTAX;
    struct kept_socket *kept = realloc(t->kept_sockets, (t->n_kept + 1) * sizeof(*kept));
    if (!kept)
        return -ERR_NOMEM;
    t->kept_sockets = kept;
    char *address = str_dup(text);
    if (!address)
        return -ERR_NOMEM;
    kept[t->n_kept++] = (struct kept_socket){.address = address,
                                             .fd = (int)v[0],
                                             .owner = (pid_t)v[1],
                                             .use = (enum listen_use)use,
                                             .file = {file[0], file[1]}};
    return 0;
}

static int parse_line(struct takeover *t, struct str line)
{
    struct str word = str_word(&line);
    if (str_eq(word, STR("counts")))
        return parse_counts(t, &line);
    if (str_eq(word, STR("now")))
        return parse_engine(&t->now, &line);
    if (str_eq(word, STR("old")))
        return parse_old(t, &line);
    if (str_eq(word, STR("finishes")))
        return parse_finishes(t, &line);
    if (str_eq(word, STR("running")))
        return parse_content(&t->running, &line);
    if (str_eq(word, STR("kept")))
        return parse_content(&t->kept, &line);
    if (str_eq(word, STR("finishing")))
        return t->n_olds > 0 ? parse_content(&t->finishing[t->n_olds - 1], &line) : -ERR_SYNTAX;
    return str_eq(word, STR("socket")) ? parse_socket(t, &line) : -ERR_SYNTAX;
}

int takeover_parse(struct str text, struct takeover *ret)
{
    struct takeover t = {.now = {.wire = -1}, .running = {.fd = -1}, .kept = {.fd = -1}};
    int err = 0;
    while (text.n > 0 && err == 0)
        err = parse_line(&t, str_cut(&text, '\n'));
    if (err == 0 && t.now.pid == 0)
        err = -ERR_SYNTAX;
    if (err < 0) {
        takeover_fini(&t);
        return err;
    }
    *ret = t;
    return 0;
}

void takeover_fini(struct takeover *t)
{
    for (size_t i = 0; i < t->n_kept; i++)
        free(t->kept_sockets[i].address);
    free(t->kept_sockets);
    free(t->running.keys);
    free(t->kept.keys);
    for (size_t i = 0; i < t->n_olds; i++)
        free(t->finishing[i].keys);
    *t = (struct takeover){0};
}
