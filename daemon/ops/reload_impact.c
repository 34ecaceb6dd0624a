/* SPDX-License-Identifier: ISC */
/* Two configurations beside each other, as clients and users see the difference. */
#include "ops/reload_impact.h"

#include <inttypes.h>

#include "base/container/map.h"
#include "base/units.h"
#include "peers/ask.h"
#include "rpc/request.h"
#include "runtime/state.h"

#define IMPACT_NAMES 5 /* of a sentence */

void reload_impact_fini(struct reload_impact *i)
{
    for (size_t k = 0; k < i->n; k++) {
        free(i->v[k].path);
        free(i->v[k].name);
        free(i->v[k].addresses);
        backend_unref(i->v[k].backend);
    }
    free(i->v);
    *i = (struct reload_impact){0};
}

/* Takes over path, name, addresses and the reference of b. */
static int impact_add(struct reload_impact *i, enum reload_part_kind kind, char *path, char *name,
                      char *addresses, struct backend *b)
{
    struct reload_part *v = realloc(i->v, (i->n + 1) * sizeof(*v));
    if (v)
        i->v = v;
    if (v && path && name) {
        v[i->n++] = (struct reload_part){.kind = kind,
                                         .path = path,
                                         .name = name,
                                         .addresses = addresses,
                                         .backend = b,
                                         .sessions = b ? backend_sessions(b) : 0};
        return 0;
    }
    free(path);
    free(name);
    free(addresses);
    backend_unref(b);
    return -ERR_NOMEM;
}

/* ---- what differs ---- */

static bool config_has_address(const struct config *c, const char *address)
{
    for (size_t i = 0; i < c->n_listeners; i++)
        for (size_t k = 0; k < c->listeners[i].address.n; k++)
            if (strcmp(c->listeners[i].address.v[k], address) == 0)
                return true;
    return false;
}

/* The addresses of one configuration that the other has not: sockets go by them, not by the names
 * of listeners. */
static int impact_listeners(struct reload_impact *i, enum reload_part_kind kind,
                            const struct config *of, const struct config *other)
{
    int err = 0;
    for (size_t k = 0; k < of->n_listeners && err == 0; k++) {
        const struct config_listener *l = &of->listeners[k];
        AUTO_BUF text = BUF_INIT;
        size_t n = 0;
        for (size_t a = 0; a < l->address.n && err == 0; a++)
            if (!config_has_address(other, l->address.v[a]))
                err = buf_printf(&text, "%s%s", n++ ? ", " : "", l->address.v[a]);
        if (err == 0 && text.len > 0)
            err = impact_add(i, kind, str_printf("listeners[%s]", l->name), str_dup_c(l->name),
                             buf_steal(&text), NULL);
        if (err == 0 && n > 0)
            i->v[i->n - 1].is_whole = n == l->address.n;
    }
    return err;
}

static int impact_pools(struct reload_impact *i, const struct pools *before,
                        const struct pools *next)
{
    int err = 0;
    for (size_t p = 0; p < before->n && err == 0; p++) {
        const struct pool *pool = &before->v[p];
        const char *name = pool->config->name;
        const struct pool *after = pools_find(next, name);
        if (!after)
            err = impact_add(i, RELOAD_REMOVES, str_printf("pools[%s]", name),
                             str_printf("pool %s", name), NULL, NULL);
        for (size_t m = 0; m < pool->n_members && err == 0; m++) {
            struct backend *b = pool->members[m].backend;
            if (!after || !pools_member(next, name, b->name, NULL))
                err = impact_add(i, RELOAD_REMOVES,
                                 str_printf("pools[%s].backends[%s]", name, b->name),
                                 str_printf("%s/%s", name, b->name), NULL, backend_ref(b));
        }
    }
    return err;
}

/* Thousands of users have the same few pins: each is looked up once. */
struct impact_pins {
    const struct pools *before, *next;
    struct reload_impact *impact;
    struct map by_pin; /* "pool/backend" -> position of its part + 2; 1: it hits nobody */
    int err;
};

#define PIN_GOES_ON SIZE_MAX /* leads nowhere now, or somewhere then too */

/* The part of what a pin leads to, PIN_GOES_ON when it hits nobody. */
static size_t impact_find_pin(const struct impact_pins *p, const struct store_user *u)
{
    const struct pool *pool = NULL;
    const struct pool_member *m =
        u->backend ? pools_member(p->before, u->pool, u->backend, &pool) : NULL;
    bool is_lost = u->backend
                       ? m && !pools_member(p->next, u->pool, u->backend, NULL)
                       : u->pool && pools_find(p->before, u->pool) && !pools_find(p->next, u->pool);
    AUTO_FREE char *path =
        !is_lost ? NULL
        : m      ? str_printf("pools[%s].backends[%s]", pool->config->name, u->backend)
                 : str_printf("pools[%s]", u->pool);
    for (size_t i = p->impact->n_listeners; path && i < p->impact->n; i++)
        if (strcmp(p->impact->v[i].path, path) == 0)
            return i;
    return PIN_GOES_ON;
}

