# SPDX-License-Identifier: ISC
"""One backend for a user, whichever node of a fleet a client comes to."""
import itertools
import os
import random

import pytest
from harness import prometheus, redis, wait
from harness.pinned import MailServers
from harness.proxy import CtlError

pytestmark = pytest.mark.skipif(redis.missing() is not None, reason=str(redis.missing()))

USERS = int(os.environ.get("MAILPROXY_FLEET_USERS", 150))
ROUNDS = int(os.environ.get("MAILPROXY_FLEET_ROUNDS", 3))


@pytest.fixture
def servers():
    s = MailServers(4)
    yield s
    s.close()


@pytest.fixture
def store(folder):
    s = redis.RedisServer(os.path.join(folder, "redis")).start()
    yield s
    s.close()


@pytest.fixture
def make_node(make_proxy, folder, servers, store):
    """make_node(name, pool=..., fleet=...): a proxy that asks the mail servers who its clients are. By turns, so that nodes would not agree by
    themselves."""
    def make(name, pool=None, fleet=None, **more):
        return make_proxy({
            "node": name,
            "workers": 2,
            "listeners": [{"name": "imap", "protocol": "imap", "tls": "off", "allow_plaintext": True}],
            "auth": [{"type": "backend"}],
            "resolver": {"enabled": False},
            "fleet": redis.fleet(folder, store, beat="500ms", timeout="5s", **(fleet or {})),
            "pools": [{"name": "main", "tls": "off", "balance": "round-robin", "check": {"enabled": False},
                       "backends": servers.backends(), **(pool or {})}],
            **more})
    return make


@pytest.fixture
def nodes(make_node):
    return [make_node(f"n{i}") for i in range(3)]


def at(node, user):
    return node.host, node.ports["imap"], user


def metric(node, name, **labels):
    return prometheus.parse(node.ctl("system", "metrics")["text"])[name].value(**labels)


def gone(servers):
    wait.until(lambda: all(not servers.where(user) for user in list(servers.users)), "all sessions to end")


def test_all_at_once(servers, nodes):
    """Each user at all nodes in the same instant, again and again."""
    for turn in range(ROUNDS):
        users = [f"u{turn}-{i}@example.org" for i in range(USERS)]
        logins = [at(node, user) for user in users for node in nodes]
        random.Random(turn).shuffle(logins)
        clients = servers.log_in(*logins)
        assert [c.answer for c in clients if not c.is_in] == []
        assert [user for user in users if len(servers.where(user)) != 1] == []
        assert sum(servers.users[user].total() for user in users) == 3 * USERS
        for c in clients:
            c.close()
        gone(servers)
    assert servers.mistakes == []
    longest = max(c.seconds for c in clients)
    print(f"{ROUNDS} rounds of {USERS} users at 3 nodes: longest login {longest * 1000:.0f} ms")
