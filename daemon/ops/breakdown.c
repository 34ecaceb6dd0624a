/* SPDX-License-Identifier: ISC */
/* Counts of sessions by protocol, backend and what they are doing. */
#include "ops/breakdown.h"

#include <inttypes.h>

#include "base/buf.h"

static void groups_add(struct breakdown_groups *g, struct str name)
{
    size_t i = 0;
    if (name.n == 0)
        return;
    while (i < g->n && !str_eq(str_of(g->v[i].name), name))
        i++;
    /* A name too long to be kept would be counted anew each time. */
    if (i == BREAKDOWN_GROUPS ||
        (i == g->n && !str_copy(g->v[i].name, sizeof(g->v[i].name), name))) {
        g->others++;
        return;
    }
    g->n += i == g->n;
    g->v[i].n++;
}

void breakdown_add(struct breakdown *b, const struct session_row *row)
{
    struct str phase = row->v[SESSION_FIELD_PHASE].text;
    bool is_in = str_eq(row->v[SESSION_FIELD_STATE].text, STR("relay"));
    bool is_running = str_eq(phase, STR("command")) || str_eq(phase, STR("response")) ||
                      str_eq(phase, STR("data")) || str_eq(phase, STR("ending"));
    b->n++;
    groups_add(&b->protocols, row->v[SESSION_FIELD_PROTO].text);
    groups_add(&b->backends, row->v[SESSION_FIELD_BACKEND].text);
    bool is_closing = str_eq(row->v[SESSION_FIELD_STATE].text, STR("closing"));
    b->closing += is_closing;
    b->login += !is_in && !is_closing;
    b->running += is_in && is_running;
    b->idle += is_in && !is_running;
}

/* ": 12 imap, 3 pop3", the next ones behind "; ". */
static int groups_append(struct buf *out, const struct breakdown_groups *groups, const char *on,
                         bool *is_first)
{
    struct breakdown_groups g = *groups;
    int err = 0;
    /* The most first. */
    for (size_t i = 1; i < g.n; i++)
        for (size_t k = i; k > 0 && g.v[k].n > g.v[k - 1].n; k--) {
            struct breakdown_group t = g.v[k];
            g.v[k] = g.v[k - 1];
            g.v[k - 1] = t;
        }
    for (size_t i = 0; i < g.n && err == 0; i++)
        err = buf_printf(out, "%s%" PRIu64 " %s%s",
                         i > 0       ? ", "
                         : *is_first ? ": "
                                     : "; ",
                         g.v[i].n, on, g.v[i].name);
    if (err == 0 && g.others > 0)
        err = buf_printf(out, ", %" PRIu64 " %sothers", g.others, on);
    *is_first = *is_first && g.n == 0;
    return err;
}

char *breakdown_text(const struct breakdown *b, const char *what)
{
    AUTO_BUF out = BUF_INIT;
    const struct {
        uint64_t n;
        const char *words;
    } doing[] = {{b->idle, "idle"},
                 {b->running, "running commands"},
                 {b->login, "logging in"},
                 {b->closing, "closing"}};
    bool is_first = true, is_next = false;
    int err = buf_printf(&out, "%" PRIu64 " session%s %s", b->n, b->n == 1 ? "" : "s", what);
    if (err == 0)
        err = groups_append(&out, &b->protocols, "", &is_first);
    if (err == 0)
        err = groups_append(&out, &b->backends, "on ", &is_first);
    for (size_t i = 0; i < ARRAY_LEN(doing) && err == 0; i++) {
        if (doing[i].n == 0)
            continue;
        err = buf_printf(&out, "%s%" PRIu64 " %s",
                         is_next    ? ", "
                         : is_first ? ": "
                                    : "; ",
                         doing[i].n, doing[i].words);
        is_next = true;
    }
    return err == 0 && buf_cstr(&out) ? buf_steal(&out) : NULL;
}

static json_t *groups_json(const struct breakdown_groups *g)
{
    json_t *object = json_object();
    for (size_t i = 0; i < g->n; i++)
        (void)json_object_set_new(object, g->v[i].name, json_integer((json_int_t)g->v[i].n));
    if (g->others > 0)
        (void)json_object_set_new(object, "", json_integer((json_int_t)g->others));
    return object;
}

json_t *breakdown_json(const struct breakdown *b)
{
    return json_pack("{s:o, s:o, s:I, s:I, s:I, s:I}", "protocols", groups_json(&b->protocols),
                     "backends", groups_json(&b->backends), "idle", (json_int_t)b->idle, "running",
                     (json_int_t)b->running, "login", (json_int_t)b->login, "closing",
                     (json_int_t)b->closing);
}
