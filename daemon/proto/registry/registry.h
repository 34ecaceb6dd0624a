/* SPDX-License-Identifier: ISC */
/* The registry of protocols: one row a protocol. Above them all; a protocol knows no other. */
#pragma once

#include "proto/proto.h"

/* NULL when there is none (name in any case). Any thread. */
const struct proto *proto_get(enum proto_id id);
const struct proto *proto_find(struct str name);
