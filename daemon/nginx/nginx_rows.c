/* SPDX-License-Identifier: ISC */
/* One function for each way in which a directive becomes keys of ours. */
#include "nginx/nginx_rows.h"

#include "base/cleanup.h"
#include "base/units.h"
#include "nginx/nginx_values.h"

/* ---- where settings go ---- */

static struct nginx_settings *rows_settings(const struct nginx_job *job, enum nginx_group group)
{
    if (job->listener)
        return &job->listener->settings;
    return job->server && group != NGINX_OF_TOP ? &job->server->groups[group] : &job->import->top;
}

int nginx_put(const struct nginx_job *job, const struct nginx_row *row,
              const struct nginx_directive *d, const char *key, const char *value)
{
    AUTO_FREE char *from = nginx_origin(job->import, d);
    return from ? nginx_settings_set(rows_settings(job, row->group), key, value, from) : -ERR_NOMEM;
}

/* Sets all keys of a row to one value. */
static int rows_put_all(const struct nginx_job *job, const struct nginx_row *row,
                        const struct nginx_directive *d, const char *value)
{
    struct str rest = str_of(row->keys), key;
    int err = 0;
    while (err == 0 && (key = str_word(&rest)).n > 0) {
        char name[64];
        err = str_copy(name, sizeof(name), key) ? nginx_put(job, row, d, name, value) : -ERR_INVAL;
    }
    return err;
}

int nginx_put_text(const struct nginx_job *job, const struct nginx_row *row,
                   struct nginx_directive *d, const char *key, const char *text)
{
    AUTO_BUF quoted = BUF_INIT;
    int err = nginx_quote(str_of(text), &quoted);
    if (err == -ERR_INVAL) {
        nginx_note(d, NGINX_NO_EQUAL, "it holds control characters or is not UTF-8: write it anew");
        return 0;
    }
    const char *value = err == 0 ? buf_cstr(&quoted) : NULL;
    return value ? nginx_put(job, row, d, key, value) : -ERR_NOMEM;
}

static struct nginx_settings *rows_of(const struct nginx_job *job, const struct nginx_row *row)
{
    return rows_settings(job, row->group);
}

/* Adds a text to a list that several directives make. */
static int rows_put_next(const struct nginx_job *job, const struct nginx_row *row,
                         struct nginx_directive *d, const char *key, const char *text)
{
    const struct nginx_setting *before = nginx_settings_find(rows_of(job, row), key);
    AUTO_BUF list = BUF_INIT;
    int err = before ? buf_append_c(&list, before->value) : 0;
    if (err == 0)
        err = nginx_quote_next(str_of(text), &list);
    if (err == -ERR_INVAL) {
        nginx_note(d, NGINX_NO_EQUAL, "it holds control characters or is not UTF-8: write it anew");
        return 0;
    }
    const char *value = err == 0 ? buf_cstr(&list) : NULL;
    return value ? nginx_put(job, row, d, key, value) : -ERR_NOMEM;
}

/* ---- plain values ---- */

/* -ERR_CONFIG when it is neither. */
static int rows_flag(const struct nginx_job *job, struct nginx_directive *d, bool *ret)
{
    *ret = str_ieq(str_of(d->words[1]), STR("on"));
    if (*ret || str_ieq(str_of(d->words[1]), STR("off")))
        return 0;
    return nginx_fail(job->import, d, "must be \"on\" or \"off\"");
}

static int how_nothing(const struct nginx_job *job, const struct nginx_row *row,
                       struct nginx_directive *d)
{
    (void)job;
    (void)row;
    (void)d;
    return 0;
}

static int how_unless_off(const struct nginx_job *job, const struct nginx_row *row,
                          struct nginx_directive *d)
{
    bool is_on;
    int err = rows_flag(job, d, &is_on);
    (void)row;
    return err < 0 ? err : !is_on;
}

static int how_flag(const struct nginx_job *job, const struct nginx_row *row,
                    struct nginx_directive *d)
{
    bool is_on;
    int err = rows_flag(job, d, &is_on);
    return err < 0 ? err : rows_put_all(job, row, d, is_on ? "true" : "false");
}

