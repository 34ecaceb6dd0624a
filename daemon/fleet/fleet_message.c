/* SPDX-License-Identifier: ISC */
/* Messages between nodes: signed, and each taken once. */
#include "fleet/fleet_message.h"

#include "base/buf.h"
#include "io/crypto.h"

/* The signature is also about the stream: an answer must not pass for a command. */
void fleet_message_sign(const uint8_t secret[FLEET_SECRET_BYTES], struct str stream,
                        struct str text, char ret[FLEET_SIGNATURE_BYTES + 1])
{
    const struct sasl_crypto *crypto = crypto_sasl();
    uint8_t digests[2][32], mac[32];
    crypto->sha256(stream, digests[0]);
    crypto->sha256(text, digests[1]);
    crypto->hmac_sha256(str_n(secret, FLEET_SECRET_BYTES), str_n(digests, sizeof(digests)), mac);
    str_hex(ret, mac, sizeof(mac));
}

json_t *fleet_message_open(const uint8_t secret[FLEET_SECRET_BYTES], struct str stream,
                           struct str text, struct str signature)
{
    char right[FLEET_SIGNATURE_BYTES + 1];
    fleet_message_sign(secret, stream, text, right);
    if (!str_eq_secret(str_n(right, FLEET_SIGNATURE_BYTES), signature))
        return NULL;
    json_t *m = json_loadb(text.p, text.n, JSON_REJECT_DUPLICATES, NULL);
    if (json_is_object(m))
        return m;
    json_decref(m);
    return NULL;
}

uint64_t fleet_message_number_of(const json_t *m)
{
    json_int_t n = json_integer_value(json_object_get(m, "number"));
    return n > 0 ? (uint64_t)n : 0;
}

int fleet_message_find(const json_t *names, const char *name)
{
    size_t i;
    json_t *v;
    json_array_foreach ((json_t *)names, i, v)
        if (str_eq_c(json_string_value(v), name))
            return (int)i;
    return -1;
}

uint64_t fleet_message_number(uint64_t last, uint64_t wall_ms)
{
    uint64_t now = wall_ms * 1000;
    return now > last ? now : last + 1;
}

int fleet_message_take(json_t *seen, const char *node, uint64_t number)
{
    const json_t *last = json_object_get(seen, node);
    if (number == 0 || number > INT64_MAX || (last && (uint64_t)json_integer_value(last) >= number))
        return -ERR_EXISTS;
    if (!last && json_object_size(seen) >= FLEET_ORIGINS_MAX)
        return -ERR_TOO_MANY;
    return json_object_set_new(seen, node, json_integer((json_int_t)number)) == 0 ? 0 : -ERR_NOMEM;
}

struct fleet_share fleet_share(uint64_t rate, uint64_t n)
{
    uint64_t a = rate, b = n;
    while (b > 0) {
        uint64_t rest = a % b;
        a = b;
        b = rest;
    }
    return (struct fleet_share){.rate = rate / a, .per = n / a};
}
