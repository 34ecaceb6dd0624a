/* SPDX-License-Identifier: ISC */
/* Of route explain: the backend that the fleet has for a user. */
#include "base/units.h"
#include "control/explain.h"
#include "rpc/request.h"

#define LOAD(field) atomic_load_explicit(&(field), memory_order_relaxed)

/* While the store is away: what this engine knows. False: nothing, or there is no fleet. */
static bool explain_local_pin(const struct explain_place *at, const struct control *c,
                              const struct pool *p, struct pin_facts *ret)
{
    struct pin_view v;
    struct pin_key key = {.pool = p->config->name};
    struct pins_shared *s = c->host->pins;
    if (!s)
        return false;
    pins_hash_user(s, at->user, key.user);
    if (!pin_look(&s->table, &key, &v) || !v.backend[0])
        return false;
    *ret = (struct pin_facts){.gen = v.gen, .sessions = v.sessions};
    (void)str_copy(ret->backend, sizeof(ret->backend), str_of(v.backend));
    (void)str_copy(ret->source, sizeof(ret->source), str_of(pin_source_name(v.source)));
    return true;
}

static void explain_put_pin(const struct explain_place *at, const struct pin_facts *f,
                            bool is_stored)
{
    char age[32] = "";
    AUTO_BUF text = BUF_INIT;
    if (is_stored)
        units_human_duration(age, f->age_ms);
    (void)!buf_printf(&text, "%s (%s, generation %llu, %s%s%s)", f->backend,
                      strcmp(f->source, pin_source_name(PIN_FIXED)) == 0
                          ? "fixed by an operator or an auth server"
                          : "chosen by the balancing",
                      (unsigned long long)f->gen,
                      is_stored ? "last used " : "as this node knows: the store is away", age,
                      is_stored ? " ago" : "");
    request_set_text(at->row, "pin", buf_cstr(&text));
    if (f->holders[0])
        request_set_text(at->row, "holders", f->holders);
}

const struct pool_member *explain_fleet(const struct control *c, const struct pins_shown *shown,
                                        const struct explain_place *at, const struct pool *p,
                                        struct explain_words *w)
{
    struct pin_facts f;
    const struct config_fleet *fleet = &control_snapshot(c)->config->fleet;
    if (!c->host->pins || p->config->affinity == AFFINITY_OFF)
        return NULL;
    bool is_there =
        shown ? pins_shown_find(shown, p->config->name, &f) : explain_local_pin(at, c, p, &f);
    if (!is_there)
        return NULL;
    explain_put_pin(at, &f, shown);
    if (shown && f.sessions == 0 && f.age_ms >= fleet->retention_ms)
        return NULL;
    for (size_t i = 0; i < p->n_members; i++) {
        const struct pool_member *m = &p->members[i];
        if (strcmp(m->backend->name, f.backend) != 0)
            continue;
        if (LOAD(m->backend->admin) == BACKEND_HOLD)
            explain_say(w, "waits: backend %s, where the user belongs, is on hold", f.backend);
        else if (explain_is_usable(at, m->backend) && backend_is_full(m->backend))
            explain_full(at, p, &m, 1, w);
        else if (explain_is_usable(at, m->backend))
            return m;
        else if (p->config->affinity == AFFINITY_STRICT && f.sessions > 0)
            explain_say(w,
                        "fails: backend %s, where sessions of the user are, cannot be used, and "
                        "the pool is strict",
                        f.backend);
    }
    return NULL;
}
