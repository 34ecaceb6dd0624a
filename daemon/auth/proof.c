/* SPDX-License-Identifier: ISC */
/* Proofs under one lock, shared by the auth threads. */
#include "auth/proof.h"

#include <pthread.h>

#include "auth/auth.h"
#include "base/clock.h"
#include "base/hash.h"
#include "io/crypto.h"

#define PROOFS 1024 /* each has one place: a newer one takes it */

struct proof {
    uint8_t digest[32]; /* keyed: nobody finds out the password from it */
    uint64_t due_ms;
};

static struct {
    pthread_mutex_t mutex;
    bool has_key;
    uint8_t key[32];
    struct proof v[PROOFS];
} proofs = {.mutex = PTHREAD_MUTEX_INITIALIZER};

static struct proof *proof_place(const uint8_t digest[32])
{
    return &proofs.v[((unsigned)digest[0] << 8 | digest[1]) % PROOFS];
}

static int proof_digest(const char *hash, struct str password, uint8_t ret[32])
{
    AUTO_SECRET_BUF text = BUF_INIT;
    int err = buf_append(&text, hash, strlen(hash) + 1);
    if (err == 0)
        err = buf_append_str(&text, password);
    if (err < 0)
        return err;
    pthread_mutex_lock(&proofs.mutex);
    if (!proofs.has_key)
        hash_random(proofs.key, sizeof(proofs.key));
    proofs.has_key = true;
    pthread_mutex_unlock(&proofs.mutex);
    crypto_sasl()->hmac_sha256(str_n((const char *)proofs.key, sizeof(proofs.key)), buf_str(&text),
                               ret);
    return 0;
}

int proof_verify(const char *hash, struct str password, uint64_t life_ms)
{
    uint8_t digest[32];
    if (life_ms == 0 || proof_digest(hash, password, digest) < 0)
        return password_verify(hash, password);
    pthread_mutex_lock(&proofs.mutex);
    const struct proof *known = proof_place(digest);
    bool is_known =
        clock_ms() < known->due_ms && memcmp(known->digest, digest, sizeof(digest)) == 0;
    pthread_mutex_unlock(&proofs.mutex);
    if (is_known)
        return 0;
    int err = password_verify(hash, password);
    if (err < 0)
        return err;
    pthread_mutex_lock(&proofs.mutex);
    struct proof *p = proof_place(digest);
    memcpy(p->digest, digest, sizeof(p->digest));
    p->due_ms = clock_ms() + life_ms;
    pthread_mutex_unlock(&proofs.mutex);
    return 0;
}
