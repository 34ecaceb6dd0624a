/* SPDX-License-Identifier: ISC */
/* The ports of a backend as text: "imap=143,pop3=110". Any thread. */
#pragma once

#include "base/buf.h"
#include "proto/proto.h"

/* Appends them. */
int backend_ports_print(const uint16_t ports[PROTO_COUNT], struct buf *out) NODISCARD;
/* Reads it; protocols that are not named are 0. A sentence in *ret_error (owned). */
int backend_ports_parse(const char *text, uint16_t ports[PROTO_COUNT], char **ret_error) NODISCARD;
