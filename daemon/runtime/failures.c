/* SPDX-License-Identifier: ISC */
/* The last logins that failed. */
#include "runtime/failures.h"

#include "base/container/list.h"
#include "base/container/map.h"
#include "base/units.h"
#include "proto/registry/registry.h"
#include "runtime/state.h"
#include "store/store.h"

struct failed_user {
    struct list link; /* of failures.users */
    struct user_failures is;
    char name[256];
};

struct failures {
    struct map by_name;
    struct list users; /* who failed last is last */
    struct provider_failures providers[FAILURES_PROVIDERS_MAX];
};

int failures_new(struct failures **ret)
{
    struct failures *f = calloc(1, sizeof(*f));
    if (!f)
        return -ERR_NOMEM;
    list_init(&f->users);
    *ret = f;
    return 0;
}

static void failed_user_free(struct failures *f, struct failed_user *u)
{
    map_del(&f->by_name, str_of(u->name));
    list_del(&u->link);
    free(u);
}

void failures_free(struct failures *f)
{
    if (!f)
        return;
    LIST_FOREACH_SAFE (it, &f->users)
        failed_user_free(f, LIST_ITEM(it, struct failed_user, link));
    map_fini(&f->by_name);
    free(f);
}

/* ---- users ---- */

static struct failed_user *failures_find(const struct failures *f, const char *user)
{
    char name[256];
    return user_name_normalise(str_of(user), name) == 0 ? map_get(&f->by_name, str_of(name)) : NULL;
}

/* NULL: not a name, or no memory. */
static struct failed_user *failures_make(struct failures *f, const char *user)
{
    struct failed_user *u = calloc(1, sizeof(*u));
    if (!u)
        return NULL;
    if (user_name_normalise(str_of(user), u->name) < 0 || !u->name[0] ||
        map_put(&f->by_name, str_of(u->name), u, NULL) < 0) {
        free(u);
        return NULL;
    }
    list_add_tail(&f->users, &u->link);
    if (f->by_name.count > FAILURES_USERS_MAX)
        failed_user_free(f, LIST_ITEM(f->users.next, struct failed_user, link));
    return u;
}

const struct user_failures *failures_of_user(const struct failures *f, const char *user)
{
    const struct failed_user *u = failures_find(f, user);
    return u ? &u->is : NULL;
}

bool user_failures_are_last(const struct user_failures *u)
{
    return u && u->n > 0 && u->v[0].at_ms >= u->login_ms;
}

/* ---- providers ---- */

static struct provider_failures *failures_provider(struct failures *f, unsigned provider)
{
    return provider < FAILURES_PROVIDERS_MAX ? &f->providers[provider] : NULL;
}

const struct provider_failures *failures_of_provider(const struct failures *f, unsigned provider)
{
    return provider < FAILURES_PROVIDERS_MAX && f->providers[provider].last.at_ms
               ? &f->providers[provider]
               : NULL;
}

bool provider_failures_are_last(const struct provider_failures *p)
{
    return p && p->last.at_ms && p->last.at_ms >= p->judged_ms;
}

/* An answer out of a cache is marked as such in the name of its source, and those of the proxy and
 * the backends are no providers'. */
static bool failures_is_providers(const char *source)
{
    return source && !strchr(source, ' ') && strcmp(source, "proxy") != 0 &&
           strcmp(source, "limits") != 0 && strcmp(source, "backend") != 0;
}

void failures_note(struct failures *f, const char *user, unsigned provider,
                   const struct login_failure *failure)
{
    struct provider_failures *p = failures_provider(f, provider);
    if (p && failures_is_providers(failure->source)) {
        if (strcmp(failure->cause, reply_name(REPLY_AUTH_TEMPFAIL)) == 0)
            p->last = *failure;
        else
            p->judged_ms = failure->at_ms;
    }
    struct failed_user *u = failures_find(f, user);
    if (!u && !(u = failures_make(f, user)))
        return;
    list_del(&u->link);
    list_add_tail(&f->users, &u->link);
    memmove(&u->is.v[1], &u->is.v[0], sizeof(u->is.v) - sizeof(u->is.v[0]));
    u->is.v[0] = *failure;
    u->is.n += u->is.n < FAILURES_OF_USER;
}

void failures_note_login(struct failures *f, const char *user, unsigned provider,
                         const char *source, uint64_t at_ms)
{
    struct provider_failures *p = failures_provider(f, provider);
    struct failed_user *u = list_is_empty(&f->users) ? NULL : failures_find(f, user);
    if (p && failures_is_providers(source))
        p->judged_ms = at_ms;
    if (u)
        u->is.login_ms = at_ms;
}

/* ---- sentences ---- */

int login_failure_print(const struct login_failure *f, uint64_t wall_ms, struct buf *out)
{
    char age[32];
    units_human_duration(age, wall_ms > f->at_ms ? wall_ms - f->at_ms : 0);
    return buf_printf(out, "%s ago from %s by %s: %s%s%s%s", age, f->ip, proto_get(f->proto)->name,
                      f->words[0] ? f->words : f->cause, f->source ? " (" : "",
                      f->source ? f->source : "", f->source ? ")" : "");
}

/* ---- the control plane ---- */

void control_note_login_failed(struct control *c, const char *user, unsigned provider,
                               const struct login_failure *failure)
{
    failures_note(c->failures, user, provider, failure);
}

void control_note_login_judged(struct control *c, const char *user, unsigned provider,
                               const char *source, uint64_t at_ms)
{
    failures_note_login(c->failures, user, provider, source, at_ms);
}