static int how_flag_not(const struct nginx_job *job, const struct nginx_row *row,
                        struct nginx_directive *d)
{
    bool is_on;
    int err = rows_flag(job, d, &is_on);
    return err < 0 ? err : rows_put_all(job, row, d, is_on ? "false" : "true");
}

static int how_yes(const struct nginx_job *job, const struct nginx_row *row,
                   struct nginx_directive *d)
{
    return rows_put_all(job, row, d, "true");
}

static int how_time(const struct nginx_job *job, const struct nginx_row *row,
                    struct nginx_directive *d)
{
    uint64_t ms;
    char text[32], quoted[40];
    if (nginx_time(d->words[1], &ms) < 0)
        return nginx_fail(job->import, d, "\"%s\" is no time", d->words[1]);
    units_format_duration(text, ms);
    (void)snprintf(quoted, sizeof(quoted), "\"%s\"", text);
    return rows_put_all(job, row, d, quoted);
}

static int how_size(const struct nginx_job *job, const struct nginx_row *row,
                    struct nginx_directive *d)
{
    uint64_t bytes;
    char text[32], quoted[40];
    if (nginx_size(d->words[1], &bytes) < 0)
        return nginx_fail(job->import, d, "\"%s\" is no size", d->words[1]);
    units_format_size(text, bytes);
    (void)snprintf(quoted, sizeof(quoted), "\"%s\"", text);
    return rows_put_all(job, row, d, quoted);
}

/* A buffer holds a line; ours has 512 bytes at least. */
static int how_line(const struct nginx_job *job, const struct nginx_row *row,
                    struct nginx_directive *d)
{
    uint64_t bytes;
    if (nginx_size(d->words[1], &bytes) == 0 && bytes < 512) {
        nginx_note(d, NGINX_APPROXIMATE, "a line may have 512 bytes at least");
        return rows_put_all(job, row, d, "\"512\"");
    }
    if (bytes > 1 << 20) {
        nginx_note(d, NGINX_APPROXIMATE, "a line may have a megabyte at most");
        return rows_put_all(job, row, d, "\"1m\"");
    }
    return how_size(job, row, d);
}

static int how_number(const struct nginx_job *job, const struct nginx_row *row,
                      struct nginx_directive *d)
{
    uint64_t n;
    char text[STR_NUMBER_MAX + 1];
    if (str_to_u64(str_of(d->words[1]), INT32_MAX, &n) < 0)
        return nginx_fail(job->import, d, "\"%s\" is no number", d->words[1]);
    *str_put_number(text, n, 10, 1) = '\0';
    return rows_put_all(job, row, d, text);
}

static int how_text(const struct nginx_job *job, const struct nginx_row *row,
                    struct nginx_directive *d)
{
    return nginx_put_text(job, row, d, row->keys, d->words[1]);
}

static int how_path(const struct nginx_job *job, const struct nginx_row *row,
                    struct nginx_directive *d)
{
    AUTO_FREE char *path = nginx_path(job->import, d->words[1]);
    return path ? nginx_put_text(job, row, d, row->keys, path) : -ERR_NOMEM;
}

static int how_words(const struct nginx_job *job, const struct nginx_row *row,
                     struct nginx_directive *d)
{
    int err = nginx_put(job, row, d, row->keys, "[ ]");
    for (size_t i = 1; i < d->n_words && err == 0; i++)
        err = rows_put_next(job, row, d, row->keys, d->words[i]);
    return err;
}

/* ---- main ---- */

static int how_user(const struct nginx_job *job, const struct nginx_row *row,
                    struct nginx_directive *d)
{
    int err = nginx_put_text(job, row, d, "user", d->words[1]);
    return err == 0 && d->n_words > 2 ? nginx_put_text(job, row, d, "group", d->words[2]) : err;
}

static int how_workers(const struct nginx_job *job, const struct nginx_row *row,
                       struct nginx_directive *d)
{
    uint64_t n;
    if (strcmp(d->words[1], "auto") == 0)
        return nginx_put(job, row, d, row->keys, "0");
    if (str_to_u64(str_of(d->words[1]), INT32_MAX, &n) == 0 && n > 254) {
        nginx_note(d, NGINX_APPROXIMATE, "there are 254 threads at most");
        return nginx_put(job, row, d, row->keys, "254");
    }
    return how_number(job, row, d);
}

