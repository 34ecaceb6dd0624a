/* SPDX-License-Identifier: ISC */
/* Changing backends: states, weight, address, adding and removing. */
#include "backend/check.h"
#include "control/backend/backend_list.h"
#include "ops/drains.h"
#include "ops/kill.h"
#include "rpc/handlers.h"

/* ---- values ---- */

static int edit_check_needs_member(struct backend_change *ch)
{
    if (ch->member)
        return 0;
    return change_refuse(ch, -ERR_NO_BACKEND,
                         str_printf("%s is in no pool: it has only a state", ch->name));
}

/* What the request gives. */
static int edit_check_given(struct backend_change *ch)
{
    const struct request *r = ch->work.request;
    struct backend_given *g = &ch->given;
    const char *ports = request_text(r, "ports"), *tls = request_text(r, "tls");
    uint64_t weight = request_number(r, "weight", 0), most = request_number(r, "max_sessions", 0);
    char *error = NULL;
    *g = (struct backend_given){.host = request_text(r, "host"),
                                .has_tls = tls != NULL,
                                .has_weight = request_has(r, "weight"),
                                .has_max_sessions = request_has(r, "max_sessions"),
                                .weight = (uint32_t)weight,
                                .max_sessions = (uint32_t)most};
    const char *fault = g->host ? config_host_fault(g->host) : NULL;
    if (fault)
        return change_refuse(ch, -ERR_BAD_PARAM, str_printf("host: \"%.256s\" %s", g->host, fault));
    if (ports && backend_ports_parse(ports, g->ports, &error) < 0)
        return change_refuse(ch, -ERR_BAD_PARAM, error);
    if (tls && config_backend_tls_find(tls, &g->tls) < 0)
        return change_refuse(ch, -ERR_BAD_PARAM,
                             str_dup_c("tls is one of pool, off, starttls, implicit"));
    if (weight > RUNTIME_WEIGHT_MAX)
        return change_refuse(ch, -ERR_BAD_PARAM,
                             str_printf("weight is 0 to %d", RUNTIME_WEIGHT_MAX));
    if (most > RUNTIME_MAX_SESSIONS_MAX)
        return change_refuse(
            ch, -ERR_BAD_PARAM,
            str_printf("max_sessions is 0 (no limit) to %d", RUNTIME_MAX_SESSIONS_MAX));
    return 0;
}

/* No edit where it is what the file says. */
static int edit_apply_given(struct backend_change *ch, struct runtime_edit *e)
{
    const struct backend_given *g = &ch->given;
    const struct config_backend *file = ch->file;
    if (g->host) {
        char *host = NULL;
        bool is_edit = !file || strcmp(file->host, g->host) != 0;
        if (is_edit && !(host = str_dup_c(g->host)))
            return -ERR_NOMEM;
        free(e->edit.host);
        e->edit.host = host;
    }
    for (int i = 0; i < PROTO_COUNT; i++)
        if (g->ports[i])
            e->edit.ports[i] = file && file->ports[i] == g->ports[i] ? 0 : g->ports[i];
    if (g->has_tls) {
        e->edit.tls = g->tls;
        e->edit.has_tls = g->tls != (file ? file->tls : BACKEND_TLS_POOL);
    }
    if (g->has_weight)
        e->edit.weight = file && file->weight == g->weight ? -1 : (int)g->weight;
    if (g->has_max_sessions) {
        e->edit.has_max_sessions = g->max_sessions != (file ? file->max_sessions : 0);
        e->edit.max_sessions = g->max_sessions;
    }
    return 0;
}

static int edit_check_values(struct backend_change *ch)
{
    int err = edit_check_needs_member(ch);
    return err < 0 ? err : edit_check_given(ch);
}

static const struct backend_edit edit_values = {edit_check_values, edit_apply_given};

void command_backend_weight(struct request *r)
{
    change_start(r, true, &edit_values);
}

void command_backend_set(struct request *r)
{
    if (!request_has(r, "host") && !request_has(r, "ports") && !request_has(r, "tls") &&
        !request_has(r, "weight") && !request_has(r, "max_sessions"))
        request_fail(r, -ERR_MISSING_PARAM, NULL,
                     "say what to set: host, ports, tls, weight or max_sessions");
    else
        change_start(r, true, &edit_values);
}

/* ---- coming and going ---- */

