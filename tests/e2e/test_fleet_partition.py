# SPDX-License-Identifier: ISC
"""One of three nodes is cut off from the store of the fleet while users log in everywhere, and comes back."""
import itertools
import json
import os
import threading
import time

import pytest
from harness import netns, prometheus, redis, wait
from harness.pinned import MailServers

WHY = redis.missing() or netns.missing()
pytestmark = pytest.mark.skipif(WHY is not None, reason=str(WHY))

SECONDS = float(os.environ.get("MAILPROXY_PARTITION_SECONDS", 1))
NODES = ("px1", "px2", "px3")
PARTLY = 7
BANNED = "192.0.2.1"


@pytest.fixture
def network():
    n = netns.Namespace(2)
    yield n
    n.close()


@pytest.fixture
def store(folder, network):
    """Behind a link for two of the nodes, and another one for the third."""
    s = redis.RedisServer(os.path.join(folder, "redis"), host=network.addresses[0], port=6379, bind=" ".join(network.addresses),
                          protected_mode="no")
    arguments = s.arguments
    s.arguments = lambda: network.command(arguments())
    yield s.start()
    s.close()


@pytest.fixture
def servers():
    s = MailServers(4)
    yield s
    s.close()


@pytest.fixture
def nodes(make_proxy, folder, servers, store, network):
    made = [make_proxy({
        "node": name,
        "listeners": [{"name": "imap", "protocol": "imap", "tls": "off", "allow_plaintext": True}],
        "auth": [{"type": "backend"}],
        "resolver": {"enabled": False},
        "fleet": redis.fleet(folder, [f"{network.addresses[name == NODES[2]]}:6379"], heartbeat="200ms", timeout="200ms"),
        "pools": [{"name": "main", "tls": "off", "balance": "round-robin", "check": {"enabled": False}, "backends": servers.backends()}],
    }) for name in NODES]
    wait.until(lambda: all(states(p) == dict.fromkeys(NODES, "serving") for p in made), "nodes that know each other")
    yield made
    servers.hang_up()


def states(p):
    return {row["node"]: row["state"] for row in p.ctl("fleet", "list")}


def banned(p):
    return BANNED in str(p.ctl("--allow-empty", "ban", "list"))


def at(node, user):
    return node.host, node.ports["imap"], user


def conflicts(nodes, users):
    """Of users who stay; those of the crowd may be in one for a moment."""
    return [row for p in nodes for row in p.ctl("--allow-empty", "fleet", "conflicts") if row["user"] in users]


class Crowd(threading.Thread):
    """Users who come and go at all nodes, until the end of the with block."""

    def __init__(self, servers, nodes):
        super().__init__()
        self.servers, self.result, self.is_over = servers, None, False
        self.logins = (at(nodes[i % len(nodes)], f"c{i % 50}@example.org") for i in itertools.count())

    def run(self):
        self.result = self.servers.log_in_steadily(self.logins, 60, lambda: self.is_over)

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self.is_over = True
        self.join()


def test_partition(servers, nodes, network):
    one, two, three = nodes
    users = [f"u{i}@example.org" for i in range(8)]
    with Crowd(servers, nodes) as crowd:
        network.cut(1)
        wait.until(lambda: states(one) == {"px1": "serving", "px2": "serving", "px3": "gone"} == states(two), "the loss of a node")
        wait.until(lambda: states(three) == {"px1": "unknown", "px2": "unknown", "px3": "serving"}, "the loss of the store")
        assert "the store is away" in three.ctl("system", "status")["trouble"]
        # Both sides take the same users, to two backends; an operator's command reaches one side, and says so.
        clients = servers.log_in(*(at(one, user) for user in users)) + servers.log_in(*(at(three, user) for user in reversed(users)))
        assert [c.answer for c in clients if not c.is_in] == []
        twice = [user for user in users if len(servers.where(user)) == 2]
        assert twice
        done = one.ctl_run("--fleet", "-o", "json", "ban", "add", BANNED, "--yes", check=False)
        assert done.returncode == PARTLY and "px3" in done.stdout + done.stderr and "when it is back" in done.stdout + done.stderr, done.stdout + done.stderr
        assert [banned(p) for p in nodes] == [True, True, False]
        assert conflicts(nodes, users) == []
        time.sleep(SECONDS)
        assert states(three)["px1"] == "unknown" and states(one)["px3"] == "gone"
        network.join(1)
        began = time.monotonic()
        wait.until(lambda: all(states(p) == dict.fromkeys(NODES, "serving") for p in nodes), "all nodes to be one fleet")
        one_again = time.monotonic() - began
        wait.until(lambda: banned(three), "the command that was missed")
        found = wait.until(lambda: (rows := conflicts(nodes, users)) and {row["user"] for row in rows} == set(twice) and rows, "all conflicts to be found")
        all_found = time.monotonic() - began
        assert len(found) == len(twice)
        # A session on the backend that lost ends: nothing is left of it.
        for c in clients:
            c.close()
        wait.until(lambda: conflicts(nodes, users) == [], "the conflicts to end")
    result = crowd.result
    open_ = [prometheus.parse(p.ctl("system", "metrics")["text"])["mailproxy_fleet_failopen_total"].value(feature="pin") for p in nodes]
    print(json.dumps({"cut_s": SECONDS, "logins": result.n, "refused": len(result.refused), "longest_ms": round(result.longest * 1000),
                      "failed_open": open_, "conflicts": len(found), "one_fleet_again_s": round(one_again, 2),
                      "conflicts_found_s": round(all_found, 2)}))
    assert [c.answer for c in result.refused] == []
    # px3 had to: a login after the time-out went on without the store.
    assert open_[2] > 0
