/* SPDX-License-Identifier: ISC */
/* ban list, add, remove, clear. */
#include <sys/socket.h>

#include "base/buf.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "ops/kill.h"
#include "rpc/handlers.h"
#include "rpc/rows.h"
#include "runtime/rules/rule_edit.h"

#define BAN_LOOKED_MAX 200 /* networks whose sessions are counted for the question */

/* ---- list ---- */

static json_t *ban_list_row(void *arg, const struct list *node)
{
    struct control *c = arg;
    const struct rule *r = LIST_ITEM(node, struct rule, link);
    const struct rules_time now = limit_service_now(c->limit_service);
    json_t *row = rule_edit_row(r, &now);
    request_set_text(row, "by", r->is_automatic ? "failures" : r->by);
    request_set_text(row, "origin", r->is_automatic ? r->by : NULL);
    request_set_number(row, "created", r->created_ms);
    request_put_number(row, "hits", r->hits);
    request_set_text(row, "text", r->text);
    return row;
}

void command_ban_list(struct request *r)
{
    struct limit_service *l = request_control(r)->limit_service;
    struct rules *bans = &limit_service_limits(l)->bans;
    const struct rows_source source = {
        .walks = &bans->walks, .head = &bans->all, .row = ban_list_row, .arg = request_control(r)};
    rows_answer(r, limit_service_jobs(l), &source, 1);
}

/* ---- add, remove ---- */

static void ban_event(struct request *r, const struct limit_target *s, const char *what)
{
    char name[LIMIT_TARGET_TEXT_MAX];
    limit_target_format(name, s);
    const char *reason = request_text(r, "reason");
    AUTO_FREE char *text = str_printf("%s %s by %s%s%s%s", name, what, r->peer.user,
                                      reason ? " (" : "", reason ? reason : "", reason ? ")" : "");
    control_event(request_control(r), "ban", NULL, NULL,
                  s->kind == LIMIT_TARGET_USER ? s->user : NULL,
                  s->kind == LIMIT_TARGET_ADDRESS ? name : NULL, NULL, text);
}

/* Whom an edit names: a network of IPv6 counts as its /64s, as limits count. */
struct ban_sum {
    __uint128_t addresses, networks; /* those of IPv4 networks; /64s of IPv6 networks */
    size_t singles, users;           /* single addresses */
    bool has_network;
};

static struct ban_sum ban_sum_up(const struct rule_edit *edit)
{
    struct ban_sum sum = {0};
    for (size_t i = 0; i < edit->n; i++) {
        const struct limit_target *t = &edit->subjects[i];
        bool is_v6 = t->net.family == AF_INET6;
        unsigned last = is_v6 ? 64 : 128;
        if (t->kind == LIMIT_TARGET_USER) {
            sum.users++;
            continue;
        }
        if (t->kind != LIMIT_TARGET_NETWORK || t->net.bits >= last) {
            sum.singles++;
            continue;
        }
        *(is_v6 ? &sum.networks : &sum.addresses) += (__uint128_t)1 << (last - t->net.bits);
        sum.has_network = true;
    }
    return sum;
}

/* Of the networks; --max and JSON have numbers that end earlier than IPv6. */
static uint64_t ban_count(const struct ban_sum *sum)
{
    __uint128_t n = sum->addresses + sum->networks;
    return n > INT64_MAX ? INT64_MAX : (uint64_t)n;
}

static void ban_put_number(struct buf *out, __uint128_t n)
{
    char digits[40], *at = digits + sizeof(digits);
    do
        *--at = (char)('0' + (int)(n % 10));
    while ((n /= 10) > 0);
    (void)!buf_append(out, at, (size_t)(digits + sizeof(digits) - at));
}

/* "256 addresses, 4 IPv6 networks (/64) and 1 user would be refused". */
static void ban_say(struct buf *out, const struct ban_sum *sum)
{
    const struct {
        __uint128_t n;
        const char *one, *many;
    } parts[] = {{sum->addresses + sum->singles, " address", " addresses"},
                 {sum->networks, " IPv6 network (/64)", " IPv6 networks (/64)"},
                 {sum->users, " user", " users"}};
    size_t left = 0;
    for (size_t i = 0; i < ARRAY_LEN(parts); i++)
        left += parts[i].n > 0;
    for (size_t i = 0; i < ARRAY_LEN(parts); i++) {
        if (parts[i].n == 0)
            continue;
        ban_put_number(out, parts[i].n);
        (void)!buf_append_c(out, parts[i].n == 1 ? parts[i].one : parts[i].many);
        left--;
        (void)!buf_append_c(out, left > 1 ? ", " : left == 1 ? " and " : " would be refused");
    }
}

static void on_ban_looked(void *arg, const struct kill_result *result)
{
    struct request *r = arg;
    struct rule_edit edit;
    if (result->err < 0) {
        kill_answer(r, result);
        return;
    }
    if (rule_edit_begin(r, RULE_DB_BAN, &edit) < 0)
        return;
    const struct ban_sum sum = ban_sum_up(&edit);
    uint64_t n = ban_count(&sum);
    rule_edit_abort(&edit, 0, NULL);
    AUTO_FREE char *sessions = breakdown_text(result->tally->found, "would stay");
    AUTO_BUF text = BUF_INIT;
    ban_say(&text, &sum);
    (void)!buf_printf(&text, "; %s", sessions ? sessions : "");
    r->count = n;
    request_answer(r, json_pack("{s:I, s:b, s:s?, s:o}", "count", (json_int_t)n, "changed", 0,
                                "message", buf_cstr(&text), "breakdown",
                                breakdown_json(result->tally->found)));
}

