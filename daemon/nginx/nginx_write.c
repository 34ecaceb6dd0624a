/* SPDX-License-Identifier: ISC */
/* The text of our file, each line with what it comes from, and of the report. */
#include "nginx/nginx_write.h"

#include "base/cleanup.h"

#define WRITE_COMMENT_COLUMN 60

/* A file being written; the first error stays. */
struct nginx_writer {
    struct buf *out;
    unsigned depth;
    int err;
};

static void nginx_write_text(struct nginx_writer *w, const char *text)
{
    if (w->err == 0)
        w->err = buf_append_c(w->out, text);
}

/* A line of a block. */
static void nginx_write_line(struct nginx_writer *w, const char *a, const char *b, const char *c)
{
    for (unsigned i = 0; i < w->depth; i++)
        nginx_write_text(w, "  ");
    nginx_write_text(w, a);
    nginx_write_text(w, b);
    nginx_write_text(w, c);
    nginx_write_text(w, "\n");
}

/* The names of files in it may hold anything. */
static void write_comment(struct nginx_writer *w, const char *from)
{
    nginx_write_text(w, "# ");
    for (const char *p = from; *p && w->err == 0; p++)
        w->err = buf_append_char(w->out, (unsigned char)*p < 0x20 || *p == 0x7f ? '?' : *p);
    nginx_write_text(w, "\n");
}

/* from: a comment behind the line, or above a long one; NULL = none. */
static void write_key(struct nginx_writer *w, const char *key, const char *value, const char *from)
{
    size_t n = 2 * w->depth + strlen(key) + strlen(" = ;") + strlen(value);
    for (unsigned i = 0; i < w->depth && from && n > WRITE_COMMENT_COLUMN; i++)
        nginx_write_text(w, "  ");
    if (from && n > WRITE_COMMENT_COLUMN)
        write_comment(w, from);
    for (unsigned i = 0; i < w->depth; i++)
        nginx_write_text(w, "  ");
    nginx_write_text(w, key);
    nginx_write_text(w, " = ");
    nginx_write_text(w, value);
    nginx_write_text(w, ";");
    for (size_t i = n; i <= WRITE_COMMENT_COLUMN && from && n <= WRITE_COMMENT_COLUMN; i++)
        nginx_write_text(w, " ");
    if (from && n <= WRITE_COMMENT_COLUMN)
        write_comment(w, from);
    else
        nginx_write_text(w, "\n");
}

static void write_open(struct nginx_writer *w, const char *name, const char *mark)
{
    nginx_write_line(w, name, mark, "");
    w->depth++;
}

static void write_close(struct nginx_writer *w, const char *mark)
{
    w->depth--;
    nginx_write_line(w, mark, "", "");
}

/* Keys "GROUP.KEY" as a block of their own. prefix "timeouts." */
static void write_part(struct nginx_writer *w, const struct nginx_settings *s, const char *prefix)
{
    bool is_open = false;
    size_t n = strlen(prefix);
    for (size_t i = 0; i < s->n; i++) {
        if (strncmp(s->v[i].key, prefix, n) != 0)
            continue;
        AUTO_FREE char *name = str_dup(str_n(prefix, n - 1));
        if (!is_open)
            write_open(w, name ? name : "", " = {");
        is_open = true;
        write_key(w, s->v[i].key + n, s->v[i].value, s->v[i].from);
    }
    if (is_open)
        write_close(w, "};");
}

static void write_plain(struct nginx_writer *w, const struct nginx_settings *s)
{
    for (size_t i = 0; i < s->n; i++)
        if (!strchr(s->v[i].key, '.'))
            write_key(w, s->v[i].key, s->v[i].value, s->v[i].from);
}

static void write_parts(struct nginx_writer *w, const struct nginx_settings *s)
{
    static const char *const parts[] = {"timeouts.", "limits.", "resolver."};
    for (size_t i = 0; i < ARRAY_LEN(parts); i++)
        write_part(w, s, parts[i]);
}

static void write_elements(struct nginx_writer *w, const char *list, const struct nginx_named *v,
                           size_t n, bool has_names)
{
    write_open(w, list, " = (");
    for (size_t i = 0; i < n; i++) {
        write_open(w, "{", "");
        AUTO_FREE char *name = str_printf("\"%s\"", v[i].name);
        if (has_names)
            write_key(w, "name", name ? name : "", NULL);
        write_plain(w, &v[i].settings);
        write_close(w, i + 1 < n ? "}," : "}");
    }
    write_close(w, ");");
}

