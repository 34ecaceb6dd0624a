/* SPDX-License-Identifier: ISC */
/* The function behind each command. */
#pragma once

#include "rpc/command.h"

/* One for each command of commands.def, in its order. */
extern const command_fn control_functions[];
