/* SPDX-License-Identifier: ISC */
/* Streams of messages in the store: read, with a connection that waits, and appended to. */
#include "fleet/fleet_stream.h"

#include <hiredis/hiredis.h>

#include "base/cleanup.h"
#include "base/log/log.h"
#include "fleet/seal.h"

#define STREAM_BLOCK_MS "5000"    /* one call waits so long for messages */
#define STREAM_TIMEOUT_MS 8000    /* then the connection is taken to be dead */
#define STREAM_RETRY_MS 500       /* after a call that failed */
#define STREAM_BATCH "8"          /* messages a call: FLEET_MESSAGE_MAX each at most */
#define STREAM_KEPT 10000         /* messages that a stream keeps, about */
#define STREAM_FORGED_LOG_MS 5000 /* of wrong signatures one line in so long */
#define STREAM_POSITION_MAX 48

/* One of the streams. */
struct stream_source {
    struct fleet_stream_source spec; /* its key and position are those below */
    char *key;
    char position[STREAM_POSITION_MAX];
};

struct fleet_stream {
    struct loop *loop;
    struct fleet *fleet;
    struct redis_client *redis;
    struct redis_call *call; /* waits for messages; NULL = none */
    struct loop_timer retry;
    uint8_t secret[FLEET_SECRET_BYTES];
    struct stream_source sources[FLEET_STREAM_SOURCES_MAX];
    size_t n_sources;
    uint64_t forged, forged_logged_ms;
    size_t looked_at; /* which one may be no stream */
    bool is_looking;
    bool is_rewound; /* while messages are taken: where they stand no longer counts */
};

static void stream_read(struct fleet_stream *s);

/* ---- messages ---- */

static struct str stream_text(const redisReply *r)
{
    return r && r->type == REDIS_REPLY_STRING ? str_n(r->str, (size_t)r->len) : STR_NULL;
}

static json_t *stream_open(const struct fleet_stream *s, const struct fleet_stream_source *source,
                           struct str text, struct str signature)
{
    AUTO_BUF clear = BUF_INIT;
    if (text.n > FLEET_MESSAGE_MAX + SEAL_MORE_BYTES)
        return NULL;
    if (!source->seal)
        return fleet_message_open(s->secret, str_of(source->key), text, signature);
    if (seal_open(source->seal, str_of(source->key), text, &clear) < 0)
        return NULL;
    struct str opened = buf_str(&clear);
    json_t *m = json_loadb(opened.p, opened.n, JSON_REJECT_DUPLICATES, NULL);
    if (json_is_object(m))
        return m;
    json_decref(m);
    return NULL;
}

/* An entry is [position, [name, value, ...]]. */
static void stream_take(struct fleet_stream *s, struct stream_source *source,
                        const redisReply *entry)
{
    struct str text = STR_NULL, signature = STR_NULL;
    if (entry->type != REDIS_REPLY_ARRAY || entry->elements != 2 ||
        !str_copy(source->position, STREAM_POSITION_MAX, stream_text(entry->element[0])))
        return;
    const redisReply *fields = entry->element[1];
    for (size_t i = 0; fields->type == REDIS_REPLY_ARRAY && i + 1 < fields->elements; i += 2) {
        struct str name = stream_text(fields->element[i]);
        if (str_eq(name, STR("m")))
            text = stream_text(fields->element[i + 1]);
        else if (str_eq(name, STR("s")))
            signature = stream_text(fields->element[i + 1]);
    }
    char position[STREAM_POSITION_MAX];
    memcpy(position, source->position, sizeof(position));
    json_t *m = stream_open(s, &source->spec, text, signature);
    if (m) {
        source->spec.heard(source->spec.arg, position, m);
        json_decref(m);
        return;
    }
    uint64_t now = loop_now_ms(s->loop);
    s->forged++;
    if (s->forged > 1 && now - s->forged_logged_ms < STREAM_FORGED_LOG_MS)
        return;
    s->forged_logged_ms = now;
    LOG_EVENT(LOG_LEVEL_WARN, "fleet-message-refused", KV_STR("stream", source->spec.key),
              KV_STR("position", position), KV_STR("reason", "it is not of this fleet"),
              KV_U64("refused", s->forged));
}