static const char *rows_log_level(const struct nginx_directive *d)
{
    static const char *const ours[] = {"debug", "info", "notice", "warn"};
    for (size_t i = 0; d->n_words > 2 && i < ARRAY_LEN(ours); i++)
        if (strcmp(d->words[2], ours[i]) == 0)
            return ours[i];
    return "error";
}

/* The settings of one element of log. */
static int rows_log(const struct nginx_job *job, struct nginx_directive *d,
                    struct nginx_settings *out)
{
    AUTO_FREE char *from = nginx_origin(job->import, d);
    AUTO_BUF path = BUF_INIT;
    AUTO_BUF level = BUF_INIT;
    struct str target = str_of(d->words[1]);
    bool is_file = d->words[1][0] == '/';
    if (!from)
        return -ERR_NOMEM;
    if (str_is_prefix(target, STR("memory:")))
        return nginx_note(d, NGINX_NO_EQUAL, "there is no log in memory: name a file"), 0;
    if (str_is_prefix(target, STR("syslog:"))) {
        if (strncmp(target.p, "syslog:server=unix:", 19) != 0)
            return nginx_note(d, NGINX_NO_EQUAL,
                              "syslog is written to through its socket: let the local one send "
                              "its lines on, and say log target \"syslog\""),
                   0;
        struct str socket = str_skip(target, 19);
        if (nginx_quote(str_cut(&socket, ','), &path) < 0 ||
            nginx_settings_set(out, "target", "\"syslog\"", from) < 0)
            return -ERR_NOMEM;
        while (socket.n > 0) {
            struct str option = str_cut(&socket, ',');
            AUTO_BUF facility = BUF_INIT;
            if (!str_is_prefix(option, STR("facility=")))
                nginx_note(d, NGINX_APPROXIMATE, "of syslog's options only facility= is known");
            else if (nginx_quote(str_skip(option, 9), &facility) < 0 ||
                     nginx_settings_set(out, "facility", buf_cstr(&facility), from) < 0)
                return -ERR_NOMEM;
        }
        is_file = true;
    } else if (is_file) {
        if (nginx_quote(target, &path) < 0 ||
            nginx_settings_set(out, "target", "\"file\"", from) < 0)
            return -ERR_NOMEM;
    } else {
        if (strcmp(d->words[1], "stderr") != 0)
            nginx_note(
                d, NGINX_APPROXIMATE,
                "goes to standard error: nginx's own folder is not known here, name a whole path");
        if (nginx_settings_set(out, "target", "\"stderr\"", from) < 0)
            return -ERR_NOMEM;
    }
    if (is_file && nginx_settings_set(out, "path", buf_cstr(&path), NULL) < 0)
        return -ERR_NOMEM;
    int err = buf_printf(&level, "\"%s\"", rows_log_level(d));
    return err < 0 ? err : nginx_settings_set(out, "level", buf_cstr(&level), NULL);
}

static int how_log(const struct nginx_job *job, const struct nginx_row *row,
                   struct nginx_directive *d)
{
    struct nginx_import *im = job->import;
    struct nginx_settings next = {0};
    (void)row;
    int err = rows_log(job, d, &next);
    bool is_known = next.n == 0;
    for (size_t i = 0; i < im->n_logs && !is_known; i++)
        is_known = nginx_settings_eq(&im->logs[i], &next);
    struct nginx_settings *v =
        err < 0 || is_known ? NULL : realloc(im->logs, (im->n_logs + 1) * sizeof(*v));
    if (v) {
        im->logs = v;
        v[im->n_logs++] = next;
        return 0;
    }
    nginx_settings_fini(&next);
    return err < 0 ? err : is_known ? 0 : -ERR_NOMEM;
}

/* ---- a server ---- */

static int how_protocol(const struct nginx_job *job, const struct nginx_row *row,
                        struct nginx_directive *d)
{
    (void)row;
    static const char known[] = "imap pop3 smtp";
    if (!strstr(known, d->words[1]) || strlen(d->words[1]) != 4)
        return nginx_fail(job->import, d, "unknown protocol \"%s\"", d->words[1]);
    job->server->proto = proto_find(str_of(d->words[1]));
    return 0;
}

