/* SPDX-License-Identifier: ISC */
/* Two conns talking on one loop, and what their owners saw. */
#pragma once

#include "base/hash.h"
#include "io/conn.h"
#include "io_case.h"

/* One end. */
struct end {
    struct conn conn;
    struct buf in; /* all that was read */
    size_t in_n;   /* the same for is_counting ends, which keep only the sum */
    uint64_t in_sum;
    unsigned n_connected, n_secured, n_readable, n_drained;
    int connected_err, secured_err;
    int read_err;     /* last result of conn_read but AGAIN: -ERR_EOF or what broke it */
    bool is_counting; /* keeps no bytes */
    bool is_closing;  /* closes itself in the next callback */
    size_t read_max;  /* bytes for one conn_read; 0 = many */
};

static inline struct end *end_of(struct conn *c)
{
    return CONTAINER_OF(c, struct end, conn);
}

static inline void end_connected(struct conn *c, int err)
{
    end_of(c)->n_connected++;
    end_of(c)->connected_err = err;
}

static inline void end_secured(struct conn *c, int err)
{
    struct end *e = end_of(c);
    e->n_secured++;
    e->secured_err = err;
    if (e->is_closing)
        conn_close(c);
}

static inline uint64_t end_sum(uint64_t sum, const char *p, size_t n)
{
    for (size_t i = 0; i < n; i++)
        sum = sum * 31 + (unsigned char)p[i];
    return sum;
}

static inline void end_readable(struct conn *c)
{
    struct end *e = end_of(c);
    size_t n;
    int err;
    e->n_readable++;
    if (e->is_closing) {
        conn_close(c);
        return;
    }
    char *scratch = loop_scratch(c->loop);
    size_t cap = e->read_max ? e->read_max : LOOP_SCRATCH_BYTES;
    while ((err = conn_read(c, scratch, cap, &n)) == 0) {
        assert_true(n >= 1 && n <= cap);
        e->in_n += n;
        e->in_sum = end_sum(e->in_sum, scratch, n);
        if (!e->is_counting)
            assert_int_equal(buf_append(&e->in, scratch, n), 0);
    }
    if (err != -ERR_AGAIN)
        e->read_err = err;
}

static inline void end_drained(struct conn *c)
{
    end_of(c)->n_drained++;
}

static const struct conn_ops end_ops = {end_connected, end_secured, end_readable, end_drained};

static inline void end_init(struct end *e, struct loop *l)
{
    *e = (struct end){.read_err = 0};
    conn_init(&e->conn, l, &end_ops, e);
}

static inline void end_fini(struct end *e)
{
    conn_close(&e->conn);
    conn_close(&e->conn);
    buf_fini(&e->in);
}

static inline void end_say(struct end *e, const char *text)
{
    assert_int_equal(conn_send(&e->conn, text, strlen(text)), 0);
}

static inline bool end_has(const struct end *e, const char *text)
{
    return str_eq(buf_str(&e->in), str_of(text));
}

/* Waiting for one of these. */
static inline bool end_is_secured(void *arg)
{
    return ((struct end *)arg)->n_secured > 0;
}

static inline bool end_is_connected(void *arg)
{
    return ((struct end *)arg)->n_connected > 0;
}

static inline bool end_is_over(void *arg)
{
    return ((struct end *)arg)->read_err != 0;
}

static inline bool end_is_drained(void *arg)
{
    return conn_pending(&((struct end *)arg)->conn) == 0;
}

/* Until an end has read this text in all. */
struct end_text {
    struct end *end;
    const char *text;
};

static inline bool end_text_is_here(void *arg)
{
    const struct end_text *t = arg;
    return end_has(t->end, t->text);
}

static inline void end_wait(struct end *e, const char *text)
{
    struct end_text t = {e, text};
    io_case_run(e->conn.loop, end_text_is_here, &t);
}

/* Bytes that repeat nowhere soon; owned. */
static inline char *end_noise(size_t n, uint64_t *ret_sum)
{
    char *p = malloc(n);
    assert_non_null(p);
    for (size_t i = 0; i < n; i++)
        p[i] = (char)hash_mix(i);
    *ret_sum = end_sum(0, p, n);
    return p;
}
