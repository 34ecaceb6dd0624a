/* SPDX-License-Identifier: ISC */
/* A table of users that are guessed at. */
#include "limits/guesses.h"

#include "base/hash.h"

static struct str guess_key(const void *item)
{
    return str_of(((const struct guess *)item)->user);
}

void guesses_init(struct guesses *g, size_t max)
{
    *g = (struct guesses){.by_user.key = guess_key, .max = max};
    list_init(&g->all);
    list_init(&g->walks);
    list_init(&g->near);
    hash_random(g->key, sizeof(g->key));
}

static void guess_set_near(struct guesses *g, struct guess *e, bool is_near)
{
    if (list_is_empty(&e->near) != is_near || (is_near && g->n_near >= GUESSES_NEAR_MAX))
        return;
    if (is_near)
        list_add_tail(&g->near, &e->near);
    else
        list_del(&e->near);
    g->n_near += is_near ? 1 : (size_t)-1;
}

static void guess_remove(struct guesses *g, struct guess *e)
{
    const struct hashed_key key = hashed_key_of(guess_key(e));
    guess_set_near(g, e, false);
    safe_iters_skip(&g->walks, &e->link);
    list_del(&e->link);
    (void)table_del(&g->by_user, &key);
    free(e);
}

static struct guess *guesses_oldest(const struct guesses *g)
{
    return LIST_ITEM(g->all.next, struct guess, link);
}

void guesses_fini(struct guesses *g)
{
    while (!list_is_empty(&g->all))
        guess_remove(g, guesses_oldest(g));
    table_fini(&g->by_user);
}

static struct guess *guesses_get(const struct guesses *g, const char *user)
{
    const struct hashed_key key = hashed_key_of(str_of(user));
    return table_get(&g->by_user, &key);
}

const struct guess *guesses_find(const struct guesses *g, const char *user)
{
    return guesses_get(g, user);
}

static struct guess *guess_new(struct guesses *g, const char *user, uint64_t now_ms)
{
    size_t n = strlen(user);
    struct guess *e = calloc(1, sizeof(*e) + n + 1);
    if (!e)
        return NULL;
    memcpy(e->user, user, n + 1);
    list_init(&e->near);
    e->since_ms = now_ms;
    const struct hashed_key key = hashed_key_of(guess_key(e));
    if (table_add(&g->by_user, &key, e) < 0) {
        free(e);
        return NULL;
    }
    list_add_tail(&g->all, &e->link);
    if (g->by_user.count > g->max)
        guess_remove(g, guesses_oldest(g));
    return e;
}

const struct guess *guesses_add(struct guesses *g, const char *user, uint32_t credentials,
                                const struct addr *a, uint64_t now_ms)
{
    struct guess *e = guesses_get(g, user);
    const struct addr source = addr_limit_key(a);
    if (!e && !(e = guess_new(g, user, now_ms)))
        return NULL;
    (void)distinct_add(&e->passwords, credentials);
    (void)distinct_add(&e->addresses, (uint32_t)hash_sip(g->key, str_n((const char *)source.ip,
                                                                       sizeof(source.ip))));
    return e;
}

unsigned guess_passwords(const struct guess *e)
{
    return distinct_count_with(&e->passwords, &e->other_passwords);
}

unsigned guess_addresses(const struct guess *e)
{
    return distinct_count_with(&e->addresses, &e->other_addresses);
}

void guesses_set_near(struct guesses *g, const char *user, bool is_near)
{
    struct guess *e = guesses_get(g, user);
    if (e)
        guess_set_near(g, e, is_near);
}

/* What it had here is over. While other nodes have some of it, it stays, as the youngest. */
static void guess_end(struct guesses *g, struct guess *e, uint64_t now_ms)
{
    if (distinct_bits_is_empty(&e->other_passwords)) {
        guess_remove(g, e);
        return;
    }
    e->passwords = e->addresses = (struct distinct){0};
    e->since_ms = now_ms;
    safe_iters_skip(&g->walks, &e->link);
    list_del(&e->link);
    list_add_tail(&g->all, &e->link);
}

void guesses_take(struct guesses *g, const char *user, const struct distinct_bits *passwords,
                  const struct distinct_bits *addresses, uint64_t now_ms)
{
    struct guess *e = guesses_get(g, user);
    bool is_any = !distinct_bits_is_empty(passwords);
    if (!e && (!is_any || !(e = guess_new(g, user, now_ms))))
        return;
    e->other_passwords = *passwords;
    e->other_addresses = *addresses;
    if (is_any)
        guess_set_near(g, e, true);
    else if (distinct_count(&e->passwords) == 0)
        guess_remove(g, e);
}

bool guesses_forget(struct guesses *g, const char *user)
{
    struct guess *e = guesses_get(g, user);
    bool was_known = e && distinct_count(&e->passwords) > 0;
    if (e)
        guess_end(g, e, LIST_ITEM(g->all.prev, struct guess, link)->since_ms);
    return was_known;
}

void guesses_expire(struct guesses *g, uint64_t window_ms, uint64_t now_ms)
{
    for (size_t n = g->by_user.count; n > 0; n--) { /* some stay, and are the youngest then */
        if (now_ms < guesses_oldest(g)->since_ms + window_ms)
            return;
        guess_end(g, guesses_oldest(g), now_ms);
    }
}
