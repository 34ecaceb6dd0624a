/* SPDX-License-Identifier: ISC */
/* Right answers remembered for a while, found by a keyed hash of the credentials. */
#include "auth/cache.h"

#include "auth/provider.h"
#include "base/container/list.h"
#include "base/container/map.h"
#include "base/hash.h"
#include "io/crypto.h"

#define KEY_BYTES 32

struct cache {
    uint8_t key[KEY_BYTES]; /* random: a copy of the memory tells no password by dictionary alone */
    struct map map;         /* digest -> first entry */
    struct list recent;     /* most recently used first */
    size_t count, bytes, max_bytes;
};

struct answer_entry {
    struct list link;
    struct answer_entry *next; /* same credentials in another context */
    struct cache_key key;
    struct auth_result result;
    bool is_own_secret; /* the backend gets what the client sent */
    bool is_judged;
    uint64_t due_ms;
    size_t bytes;
};

static struct str answer_entry_digest(const struct cache_key *k)
{
    return str_n(k->digest, sizeof(k->digest));
}

int cache_new(size_t max_bytes, struct cache **ret)
{
    struct cache *c = calloc(1, sizeof(*c));
    if (!c)
        return -ERR_NOMEM;
    hash_random(c->key, sizeof(c->key));
    list_init(&c->recent);
    c->max_bytes = max_bytes;
    *ret = c;
    return 0;
}

void cache_free(struct cache *c)
{
    if (!c)
        return;
    cache_forget(c, NULL);
    map_fini(&c->map);
    explicit_bzero(c, sizeof(*c));
    free(c);
}

/* ---- keys ---- */

static int append_part(struct buf *b, struct str part)
{
    uint64_t n = part.n; /* lengths in front: no two lists of parts look the same */
    int err = buf_append(b, &n, sizeof(n));
    return err < 0 ? err : buf_append_str(b, part);
}

static int cache_digest(struct cache *c, const struct credentials *cred, uint8_t ret[32])
{
    AUTO_SECRET_BUF text = BUF_INIT;
    if (append_part(&text, str_of(sasl_method(cred->mech))) < 0 ||
        append_part(&text, buf_str(&cred->user)) < 0 ||
        append_part(&text, buf_str(&cred->authzid)) < 0 ||
        append_part(&text, buf_str(&cred->secret)) < 0)
        return -ERR_NOMEM;
    crypto_sasl()->hmac_sha256(str_n(c->key, sizeof(c->key)), buf_str(&text), ret);
    return 0;
}

int cache_key(struct cache *c, const struct credentials *cred, struct str context,
              struct cache_key *ret)
{
    struct cache_key k;
    int err = cache_digest(c, cred, k.digest);
    if (err < 0)
        return err;
    k.context = hash_sip(c->key, context);
    *ret = k;
    return 0;
}

/* ---- entries ---- */

static void answer_entry_free(struct answer_entry *e)
{
    auth_result_fini(&e->result);
    explicit_bzero(e, sizeof(*e));
    free(e);
}

static void cache_remove(struct cache *c, struct answer_entry *e)
{
    struct answer_entry *first = map_get(&c->map, answer_entry_digest(&e->key));
    if (first == e) {
        if (!e->next)
            (void)map_del(&c->map, answer_entry_digest(&e->key));
        else /* replaces the value of a key that is there: needs no memory */
            (void)!map_put(&c->map, answer_entry_digest(&e->key), e->next, NULL);
    } else {
        while (first->next != e)
            first = first->next;
        first->next = e->next;
    }
    list_del(&e->link);
    c->count--;
    c->bytes -= e->bytes;
    answer_entry_free(e);
}

static struct answer_entry *cache_find(const struct cache *c, const struct cache_key *key)
{
    struct answer_entry *e = map_get(&c->map, answer_entry_digest(key));
    while (e && e->key.context != key->context)
        e = e->next;
    return e;
}