/* Whose pin leads somewhere now, and nowhere then? */
static bool impact_count_pin(void *arg, const struct store_user *u)
{
    struct impact_pins *p = arg;
    if (!u->pool && !u->backend)
        return true;
    AUTO_FREE char *pin = str_printf("%s/%s", u->pool ? u->pool : "", u->backend ? u->backend : "");
    if (!pin) {
        p->err = -ERR_NOMEM;
        return false;
    }
    uintptr_t known = (uintptr_t)map_get(&p->by_pin, str_of(pin));
    if (!known) {
        known = impact_find_pin(p, u) + 2; /* PIN_GOES_ON + 2 = 1 */
        p->err = map_put(&p->by_pin, str_of(pin), (void *)known, NULL);
    }
    if (known > 1)
        p->impact->v[known - 2].pins++;
    return p->err == 0;
}

int reload_impact_find(const struct snapshot *before, const struct config *next,
                       const struct pools *pools, struct store *store, struct reload_impact *ret)
{
    ret->end_ms = next->reload_session_timeout_ms;
    int err = impact_listeners(ret, RELOAD_OPENS, next, before->config);
    if (err == 0)
        err = impact_listeners(ret, RELOAD_CLOSES, before->config, next);
    ret->n_listeners = ret->n;
    if (err == 0)
        err = impact_pools(ret, before->pools, pools);
    if (err < 0 || ret->n == ret->n_listeners)
        return err;
    struct impact_pins pins = {.before = before->pools, .next = pools, .impact = ret};
    err = store_user_each(store, NULL, SIZE_MAX, impact_count_pin, &pins);
    map_fini(&pins.by_pin);
    return err < 0 ? err : pins.err;
}

/* ---- sessions ---- */

struct impact_count {
    struct control *control;
    struct reload_impact *impact;
    void (*done)(void *arg, int err);
    void *arg;
};

static bool part_has_sessions(const struct reload_part *p)
{
    return p->kind == RELOAD_CLOSES && p->is_whole;
}

static bool impact_chunk(void *arg, struct session_chunk *chunk)
{
    const struct impact_count *x = arg;
    struct reload_impact *i = x->impact;
    for (size_t k = 0; k < chunk->n; k++) {
        const struct session_row *row = &chunk->rows[k];
        /* An engine that finishes its sessions has its own deadline. */
        if (i->end_ms > 0 && session_id_start(row->id) == x->control->host->start)
            breakdown_add(&i->ends, row);
        for (size_t p = 0; p < i->n_listeners; p++)
            i->v[p].sessions += part_has_sessions(&i->v[p]) &&
                                str_eq(row->v[SESSION_FIELD_LISTENER].text, str_of(i->v[p].name));
    }
    session_chunk_free(chunk);
    return true;
}

static void impact_counted(void *arg, int err, uint64_t seen, uint64_t matched)
{
    struct impact_count *x = arg;
    (void)seen;
    (void)matched;
    x->done(x->arg, err);
    free(x);
}

void reload_impact_count(struct control *c, struct reload_impact *i,
                         void (*done)(void *arg, int err), void *arg)
{
    bool is_needed = i->end_ms > 0;
    for (size_t k = 0; k < i->n_listeners; k++)
        is_needed = is_needed || part_has_sessions(&i->v[k]);
    struct impact_count *x = is_needed ? calloc(1, sizeof(*x)) : NULL;
    int err = is_needed && !x ? -ERR_NOMEM : 0;
    if (x) {
        *x = (struct impact_count){c, i, done, arg};
        const struct collect_spec spec = {.query.fields = BREAKDOWN_FIELDS |
                                                          SESSION_FIELD_BIT(SESSION_FIELD_LISTENER),
                                          .chunk = impact_chunk,
                                          .done = impact_counted,
                                          .arg = x};
        err = collect_start(c, &spec);
        if (err == 0)
            return;
    }
    free(x);
    done(arg, err);
}

/* ---- in words ---- */

/* "12 sessions go on, 3 users are pinned to it: they could not log in"; empty = nobody. */
static int part_say_hit(const struct reload_part *p, struct buf *out)
{
    int err = 0;
    if (p->sessions > 0)
        err = buf_printf(out, "%" PRIu64 " session%s", p->sessions,
                         p->sessions == 1 ? " goes on" : "s go on");
    if (err == 0 && p->pins > 0)
        err = buf_printf(out, "%s%" PRIu64 " user%s pinned to it could not log in",
                         p->sessions ? ", " : "", p->pins, p->pins == 1 ? "" : "s");
    return err;
}

