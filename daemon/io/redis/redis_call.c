/* SPDX-License-Identifier: ISC */
/* Commands on their way: sent at the end of the turn, answered in order or too late. */
#include <gnutls/crypto.h>
#include <stdio.h>

#include "base/clock.h"
#include "io/redis/redis_priv.h"

#define TIMEOUTS_MAX 3 /* in a row, then the breaker opens */
#define PENDING_MAX_BYTES (4 << 20)
#define OUT_KEPT_BYTES (64 * 1024)

/* ---- the wire ---- */

/* Room for a count with its sign and the end of its line. */
#define COUNT_ROOM (STR_NUMBER_MAX + 3)

static char *write_count(char *p, char sign, size_t n)
{
    *p++ = sign;
    if (n < 10) /* most words of a script's call */
        *p++ = (char)('0' + n);
    else
        p = str_put_number(p, n, 10, 0);
    *p++ = '\r';
    *p++ = '\n';
    return p;
}

static char *write_word(char *p, struct str word)
{
    p = write_count(p, '$', word.n);
    if (word.n > 0)
        memcpy(p, word.p, word.n);
    p += word.n;
    *p++ = '\r';
    *p++ = '\n';
    return p;
}

static size_t words_room(const struct str *words, size_t n)
{
    size_t room = 0;
    for (size_t i = 0; i < n; i++)
        room += words[i].n + COUNT_ROOM + 2;
    return room;
}

static char *write_words(char *p, const struct str *words, size_t n)
{
    for (size_t i = 0; i < n; i++)
        p = write_word(p, words[i]);
    return p;
}

static void put_end(struct buf *out, const char *end)
{
    buf_commit(out, (size_t)(end - buf_tail(out)));
}

int redis_put_head(struct buf *out, size_t n_words)
{
    int err = buf_reserve(out, COUNT_ROOM);
    if (err == 0)
        put_end(out, write_count(buf_tail(out), '*', n_words));
    return err;
}

int redis_put_word(struct buf *out, struct str word)
{
    int err = buf_reserve(out, words_room(&word, 1));
    if (err == 0)
        put_end(out, write_word(buf_tail(out), word));
    return err;
}

static void on_flush(struct loop_deferred *d)
{
    struct redis_client *c = CONTAINER_OF(d, struct redis_client, flush);
    struct str out = buf_str(&c->out);
    if (c->phase != REDIS_READY || out.n == 0)
        return;
    int err = conn_send(&c->conn, out.p, out.n);
    if (c->out.cap > OUT_KEPT_BYTES)
        buf_fini(&c->out);
    else
        buf_clear(&c->out);
    if (err < 0)
        c->give_up(c, "sending failed");
}

void redis_flush(struct redis_client *c)
{
    loop_undefer(&c->flush);
    on_flush(&c->flush);
}

/* ---- deadlines ---- */

static void due_timer_set(struct redis_client *c, uint64_t at_us)
{
    uint64_t now = clock_us();
    if (c->due_timer_us && c->due_timer_us <= at_us)
        return;
    c->due_timer_us = at_us;
    redis_timer_set(c->due_timer, at_us > now ? at_us - now : 0);
}

static void call_tell(struct redis_call *call, const struct redis_result *r)
{
    redis_fn *cb = STEAL(call->cb);
    list_del(&call->due);
    if (cb && !call->client->is_dead)
        cb(call->arg, r);
}

static void redis_call_free(struct redis_call *call)
{
    list_del(&call->link);
    list_del(&call->due);
    call->client->n_sent--;
    free(call);
}

static void on_due(evutil_socket_t fd, short what, void *arg)
{
    struct redis_client *c = arg;
    const struct redis_result late = {.err = -ERR_TIMEOUT, .error = "no answer in time"};
    uint64_t now = clock_us();
    (void)fd;
    (void)what;
    c->due_timer_us = 0;
    bool is_lost = false;
    while (!c->is_dead && !list_is_empty(&c->due)) {
        struct redis_call *call = LIST_ITEM(c->due.next, struct redis_call, due);
        if (call->deadline_us > now)
            break;
        c->facts.timeouts++;
        is_lost |= ++c->timeouts_in_row >= TIMEOUTS_MAX || call->is_probe;
        call_tell(call, &late); /* it stays in `sent` for its reply */
    }
    if (c->is_dead)
        return;
    if (is_lost)
        c->give_up(c, "calls were not answered in time");
    else if (!list_is_empty(&c->due))
        due_timer_set(c, LIST_ITEM(c->due.next, struct redis_call, due)->deadline_us);
}

