# SPDX-License-Identifier: ISC
"""Graceful ends: clients that come back after a goodbye and do again what had no answer. No mail is there twice, none is lost."""
import threading
import time

import pytest
from conftest import USERS, backend
from harness import imap, wait
from harness.retrying import CLIENTS, Operator, SlowSmtp, judge

USER, PASSWORD = "alice@example.org", "secret-a"
PEOPLE = ["alice@example.org", "bob@example.org", "u1@example.org", "u2@example.org"]
SLOW = 0.7
ENDS = 25  # of each protocol


@pytest.fixture(scope="module")
def slow():
    s = SlowSmtp(SLOW)
    yield s
    s.close()


@pytest.fixture
def proxy(make_proxy, settings, dovecot1, slow):
    settings["listeners"] = [{"name": p, "protocol": p, "tls": "off", "allow_plaintext": True, **({"pool": "mx"} if p == "smtp" else {})}
                             for p in CLIENTS]
    settings["pools"] = [{"name": "main", "tls": "off", "backends": [backend(dovecot1)]},
                         {"name": "mx", "tls": "off", "backends": [{"name": "mx", "host": slow.host, "ports": {"smtp": slow.port}}]}]
    p = make_proxy(settings)
    for user in PEOPLE:
        p.add_user(user, USERS[user])
    return p


def start(proxy, protocol, stop, users=PEOPLE):
    clients = [CLIENTS[protocol](proxy, user, USERS[user], n, stop) for n, user in enumerate(users)]
    for c in clients:
        c.thread.start()
    return clients


def finish(clients, stop):
    stop.set()
    for c in clients:
        c.thread.join(60)
        assert not c.thread.is_alive()


def prepare(dovecot, protocol):
    for user in PEOPLE:
        if protocol == "pop3":
            for n in range(30):
                dovecot.deliver(user, f"mail {n}", "x" * 70)
        if protocol == "imap":
            m = imap.plain(dovecot.host, dovecot.ports["imap"])
            m.login(user, USERS[user])
            m.create("Sent")
            m.logout()


@pytest.mark.parametrize("protocol", sorted(CLIENTS))
def test_ends_hurt_nobody(proxy, dovecot1, slow, protocol):
    prepare(dovecot1, protocol)
    stop = threading.Event()
    clients = start(proxy, protocol, stop)
    operator = Operator(proxy, protocol)
    try:
        operator.run(ENDS)
    finally:
        finish(clients, stop)
    hurt = judge(clients, slow)
    assert not hurt and operator.cut == 0 and not operator.rows, (hurt, operator.rows)
    assert operator.clean == operator.ended >= ENDS
