/* SPDX-License-Identifier: ISC */
/* The function behind each command: declared from the table, so that none can be forgotten. */
#pragma once

#include "rpc/request.h"

#define COMMAND(noun, verb, ...) void command_##noun##_##verb(struct request *r);
#include "rpc/commands.def"
