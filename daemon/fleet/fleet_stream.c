/* SPDX-License-Identifier: ISC */
/* Streams of signed messages in the store: read, with a connection that waits, and appended to. */
#include "fleet/fleet_stream.h"

#include <hiredis/hiredis.h>

#include "base/cleanup.h"
#include "base/log/log.h"

#define STREAM_BLOCK_MS 5000      /* one call waits so long for messages */
#define STREAM_TIMEOUT_MS 8000    /* then the connection is taken to be dead */
#define STREAM_RETRY_MS 500       /* after a call that failed */
#define STREAM_BATCH "8"          /* messages a call: FLEET_MESSAGE_MAX each at most */
#define STREAM_KEPT "10000"       /* messages that a stream keeps, about */
#define STREAM_FORGED_LOG_MS 5000 /* of wrong signatures one line in so long */
#define STREAM_POSITION_MAX 48

struct fleet_stream {
    struct loop *loop;
    struct redis_client *redis;
    struct redis_call *call; /* waits for messages; NULL = none */
    struct loop_timer retry;
    uint8_t secret[FLEET_SECRET_BYTES];
    char *keys[2]; /* commands, inbox */
    char positions[2][STREAM_POSITION_MAX];
    void (*heard)(void *arg, const char *position, const json_t *m);
    void *arg;
    uint64_t forged, forged_logged_ms;
    bool is_rewound; /* while messages are taken: where they stand no longer counts */
};

static void stream_read(struct fleet_stream *s);

/* ---- messages ---- */

static struct str reply_text(const redisReply *r)
{
    return r && r->type == REDIS_REPLY_STRING ? str_n(r->str, (size_t)r->len) : STR_NULL;
}

static void stream_forged(struct fleet_stream *s, size_t which, const char *position)
{
    uint64_t now = loop_now_ms(s->loop);
    s->forged++;
    if (s->forged > 1 && now - s->forged_logged_ms < STREAM_FORGED_LOG_MS)
        return;
    s->forged_logged_ms = now;
    LOG_EVENT(LOG_LEVEL_WARN, "fleet-message-refused", KV_STR("stream", s->keys[which]),
              KV_STR("position", position), KV_STR("reason", "its signature is wrong"),
              KV_U64("refused", s->forged));
}

/* An entry is [position, [name, value, ...]]. */
static void stream_take(struct fleet_stream *s, size_t which, const redisReply *entry)
{
    struct str text = STR_NULL, signature = STR_NULL;
    if (entry->type != REDIS_REPLY_ARRAY || entry->elements != 2 ||
        !str_copy(s->positions[which], STREAM_POSITION_MAX, reply_text(entry->element[0])))
        return;
    const redisReply *fields = entry->element[1];
    for (size_t i = 0; fields->type == REDIS_REPLY_ARRAY && i + 1 < fields->elements; i += 2) {
        struct str name = reply_text(fields->element[i]);
        if (str_eq(name, STR("m")))
            text = reply_text(fields->element[i + 1]);
        else if (str_eq(name, STR("s")))
            signature = reply_text(fields->element[i + 1]);
    }
    char position[STREAM_POSITION_MAX];
    memcpy(position, s->positions[which], sizeof(position));
    json_t *m = text.n <= FLEET_MESSAGE_MAX
                    ? fleet_message_open(s->secret, str_of(s->keys[which]), text, signature)
                    : NULL;
    if (m)
        s->heard(s->arg, which == 0 ? position : NULL, m);
    else
        stream_forged(s, which, position);
    json_decref(m);
}

/* The reply is [[key, [entry, ...]], ...] of the streams that have any; nil where none came. */
static void stream_take_all(struct fleet_stream *s, const redisReply *reply)
{
    s->is_rewound = false;
    for (size_t i = 0; reply->type == REDIS_REPLY_ARRAY && i < reply->elements; i++) {
        const redisReply *stream = reply->element[i];
        if (stream->type != REDIS_REPLY_ARRAY || stream->elements != 2)
            continue;
        struct str key = reply_text(stream->element[0]);
        const redisReply *entries = stream->element[1];
        for (size_t which = 0; which < ARRAY_LEN(s->keys); which++)
            for (size_t k = 0; str_eq(key, str_of(s->keys[which])) && !s->is_rewound &&
                               entries->type == REDIS_REPLY_ARRAY && k < entries->elements;
                 k++)
                stream_take(s, which, entries->element[k]);
    }
}

/* ---- reading ---- */

