/* SPDX-License-Identifier: ISC */
/* Private keys behind sockets: fixed questions, and signatures as the only answers. */
#include "io/tls/key_server.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/record.h"
#include "io/tls/key_service.h"
#include "io/tls/tls_key.h"

#define KEYS_MAX 4096

struct key_server {
    struct tls_key **keys;
    size_t n;
    void (*begin)(void);
};

/* ---- keys ---- */

static int server_add(struct key_server *s, struct str der)
{
    const gnutls_datum_t text = {(unsigned char *)(uintptr_t)der.p, (unsigned)der.n};
    gnutls_x509_privkey_t key;
    struct tls_key **v =
        s->n < KEYS_MAX ? realloc(s->keys, (s->n + 1) * sizeof(struct tls_key *)) : NULL;
    if (!v)
        return -ERR_NOMEM;
    s->keys = v;
    if (gnutls_x509_privkey_init(&key) < 0)
        return -ERR_NOMEM;
    int rc =
        gnutls_x509_privkey_import_pkcs8(key, &text, GNUTLS_X509_FMT_DER, NULL, GNUTLS_PKCS_PLAIN);
    int err = rc < 0 ? -ERR_TLS : tls_key_new(key, &v[s->n]);
    gnutls_x509_privkey_deinit(key);
    s->n += err == 0;
    return err;
}

int key_server_new(struct str records, struct key_server **ret)
{
    struct key_server *s = calloc(1, sizeof(*s));
    struct record r;
    int err = s ? 0 : -ERR_NOMEM;
    while (err == 0 && (err = record_next(&records, &r)) == 0) {
        if (r.kind == KEY_SERVER_RECORD && r.n == 1)
            err = server_add(s, r.v[0]);
        else if (r.kind != KEY_SERVER_FILE || r.n != 2)
            err = -ERR_SYNTAX;
    }
    if (err != -ERR_EOF) {
        key_server_free(s);
        return err;
    }
    *ret = s;
    return 0;
}

void key_server_free(struct key_server *s)
{
    for (size_t i = 0; s && i < s->n; i++)
        tls_key_free(s->keys[i]);
    if (s)
        free(s->keys);
    free(s);
}

/* ---- answers ---- */

size_t key_server_answer(const struct key_server *s, const void *packet, size_t n, void *out)
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
    a->id = head.id;
    a->err = err;
    a->reserved = 0;
    return KEY_ANSWER_HEAD + (err == 0 ? size : 0);
}

struct server_thread {
    const struct key_server *s;
    int fd;
};

static void server_serve(const struct key_server *s, int fd)
{
    char packet[sizeof(struct key_request) + 1];
    struct key_answer a;
    ssize_t got;
    while ((got = read(fd, packet, sizeof(packet))) > 0 || (got < 0 && errno == EINTR)) {
        size_t n = got > 0 ? key_server_answer(s, packet, (size_t)got, &a) : 0;
        if (n > 0)
            (void)!write(fd, &a, n);
    }
}

static void *server_main(void *arg)
{
    struct server_thread *t = arg;
    t->s->begin();
    server_serve(t->s, t->fd);
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
        *t = (struct server_thread){s, fds[i]};
        failed = pthread_create(&threads[n_threads], NULL, server_main, t);
        if (failed)
            free(t);
        else
            n_threads++;
    }
    if (failed)
        return err_from_errno(failed);
    begin();
    server_serve(s, fds[0]);
    for (size_t i = 0; i < n_threads; i++)
        (void)pthread_join(threads[i], NULL);
    return 0;
}