/* The reply is [[key, [entry, ...]], ...] of the streams that have any; nil where none came. */
static void stream_take_all(struct fleet_stream *s, const redisReply *reply)
{
    s->is_rewound = false;
    for (size_t i = 0; reply->type == REDIS_REPLY_ARRAY && i < reply->elements; i++) {
        const redisReply *stream = reply->element[i];
        if (stream->type != REDIS_REPLY_ARRAY || stream->elements != 2)
            continue;
        struct str key = stream_text(stream->element[0]);
        const redisReply *entries = stream->element[1];
        for (size_t at = 0; at < s->n_sources; at++)
            for (size_t k = 0; str_eq(key, str_of(s->sources[at].spec.key)) && !s->is_rewound &&
                               entries->type == REDIS_REPLY_ARRAY && k < entries->elements;
                 k++)
                stream_take(s, &s->sources[at], entries->element[k]);
    }
}

/* ---- what the store does not let be read ---- */

/* One key that is no stream lets no stream be read, and the store does not say which: all are asked
 * for, one after the other. */
static void stream_look(struct fleet_stream *s, size_t at);

static void on_type(void *arg, const struct redis_result *r)
{
    struct fleet_stream *s = arg;
    size_t at = s->looked_at;
    s->is_looking = false;
    if (r->err < 0 || r->reply->type != REDIS_REPLY_STATUS) {
        stream_look(s, s->n_sources);
        return;
    }
    if (strcmp(r->reply->str, "stream") == 0 || strcmp(r->reply->str, "none") == 0) {
        stream_look(s, at + 1);
        return;
    }
    AUTO_FREE char *why =
        str_printf("%s in the store is no stream, but a %.16s: nothing is heard of other nodes "
                   "before that is deleted",
                   s->sources[at].key, r->reply->str);
    fleet_set_deaf(s->fleet, why);
}

static void stream_look(struct fleet_stream *s, size_t at)
{
    if (at >= s->n_sources) {
        if (redis_is_up(s->redis))
            fleet_set_deaf(s->fleet,
                           "the streams of the nodes cannot be read: fleet show says why");
        return;
    }
    const struct str words[] = {STR("TYPE"), str_of(s->sources[at].key)};
    s->looked_at = at;
    s->is_looking = redis_call(s->redis, words, ARRAY_LEN(words), 0, on_type, s, NULL) == 0;
}

/* ---- reading ---- */

static void on_read(void *arg, const struct redis_result *r)
{
    struct fleet_stream *s = arg;
    s->call = NULL;
    if (r->err < 0) { /* fleet show says why */
        if (r->err == -ERR_REFUSED && !s->is_looking)
            stream_look(s, 0);
        loop_timer_set(s->loop, &s->retry, STREAM_RETRY_MS);
        return;
    }
    fleet_set_deaf(s->fleet, NULL);
    stream_take_all(s, r->reply);
    stream_read(s);
}

static void stream_read(struct fleet_stream *s)
{
    struct str words[6 + 2 * FLEET_STREAM_SOURCES_MAX] = {STR("XREAD"),         STR("COUNT"),
                                                          STR(STREAM_BATCH),    STR("BLOCK"),
                                                          STR(STREAM_BLOCK_MS), STR("STREAMS")};
    if (s->call || s->n_sources == 0)
        return;
    for (size_t i = 0; i < s->n_sources; i++) {
        words[6 + i] = str_of(s->sources[i].spec.key);
        words[6 + s->n_sources + i] = str_of(s->sources[i].position);
    }
    if (redis_call(s->redis, words, 6 + 2 * s->n_sources, STREAM_TIMEOUT_MS, on_read, s, &s->call) <
        0)
        loop_timer_set(s->loop, &s->retry, STREAM_RETRY_MS);
}

static void on_stream_retry(struct loop_timer *t)
{
    stream_read(CONTAINER_OF(t, struct fleet_stream, retry));
}

static void on_stream_changed(void *arg, bool is_up)
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
    for (size_t i = 0; i < s->n_sources; i++)
        (void)str_copy(s->sources[i].position, STREAM_POSITION_MAX, STR("0"));
}

uint64_t fleet_stream_forged(const struct fleet_stream *s)
{
    return s->forged;
}

/* ---- life ---- */