static int how_networks(const struct nginx_job *job, const struct nginx_row *row,
                        struct nginx_directive *d)
{
    struct nginx_server *s = job->server;
    struct addr_net net;
    AUTO_BUF list = BUF_INIT;
    (void)row;
    if (addr_net_parse(str_of(d->words[1]), &net) < 0)
        return nginx_note(
                   d, NGINX_NO_EQUAL,
                   "it is no network without host bits: write it as 10.0.0.0/8, ::1 or unix:"),
               0;
    int err = s->networks ? buf_append_c(&list, s->networks) : 0;
    if (err == 0)
        err = nginx_quote_next(str_of(d->words[1]), &list);
    AUTO_FREE char *from = nginx_origin(job->import, d);
    char *all = !from              ? NULL
                : s->networks_from ? nginx_origins(s->networks_from, from)
                                   : str_dup_c(from);
    if (err < 0 || !all) {
        free(all);
        return -ERR_NOMEM;
    }
    free(s->networks);
    free(s->networks_from);
    s->networks = buf_steal(&list);
    s->networks_from = all;
    return s->networks ? 0 : -ERR_NOMEM;
}

static int how_resolver(const struct nginx_job *job, const struct nginx_row *row,
                        struct nginx_directive *d)
{
    bool is_off = strcmp(d->words[1], "off") == 0;
    int err = nginx_put(job, row, d, "resolver.enabled", is_off ? "false" : "true");
    for (size_t i = 1; i < d->n_words && err == 0 && !is_off; i++) {
        struct addr a;
        if (strchr(d->words[i], '='))
            err = nginx_row_apply_param(job, d, d->words[i]);
        else if (addr_parse(str_of(d->words[i]), &a) < 0)
            nginx_note(d, NGINX_NO_EQUAL,
                       "name servers are told by their addresses: replace names");
        else
            err = rows_put_next(job, row, d, "resolver.name_servers", d->words[i]);
    }
    return err;
}

static int how_auth_http(const struct nginx_job *job, const struct nginx_row *row,
                         struct nginx_directive *d)
{
    struct str url = str_of(d->words[1]), unix_prefix = STR("unix:");
    AUTO_BUF out = BUF_INIT;
    if (str_is_iprefix(url, STR("https://")))
        return nginx_fail(job->import, d, "nginx speaks no https to auth servers");
    if (str_is_iprefix(url, STR("http://")))
        url = str_skip(url, strlen("http://"));
    int err = buf_append_c(&out, "http://");
    if (err == 0)
        err = buf_append_str(&out, url);
    bool is_unix = str_is_prefix(url, unix_prefix);
    struct str path = is_unix ? str_skip(url, unix_prefix.n) : STR_NULL;
    if (err == 0 && is_unix && str_index(path, ':') < 0)
        err = buf_append_c(&out, ":/");
    else if (err == 0 && !is_unix && str_index(url, '/') < 0)
        err = buf_append_char(&out, '/');
    if (err == 0)
        err = nginx_put(job, row, d, "type", "\"http\"");
    const char *text = err == 0 ? buf_cstr(&out) : NULL;
    return err < 0 ? err : text ? nginx_put_text(job, row, d, "url", text) : -ERR_NOMEM;
}

/* It is a time of the provider and of the session that waits for it. */
static int how_auth_timeout(const struct nginx_job *job, const struct nginx_row *row,
                            struct nginx_directive *d)
{
    int err = how_time(job, row, d);
    const struct nginx_setting *s = nginx_settings_find(rows_of(job, row), "timeout");
    AUTO_FREE char *from = nginx_origin(job->import, d);
    if (err < 0 || !s || !from)
        return err < 0 ? err : -ERR_NOMEM;
    return nginx_settings_set(&job->server->groups[NGINX_OF_ALL], "timeouts.auth", s->value, from);
}

static int how_header(const struct nginx_job *job, const struct nginx_row *row,
                      struct nginx_directive *d)
{
    AUTO_FREE char *line = str_printf("%s: %s", d->words[1], d->words[2]);
    return line ? rows_put_next(job, row, d, row->keys, line) : -ERR_NOMEM;
}

