/* SPDX-License-Identifier: ISC */
/* Differences between what is and what was told. */
#include "limits/limit_share.h"

#include "base/buf.h"

/* What was told of an address or user. The key: its kind and its name. */
struct limit_told {
    struct list gone; /* of those that are taken out */
    uint32_t sessions, round;
    char key[];
};

static struct limit_told *told_make(struct map *known, const char *key)
{
    size_t n = strlen(key) + 1;
    struct limit_told *t = calloc(1, sizeof(*t) + n);
    if (!t)
        return NULL;
    memcpy(t->key, key, n);
    if (map_put(known, str_of(t->key), t, NULL) == 0)
        return t;
    free(t);
    return NULL;
}

static void told_free(struct map *known, struct limit_told *t)
{
    (void)map_del(known, str_of(t->key));
    free(t);
}

static void told_fini(struct map *known)
{
    size_t pos = 0;
    struct str key;
    void *value;
    while (map_next(known, &pos, &key, &value))
        free(value);
    map_fini(known);
}

/* ---- telling ---- */

/* A copy of a stripe, made under its lock: sessions, then the key with its zero, one after the
 * other. */
static int stripe_add(struct buf *out, uint32_t sessions, enum limit_share_kind kind,
                      const char *name)
{
    char first = (char)kind;
    int err = buf_append(out, (const char *)&sessions, sizeof(sessions));
    if (err == 0)
        err = buf_append(out, &first, 1);
    return err == 0 ? buf_append(out, name, strlen(name) + 1) : err;
}

static int stripe_copy_sources(struct limit_sources *t, struct buf *out)
{
    int err = 0;
    char name[ADDR_TEXT_MAX];
    pthread_mutex_lock(&t->lock);
    LIST_FOREACH (it, &t->all) {
        const struct limit_source *s = LIST_ITEM(it, struct limit_source, link);
        addr_format_ip(name, &s->addr);
        if (s->sessions > 0 && err == 0)
            err = stripe_add(out, s->sessions, LIMIT_SHARE_ADDRESS, name);
    }
    pthread_mutex_unlock(&t->lock);
    return err;
}

static int stripe_copy_users(struct limit_users *t, struct buf *out)
{
    int err = 0;
    pthread_mutex_lock(&t->lock);
    LIST_FOREACH (it, &t->all) {
        const struct limit_user *u = LIST_ITEM(it, struct limit_user, link);
        if (u->sessions > 0 && err == 0)
            err = stripe_add(out, u->sessions, LIMIT_SHARE_USER, u->name);
    }
    pthread_mutex_unlock(&t->lock);
    return err;
}

typedef void telling_fn(void *arg, enum limit_share_kind kind, const char *name, uint32_t sessions);

/* Says which of a stripe are new or other. */
static int telling_compare(struct limit_telling *t, struct str rest, telling_fn *changed, void *arg,
                           size_t *n)
{
    while (rest.n > sizeof(uint32_t)) {
        uint32_t sessions;
        memcpy(&sessions, rest.p, sizeof(sessions));
        const char *key = rest.p + sizeof(sessions);
        rest = str_skip(rest, sizeof(sessions) + strlen(key) + 1);
        struct limit_told *told = map_get(&t->known, str_of(key));
        if (!told && !(told = told_make(&t->known, key)))
            return -ERR_NOMEM;
        if (told->sessions != sessions)
            changed(arg, (enum limit_share_kind)key[0], key + 1, sessions);
        told->sessions = sessions;
        told->round = t->round;
        ++*n;
    }
    return 0;
}

/* After a look at everything: what was not seen has no sessions any more. */
static void telling_end_round(struct limit_telling *t, telling_fn *changed, void *arg)
{
    struct list gone;
    size_t pos = 0;
    struct str key;
    void *value;
    list_init(&gone);
    while (map_next(&t->known, &pos, &key, &value)) {
        struct limit_told *told = value;
        if (told->round != t->round)
            list_add_tail(&gone, &told->gone);
    }
    LIST_FOREACH_SAFE (it, &gone) {
        struct limit_told *told = LIST_ITEM(it, struct limit_told, gone);
        changed(arg, (enum limit_share_kind)told->key[0], told->key + 1, 0);
        told_free(&t->known, told);
    }
    t->round++;
    t->stripe = 0;
}

int limit_telling_step(struct limit_telling *t, struct limits *l, telling_fn *changed, void *arg)
{
    size_t n = 0;
    AUTO_BUF copy = BUF_INIT;
    while (n < LIMIT_SHARE_STEP && t->stripe < 2 * l->n_stripes) {
        bool is_users = t->stripe >= l->n_stripes;
        size_t i = t->stripe % l->n_stripes;
        buf_clear(&copy);
        int err = is_users ? stripe_copy_users(&l->users[i], &copy)
                           : stripe_copy_sources(&l->sources[i], &copy);
        if (err == 0)
            err = telling_compare(t, buf_str(&copy), changed, arg, &n);
        if (err < 0)
            return err;
        t->stripe++;
    }
    if (t->stripe == 2 * l->n_stripes)
        telling_end_round(t, changed, arg);
    return 0;
}

void limit_telling_fini(struct limit_telling *t)
{
    told_fini(&t->known);
}

/* ---- hearing ---- */

static int heard_shift(struct limits *l, const struct config_limits *c, const char *key, int64_t by,
                       uint64_t now_ms)
{
    struct addr a;
    if (key[0] == LIMIT_SHARE_USER) {
        limits_shift_user(l, key + 1, by);
        return 0;
    }
    if (addr_parse_ip(str_of(key + 1), &a) < 0)
        return -ERR_PROTOCOL;
    limits_shift_source(l, c, &a, by, now_ms);
    return 0;
}

int limit_heard_take(struct limit_heard *h, struct limits *l, const struct config_limits *c,
                     enum limit_share_kind kind, const char *name, uint32_t sessions,
                     uint64_t now_ms)
{
    char key[256 + 1];
    bool is_kind = kind == LIMIT_SHARE_ADDRESS || kind == LIMIT_SHARE_USER;
    key[0] = (char)kind;
    if (!is_kind || !*name || !str_copy(key + 1, sizeof(key) - 1, str_of(name)))
        return -ERR_PROTOCOL;
    struct limit_told *told = map_get(&h->known, str_of(key));
    if (!told && sessions == 0)
        return 0;
    if (!told && !(told = told_make(&h->known, key)))
        return -ERR_NOMEM;
    int err = heard_shift(l, c, key, (int64_t)sessions - told->sessions, now_ms);
    told->sessions = err == 0 ? sessions : 0;
    if (told->sessions == 0)
        told_free(&h->known, told);
    return err;
}

void limit_heard_fini(struct limit_heard *h, struct limits *l, const struct config_limits *c,
                      uint64_t now_ms)
{
    size_t pos = 0;
    struct str key;
    void *value;
    while (map_next(&h->known, &pos, &key, &value)) {
        const struct limit_told *told = value;
        (void)!heard_shift(l, c, told->key, -(int64_t)told->sessions, now_ms);
    }
    told_fini(&h->known);
    *h = (struct limit_heard){0};
}