/* Is what the command wants already there? What it leaves out is no matter. */
static bool add_is_there(const struct backend_change *ch)
{
    const struct request *r = ch->work.request;
    const struct pool_member *m = ch->member;
    const char *text = request_text(r, "ports"), *tls = request_text(r, "tls");
    uint16_t ports[PROTO_COUNT];
    enum config_backend_tls mode;
    AUTO_FREE char *error = NULL;
    if (strcmp(m->host, request_text(r, "host")) != 0 ||
        m->weight != request_number(r, "weight", m->weight) ||
        m->max_sessions != request_number(r, "max_sessions", m->max_sessions))
        return false;
    if (tls && (config_backend_tls_find(tls, &mode) < 0 ||
                config_backend_tls(ch->in->config, mode) != m->tls))
        return false;
    if (text && backend_ports_parse(text, ports, &error) < 0)
        return false;
    for (int i = 0; text && i < PROTO_COUNT; i++)
        if (ports[i] && ports[i] != m->ports[i])
            return false;
    return true;
}

static int edit_check_add(struct backend_change *ch)
{
    if (!ch->member)
        return edit_check_given(ch);
    if (add_is_there(ch))
        return 0;
    return change_refuse(
        ch, -ERR_EXISTS,
        str_printf("pool %s has a backend %s already: backend set changes it", ch->pool, ch->name));
}

static int edit_apply_add(struct backend_change *ch, struct runtime_edit *e)
{
    const struct runtime_entry *entry = ch->stage.entry;
    if (ch->member) { /* it is there: a restart is to bring it back as it is */
        if (e == &entry->now)
            return 0;
        runtime_edit_fini(e);
        return runtime_edit_copy(e, &entry->now);
    }
    runtime_edit_clear(e);
    e->edit.is_added = !ch->file;
    return edit_apply_given(ch, e);
}

void command_backend_add(struct request *r)
{
    static const struct backend_edit edit_add = {edit_check_add, edit_apply_add};
    const char *pool = request_text(r, "pool"), *name = request_text(r, "name");
    if (!*name || strlen(name) > 64 || !str_is_printable_ascii(str_of(name)) ||
        strpbrk(name, " /\"\\")) {
        request_fail(r, -ERR_BAD_PARAM, NULL,
                     "a name has 1 to 64 characters, no blanks, slashes or quotes");
        return;
    }
    if (!pools_find(control_snapshot(request_control(r))->pools, pool)) {
        pool_fail(r, pool);
        return;
    }
    struct backend *b = backend_registry_get(request_control(r)->host->registry, pool, name, NULL);
    change_post(r, str_dup_c(pool), str_dup_c(name), b, true, &edit_add);
}

static int edit_check_remove(struct backend_change *ch)
{
    uint64_t n = backend_sessions(ch->backend);
    int err = ch->file ? 0 : edit_check_needs_member(ch);
    if (err < 0)
        return err;
    bool is_forced = request_bool(ch->work.request, "force");
    ch->is_pin_barred = !is_forced;
    if (n == 0 || is_forced)
        return 0;
    return change_refuse(
        ch, -ERR_BUSY,
        str_printf("%s has %llu sessions: --drain empties it first, --force leaves them", ch->name,
                   (unsigned long long)n));
}

static int edit_apply_remove(struct backend_change *ch, struct runtime_edit *e)
{
    runtime_edit_clear(e);
    e->edit.is_removed = ch->file != NULL;
    return 0;
}

static int edit_check_reset(struct backend_change *ch)
{
    const struct runtime_entry *e = ch->stage.entry;
    bool is_added = e->now.edit.is_added ||
                    (e->stored.edit.is_added && !request_bool(ch->work.request, "until_restart"));
    if (is_added && !ch->file && ch->in)
        return change_refuse(
            ch, -ERR_CONFIG,
            str_printf("%s is not in the file: backend remove takes it out", ch->name));
    ch->is_row_bad = runtime_is_unreadable(work_control(&ch->work)->runtime, ch->pool, ch->name);
    return 0;
}

static int edit_apply_reset(struct backend_change *ch, struct runtime_edit *e)
{
    (void)ch;
    runtime_edit_clear(e);
    return 0;
}

/* A backend that an operator took out is in no pool any more, but its edit names it. with_lost:
 * those too that are gone from the file. */
