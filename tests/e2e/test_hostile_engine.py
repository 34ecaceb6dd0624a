# SPDX-License-Identifier: ISC
"""An engine in other hands: whatever it says on its channel, the supervisor ends it, does nothing that the file does not say,
and starts a good one."""
import os
import shutil
import sys

import pytest
from harness import imap, wait
from harness.proxy import BUILD

USER, PASSWORD = "u1@example.org", "pw"

# Plays an engine up to the word that it is ready, then something else.
ENGINE = '''
import os, signal, socket, struct, sys, time
ALIVE, READY, NOT_READY, READ, ACCEPTED, REFUSED, CONFIRMED, LOGS, STOPPING, UPGRADE, START, SESSIONS, LOAD, END = range(1, 15)
wire = socket.socket(fileno=int(os.environ["MAILPROXY_SUPERVISOR_FD"]))
packet = socket.recv_fds(wire, 8192, 64)[0]
number = struct.unpack_from("=Q", packet, 8)[0]

def say(word, n=0):
    wire.send(struct.pack("=IIQ", 0x6d707731, word, n))

def ask(how, count):
    say(READ, count << 8 | how)

def flood():
    while True:
        say(ALIVE)

def unread():
    for count in range(1, 100000):
        ask(1, count)
        time.sleep(0.002)

acts = {
    "empty": lambda: wire.send(b""),
    "short": lambda: wire.send(struct.pack("=II", 0x6d707731, ALIVE)),
    "long": lambda: wire.send(struct.pack("=IIQQ", 0x6d707731, ALIVE, 0, 0)),
    "text": lambda: wire.send(b"bind 1 0 0 0 0 666 root root unix:/etc/x"),
    "magic": lambda: wire.send(struct.pack("=IIQ", 7, ALIVE, 0)),
    "unknown": lambda: say(END),
    "huge": lambda: say(0xffffffff, 2**64 - 1),
    "descriptors": lambda: socket.send_fds(wire, [struct.pack("=IIQ", 0x6d707731, ALIVE, 0)], [0, 1, 2]),
    "twice ready": lambda: say(READY, number),
    "not ready": lambda: say(NOT_READY, 5),
    "accepted": lambda: say(ACCEPTED, number),
    "refused": lambda: say(REFUSED, number + 1000),
    "confirmed": lambda: say(CONFIRMED, number + 1),
    "sessions": lambda: say(SESSIONS, 5),
    "load": lambda: say(LOAD, number << 32),
    "read what": lambda: ask(9, 1),
    "read nothing": lambda: ask(1, 0),
    "flood": flood,
    "never reading": unread,
    "channel closed": lambda: wire.close(),
    "dies": lambda: os.kill(os.getpid(), signal.SIGKILL),
    "dies asking": lambda: (ask(2, 1), os.kill(os.getpid(), signal.SIGKILL)),
}
if sys.argv[1] == "before":  # it is said before it is ready
    acts[sys.argv[2]]()
say(READY, number)
time.sleep(0.2)
acts[sys.argv[2]]()
time.sleep(600)
'''
ACTS = ["empty", "short", "long", "text", "magic", "unknown", "huge", "descriptors", "twice ready", "not ready", "accepted",
        "refused", "confirmed", "sessions", "load", "read what", "read nothing", "flood", "never reading", "channel closed", "dies",
        "dies asking"]


@pytest.fixture
def proxy(make_proxy, settings, folder):
    p = make_proxy(settings, start=False)
    p.program = os.path.join(folder, "mailproxyd")
    shutil.copy(os.path.join(BUILD, "mailproxyd"), p.program)
    shutil.copy(p.program, p.program + ".real")
    p.start()
    p.add_user(USER, PASSWORD)
    return p


def upgrade_to(p, when, act):
    """Puts the hostile engine in the place of the good one. What the program does besides is the real one's."""
    script = os.path.join(p.folder, "engine.py")
    with open(script, "w") as f:
        f.write(ENGINE)
    new = p.program + ".new"
    with open(new, "w") as f:
        f.write(f'#!/bin/sh\ncase "$*" in *--engine*) exec "{sys.executable}" "{script}" {when} "{act}";; esac\n'
                f'exec {p.program}.real "$@"\n')
    os.chmod(new, 0o755)
    os.replace(new, p.program)
    p.ctl("system", "upgrade")


def serves(p):
    c = imap.logged_in(p, USER, PASSWORD)
    c.close()


@pytest.mark.parametrize("act", ACTS)
def test_engine_that_serves(proxy, act):
    supervisor, before = proxy.process.pid, proxy.engine_pid()
    files = {name: sorted(os.listdir(name)) for name in ("/etc", "/")}
    upgrade_to(proxy, "after", act)
    if not act.startswith("dies"):
        proxy.wait_for_log("engine-killed")
    proxy.wait_for_log("engine-died")
    wait.until(lambda: proxy.is_ready() and proxy.engine_pid() != before, "a good engine")
    serves(proxy)
    assert proxy.process.is_running() and proxy.process.pid == supervisor
    assert {name: sorted(os.listdir(name)) for name in files} == files


@pytest.mark.parametrize("act", ["text", "accepted", "confirmed", "read what", "dies"])
def test_engine_that_is_not_ready_yet(proxy, act):
    """The upgrade fails, and the engine that serves goes on."""
    before = proxy.engine_pid()
    upgrade_to(proxy, "before", act)
    proxy.wait_for_log("upgrade-failed")
    assert proxy.engine_pid() == before
    serves(proxy)