static int how_xclient(const struct nginx_job *job, const struct nginx_row *row,
                       struct nginx_directive *d)
{
    bool is_on;
    int err = rows_flag(job, d, &is_on);
    return err < 0 || !is_on ? err : rows_put_next(job, row, d, row->keys, "xclient-forced");
}

static int how_proxy_protocol(const struct nginx_job *job, const struct nginx_row *row,
                              struct nginx_directive *d)
{
    static const char *const words[][2] = {{"off", NULL}, {"on", "proxy-v1"}, {"v2", "proxy-v2"}};
    for (size_t i = 0; i < ARRAY_LEN(words); i++)
        if (strcmp(d->words[1], words[i][0]) == 0)
            return words[i][1] ? rows_put_next(job, row, d, row->keys, words[i][1]) : 0;
    return nginx_fail(job->import, d, "must be \"on\", \"v2\" or \"off\"");
}

static int how_mechanisms(const struct nginx_job *job, const struct nginx_row *row,
                          struct nginx_directive *d)
{
    static const char *const words[][2] = {{"plain", "PLAIN"},
                                           {"login", "LOGIN"},
                                           {"cram-md5", "CRAM-MD5"},
                                           {"apop", "APOP"},
                                           {"external", "EXTERNAL"},
                                           {"xoauth2", "XOAUTH2"},
                                           {"oauthbearer", "OAUTHBEARER"}};
    int err = nginx_put(job, row, d, "mechanisms", "[ ]");
    for (size_t i = 1; i < d->n_words && err == 0; i++) {
        size_t w = 0;
        while (w < ARRAY_LEN(words) && strcmp(d->words[i], words[w][0]) != 0)
            w++;
        if (w < ARRAY_LEN(words))
            err = rows_put_next(job, row, d, "mechanisms", words[w][1]);
        else if (strcmp(d->words[i], "none") == 0 && job->server->proto->can_skip_login)
            err = nginx_put(job, row, d, "auth", "\"none\"");
        else
            return nginx_fail(job->import, d, "invalid value \"%s\"", d->words[i]);
    }
    bool has_plain = false;
    for (size_t i = 1; i < d->n_words; i++)
        has_plain = has_plain || strcmp(d->words[i], "plain") == 0;
    /* nginx announces LOGIN in POP3 wherever PLAIN is */
    if (err == 0 && has_plain && job->server->proto->has_apop)
        err = rows_put_next(job, row, d, "mechanisms", "LOGIN");
    if (err == 0 && job->server->proto->default_mechanisms & SASL_BIT_COMMAND)
        err = rows_put_next(job, row, d, "mechanisms", "COMMAND");
    return err;
}

/* ---- TLS ---- */

static int how_keep(const struct nginx_job *job, const struct nginx_row *row,
                    struct nginx_directive *d)
{
    struct nginx_server *s = job->server;
    struct nginx_directive **v =
        realloc(s->kept, (s->n_kept + 1) * sizeof(struct nginx_directive *));
    (void)row;
    if (!v)
        return -ERR_NOMEM;
    s->kept = v;
    v[s->n_kept++] = d;
    return 0;
}

struct nginx_directive *nginx_kept(const struct nginx_server *s, const char *name)
{
    for (size_t i = 0; i < s->n_kept; i++)
        if (strcmp(s->kept[i]->words[0], name) == 0)
            return s->kept[i];
    return NULL;
}

static int how_old_ssl(const struct nginx_job *job, const struct nginx_row *row,
                       struct nginx_directive *d)
{
    (void)row;
    return rows_flag(job, d, &job->server->is_old_ssl_on);
}

static int how_certificate(const struct nginx_job *job, const struct nginx_row *row,
                           struct nginx_directive *d)
{
    static const char *const forms[] = {"data:", "engine:", "store:"};
    for (size_t i = 0; i < ARRAY_LEN(forms); i++)
        if (str_is_prefix(str_of(d->words[1]), str_of(forms[i])))
            return nginx_note(d, NGINX_NO_EQUAL,
                              "keys and certificates are files: write it to one"),
                   0;
    return how_keep(job, row, d);
}

