/* SPDX-License-Identifier: ISC */
/* hiredis' reader with objects of our own, which count the memory of a reply. Only RESP2. */
#include "io/redis/redis_reader.h"

#include <stdlib.h>

#include "base/cleanup.h"
#include "base/zalloc.h"

#define SMALL_BYTES 1024 /* fetched zeroed from the thread's own cache: see zalloc.h */
#define LINE_MAX_BYTES                                                                             \
    (64 * 1024) /* status, error, number, length: without its end it is searched                   \
                   for anew with each read */

/* Arrays within arrays: a reply is freed by a function that calls itself. hiredis has a bound of
 * its own, 9, up to version 0.14 only. */
#define REPLY_DEPTH_MAX 8

/* ---- objects ---- */

static void reply_free(void *object)
{
    redisReply *reply = object;
    if (!reply)
        return;
    for (size_t i = 0; i < reply->elements; i++)
        reply_free(reply->element[i]);
    free(reply);
}

void redis_reply_free(struct redisReply *reply)
{
    reply_free(reply);
}

/* A new object with so many zeros behind it, for its text or elements: one block for each. NULL
 * without memory, or when it is too much. */
static redisReply *reply_new(const redisReadTask *task, int type, size_t more_bytes)
{
    struct redis_reader *r = task->privdata;
    size_t bytes = sizeof(redisReply) + more_bytes;
    r->err = bytes < more_bytes || bytes > r->max_bytes - r->bytes ? -ERR_TOO_LONG : 0;
    if (r->err < 0)
        return NULL;
    redisReply *reply = bytes <= SMALL_BYTES ? zalloc(bytes) : calloc(1, bytes);
    if (!reply)
        return NULL;
    r->bytes += bytes;
    reply->type = type;
    return reply;
}

static redisReply *reply_place(const redisReadTask *task, redisReply *reply)
{
    if (reply && task->parent) {
        redisReply *parent = task->parent->obj;
        parent->element[task->idx] = reply;
    }
    return reply;
}

static void *on_string(const redisReadTask *task, char *p, size_t n)
{
    if (task->type != REDIS_REPLY_STRING && task->type != REDIS_REPLY_STATUS &&
        task->type != REDIS_REPLY_ERROR)
        return NULL;
    redisReply *reply = reply_new(task, task->type, n + 1);
    if (!reply)
        return NULL;
    reply->str = (char *)(reply + 1);
    memcpy(reply->str, p, n);
    reply->len = n;
    return reply_place(task, reply);
}

/* hiredis 1.0 changed the type of a length. */
#if HIREDIS_MAJOR >= 1
typedef size_t reply_length;
#else
typedef int reply_length;
#endif

static void *on_array(const redisReadTask *task, reply_length n)
{
    if (task->type != REDIS_REPLY_ARRAY || (size_t)n > SIZE_MAX / sizeof(redisReply *))
        return NULL;
    unsigned depth = 0;
    for (const redisReadTask *t = task; t->parent && depth < REPLY_DEPTH_MAX; t = t->parent)
        depth++;
    if (depth == REPLY_DEPTH_MAX) {
        ((struct redis_reader *)task->privdata)->err = -ERR_PROTOCOL;
        return NULL;
    }
    redisReply *reply = reply_new(task, task->type, (size_t)n * sizeof(redisReply *));
    if (!reply)
        return NULL;
    reply->element = (redisReply **)(reply + 1);
    reply->elements = (size_t)n;
    return reply_place(task, reply);
}

static void *on_integer(const redisReadTask *task, long long value)
{
    redisReply *reply = reply_new(task, REDIS_REPLY_INTEGER, 0);
    if (reply)
        reply->integer = value;
    return reply_place(task, reply);
}

static void *on_nil(const redisReadTask *task)
{
    return reply_place(task, reply_new(task, REDIS_REPLY_NIL, 0));
}

#if HIREDIS_MAJOR >= 1
/* Nobody asked for RESP3. */
static void *on_double(const redisReadTask *task, double value, char *p, size_t n)
{
    (void)task;
    (void)value;
    (void)p;
    (void)n;
    return NULL;
}

static void *on_bool(const redisReadTask *task, int value)
{
    (void)task;
    (void)value;
    return NULL;
}
#endif

static redisReplyObjectFunctions reader_functions = {
    .createString = on_string,
    .createArray = on_array,
    .createInteger = on_integer,
    .createNil = on_nil,
#if HIREDIS_MAJOR >= 1
    .createDouble = on_double,
    .createBool = on_bool,
#endif
    .freeObject = reply_free,
};

/* ---- the reader ---- */

int redis_reader_init(struct redis_reader *r, size_t max_bytes)
{
    *r = (struct redis_reader){.max_bytes = max_bytes};
    r->reader = redisReaderCreateWithFunctions(&reader_functions);
    if (!r->reader)
        return -ERR_NOMEM;
    redisReaderSetPrivdata(r->reader, r);
    return 0;
}

void redis_reader_fini(struct redis_reader *r)
{
    if (r->reader)
        redisReaderFree(STEAL(r->reader));
}

int redis_reader_feed(struct redis_reader *r, struct str in)
{
    if (r->reader->len - r->reader->pos + in.n > r->max_bytes + LINE_MAX_BYTES)
        return -ERR_TOO_LONG;
    return redisReaderFeed(r->reader, in.p, in.n) == REDIS_OK ? 0 : -ERR_NOMEM;
}

int redis_reader_next(struct redis_reader *r, struct redisReply **ret)
{
    const redisReader *reader = r->reader;
    void *reply = NULL;
    if (redisReaderGetReply(r->reader, &reply) != REDIS_OK)
        return r->err < 0 ? r->err : reader->err == REDIS_ERR_OOM ? -ERR_NOMEM : -ERR_PROTOCOL;
    size_t left = reader->len - reader->pos;
    if (!reply) {
        if (left > LINE_MAX_BYTES && !memchr(reader->buf + reader->pos, '\r', LINE_MAX_BYTES))
            return -ERR_PROTOCOL;
        return left > r->max_bytes ? -ERR_TOO_LONG : -ERR_AGAIN;
    }
    r->bytes = 0;
    *ret = reply;
    return 0;
}