/* ---- replies ---- */

/* Such a server serves no longer, or not us. */
static bool error_is_final(struct str words)
{
    static const char *const codes[] = {"READONLY", "LOADING", "MASTERDOWN", "NOAUTH"};
    struct str code = str_cut(&words, ' ');
    return str_is_among(code, codes, ARRAY_LEN(codes));
}

static bool call_send_text(struct redis_client *c, struct redis_call *call)
{
    const struct redis_script *s = STEAL(call->script);
    size_t before = c->out.len;
    int err = redis_put_head(&c->out, call->n_words);
    err = err < 0 ? err : redis_put_word(&c->out, STR("EVAL"));
    err = err < 0 ? err : redis_put_word(&c->out, str_of(s->text));
    err = err < 0 ? err : buf_append(&c->out, call->tail, call->n_tail);
    if (err < 0) {
        c->out.len = before;
        return false;
    }
    list_del(&call->link);
    list_add_tail(&c->sent, &call->link);
    loop_defer(c->loop, &c->flush);
    return true;
}

int redis_call_replied(struct redis_client *c, struct redisReply *reply)
{
    struct redis_result r = {.reply = reply};
    int err = 0;
    if (list_is_empty(&c->sent)) {
        redis_reply_free(reply);
        return -ERR_PROTOCOL;
    }
    struct redis_call *call = LIST_ITEM(c->sent.next, struct redis_call, link);
    bool is_awaited = !list_is_empty(&call->due);
    if (is_awaited) {
        uint32_t us = (uint32_t)(clock_us() - call->sent_us);
        c->facts.latency_us =
            c->facts.latency_us ? (uint32_t)(((uint64_t)c->facts.latency_us * 7 + us) / 8) : us;
        c->timeouts_in_row = 0;
    }
    if (reply->type == REDIS_REPLY_ERROR) {
        struct str words = str_n(reply->str, reply->len);
        if (call->script && is_awaited && str_is_prefix(words, STR("NOSCRIPT")) &&
            call_send_text(c, call)) {
            redis_reply_free(reply);
            return 0;
        }
        c->facts.errors++;
        r = (struct redis_result){.err = -ERR_REFUSED, .error = reply->str};
        (void)str_copy(c->facts.why, sizeof(c->facts.why), words);
        c->facts.why_ms = loop_now_ms(c->loop);
        if (error_is_final(words))
            err = -ERR_CLOSED;
    }
    list_del(&call->link); /* it outlives a client that is freed by its callback */
    call_tell(call, &r);
    redis_call_free(call);
    redis_reply_free(reply);
    return err;
}

void redis_calls_end(struct redis_client *c, const char *why)
{
    const struct redis_result r = {.err = -ERR_CLOSED, .error = why};
    struct list ended;
    list_init(&ended);
    list_splice_tail(&ended, &c->sent);
    buf_clear(&c->out);
    c->timeouts_in_row = 0;
    while (!list_is_empty(&ended)) {
        struct redis_call *call = LIST_ITEM(ended.next, struct redis_call, link);
        c->facts.errors += !list_is_empty(&call->due);
        list_del(&call->link);
        call_tell(call, &r);
        redis_call_free(call);
    }
}

/* ---- calls ---- */

/* May one more be sent? */
static int call_check(struct redis_client *c)
{
    int err = c->phase != REDIS_READY ? -ERR_UNREACHABLE : 0;
    if (err == 0 &&
        (c->n_sent >= c->max_calls || conn_pending(&c->conn) + c->out.len > PENDING_MAX_BYTES))
        err = -ERR_BUSY;
    c->facts.refused += err < 0;
    return err;
}

/* Awaits the reply of a command that was written to the end of what this turn sends. n_tail: its
 * last bytes, which are kept. What was written is sent only without an error. */
