# SPDX-License-Identifier: ISC
"""The command table, as the daemon and mailproxyctl are compiled with it."""
import os
import subprocess
from dataclasses import dataclass, field

SOURCE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "..", "daemon")
# Every line of the table becomes a line of fields between bars.
PROGRAM = """
#define COMMAND(noun, verb, role, flags, summary, detail) \\n|command|noun verb|role|flags|
#define ARG(noun, verb, name, type, flags, help) \\n|arg|noun verb|name|type|flags|
#define COLUMN(noun, verb, name, unit, shown, title, help) \\n|column|noun verb|name|unit|
#include "rpc/commands.def"
"""


@dataclass
class Command:
    role: str
    flags: set
    args: dict = field(default_factory=dict)     # name: (type, flags)
    columns: set = field(default_factory=set)


def words(text):
    return set(text.replace("|", " ").split())


def read():
    """{"noun verb": Command}, with log_level and other names as in the table."""
    text = subprocess.run(["gcc", "-E", "-P", "-I", SOURCE, "-x", "c", "-"], input=PROGRAM, capture_output=True, text=True,
                          check=True).stdout
    commands = {}
    for line in text.replace("\n", " ").split("\\n")[1:]:
        kind, name, *rest = (part.strip() for part in line.split("|")[1:])
        if kind == "command":
            commands[name] = Command(rest[0].lower(), words(" ".join(rest[1:])))
        elif kind == "arg":
            commands[name].args[rest[0]] = (rest[1], words(" ".join(rest[2:])))
        else:
            commands[name].columns.add(rest[0].strip('"'))
    return commands