static const char *const part_words[] = {
    [RELOAD_OPENS] = "opens", [RELOAD_CLOSES] = "closes", [RELOAD_REMOVES] = "taken out"};

/* The row of the change itself, that of a listener's addresses among them; else a new one. */
static json_t *part_row(json_t *rows, const char *path)
{
    size_t i;
    json_t *row;
    json_array_foreach (rows, i, row) {
        struct str has = str_of(json_string_value(json_object_get(row, "path")));
        bool is_it = str_is_prefix(has, str_of(path));
        struct str rest = is_it ? str_n(has.p + strlen(path), has.n - strlen(path)) : has;
        if (is_it && (rest.n == 0 || str_eq(rest, STR(".address"))))
            return row;
    }
    row = json_object();
    request_set_text(row, "path", path);
    return json_array_append_new(rows, row) == 0 ? row : NULL;
}

void reload_impact_rows(const struct reload_impact *i, json_t *rows)
{
    for (size_t k = 0; k < i->n; k++) {
        const struct reload_part *p = &i->v[k];
        AUTO_BUF text = BUF_INIT, hit = BUF_INIT;
        json_t *row = part_row(rows, p->path);
        const char *before = json_string_value(json_object_get(row, "impact"));
        int err = part_say_hit(p, &hit);
        if (err == 0)
            err = buf_printf(&text, "%s%s%s%s%s%s%.*s", before ? before : "", before ? "; " : "",
                             part_words[p->kind], p->addresses ? " " : "",
                             p->addresses ? p->addresses : "", hit.len ? ": " : "",
                             STR_ARG(buf_str(&hit)));
        if (err == 0 && row)
            request_set_text(row, "impact", buf_cstr(&text));
    }
}

/* "; closes listeners: imap (3 sessions go on), pop3" */
static int impact_say_kind(const struct reload_impact *i, enum reload_part_kind kind,
                           struct buf *out)
{
    static const char *const heads[] = {[RELOAD_OPENS] = "opens listeners: ",
                                        [RELOAD_CLOSES] = "closes listeners: ",
                                        [RELOAD_REMOVES] = "takes out: "};
    size_t shown = 0;
    int err = 0;
    for (size_t k = 0; k < i->n && err == 0; k++) {
        AUTO_BUF hit = BUF_INIT;
        if (i->v[k].kind != kind || ++shown > IMPACT_NAMES)
            continue;
        const char *before = shown > 1 ? ", " : heads[kind];
        err = part_say_hit(&i->v[k], &hit);
        if (err == 0)
            err = buf_printf(out, "%s%s%s%s%.*s%s", shown == 1 && out->len > 0 ? "; " : "", before,
                             i->v[k].name, hit.len ? " (" : "", STR_ARG(buf_str(&hit)),
                             hit.len ? ")" : "");
    }
    return err == 0 && shown > IMPACT_NAMES ? buf_append_c(out, ", ...") : err;
}

char *reload_impact_text(const struct reload_impact *i)
{
    AUTO_BUF text = BUF_INIT;
    char later[32];
    int err = 0;
    for (enum reload_part_kind kind = RELOAD_OPENS; kind <= RELOAD_REMOVES && err == 0; kind++)
        err = impact_say_kind(i, kind, &text);
    if (err == 0 && i->ends.n > 0) {
        units_format_duration(later, i->end_ms);
        AUTO_FREE char *what = str_printf("would end %s later", later);
        AUTO_FREE char *ends = what ? breakdown_text(&i->ends, what) : NULL;
        err = ends ? buf_printf(&text, "%s%s", text.len ? "; " : "", ends) : -ERR_NOMEM;
    }
    return err == 0 && text.len > 0 ? buf_steal(&text) : NULL;
}

json_t *reload_impact_json(const struct reload_impact *i)
{
    static const char *const names[] = {
        [RELOAD_OPENS] = "opens", [RELOAD_CLOSES] = "closes", [RELOAD_REMOVES] = "removes"};
    json_t *lists[] = {json_array(), json_array(), json_array()};
    json_t *object =
        json_pack("{s:I, s:I, s:o}", "ends", (json_int_t)i->ends.n, "end_ms",
                  (json_int_t)(i->ends.n ? i->end_ms : 0), "breakdown", breakdown_json(&i->ends));
    for (size_t k = 0; k < i->n; k++) {
        json_t *one = json_object();
        request_set_text(one, "name", i->v[k].name);
        request_set_text(one, "addresses", i->v[k].addresses);
        request_put_number(one, "sessions", i->v[k].sessions);
        request_put_number(one, "pins", i->v[k].pins);
        (void)json_array_append_new(lists[i->v[k].kind], one);
    }
    for (size_t k = 0; k < ARRAY_LEN(lists); k++)
        (void)json_object_set_new(object, names[k], lists[k]);
    return object;
}
