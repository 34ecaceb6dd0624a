# SPDX-License-Identifier: ISC
"""Each command of mailproxy(7), mailproxy-runbook(7) and mailproxy-fleet(7), in its order, as it stands there."""
import os
import re
import subprocess

import pytest
from harness import imap, redis, wait
from harness.proxy import BUILD, ENVIRONMENT

MAN = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "conf", "man")
ALICE = "alice@example.org"
# What is the machine's own, or runs until somebody leaves it; --init has tests of its own.
NOT_HERE = ("systemctl ", "mailproxyd --init", "mailproxy-tui")


def page(name):
    with open(os.path.join(MAN, name)) as f:
        return f.read()


def commands(text):
    """The lines between .EX and .EE as man(1) shows them."""
    blocks = re.findall(r"^\.EX\n(.*?)^\.EE$", text, re.MULTILINE | re.DOTALL)
    return [line.replace("\\-", "-").replace("\\(aq", "'").replace("\\e", "\\") for block in blocks for line in block.splitlines()]


@pytest.fixture
def proxy(make_proxy, settings, shared_folder, shared_store, dovecot1, dovecot2):
    """The names that the pages use: alice is there with a session, main/b1 and main/b2 are servers, imaps is a listener, px1 is the proxy."""
    for server, name in zip(settings["pools"][0]["backends"], ("b1", "b2")):
        server["name"] = name
    settings.update(node="px1", fleet=redis.fleet(shared_folder, shared_store, heartbeat="500ms"))
    p = make_proxy(settings)
    p.add_user(ALICE, "secret-a")
    wait.until(lambda: all(b["health"] == "up" for b in p.ctl("backend", "list")), "the checks")
    wait.until(lambda: p.ctl("fleet", "list"), "the store")
    m = imap.tls(p.host, p.ports["imaps"])
    m.login(ALICE, "secret-a")
    p.ctl("listener", "pause", "imaps")
    yield p
    m.shutdown()


@pytest.mark.parametrize("name, least", [("mailproxy.7", 15), ("mailproxy-runbook.7", 55), ("mailproxy-fleet.7", 11)])
def test_each_command_works(proxy, name, least):
    env = {**os.environ, **ENVIRONMENT, "PATH": os.path.abspath(BUILD) + ":" + os.environ["PATH"], "MAILPROXY_SOCKET": proxy.control}
    lines = [line for line in commands(page(name)) if not line.startswith(NOT_HERE)]
    assert len(lines) >= least and all(line.startswith("mailproxyctl ") for line in lines)
    wrong = []
    for line in lines:
        done = subprocess.run(["bash", "-c", line], capture_output=True, text=True, timeout=60, env=env)
        if done.returncode != 0:
            wrong.append(f"{line}: {done.returncode}\n{done.stdout}{done.stderr}")
    assert not wrong, "\n".join(wrong)


def test_the_runbook_has_symptom_command_meaning_action():
    sections = re.findall(r"^\.SS (.*?)\n(.*?)(?=^\.S[SH] )", page("mailproxy-runbook.7"), re.MULTILINE | re.DOTALL)
    assert len(sections) >= 25
    for title, text in sections:
        assert re.fullmatch(r"\.EX\n.*?\.EE\n\.PP\n.*?\.PP\n\.EX\n.*?\.EE\n\.PP\n.+", text, re.DOTALL), title
