/* SPDX-License-Identifier: ISC */
/* One function for each way in which a directive becomes keys of ours. */
#include "nginx/nginx_how.h"

#include "base/cleanup.h"
#include "base/log/log_syslog.h"
#include "nginx/nginx_values.h"

/* ---- plain values ---- */

/* -ERR_CONFIG when it is neither. */
static int rows_flag(const struct nginx_job *job, struct nginx_directive *d, bool *ret)
{
    *ret = str_ieq(str_of(d->words[1]), STR("on"));
    if (*ret || str_ieq(str_of(d->words[1]), STR("off")))
        return 0;
    return nginx_fail(job->import, d, "must be \"on\" or \"off\"");
}

int how_nothing(const struct nginx_job *job, const struct nginx_row *row, struct nginx_directive *d)
{
    (void)job;
    (void)row;
    (void)d;
    return 0;
}

int how_unless_off(const struct nginx_job *job, const struct nginx_row *row,
                   struct nginx_directive *d)
{
    bool is_on;
    int err = rows_flag(job, d, &is_on);
    (void)row;
    return err < 0 ? err : !is_on;
}

int how_flag(const struct nginx_job *job, const struct nginx_row *row, struct nginx_directive *d)
{
    bool is_on;
    int err = rows_flag(job, d, &is_on);
    return err < 0 ? err : nginx_put_all(job, row, d, is_on ? "true" : "false");
}

int how_flag_not(const struct nginx_job *job, const struct nginx_row *row,
                 struct nginx_directive *d)
{
    bool is_on;
    int err = rows_flag(job, d, &is_on);
    return err < 0 ? err : nginx_put_all(job, row, d, is_on ? "false" : "true");
}

int how_yes(const struct nginx_job *job, const struct nginx_row *row, struct nginx_directive *d)
{
    return nginx_put_all(job, row, d, "true");
}

int how_time(const struct nginx_job *job, const struct nginx_row *row, struct nginx_directive *d)
{
    uint64_t ms;
    if (nginx_time(d->words[1], &ms) < 0)
        return nginx_fail(job->import, d, "\"%s\" is no time", d->words[1]);
    return nginx_put_numbers(job, row, d, ms);
}

int how_size(const struct nginx_job *job, const struct nginx_row *row, struct nginx_directive *d)
{
    uint64_t bytes;
    if (nginx_size(d->words[1], &bytes) < 0)
        return nginx_fail(job->import, d, "\"%s\" is no size", d->words[1]);
    return nginx_put_numbers(job, row, d, bytes);
}

int how_number(const struct nginx_job *job, const struct nginx_row *row, struct nginx_directive *d)
{
    uint64_t n;
    if (str_to_u64(str_of(d->words[1]), INT64_MAX, &n) < 0)
        return nginx_fail(job->import, d, "\"%s\" is no number", d->words[1]);
    return nginx_put_numbers(job, row, d, n);
}

/* With 0 nginx closes at the first error; ours would never. */
int how_max_errors(const struct nginx_job *job, const struct nginx_row *row,
                   struct nginx_directive *d)
{
    return str_eq(str_of(d->words[1]), STR("0")) ? nginx_put_numbers(job, row, d, 1)
                                                 : how_number(job, row, d);
}

int how_text(const struct nginx_job *job, const struct nginx_row *row, struct nginx_directive *d)
{
    return nginx_put_text(job, row, d, row->keys, d->words[1]);
}

int how_path(const struct nginx_job *job, const struct nginx_row *row, struct nginx_directive *d)
{
    AUTO_FREE char *path = nginx_path(job->import, d->words[1]);
    return path ? nginx_put_text(job, row, d, row->keys, path) : -ERR_NOMEM;
}

int how_words(const struct nginx_job *job, const struct nginx_row *row, struct nginx_directive *d)
{
    int err = nginx_put(job, row, d, row->keys, "[ ]");
    for (size_t i = 1; i < d->n_words && err == 0; i++)
        err = nginx_put_next(job, row, d, row->keys, d->words[i]);
    return err;
}

/* ---- main ---- */

int how_user(const struct nginx_job *job, const struct nginx_row *row, struct nginx_directive *d)
{
    int err = nginx_put_text(job, row, d, "user", d->words[1]);
    return err == 0 && d->n_words > 2 ? nginx_put_text(job, row, d, "group", d->words[2]) : err;
}

