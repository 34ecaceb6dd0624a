/* SPDX-License-Identifier: ISC */
/* Private keys behind sockets: fixed questions, and signatures as the only answers. */
#include "io/tls/key_server.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/container/list.h"
#include "base/container/map.h"
#include "base/record.h"
#include "io/tls/key_service.h"
#include "io/tls/tls_key.h"

#define KEYS_MAX 4096

#define KEYS_EVICTED_AT_ONCE 8 /* memory for keys may be used up before their number is */

/* A key that came while the process ran. */
struct loaded_key {
    struct list used; /* of key_server.used; in none: another one has taken its place */
    uint32_t number;
    unsigned users; /* threads that sign with it, and the map */
    struct tls_key *key;
};

struct key_server {
    struct tls_key **keys;
    size_t n;
    size_t max_loaded; /* 0 = none come */
    pthread_mutex_t mutex;
    struct map loaded; /* struct loaded_key by number; under the mutex */
    struct list used;  /* the longest unused first; the same */
    void (*begin)(void);
};

/* ---- keys ---- */

static int server_parse(struct str der, struct tls_key **ret)
{
    const gnutls_datum_t text = {(unsigned char *)(uintptr_t)der.p, (unsigned)der.n};
    gnutls_x509_privkey_t key;
    if (gnutls_x509_privkey_init(&key) < 0)
        return -ERR_NOMEM;
    int rc =
        gnutls_x509_privkey_import_pkcs8(key, &text, GNUTLS_X509_FMT_DER, NULL, GNUTLS_PKCS_PLAIN);
    int err = rc < 0 ? -ERR_TLS : tls_key_new(key, ret);
    gnutls_x509_privkey_deinit(key);
    return err;
}

int key_server_new(struct str records, struct key_server **ret)
{
    struct key_server *s = calloc(1, sizeof(*s));
    struct record r;
    int err = s ? 0 : -ERR_NOMEM;
    if (s) {
        pthread_mutex_init(&s->mutex, NULL);
        list_init(&s->used);
    }
    while (err == 0 && (err = record_next(&records, &r)) == 0) {
        if (r.kind == KEY_SERVER_FILE && r.n == 2)
            continue;
        if (r.kind != KEY_SERVER_RECORD || r.n != 1) {
            err = -ERR_SYNTAX;
            break;
        }
        struct tls_key **v =
            s->n < KEYS_MAX ? realloc(s->keys, (s->n + 1) * sizeof(struct tls_key *)) : NULL;
        s->keys = v ? v : s->keys;
        err = v ? server_parse(r.v[0], &v[s->n]) : -ERR_NOMEM;
        s->n += err == 0;
    }
    if (err != -ERR_EOF) {
        key_server_free(s);
        return err;
    }
    *ret = s;
    return 0;
}

/* ---- keys that come; under the mutex ---- */

static void loaded_unref(struct loaded_key *k)
{
    if (!k || --k->users > 0)
        return;
    tls_key_free(k->key);
    free(k);
}

static void loaded_drop(struct key_server *s, struct loaded_key *k)
{
    const uint64_t number = k->number;
    (void)map_del(&s->loaded, map_key_u64(&number));
    list_del(&k->used);
    loaded_unref(k);
}

static struct loaded_key *loaded_find(const struct key_server *s, uint32_t key)
{
    const uint64_t number = key;
    return map_get(&s->loaded, map_key_u64(&number));
}

/* Takes the key over unless it fails. */
static int loaded_add(struct key_server *s, uint32_t key, struct tls_key *parsed)
{
    const uint64_t number = key;
    struct loaded_key *k = calloc(1, sizeof(*k)), *old = loaded_find(s, key);
    if (!k)
        return -ERR_NOMEM;
    *k = (struct loaded_key){.number = key, .users = 1, .key = parsed};
    if (old)
        loaded_drop(s, old);
    int err = map_put(&s->loaded, map_key_u64(&number), k, NULL);
    if (err < 0)
        free(k);
    else
        list_add_tail(&s->used, &k->used);
    return err;
}

static struct loaded_key *loaded_oldest(const struct key_server *s)
{
    return list_is_empty(&s->used) ? NULL : LIST_ITEM(s->used.next, struct loaded_key, used);
}

void key_server_take_keys(struct key_server *s, size_t max)
{
    s->max_loaded = max;
}

void key_server_free(struct key_server *s)
{
    if (!s)
        return;
    for (size_t i = 0; i < s->n; i++)
        tls_key_free(s->keys[i]);
    while (loaded_oldest(s))
        loaded_drop(s, loaded_oldest(s));
    map_fini(&s->loaded);
    pthread_mutex_destroy(&s->mutex);
    free(s->keys);
    free(s);
}

