/* SPDX-License-Identifier: ISC */
/* Certificates of tls.directory: asked of the supervisor when handshakes want them, and put in
 * their place when they come. */
#pragma once

#include "config/config.h"
#include "engine/wire.h"
#include "io/jobs.h"
#include "io/loop.h"
#include "io/tls/tls_certs.h"

struct cert_loads;

/* Borrowed for the life of the object. */
struct cert_loads_spec {
    struct loop *loop; /* of the control thread */
    struct jobs *jobs;
    int wire; /* to the supervisor; -1 = there is none, and nothing is loaded */
    void *arg;
    /* One cannot be used; text is a sentence. Thread: control. */
    void (*refused)(void *arg, const char *text);
};

/* All functions: control thread. -ERR_NOMEM. */
int cert_loads_new(const struct cert_loads_spec *spec, struct cert_loads **ret) NODISCARD;
/* No worker may be left. NULL is fine. */
void cert_loads_free(struct cert_loads *l);
/* Where workers pick them; lives as long as l. */
struct tls_certs *cert_loads_certs(struct cert_loads *l);
/* A config is in force; number: of its content, which the supervisor knows. */
void cert_loads_configure(struct cert_loads *l, const struct config *c, uint64_t number);
/* A WIRE_LOADED has come; takes the descriptors over. */
void cert_loads_hear(struct cert_loads *l, const struct wire_packet *p, const int *fds, size_t n);