int fleet_stream_add(struct fleet_stream *s, const struct fleet_stream_source *source)
{
    char *key = s->n_sources < ARRAY_LEN(s->sources) ? str_dup_c(source->key) : NULL;
    if (!key)
        return s->n_sources < ARRAY_LEN(s->sources) ? -ERR_NOMEM : -ERR_TOO_MANY;
    struct stream_source *to = &s->sources[s->n_sources++];
    to->spec = *source;
    to->spec.key = to->key = key;
    to->spec.position = to->position;
    (void)str_copy(to->position, sizeof(to->position), str_of(source->position));
    stream_read(s);
    return 0;
}

int fleet_stream_new(const struct fleet_stream_spec *spec, struct fleet_stream **ret)
{
    struct fleet_stream *s = calloc(1, sizeof(*s));
    if (!s)
        return -ERR_NOMEM;
    s->loop = spec->loop;
    s->fleet = spec->fleet;
    memcpy(s->secret, spec->secret, sizeof(s->secret));
    loop_timer_init(&s->retry, on_stream_retry);
    int err = fleet_connect(spec->fleet, on_stream_changed, s, &s->redis);
    if (err < 0) {
        fleet_stream_free(s);
        return err;
    }
    *ret = s;
    return 0;
}

void fleet_stream_free(struct fleet_stream *s)
{
    if (!s)
        return;
    loop_timer_cancel(s->loop, &s->retry);
    redis_client_free(s->redis);
    for (size_t i = 0; i < s->n_sources; i++)
        free(s->sources[i].key);
    explicit_bzero(s->secret, sizeof(s->secret));
    free(s);
}

/* ---- appending ---- */

/* Names and values of the entry behind XADD; sealed has what is in them. 0 or -ERR_x. */
static int append_words(const struct fleet_stream_to *to, struct str text, char *signature,
                        struct buf *sealed, struct str *words, size_t *n)
{
    words[(*n)++] = STR("m");
    if (to->seal) {
        int err = seal_text(to->seal, str_of(to->key), text, sealed);
        words[(*n)++] = buf_str(sealed);
        return err;
    }
    fleet_message_sign(to->secret, str_of(to->key), text, signature);
    words[(*n)++] = text;
    words[(*n)++] = STR("s");
    words[(*n)++] = str_n(signature, FLEET_SIGNATURE_BYTES);
    return 0;
}

int fleet_stream_append(const struct fleet_stream_to *to, const json_t *m, redis_fn *cb, void *arg)
{
    char signature[FLEET_SIGNATURE_BYTES + 1], lifetime[24], kept[24];
    AUTO_FREE char *text = json_dumps(m, JSON_COMPACT);
    AUTO_BUF sealed = BUF_INIT;
    if (!text)
        return -ERR_NOMEM;
    if (strlen(text) > FLEET_MESSAGE_MAX)
        return -ERR_TOO_LONG;
    (void)snprintf(kept, sizeof(kept), "%u", to->kept ? to->kept : STREAM_KEPT);
    size_t n = 6;
    struct str words[10] = {STR("XADD"), str_of(to->key), STR("MAXLEN"),
                            STR("~"),    str_of(kept),    STR("*")};
    int err = append_words(to, str_of(text), signature, &sealed, words, &n);
    if (err == 0)
        err = redis_call(to->writer, words, n, 0, cb, arg, NULL);
    if (err < 0 || to->lifetime_ms == 0)
        return err;
    (void)snprintf(lifetime, sizeof(lifetime), "%llu", (unsigned long long)to->lifetime_ms);
    const struct str expire[] = {STR("PEXPIRE"), str_of(to->key), str_of(lifetime)};
    /* The entry is there, whatever becomes of this. */
    (void)!redis_call(to->writer, expire, ARRAY_LEN(expire), 0, NULL, NULL, NULL);
    return 0;
}

int fleet_stream_send(struct redis_client *writer, const uint8_t secret[FLEET_SECRET_BYTES],
                      const char *stream, const json_t *m, uint64_t lifetime_ms, redis_fn *cb,
                      void *arg)
{
    const struct fleet_stream_to to = {
        .writer = writer, .key = stream, .secret = secret, .lifetime_ms = lifetime_ms};
    return fleet_stream_append(&to, m, cb, arg);
}