int how_workers(const struct nginx_job *job, const struct nginx_row *row, struct nginx_directive *d)
{
    return strcmp(d->words[1], "auto") == 0 ? nginx_put(job, row, d, row->keys, "0")
                                            : how_number(job, row, d);
}

/* Sets a key to a text. */
static int rows_set_text(struct nginx_settings *out, const char *key, struct str text,
                         const char *from)
{
    AUTO_BUF quoted = BUF_INIT;
    int err = nginx_quote(text, &quoted);
    return err < 0 ? err : nginx_settings_set(out, key, buf_cstr(&quoted), from);
}

/* "server=ADDRESS,facility=NAME,tag=NAME,severity=NAME,nohostname", the last one only of access
 * logs. Without equal: out stays empty. */
static int rows_syslog(struct nginx_directive *d, struct str options, const char *from,
                       struct nginx_settings *out)
{
    struct str server = STR_NULL, facility = STR("local7"), tag = STR_NULL;
    struct sockaddr_storage to;
    socklen_t to_n;
    bool has_hostname = true;
    while (options.n > 0) {
        struct str one = str_cut(&options, ',');
        if (str_is_prefix(one, STR("server=")))
            server = str_skip(one, 7);
        else if (str_is_prefix(one, STR("facility=")))
            facility = str_skip(one, 9);
        else if (str_is_prefix(one, STR("tag=")))
            tag = str_skip(one, 4);
        else if (str_eq(one, STR("nohostname")))
            has_hostname = false;
        else if (!str_is_prefix(one, STR("severity=")))
            nginx_note(d, NGINX_APPROXIMATE, "an option of syslog that is not known");
    }
    if (str_eq(facility, STR("intern")))
        facility = STR("syslog");
    bool is_local = str_is_prefix(server, STR("unix:"));
    struct str place = is_local ? str_skip(server, 5) : server;
    AUTO_FREE char *text = str_dup(place);
    if (!text)
        return -ERR_NOMEM;
    if (!is_local && log_syslog_address(text, true, &to, &to_n) < 0)
        return nginx_note(d, NGINX_NO_EQUAL,
                          "syslog servers are told by their addresses: replace the name"),
               0;
    int err = nginx_settings_set(out, "target", "\"syslog\"", from);
    if (err == 0)
        err = rows_set_text(out, is_local ? "path" : "server", place, NULL);
    if (err == 0)
        err = rows_set_text(out, "facility", facility, NULL);
    if (err == 0 && tag.n > 0)
        err = rows_set_text(out, "tag", tag, NULL);
    if (err == 0)
        err = nginx_settings_set(out, "hostname", has_hostname ? "true" : "false", NULL);
    return err;
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
    AUTO_BUF quoted = BUF_INIT;
    int err = from ? nginx_quote(target, &quoted) : -ERR_NOMEM;
    if (err == -ERR_INVAL)
        return nginx_note(d, NGINX_NO_EQUAL, nginx_put_why), 0;
    if (err < 0)
        return err;
    if (str_is_prefix(target, STR("memory:")))
        return nginx_note(d, NGINX_NO_EQUAL, "there is no log in memory: name a file"), 0;
    if (str_is_prefix(target, STR("syslog:"))) {
        err = rows_syslog(d, str_skip(target, strlen("syslog:")), from, out);
        if (err < 0 || out->n == 0)
            return err;
        is_file = false;
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
    static const char *const levels[] = {"debug", "info", "notice", "warn"};
    const char *word = "error";
    for (size_t i = 0; d->n_words > 2 && i < ARRAY_LEN(levels); i++)
        word = strcmp(d->words[2], levels[i]) == 0 ? levels[i] : word;
    err = buf_printf(&level, "\"%s\"", word);
    return err < 0 ? err : nginx_settings_set(out, "level", buf_cstr(&level), NULL);
}

int how_log(const struct nginx_job *job, const struct nginx_row *row, struct nginx_directive *d)
{
    struct nginx_import *im = job->import;
    struct nginx_settings next = {0};
    (void)row;
    int err = rows_log(job, d, &next);
    size_t at = 0;
    while (at < im->n_logs && !nginx_settings_eq(&im->logs[at], &next))
        at++;
    bool is_new = err == 0 && next.n > 0 && at == im->n_logs;
    bool is_none = err < 0 || next.n == 0;
    if (is_new && at >= LOG_SINKS_MAX) {
        nginx_note(d, NGINX_NO_EQUAL, "there are too many logs: let servers share some");
        is_new = false;
        is_none = true;
    }
    struct nginx_settings *v = is_new ? realloc(im->logs, (im->n_logs + 1) * sizeof(*v)) : NULL;
    if (v) {
        im->logs = v;
        v[im->n_logs++] = next;
    } else {
        nginx_settings_fini(&next);
        if (is_new)
            return -ERR_NOMEM;
    }
    if (is_none)
        return err;
    job->server->logs |= 1u << at;
    if (!d->parent || d->parent->n_words == 0 || strcmp(d->parent->words[0], "server") != 0)
        im->outer_logs |= 1u << at;
    return 0;
}

/* ---- a server ---- */

int how_protocol(const struct nginx_job *job, const struct nginx_row *row,
                 struct nginx_directive *d)
{
    (void)row;
    static const char *const known[] = {"imap", "pop3", "smtp"}; /* nginx knows no sieve */
    if (!str_is_among(str_of(d->words[1]), known, ARRAY_LEN(known)))
        return nginx_fail(job->import, d, "unknown protocol \"%s\"", d->words[1]);
    job->server->proto = proto_find(str_of(d->words[1]));
    return 0;
}

int how_networks(const struct nginx_job *job, const struct nginx_row *row,
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

int how_resolver(const struct nginx_job *job, const struct nginx_row *row,
                 struct nginx_directive *d)
{
    bool is_off = strcmp(d->words[1], "off") == 0;
    int err = nginx_put(job, row, d, "resolver.enabled", is_off ? "false" : "true");
    for (size_t i = 1; i < d->n_words && err == 0 && !is_off; i++) {
        struct addr a;
        if (strchr(d->words[i], '='))
            err = job->param(job, d, d->words[i]);
        else if (addr_parse(str_of(d->words[i]), &a) < 0)
            nginx_note(d, NGINX_NO_EQUAL,
                       "name servers are told by their addresses: replace names");
        else
            err = nginx_put_next(job, row, d, "resolver.name_servers", d->words[i]);
    }
    return err;
}

int how_auth_http(const struct nginx_job *job, const struct nginx_row *row,
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
int how_auth_timeout(const struct nginx_job *job, const struct nginx_row *row,
                     struct nginx_directive *d)
{
    uint64_t ms;
    if (nginx_time(d->words[1], &ms) < 0)
        return nginx_fail(job->import, d, "\"%s\" is no time", d->words[1]);
    int err = nginx_put_numbers(job, row, d, ms);
    return err < 0 ? err : nginx_put_number(job, NGINX_OF_ALL, d, "timeouts.auth", ms);
}

int how_header(const struct nginx_job *job, const struct nginx_row *row, struct nginx_directive *d)
{
    AUTO_FREE char *line = str_printf("%s: %s", d->words[1], d->words[2]);
    return line ? nginx_put_next(job, row, d, row->keys, line) : -ERR_NOMEM;
}

/* nginx does not look whether the server announces AUTH. */
int how_smtp_auth(const struct nginx_job *job, const struct nginx_row *row,
                  struct nginx_directive *d)
{
    bool is_on;
    int err = rows_flag(job, d, &is_on);
    return err < 0 ? err : nginx_put(job, row, d, row->keys, is_on ? "\"forced\"" : "\"off\"");
}

int how_xclient(const struct nginx_job *job, const struct nginx_row *row, struct nginx_directive *d)
{
    bool is_on;
    int err = rows_flag(job, d, &is_on);
    return err < 0 || !is_on ? err : nginx_put_next(job, row, d, row->keys, "xclient-forced");
}

int how_proxy_protocol(const struct nginx_job *job, const struct nginx_row *row,
                       struct nginx_directive *d)
{
    static const char *const words[][2] = {{"off", NULL}, {"on", "proxy-v1"}, {"v2", "proxy-v2"}};
    for (size_t i = 0; i < ARRAY_LEN(words); i++)
        if (strcmp(d->words[1], words[i][0]) == 0)
            return words[i][1] ? nginx_put_next(job, row, d, row->keys, words[i][1]) : 0;
    return nginx_fail(job->import, d, "must be \"on\", \"v2\" or \"off\"");
}

static bool rows_has_word(const struct nginx_directive *d, const char *word)
{
    bool has = false;
    for (size_t i = 1; i < d->n_words; i++)
        has = has || strcmp(d->words[i], word) == 0;
    return has;
}

int how_mechanisms(const struct nginx_job *job, const struct nginx_row *row,
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
            err = nginx_put_next(job, row, d, "mechanisms", words[w][1]);
        else if (strcmp(d->words[i], "none") == 0 && job->server->proto->can_skip_login)
            err = nginx_put(job, row, d, "auth", "\"none\"");
        else
            return nginx_fail(job->import, d, "invalid value \"%s\"", d->words[i]);
    }
    bool has_plain = rows_has_word(d, "plain"), has_login = rows_has_word(d, "login");
    /* nginx announces LOGIN in POP3 wherever PLAIN is */
    if (err == 0 && has_plain && !has_login && job->server->proto->has_apop) {
        has_login = true;
        err = nginx_put_next(job, row, d, "mechanisms", "LOGIN");
    }
    /* and takes both where it does not announce them */
    if (err == 0 && !has_plain)
        err = nginx_put_next(job, row, d, "hidden_mechanisms", "PLAIN");
    if (err == 0 && !has_login)
        err = nginx_put_next(job, row, d, "hidden_mechanisms", "LOGIN");
    if (err == 0 && rows_has_word(d, "external"))
        err = nginx_put(job, row, d, "external", "\"any\"");
    if (err == 0 && job->server->proto->default_mechanisms & SASL_BIT_COMMAND)
        err = nginx_put_next(job, row, d, "mechanisms", "COMMAND");
    return err;
}

/* ---- TLS ---- */

int how_keep(const struct nginx_job *job, const struct nginx_row *row, struct nginx_directive *d)
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

int how_old_ssl(const struct nginx_job *job, const struct nginx_row *row, struct nginx_directive *d)
{
    (void)row;
    return rows_flag(job, d, &job->server->is_old_ssl_on);
}

int how_certificate(const struct nginx_job *job, const struct nginx_row *row,
                    struct nginx_directive *d)
{
    static const char *const forms[] = {"data:", "engine:", "store:"};
    for (size_t i = 0; i < ARRAY_LEN(forms); i++)
        if (str_is_prefix(str_of(d->words[1]), str_of(forms[i])))
            nginx_note(d, NGINX_NO_EQUAL, "keys and certificates are files: write it to one");
    return how_keep(job, row, d);
}

int how_dh_params(const struct nginx_job *job, const struct nginx_row *row,
                  struct nginx_directive *d)
{
    int err = how_path(job, row, d);
    return err < 0 ? err : how_keep(job, row, d);
}

int how_session_cache(const struct nginx_job *job, const struct nginx_row *row,
                      struct nginx_directive *d)
{
    (void)job;
    (void)row;
    if (strcmp(d->words[1], "off") != 0 && strcmp(d->words[1], "none") != 0)
        nginx_note(d, NGINX_APPROXIMATE,
                   "sessions resume by tickets; no cache is kept in the server");
    return 0;
}

/* nginx seals with the first one and opens with all of them. */
int how_ticket_key(const struct nginx_job *job, const struct nginx_row *row,
                   struct nginx_directive *d)
{
    if (!nginx_settings_find(nginx_put_group(job, row), row->keys))
        return how_path(job, row, d);
    nginx_note(d, NGINX_APPROXIMATE,
               "GnuTLS takes one key: the first is taken, tickets of the others end in a whole "
               "handshake; give all proxies the new file at once");
    return 0;
}

int how_verify_client(const struct nginx_job *job, const struct nginx_row *row,
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
int how_trusted_ca(const struct nginx_job *job, const struct nginx_row *row,
                   struct nginx_directive *d)
{
    if (!nginx_settings_find(nginx_put_group(job, row), row->keys))
        return how_path(job, row, d);
    nginx_note(d, NGINX_NO_EQUAL,
               "there is one file of CAs: add these to that of ssl_client_certificate");
    return 0;
}