static struct runtime_entry *removed_find(const struct control *c, const char *text, bool with_lost)
{
    const char *slash = strchr(text, '/');
    size_t n = slash ? (size_t)(slash - text) : 0;
    LIST_FOREACH (it, runtime_entries(c->runtime)) {
        struct runtime_entry *e = LIST_ITEM(it, struct runtime_entry, link);
        const struct pool_edit *p = &e->now.edit;
        bool is_pool = !slash || str_eq(str_n(text, n), str_of(p->pool));
        bool is_lost = strcmp(p->pool, RUNTIME_DYNAMIC) != 0 &&
                       !pools_member(control_snapshot(c)->pools, p->pool, p->name, NULL);
        bool is_gone = p->is_removed || (with_lost && is_lost);
        if (is_gone && is_pool && strcmp(p->name, slash ? slash + 1 : text) == 0)
            return e;
    }
    return NULL;
}

static void change_start_removed(struct request *r, bool with_lost, const struct backend_edit *edit)
{
    const struct runtime_entry *e =
        removed_find(request_control(r), request_text(r, "name"), with_lost);
    if (!e) {
        change_start(r, true, edit);
        return;
    }
    const struct pool_edit *p = &e->now.edit;
    struct backend *b =
        backend_registry_get(request_control(r)->host->registry, p->pool, p->name, NULL);
    change_post(r, str_dup_c(p->pool), str_dup_c(p->name), b, true, edit);
}

static void on_remove_looked(void *arg, const struct kill_result *result)
{
    struct request *r = arg;
    bool is_drained = request_bool(r, "drain");
    if (result->err < 0)
        request_fail(r, result->err, NULL, NULL);
    else
        kill_answer_found(r, result->tally, result->rows,
                          is_drained && request_bool(r, "kick") ? "would end"
                          : is_drained                          ? "would be waited for"
                          : request_bool(r, "force")            ? "would go on there"
                                                                : "are there: it would be refused");
}

/* The sessions that are there; of one that was taken out already none. */
static void remove_look(struct request *r)
{
    struct target t;
    if (removed_find(request_control(r), request_text(r, "name"), false)) {
        request_hit(r, 0, false, json_array());
        return;
    }
    if (target_find(r, request_text(r, "name"), &t) < 0)
        return;
    const struct kill_spec look = {
        .is_dry = true, .has_rows = true, .done = on_remove_looked, .arg = r};
    int err = drain_kill(request_control(r), &t.backend, 1, &look);
    target_fini(&t);
    if (err < 0)
        request_fail(r, err, NULL, NULL);
}

void command_backend_remove(struct request *r)
{
    static const struct backend_edit edit_remove = {edit_check_remove, edit_apply_remove};
    struct targets t;
    if (request_bool(r, "dry_run"))
        remove_look(r);
    else if (!request_bool(r, "drain"))
        change_start_removed(r, false, &edit_remove);
    else if (request_number(r, "rate", DRAIN_RATE) == 0)
        request_fail(r, -ERR_BAD_PARAM, NULL, "rate is 1 at least");
    else if (targets_find(r, &t) == 0)
        backends_set(r, &t, BACKEND_DRAIN, drain_start_removal);
}

void command_backend_reset(struct request *r)
{
    static const struct backend_edit edit_reset = {edit_check_reset, edit_apply_reset};
    change_start_removed(r, true, &edit_reset);
}

/* ---- backend check ---- */

static void on_checked(void *arg, const struct check_result *res)
{
    struct request *r = arg;
    if (res->err < 0) {
        request_fail(r, res->err, NULL, NULL);
        return;
    }
    bool is_good = res->failure == BACK_FAIL_NONE;
    json_t *row = json_object();
    request_set_text(row, "name", res->backend->name);
    request_set_text(
        row, "health",
        backend_health_name(atomic_load_explicit(&res->backend->health, memory_order_relaxed)));
    request_set_text(row, "result", is_good ? "good" : "failed");
    request_put_number(row, "took", (res->took_us + 500) / 1000);
    request_set_text(row, "text", res->text);
    request_answer(r, row);
}

void command_backend_check(struct request *r)
{
    struct target t;
    if (target_find(r, request_text(r, "name"), &t) < 0)
        return;
    int err = t.member ? check_now(request_control(r)->host->checks, t.pool, t.name, on_checked, r)
                       : -ERR_UNSUPPORTED;
    if (err == -ERR_UNSUPPORTED)
        request_fail(r, err, NULL, "%s cannot be checked: no listener speaks its protocols",
                     t.name);
    else if (err < 0)
        request_fail(r, err, NULL, NULL);
    target_fini(&t);
}
