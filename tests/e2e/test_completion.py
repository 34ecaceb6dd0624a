# SPDX-License-Identifier: ISC
"""Completion in the shells themselves: what a line is after the Tab key, with names of a running daemon."""
import os
import pty
import re
import select
import shutil
import signal
import subprocess

import pytest
from harness import wait
from harness.proxy import BUILD

ROOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..")
SHELLS = {
    "bash": (["bash", "--norc", "--noprofile", "-i"], []),
    "zsh": (["zsh", "-f", "-i"], ["autoload -Uz compinit; compinit -u -D"]),
    "fish": (["fish", "--no-config", "-i"], []),
}
# It completes, but instead of doing something it tells what it was asked for.
WRAPPER = """#!/bin/sh
[ "$1" = __complete ] && exec {ctl} "$@"
printf '<%s>' "$@"; echo END
"""


class Shell:
    def __init__(self, name, folder, control):
        command, lines = SHELLS[name]
        wrapper = os.path.join(folder, "mailproxyctl")
        with open(wrapper, "w") as f:
            f.write(WRAPPER.format(ctl=os.path.join(BUILD, "mailproxyctl")))
        os.chmod(wrapper, 0o755)
        env = {"PATH": folder + ":" + os.environ["PATH"], "HOME": folder, "TERM": "dumb" if name == "bash" else "xterm",
               "LC_ALL": "C.UTF-8", "MAILPROXY_SOCKET": control, "PS1": "ready> ", "XDG_CONFIG_HOME": folder, "XDG_DATA_HOME": folder}
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            os.chdir(folder)
            os.execvpe(command[0], command, env)
        self.text = ""
        for line in [*lines, f"source {os.path.abspath(ROOT)}/conf/completions/mailproxyctl.{name}", "echo begin''ning"]:
            self.type(line + "\n")
        self.until("beginning")

    def type(self, keys):
        os.write(self.fd, keys.encode())

    def read(self):
        while select.select([self.fd], [], [], 0)[0]:
            self.text += os.read(self.fd, 65536).decode("utf-8", "replace")

    def until(self, words):
        def is_there():
            self.read()
            return words in self.text
        wait.until(is_there, f"{words!r} of the shell")

    def line(self, keys):
        """What mailproxyctl is called with when these keys are typed."""
        self.text = ""
        self.type(keys + "\n")
        self.until("END\r\n")
        return re.search("((?:<[^<>\x1b]*>)+)END\r\n", self.text)[1]

    def close(self):
        os.kill(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)
        os.close(self.fd)


TYPED = {
    "backend dra\tdc\t1": "<backend><drain><dc1>",
    "user show an\t": "<user><show><anna@example.org>",
    "user show jü\t": "<user><show><jürgen@example.org>",
    "session kill us\tx": "<session><kill><user=x>",
    "backends pool=m\t": "<backends><pool=main>",
    "sessions --sort -ag\t": "<sessions><--sort><-age>",
    "sessions --columns id,us\t": "<sessions><--columns><id,user>",
    "user export --form\tpass\t": "<user><export><--format><passwd>",
    "completion zs\t": "<completion><zsh>",
    "nothing wr\tong": "<nothing><wrong>",
}


@pytest.mark.parametrize("name", SHELLS)
def test_completion(make_proxy, settings, folder, name):
    if not shutil.which(name):
        pytest.skip(f"{name} is not installed")
    p = make_proxy(settings)
    p.add_user("anna@example.org", "pw")
    p.add_user("jürgen@example.org", "pw")
    shell = Shell(name, folder, p.control)
    try:
        assert {keys: shell.line("mailproxyctl " + keys) for keys in TYPED} == TYPED
    finally:
        shell.close()


@pytest.mark.parametrize("name,folders", [("zsh", "print -l $fpath"), ("fish", "string join \\n $fish_complete_path")],
                         ids=["zsh", "fish"])
def test_make_install_goes_where_shells_look(folder, name, folders):
    if not shutil.which(name):
        pytest.skip(f"{name} is not installed")
    bare = {"PATH": os.environ["PATH"], "HOME": folder}
    plan = subprocess.run(["make", "-n", "-C", ROOT, "install", "PREFIX=/usr/local", "SYSCONFDIR=/etc"], check=True, capture_output=True,
                          text=True, env=bare)
    path = re.search(rf"conf/completions/mailproxyctl\.{name} (\S+)", plan.stdout)[1]
    looked = subprocess.run([name, "-c", folders], check=True, capture_output=True, text=True, env=bare).stdout.split()
    assert os.path.dirname(path) in looked