static int server_load(struct key_server *s, uint32_t number, struct str der)
{
    struct tls_key *key = NULL;
    if (number < KEY_DIRECTORY_FIRST || s->max_loaded == 0)
        return -ERR_INVAL;
    pthread_mutex_lock(&s->mutex);
    while (s->loaded.count >= s->max_loaded)
        loaded_drop(s, loaded_oldest(s));
    int err = server_parse(der, &key);
    for (int i = 0; i < KEYS_EVICTED_AT_ONCE && err == -ERR_UNSUPPORTED && loaded_oldest(s); i++) {
        loaded_drop(s, loaded_oldest(s));
        err = server_parse(der, &key);
    }
    if (err == 0 && (err = loaded_add(s, number, key)) < 0)
        tls_key_free(key);
    pthread_mutex_unlock(&s->mutex);
    return err;
}

size_t key_server_load(struct key_server *s, const void *packet, size_t n, void *out)
{
    struct key_request head;
    if (n < KEY_REQUEST_HEAD || n > sizeof(head))
        return 0;
    memcpy(&head, packet, KEY_REQUEST_HEAD);
    struct str der = str_n((const char *)packet + KEY_REQUEST_HEAD, n - KEY_REQUEST_HEAD);
    const struct key_answer a = {.id = head.id, .err = server_load(s, head.key, der)};
    memcpy(out, &a, KEY_ANSWER_HEAD);
    return KEY_ANSWER_HEAD;
}

/* ---- answers ---- */

/* A key may go for another one while it signs. */
static int server_sign_loaded(struct key_server *s, const struct key_request *head, struct str data,
                              unsigned char *out, size_t *ret_n)
{
    pthread_mutex_lock(&s->mutex);
    struct loaded_key *k = loaded_find(s, head->key);
    if (k) {
        k->users++;
        list_del(&k->used);
        list_add_tail(&s->used, &k->used);
    }
    pthread_mutex_unlock(&s->mutex);
    if (!k)
        return -ERR_NOT_FOUND;
    int err = tls_key_sign(k->key, (gnutls_sign_algorithm_t)head->algo, data, out, ret_n);
    pthread_mutex_lock(&s->mutex);
    loaded_unref(k);
    pthread_mutex_unlock(&s->mutex);
    return err;
}

size_t key_server_answer(struct key_server *s, const void *packet, size_t n, void *out)
{
    struct key_request head;
    struct key_answer *a = out;
    if (n < KEY_REQUEST_HEAD || n > sizeof(head))
        return 0;
    memcpy(&head, packet, KEY_REQUEST_HEAD);
    struct str data = str_n((const char *)packet + KEY_REQUEST_HEAD, n - KEY_REQUEST_HEAD);
    size_t size = sizeof(a->signature);
    int err = -ERR_NOT_FOUND;
    if (head.key < s->n)
        err = tls_key_sign(s->keys[head.key], (gnutls_sign_algorithm_t)head.algo, data,
                           a->signature, &size);
    else if (head.key >= KEY_DIRECTORY_FIRST)
        err = server_sign_loaded(s, &head, data, a->signature, &size);
    a->id = head.id;
    a->err = err;
    a->reserved = 0;
    return KEY_ANSWER_HEAD + (err == 0 ? size : 0);
}

struct server_thread {
    struct key_server *s;
    int fd;
    bool takes_keys;
};

static void server_serve(struct key_server *s, int fd, bool takes_keys)
{
    char packet[sizeof(struct key_request) + 1];
    struct key_answer a;
    ssize_t got;
    while ((got = read(fd, packet, sizeof(packet))) > 0 || (got < 0 && errno == EINTR)) {
        size_t n = got <= 0     ? 0
                   : takes_keys ? key_server_load(s, packet, (size_t)got, &a)
                                : key_server_answer(s, packet, (size_t)got, &a);
        if (takes_keys)
            explicit_bzero(packet, sizeof(packet));
        if (n > 0)
            (void)!write(fd, &a, n);
    }
}

static void *server_main(void *arg)
{
    struct server_thread *t = arg;
    t->s->begin();
    server_serve(t->s, t->fd, t->takes_keys);
    free(t);
    return NULL;
}

int key_server_run(struct key_server *s, const int *fds, size_t n, void (*begin)(void))
{
    pthread_t threads[KEY_CHANNELS_MAX];
    size_t n_threads = 0;
    int failed = n > KEY_CHANNELS_MAX ? EINVAL : 0;
    s->begin = begin;
    for (size_t i = 1; i < n && failed == 0; i++) {
        struct server_thread *t = malloc(sizeof(*t));
        if (!t)
            return -ERR_NOMEM;
        *t = (struct server_thread){s, fds[i], s->max_loaded > 0 && i == n - 1};
        failed = pthread_create(&threads[n_threads], NULL, server_main, t);
        if (failed)
            free(t);
        else
            n_threads++;
    }
    if (failed)
        return err_from_errno(failed);
    begin();
    server_serve(s, fds[0], false);
    for (size_t i = 0; i < n_threads; i++)
        (void)pthread_join(threads[i], NULL);
    return 0;
}
