/* SPDX-License-Identifier: ISC */
/* mailproxyctl pipe: stdin and stdout are the control socket, for who comes by ssh. */
#pragma once

#include "ctl/problem.h"

/* Carries bytes both ways until one side ends. 0 or an exit code with *problem set. */
int pipe_run(const char *path, struct problem *problem);