static int call_start(struct redis_client *c, const char *end, size_t n_tail, uint64_t timeout_ms,
                      const struct redis_call *like, struct redis_call **ret)
{
    struct redis_call *call = malloc(sizeof(*call) + n_tail);
    if (!call)
        return -ERR_NOMEM;
    *call = *like;
    call->client = c;
    call->n_tail = n_tail;
    call->sent_us = clock_us();
    call->deadline_us = call->sent_us + (timeout_ms ? timeout_ms : c->timeout_ms) * 1000;
    list_init(&call->link);
    list_init(&call->due);
    memcpy(call->tail, end - n_tail, n_tail);
    put_end(&c->out, end);
    list_add_tail(&c->sent, &call->link);
    c->n_sent++;
    c->facts.calls++;
    /* By deadline; nearly all have the same time, so that the place is at the end. */
    struct list *before = c->due.prev;
    while (before != &c->due &&
           LIST_ITEM(before, struct redis_call, due)->deadline_us > call->deadline_us)
        before = before->prev;
    list_add_head(before, &call->due);
    due_timer_set(c, call->deadline_us);
    loop_defer(c->loop, &c->flush);
    if (ret)
        *ret = call;
    return 0;
}

int redis_call(struct redis_client *c, const struct str *words, size_t n_words, uint64_t timeout_ms,
               redis_fn *cb, void *arg, struct redis_call **ret)
{
    const struct redis_call like = {.cb = cb, .arg = arg};
    int err = call_check(c);
    err = err < 0 ? err : buf_reserve(&c->out, COUNT_ROOM + words_room(words, n_words));
    if (err < 0)
        return err;
    char *end = write_count(buf_tail(&c->out), '*', n_words);
    return call_start(c, write_words(end, words, n_words), 0, timeout_ms, &like, ret);
}

int redis_eval(struct redis_client *c, const struct redis_script *s, const struct str *words,
               size_t n_words, size_t n_keys, uint64_t timeout_ms, redis_fn *cb, void *arg,
               struct redis_call **ret)
{
    char number[STR_NUMBER_MAX];
    const struct str head[] = {
        s->sha[0] ? STR("EVALSHA") : STR("EVAL"),
        str_of(s->sha[0] ? s->sha : s->text),
        str_n(number, (size_t)(str_put_number(number, n_keys, 10, 0) - number)),
    };
    const struct redis_call like = {
        .cb = cb, .arg = arg, .script = s->sha[0] ? s : NULL, .n_words = n_words + ARRAY_LEN(head)};
    size_t room = COUNT_ROOM + words_room(head, ARRAY_LEN(head)) + words_room(words, n_words);
    int err = call_check(c);
    err = err < 0 ? err : buf_reserve(&c->out, room);
    if (err < 0)
        return err;
    char *tail = write_words(write_count(buf_tail(&c->out), '*', like.n_words), head, 2);
    char *end = write_words(write_word(tail, head[2]), words, n_words);
    return call_start(c, end, like.script ? (size_t)(end - tail) : 0, timeout_ms, &like, ret);
}

void redis_cancel(struct redis_call *call)
{
    if (!call)
        return;
    call->cb = NULL;
    list_del(&call->due);
}

void redis_call_probe(struct redis_client *c)
{
    const struct str words[] = {STR("PING")};
    struct redis_call *call;
    if (list_is_empty(&c->sent) &&
        redis_call(c, words, ARRAY_LEN(words), c->connect_ms, NULL, NULL, &call) == 0)
        call->is_probe = true;
}

void redis_script_init(struct redis_script *s)
{
    uint8_t sha[20];
    if (gnutls_hash_fast(GNUTLS_DIG_SHA1, s->text, strlen(s->text), sha) == 0)
        str_hex(s->sha, sha, sizeof(sha));
    else
        s->sha[0] = '\0';
}

/* ---- with the client ---- */

int redis_calls_init(struct redis_client *c)
{
    list_init(&c->sent);
    list_init(&c->due);
    list_init(&c->flush.link);
    c->flush.fn = on_flush;
    c->due_timer = evtimer_new(loop_base(c->loop), on_due, c);
    return c->due_timer ? 0 : -ERR_NOMEM;
}

void redis_calls_fini(struct redis_client *c)
{
    LIST_FOREACH_SAFE (it, &c->sent)
        redis_call_free(LIST_ITEM(it, struct redis_call, link));
    loop_undefer(&c->flush);
    if (c->due_timer)
        event_free(STEAL(c->due_timer));
    buf_fini(&c->out);
}