static void on_read(void *arg, const struct redis_result *r)
{
    struct fleet_stream *s = arg;
    s->call = NULL;
    if (r->err < 0) { /* fleet show says why */
        loop_timer_set(s->loop, &s->retry, STREAM_RETRY_MS);
        return;
    }
    stream_take_all(s, r->reply);
    stream_read(s);
}

static void stream_read(struct fleet_stream *s)
{
    char block[16];
    if (s->call)
        return;
    (void)snprintf(block, sizeof(block), "%d", STREAM_BLOCK_MS);
    const struct str words[] = {STR("XREAD"),           STR("COUNT"),       STR(STREAM_BATCH),
                                STR("BLOCK"),           str_of(block),      STR("STREAMS"),
                                str_of(s->keys[0]),     str_of(s->keys[1]), str_of(s->positions[0]),
                                str_of(s->positions[1])};
    if (redis_call(s->redis, words, ARRAY_LEN(words), STREAM_TIMEOUT_MS, on_read, s, &s->call) < 0)
        loop_timer_set(s->loop, &s->retry, STREAM_RETRY_MS);
}

static void on_retry(struct loop_timer *t)
{
    stream_read(CONTAINER_OF(t, struct fleet_stream, retry));
}

static void on_changed(void *arg, bool is_up)
{
    struct fleet_stream *s = arg;
    if (!is_up)
        return;
    loop_timer_cancel(s->loop, &s->retry);
    stream_read(s);
}

void fleet_stream_rewind(struct fleet_stream *s)
{
    s->is_rewound = true;
    for (size_t i = 0; i < ARRAY_LEN(s->positions); i++)
        (void)str_copy(s->positions[i], STREAM_POSITION_MAX, STR("0"));
}

uint64_t fleet_stream_forged(const struct fleet_stream *s)
{
    return s->forged;
}

/* ---- life ---- */

int fleet_stream_new(const struct fleet_stream_spec *spec, struct fleet_stream **ret)
{
    struct fleet_stream *s = calloc(1, sizeof(*s));
    if (!s)
        return -ERR_NOMEM;
    *s = (struct fleet_stream){.loop = spec->loop,
                               .heard = spec->heard,
                               .arg = spec->arg,
                               .keys = {str_dup_c(spec->commands), str_dup_c(spec->inbox)}};
    memcpy(s->secret, spec->secret, sizeof(s->secret));
    loop_timer_init(&s->retry, on_retry);
    fleet_stream_rewind(s);
    (void)str_copy(s->positions[0], STREAM_POSITION_MAX, str_of(spec->position));
    int err = s->keys[0] && s->keys[1] ? fleet_connect(spec->fleet, on_changed, s, &s->redis)
                                       : -ERR_NOMEM;
    if (err < 0) {
        fleet_stream_free(s);
        return err;
    }
    stream_read(s);
    *ret = s;
    return 0;
}

void fleet_stream_free(struct fleet_stream *s)
{
    if (!s)
        return;
    loop_timer_cancel(s->loop, &s->retry);
    redis_client_free(s->redis);
    free(s->keys[0]);
    free(s->keys[1]);
    explicit_bzero(s->secret, sizeof(s->secret));
    free(s);
}

/* ---- appending ---- */

int fleet_stream_send(struct redis_client *writer, const uint8_t secret[FLEET_SECRET_BYTES],
                      const char *stream, const json_t *m, uint64_t lifetime_ms,
                      void (*cb)(void *arg, const struct redis_result *r), void *arg)
{
    char signature[FLEET_SIGNATURE_BYTES + 1], lifetime[24];
    AUTO_FREE char *text = json_dumps(m, JSON_COMPACT);
    struct redis_call *call;
    if (!text)
        return -ERR_NOMEM;
    if (strlen(text) > FLEET_MESSAGE_MAX)
        return -ERR_TOO_LONG;
    fleet_message_sign(secret, str_of(stream), str_of(text), signature);
    const struct str add[] = {STR("XADD"),      str_of(stream),
                              STR("MAXLEN"),    STR("~"),
                              STR(STREAM_KEPT), STR("*"),
                              STR("m"),         str_of(text),
                              STR("s"),         str_n(signature, FLEET_SIGNATURE_BYTES)};
    int err = redis_call(writer, add, ARRAY_LEN(add), 0, cb, arg, &call);
    if (err < 0 || lifetime_ms == 0)
        return err;
    (void)snprintf(lifetime, sizeof(lifetime), "%llu", (unsigned long long)lifetime_ms);
    const struct str expire[] = {STR("PEXPIRE"), str_of(stream), str_of(lifetime)};
    return redis_call(writer, expire, ARRAY_LEN(expire), 0, NULL, NULL, &call);
}