static int how_dh_params(const struct nginx_job *job, const struct nginx_row *row,
                         struct nginx_directive *d)
{
    int err = how_path(job, row, d);
    return err < 0 ? err : how_keep(job, row, d);
}

static int how_session_cache(const struct nginx_job *job, const struct nginx_row *row,
                             struct nginx_directive *d)
{
    (void)job;
    (void)row;
    if (strcmp(d->words[1], "off") != 0 && strcmp(d->words[1], "none") != 0)
        nginx_note(d, NGINX_APPROXIMATE,
                   "sessions resume by tickets; no cache is kept in the server");
    return 0;
}

static int how_verify_client(const struct nginx_job *job, const struct nginx_row *row,
                             struct nginx_directive *d)
{
    static const char *const words[][2] = {{"off", "\"off\""},
                                           {"on", "\"required\""},
                                           {"optional", "\"optional\""},
                                           {"optional_no_ca", "\"optional_no_ca\""}};
    for (size_t i = 0; i < ARRAY_LEN(words); i++)
        if (strcmp(d->words[1], words[i][0]) == 0)
            return nginx_put(job, row, d, row->keys, words[i][1]);
    return nginx_fail(job->import, d, "invalid value \"%s\"", d->words[1]);
}

/* After ssl_client_certificate, whose row stands before this one. */
static int how_trusted_ca(const struct nginx_job *job, const struct nginx_row *row,
                          struct nginx_directive *d)
{
    if (!nginx_settings_find(rows_of(job, row), row->keys))
        return how_path(job, row, d);
    nginx_note(d, NGINX_NO_EQUAL,
               "there is one file of CAs: add these to that of ssl_client_certificate");
    return 0;
}

/* ---- the table ---- */

#define MAIN NGINX_IN_MAIN
#define MAIL NGINX_IN_MAIL
#define SERVER NGINX_IN_SERVER
#define PARAM NGINX_IN_PARAM
#define MANY NGINX_IN_MANY
#define ROW(name_, where_, least_, most_, proto_, standard_, fn_, group_, keys_, verdict_, words_) \
    {name_, where_,           least_, most_, proto_, standard_, how_##fn_, NGINX_OF_##group_,      \
     keys_, NGINX_##verdict_, words_},
const struct nginx_row nginx_rows[] = {
#include "nginx/nginx_rows.def"
};
const size_t nginx_n_rows = ARRAY_LEN(nginx_rows);

const struct nginx_row *nginx_row_find(const char *name)
{
    for (size_t i = 0; i < nginx_n_rows; i++)
        if (strcmp(nginx_rows[i].name, name) == 0)
            return &nginx_rows[i];
    return NULL;
}

int nginx_row_apply(const struct nginx_job *job, const struct nginx_row *row,
                    struct nginx_directive *d)
{
    size_t n = d->n_words - 1;
    if (d->file && (n < row->least || (row->most > 0 && n > row->most) ||
                    (row->where & NGINX_IN_PARAM && n != row->most)))
        return nginx_fail(job->import, d, "invalid number of arguments");
    int err = row->how(job, row, d);
    if (err >= 0)
        nginx_note(d, err == 1 ? NGINX_EXACT : row->verdict,
                   err == 0 && row->verdict != NGINX_EXACT ? row->words : NULL);
    return err < 0 ? err : 0;
}

int nginx_row_apply_param(const struct nginx_job *job, struct nginx_directive *d, const char *word)
{
    size_t n = strcspn(word, "=");
    AUTO_FREE char *name = str_printf("%s %.*s%s", d->words[0], (int)n, word, word[n] ? "=" : "");
    char *words[] = {name, (char *)word + n + 1};
    struct nginx_directive part = {
        .words = words, .n_words = word[n] ? 2 : 1, .file = d->file, .line = d->line};
    const struct nginx_row *row = name ? nginx_row_find(name) : NULL;
    if (!row)
        return name ? nginx_fail(job->import, d, "invalid parameter \"%s\"", word) : -ERR_NOMEM;
    int err = nginx_row_apply(job, row, &part);
    nginx_note(d, part.verdict, part.remark);
    free(part.remark);
    return err;
}
