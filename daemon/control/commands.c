/* SPDX-License-Identifier: ISC */
/* The function behind each command, in the order of commands.def. */
#include "control/commands.h"

#include "rpc/handlers.h"

const command_fn control_functions[] = {
#define COMMAND(noun, verb, ...) command_##noun##_##verb,
#include "rpc/commands.def"
};