/* Who is there now: the sessions of these networks, as far as one filter names them. */
static int ban_look(struct request *r, const struct rule_edit *edit)
{
    const struct kill_spec spec = {.is_dry = true, .done = on_ban_looked, .arg = r};
    char names[BAN_LOOKED_MAX][LIMIT_TARGET_TEXT_MAX];
    const char *values[BAN_LOOKED_MAX];
    struct filter_is term = {.id = SESSION_FIELD_IP, .values = values};
    for (size_t i = 0; i < edit->n && term.n_values < BAN_LOOKED_MAX; i++) {
        if (edit->subjects[i].kind != LIMIT_TARGET_NETWORK)
            continue;
        limit_target_format(names[term.n_values], &edit->subjects[i]);
        values[term.n_values] = names[term.n_values];
        term.n_values++;
    }
    return term.n_values > 0 ? kill_start_terms(request_control(r), &spec, &term, 1)
                             : -ERR_NO_MATCH;
}

/* Single addresses and users need no question: a dry run counts none that is to be asked about. */
static void ban_say_single(struct request *r, struct rule_edit *edit)
{
    char name[LIMIT_TARGET_TEXT_MAX] = "";
    size_t n = edit->n;
    const struct ban_sum sum = ban_sum_up(edit);
    AUTO_BUF text = BUF_INIT;
    ban_say(&text, &sum);
    if (n > 0)
        limit_target_format(name, &edit->subjects[0]);
    rule_edit_abort(edit, 0, NULL);
    if (n == 1)
        request_done(r, 0, false, "%s would be refused", name);
    else
        request_done(r, 0, false, "%s", buf_cstr(&text));
}

/* True: the guards have answered, or will. */
static bool ban_guard(struct request *r, struct rule_edit *edit)
{
    const struct ban_sum sum = ban_sum_up(edit);
    AUTO_BUF text = BUF_INIT;
    if (request_bool(r, "dry_run")) {
        if (!sum.has_network) {
            ban_say_single(r, edit);
            return true;
        }
        int err = ban_look(r, edit);
        rule_edit_abort(edit, err, "%s", err_text(err));
        return true;
    }
    if (sum.has_network && ban_count(&sum) > request_number(r, "max", UINT64_MAX)) {
        ban_say(&text, &sum);
        rule_edit_abort(edit, -ERR_TOO_MANY, "%s; nothing was done", buf_cstr(&text));
        return true;
    }
    return false;
}

void command_ban_add(struct request *r)
{
    struct rule_edit edit;
    if (rule_edit_begin(r, RULE_DB_BAN, &edit) < 0 || ban_guard(r, &edit))
        return;
    for (size_t i = 0; i < edit.n; i++) {
        struct rule_spec spec = {.subject = edit.subjects[i],
                                 .text = request_text(r, "text"),
                                 .sessions = RULE_KEEP,
                                 .login_rate = RULE_KEEP,
                                 .failures = RULE_KEEP};
        if (rule_edit_put(&edit, &spec))
            ban_event(r, &edit.subjects[i], "is banned");
    }
    rule_edit_end(&edit);
}

void command_ban_remove(struct request *r)
{
    struct rule_edit edit;
    if (rule_edit_begin(r, RULE_DB_BAN, &edit) < 0)
        return;
    for (size_t i = 0; i < edit.n; i++)
        if (rule_edit_remove(&edit, &edit.subjects[i]))
            ban_event(r, &edit.subjects[i], "is no longer banned");
    rule_edit_end(&edit);
}

/* ---- clear ---- */

static bool ban_is_meant(struct control *c, const struct filter *f, const struct list *node)
{
    json_t *row = f ? ban_list_row(c, node) : NULL;
    bool is_match = !f || (row && filter_match(f, command_row_get, row));
    json_decref(row);
    return is_match;
}

static void ban_clear(struct request *r, struct filter *filter, struct rule_edit *edit)
{
    struct control *c = request_control(r);
    bool is_dry = request_bool(r, "dry_run");
    uint64_t max = request_number(r, "max", UINT64_MAX), n = 0;
    struct rules *bans = &limit_service_limits(c->limit_service)->bans;
    LIST_FOREACH (it, &bans->all)
        n += ban_is_meant(c, filter, it);
    if (n > max) {
        rule_edit_abort(edit, -ERR_TOO_MANY, "%llu bans would go; nothing was done",
                        (unsigned long long)n);
        return;
    }
    if (filter && n == 0) {
        rule_edit_abort(edit, -ERR_NO_MATCH, "no ban matches");
        return;
    }
    if (is_dry) {
        rule_edit_abort(edit, 0, NULL);
        request_done(r, n, false, "%llu bans would go", (unsigned long long)n);
        return;
    }
    LIST_FOREACH_SAFE (it, &bans->all) {
        struct limit_target s;
        if (!ban_is_meant(c, filter, it))
            continue;
        rule_subject(LIST_ITEM(it, struct rule, link), &s);
        (void)rule_edit_remove(edit, &s);
    }
    rule_edit_end(edit);
}

void command_ban_clear(struct request *r)
{
    struct rule_edit edit;
    struct filter *filter = NULL;
    if (request_filter_rows(r, "ban.list", &filter) < 0)
        return;
    if (!filter && !request_bool(r, "all"))
        request_fail(r, -ERR_MISSING_PARAM, NULL, "say which bans, or --all");
    else if (rule_edit_begin(r, RULE_DB_BAN, &edit) == 0)
        ban_clear(r, filter, &edit);
    filter_unref(filter);
}
