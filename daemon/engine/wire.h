/* SPDX-License-Identifier: ISC */
/* The channel between the supervisor and an engine. What an engine says is a word and a number, and
 * nothing that would have to be obeyed; the supervisor, which is trusted, gives orders with texts
 * and descriptors. One packet each. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/str.h"

/* Environment of an engine: number of the channel's descriptor. */
#define WIRE_FD_ENV "MAILPROXY_SUPERVISOR_FD"

/* ---- engine to supervisor ---- */

enum wire_word {
    WIRE_ALIVE = 1, /* every WIRE_ALIVE_MS while the control thread turns */
    WIRE_READY,     /* it serves; number: of the content that it started with */
    WIRE_NOT_READY, /* it will not serve; number: the error */
    WIRE_READ,     /* the file is wanted; number: WIRE_ASK of how and a count of the engine's own */
    WIRE_ACCEPTED, /* the content with this number is in force */
    WIRE_REFUSED,  /* the content with this number will not be used */
    WIRE_CONFIRMED, /* the content with this number is the one to come back with after a failure */
    WIRE_LOGS,      /* log files are to be opened again */
    WIRE_STOPPING,  /* an operator stops the daemon: no other engine is wanted */
    WIRE_UPGRADE,   /* the installed program is to be checked */
    WIRE_START,     /* and started */
    WIRE_SESSIONS,  /* of an old engine; number: how many there are still */
    WIRE_LOAD,      /* a certificate of the directory is wanted; number: WIRE_LOAD_OF */
    WIRE_WORDS_END
};

/* How the file is wanted. */
enum wire_read {
    WIRE_READ_CHECK = 1, /* only to be looked at */
    WIRE_READ_RELOAD,    /* to be put in force: sockets and logs come along */
    WIRE_READ_BACK,      /* not the file, but what was confirmed last, to be put in force again */
    WIRE_READ_FILES, /* not the file, but the certificates that what runs names; number 0 when they
                        say what they said */
    WIRE_READS_END
};

/* Content that the engine works with, and entry of its directory. */
#define WIRE_LOAD_OF(content, entry) ((uint64_t)(uint32_t)(content) << 32 | (uint32_t)(entry))
#define WIRE_LOAD_CONTENT(number) ((uint32_t)((number) >> 32))
#define WIRE_LOAD_ENTRY(number) ((uint32_t)(number))
#define WIRE_LOADS_MAX 64 /* that an engine may wait for */

#define WIRE_ALIVE_MS 5000
#define WIRE_ASK(how, count) ((uint64_t)(count) << 8 | (uint64_t)(how))
#define WIRE_ASK_HOW(number) ((enum wire_read)((number)&0xff))
#define WIRE_ASK_COUNT(number) ((number) >> 8)

struct wire_message {
    uint32_t magic; /* WIRE_MAGIC */
    uint32_t word;
    uint64_t number;
};
#define WIRE_MAGIC UINT32_C(0x6d707731)

/* Engine's side. Never waits: -ERR_AGAIN when the supervisor does not read. Thread: any. */
int wire_tell(int fd, enum wire_word word, uint64_t number) NODISCARD;
/* The same; a word that could not be sent is logged. fd -1 = nobody is there: nothing. */
void wire_say(int fd, enum wire_word word, uint64_t number);
/* Supervisor's side: takes one message. -ERR_AGAIN; -ERR_EOF; -ERR_PROTOCOL for anything that is no
 * message, also one with descriptors, which are closed unseen. */
int wire_hear(int fd, struct wire_message *ret) NODISCARD;

/* ---- supervisor to engine ---- */

enum wire_order {
    WIRE_CONTENT = 1, /* a content, or why there is none: struct wire_content, then a sentence */
    WIRE_SOCKETS,     /* of the content before: descriptors, their places as uint32_t each */
    WIRE_LOG_FILES, /* struct wire_log each, and descriptors of those without an error; also without
                       a content before: they were opened again */
    WIRE_CHECKED,   /* the new program is good */
    WIRE_FAILED,    /* there will be no upgrade: a sentence */
    WIRE_OLDS,      /* struct wire_old each: engines that finish their sessions, the newest first */
    WIRE_KEYS,      /* uint64_t id of key_service_add, descriptors of the channels */
    WIRE_RETIRE,    /* uint64_t pid of the engine that serves now; descriptors and places of control
                       sockets for this one */
    WIRE_REBOUND, /* a descriptor and its place 0: a UNIX socket that takes the place of the one at
                     the same address */
    WIRE_FILES,   /* certificates have changed: WIRE_READ_FILES gets them */
    WIRE_LINK,  /* struct wire_link, a descriptor and its place 0: a connection to another engine */
    WIRE_LOADED /* struct wire_loaded; a descriptor with the records of supervisor/loading.h */
};

/* What came of WIRE_LOAD. Without a record of one of these nothing is known of it. */
struct wire_loaded {
    uint64_t number; /* of the content */
    uint32_t n;
    uint32_t entries[WIRE_LOADS_MAX];
};

/* Records (base/record.h) of a WIRE_LOADED. */
enum {
    WIRE_LOADED_PAIR = 1, /* name, version, chain, key: PEM */
    WIRE_LOADED_BAD = 2   /* name, version, -ERR_x without its sign, file, what is wrong with it */
};

/* The bundle comes along as a descriptor unless err is set. */
struct wire_content {
    uint64_t number;                    /* of the content; 0 = it is only looked at */
    uint64_t ask;                       /* WIRE_ASK_COUNT that it answers; 0 = none */
    int32_t err;                        /* -ERR_x */
    uint32_t is_kept;                   /* it is that of an engine that died */
    uint32_t n_sockets, n_logs, n_keys; /* descriptors that follow */
    uint32_t reserved;
};

/* A log file of the configuration; err: -ERR_x why it could not be opened. */
struct wire_log {
    uint32_t index;
    int32_t err;
};

struct wire_old {
    uint64_t pid, since_ms, sessions; /* wall clock */
    uint64_t number;                  /* of its control sockets; see control_old_path */
};

struct wire_link {
    uint64_t pid;          /* of the other engine */
    uint64_t is_successor; /* it takes the place of the one that gets this */
};

#define WIRE_FDS_MAX 64
#define WIRE_BODY_MAX 4096

struct wire_packet {
    uint32_t order;
    uint32_t size; /* of body */
    char body[WIRE_BODY_MAX];
};

/* Supervisor's side. Never waits: -ERR_AGAIN. The descriptors stay the caller's. */
int wire_order(int fd, const struct wire_packet *p, const int *fds, size_t n) NODISCARD;
/* Engine's side: takes one packet; its descriptors are owned by the caller and close-on-exec.
 * -ERR_AGAIN on a non-blocking socket, -ERR_EOF, -ERR_PROTOCOL. */
int wire_receive(int fd, struct wire_packet *ret, int ret_fds[WIRE_FDS_MAX],
                 size_t *ret_n) NODISCARD;
/* A packet with n bytes of body; what is too long is cut. */
void wire_packet_init(struct wire_packet *p, enum wire_order order, const void *body, size_t n);
/* Appends a text to the body, cut where it ends. */
void wire_packet_add(struct wire_packet *p, const void *body, size_t n);