static void write_listener(struct nginx_writer *w, const struct nginx_import *im,
                           const struct nginx_server *s, const struct nginx_listener *l,
                           bool is_last)
{
    AUTO_FREE char *name = str_printf("\"%s\"", l->name);
    AUTO_FREE char *proto = str_printf("\"%s\"", s->proto->name);
    AUTO_FREE char *pool = str_printf("\"%s\"", s->pool);
    AUTO_FREE char *auth = str_printf("[ \"%s\" ]", s->auth);
    if (!name || !proto || !pool || !auth) {
        w->err = -ERR_NOMEM;
        return;
    }
    write_open(w, "{", "");
    write_key(w, "name", name, NULL);
    write_key(w, "protocol", proto, NULL);
    write_key(w, "address", l->addresses, l->from);
    write_plain(w, &l->settings);
    write_plain(w, &s->groups[NGINX_OF_LISTENER]);
    write_key(w, "pool", pool, NULL);
    if (im->n_auths > 1)
        write_key(w, "providers", auth, NULL);
    write_plain(w, &s->groups[NGINX_OF_ALL]);
    write_parts(w, &s->groups[NGINX_OF_LISTENER]);
    write_parts(w, &s->groups[NGINX_OF_ALL]);
    if (s->groups[NGINX_OF_TLS].n > 0 && l->has_tls) {
        write_open(w, "tls_options", " = {");
        write_plain(w, &s->groups[NGINX_OF_TLS]);
        write_close(w, "};");
    }
    write_close(w, is_last ? "}" : "},");
}

static void write_logs(struct nginx_writer *w, const struct nginx_import *im)
{
    if (im->n_logs == 0)
        return;
    write_open(w, "\nlog", " = (");
    for (size_t i = 0; i < im->n_logs; i++) {
        write_open(w, "{", "");
        write_plain(w, &im->logs[i]);
        write_close(w, i + 1 < im->n_logs ? "}," : "}");
    }
    write_close(w, ");");
}

int nginx_write_conf(const struct nginx_import *im, const char *path, struct buf *out)
{
    struct nginx_writer w = {.out = out};
    nginx_write_line(&w, "# Made from ", path, " by mailproxyd --from-nginx.");
    nginx_write_text(
        &w, "# Behind each line stands what it comes from. mailproxyd -t checks this file; "
            "mailproxy-nginx(7)\n"
            "# tells the way from here to the change-over, mailproxy.conf(5) all keys.\n\n");
    if (!nginx_settings_find(&im->top, "user"))
        write_key(&w, "user", "\"mailproxy\"", "not nginx's: the user of the installed service");
    write_plain(&w, &im->top);
    write_logs(&w, im);
    nginx_write_text(&w, "\n");
    write_parts(&w, &im->top);
    if (im->tls.n > 0) {
        write_open(&w, "\ntls", " = {");
        write_plain(&w, &im->tls);
        write_close(&w, "};");
    }
    nginx_write_text(&w, "\n# Who is it, and where is the mail? The auth server answers both.\n");
    write_elements(&w, "auth", im->auths, im->n_auths, im->n_auths > 1);
    nginx_write_text(&w, "\n# How the servers that it names are reached.\n");
    write_elements(&w, "pools", im->pools, im->n_pools, true);
    size_t left = 0;
    for (size_t i = 0; i < im->n_servers; i++)
        left += im->servers[i].n_listeners;
    write_open(&w, "\nlisteners", " = (");
    for (size_t i = 0; i < im->n_servers; i++)
        for (size_t j = 0; j < im->servers[i].n_listeners; j++)
            write_listener(&w, im, &im->servers[i], &im->servers[i].listeners[j], --left == 0);
    write_close(&w, ");");
    return w.err;
}

/* ---- the report ---- */

static int report_directive(const struct nginx_directive *d, struct nginx_result *ret)
{
    size_t *const counts[NGINX_VERDICT_COUNT] = {[NGINX_UNSEEN] = &ret->n_exact,
                                                 [NGINX_PASSED] = &ret->n_passed,
                                                 [NGINX_EXACT] = &ret->n_exact,
                                                 [NGINX_APPROXIMATE] = &ret->n_approximate,
                                                 [NGINX_NO_EQUAL] = &ret->n_no_equal};
    const char *remark = d->verdict == NGINX_UNSEEN ? "no server uses it" : d->remark;
    (*counts[d->verdict])++;
    int err = buf_printf(&ret->report, "%s:%u: %s: %s", d->file, d->line, d->words[0],
                         nginx_verdict_name(d->verdict));
    if (err == 0 && remark)
        err = BUF_APPEND(&ret->report, ": ", remark);
    return err < 0 ? err : buf_append_char(&ret->report, '\n');
}

static int report_block(const struct nginx_directive *block, struct nginx_result *ret)
{
    int err = 0;
    for (const struct nginx_directive *d = block->first; d && err == 0; d = d->next) {
        bool is_open = d->has_block && d->verdict == NGINX_UNSEEN; /* mail and server */
        err = is_open ? report_block(d, ret) : report_directive(d, ret);
    }
    return err;
}

int nginx_write_report(const struct nginx_import *im, struct nginx_result *ret)
{
    int err = report_block(im->root, ret);
    if (err < 0)
        return err;
    return buf_printf(&ret->report,
                      "%zu exact, %zu approximate, %zu without equal, %zu passed over\n",
                      ret->n_exact, ret->n_approximate, ret->n_no_equal, ret->n_passed);
}