static size_t text_bytes(const char *s)
{
    return s ? strlen(s) + 1 : 0;
}

static struct answer_entry *answer_entry_new(const struct cache_key *key,
                                             const struct credentials *cred,
                                             const struct auth_result *r)
{
    struct answer_entry *e = calloc(1, sizeof(*e));
    if (!e)
        return NULL;
    if (auth_result_copy(&e->result, r) < 0) {
        free(e);
        return NULL;
    }
    list_init(&e->link);
    e->key = *key;
    e->is_own_secret = cred->secret.len > 0 &&
                       str_eq_secret(buf_str(&r->backend_cred.secret), buf_str(&cred->secret));
    if (e->is_own_secret)
        buf_wipe(&e->result.backend_cred.secret);
    const struct auth_result *own = &e->result;
    const struct credentials *kept = &own->backend_cred;
    size_t map_slot = 2 * (sizeof(void *) + sizeof(struct str)) + sizeof(e->key.digest);
    e->bytes = sizeof(*e) + map_slot + kept->user.cap + kept->authzid.cap + kept->secret.cap +
               kept->salt.cap + text_bytes(own->login) + text_bytes(own->master_user) +
               text_bytes(own->pool) + text_bytes(own->backend) + text_bytes(own->server_host);
    return e;
}

void cache_put(struct cache *c, const struct cache_key *key, const struct credentials *cred,
               const struct auth_result *r, bool is_judged, uint64_t now_ms, uint64_t ttl_ms)
{
    struct answer_entry *old = cache_find(c, key);
    if (old)
        cache_remove(c, old);
    struct answer_entry *e = answer_entry_new(key, cred, r);
    void *same = NULL;
    if (!e)
        return;
    e->is_judged = is_judged;
    e->due_ms = now_ms + ttl_ms;
    if (map_put(&c->map, answer_entry_digest(key), e, &same) < 0) {
        answer_entry_free(e);
        return;
    }
    e->next = same;
    list_add_head(&c->recent, &e->link);
    c->count++;
    c->bytes += e->bytes;
    while (c->bytes > c->max_bytes)
        cache_remove(c, LIST_ITEM(c->recent.prev, struct answer_entry, link));
}

bool cache_get(struct cache *c, const struct cache_key *key, const struct credentials *cred,
               uint64_t now_ms, struct auth_result *ret)
{
    struct answer_entry *e = cache_find(c, key);
    struct auth_result r;
    if (!e || !e->is_judged)
        return false;
    if (now_ms >= e->due_ms) {
        cache_remove(c, e);
        return false;
    }
    if (auth_result_copy(&r, &e->result) < 0)
        return false;
    if (e->is_own_secret && buf_append_str(&r.backend_cred.secret, buf_str(&cred->secret)) < 0) {
        auth_result_fini(&r);
        return false;
    }
    list_del(&e->link);
    list_add_head(&c->recent, &e->link);
    *ret = r;
    return true;
}

void cache_judge(struct cache *c, const struct credentials *cred, bool is_right)
{
    struct cache_key key;
    if (c->count == 0 || cache_digest(c, cred, key.digest) < 0)
        return;
    struct answer_entry *next;
    for (struct answer_entry *e = map_get(&c->map, answer_entry_digest(&key)); e; e = next) {
        next = e->next;
        if (is_right)
            e->is_judged = true;
        else
            cache_remove(c, e);
    }
}

void cache_forget(struct cache *c, const char *user)
{
    LIST_FOREACH_SAFE (it, &c->recent) {
        struct answer_entry *e = LIST_ITEM(it, struct answer_entry, link);
        const struct auth_result *r = &e->result;
        bool is_theirs =
            !user || strcmp(r->user, user) == 0 || str_eq(str_of(r->login), str_of(user));
        if (is_theirs)
            cache_remove(c, e);
    }
}

size_t cache_count(const struct cache *c)
{
    return c->count;
}
