# SPDX-License-Identifier: ISC
"""Streams of all nodes of a fleet by way of one: events and traces, nodes that come and go, readers and stores that lose lines."""
import json
import os
import re
import signal
import subprocess
import time

import pytest
from conftest import backend
from harness import imap, redis, wait
from harness.proxy import BUILD, Proxy

NODES = ("px1", "px2", "px3")
USERS = ("u1@example.org", "u2@example.org")
FED = "mailproxy_fleet_streams"


@pytest.fixture
def store(shared_store):
    return shared_store


@pytest.fixture(scope="module")
def nodes(shared_folder, shared_store, dovecot1):
    made = []
    for name in NODES:
        settings = {"node": name, "auth": [{"type": "users"}],
                    "listeners": [{"name": "imap", "protocol": "imap", "allow_plaintext": True}],
                    "pools": [{"name": "main", "tls": "off", "backends": [backend(dovecot1)]}],
                    "fleet": redis.fleet(shared_folder, shared_store, heartbeat="500ms", timeout="500ms")}
        p = Proxy(os.path.join(shared_folder, name), settings).start()
        made.append(p)
        for user in USERS:
            p.add_user(user, "pw")
    know_each_other(made)
    yield made
    for p in made:
        p.stop()


def know_each_other(nodes):
    wait.until(lambda: all(len(p.ctl("fleet", "list", "state=serving")) == len(NODES) for p in nodes), "nodes that know each other")


class Stream:
    """A running mailproxyctl, whose rows are read as they come."""

    def __init__(self, proxy, *args):
        self.path = os.path.join(proxy.folder, f"stream{len(os.listdir(proxy.folder))}.jsonl")
        with open(self.path, "w", encoding="ascii") as out:
            self.process = subprocess.Popen([os.path.join(BUILD, "mailproxyctl"), "-o", "jsonl", *args], stdout=out,
                                            stderr=subprocess.PIPE, text=True, env={**os.environ, "MAILPROXY_SOCKET": proxy.control})

    def rows(self):
        with open(self.path, encoding="ascii") as f:
            return [json.loads(line) for line in f.read().splitlines() if line.endswith("}")]

    def wait_for(self, condition, what):
        return wait.until(lambda: next((r for r in self.rows() if condition(r)), None), what)

    def end(self):
        if self.process.returncode is None:
            self.process.terminate()
            self.process.communicate()


@pytest.fixture
def stream():
    made = []

    def make(*args):
        made.append(Stream(*args))
        return made[-1]
    yield make
    for s in made:
        s.end()


def login(p, user=USERS[0]):
    m = imap.plain(p.host, p.ports["imap"])
    m.login(user, "pw")
    m.logout()


def metric(p, name):
    return float(re.search(rf"^{name} (\S+)$", p.ctl("system", "metrics")["text"], re.M).group(1))


def are_fed(nodes, n):
    wait.until(lambda: all(metric(p, FED) == n for p in nodes), f"{n} streams to other nodes")


def test_events_of_all_nodes(nodes, store, stream):
    s, one = stream(nodes[0], "--fleet", "event", "watch", "type=login"), stream(nodes[0], "--node", "px2", "event", "watch", "type=login")
    are_fed(nodes[1:2], 2)
    are_fed(nodes[2:], 1)
    # Who may only write into the store tells nobody anything.
    for p in nodes:
        key = f"mp:mail:live:{p.ctl('fleet', 'show')['holder']}"
        store.cli("XADD", key, "*", "m", '{"kind":"lines","from":"px2","number":9,"lines":[{"text":"forged"}]}')
    for _ in range(3):
        for p in nodes:
            for user in USERS:
                login(p, user)
    wait.until(lambda: len(s.rows()) == 18, "all logins")
    for name in NODES:  # in order, of each node
        assert [r["user"] for r in s.rows() if r["node"] == name] == list(USERS) * 3
    wait.until(lambda: len(one.rows()) == 6, "those of one node")
    assert {r["node"] for r in one.rows()} == {"px2"}
    # In the store there is nothing to be read.
    for p in nodes[:1]:
        key = f"mp:mail:live:{p.ctl('fleet', 'show')['holder']}"
        assert "example.org" not in store.cli("EVAL", "local t = '' for _, e in ipairs(redis.call('XRANGE', KEYS[1], '-', '+')) do t = t .. e[2][2] end "
                                              "return t:find('example.org', 1, true) and 'example.org' or 'no'", 1, key)
    s.end()
    one.end()
    are_fed(nodes, 0)


def test_a_node_whose_clock_was_ahead(nodes, store, stream):
    """It said something two hours ahead, was set right, and died: its next engine is heard."""
    def holder(p):
        return p.ctl("fleet", "show")["holder"]

    key, before = f"mp:mail:live:{holder(nodes[0])}", holder(nodes[1])
    ahead = {"kind": "stop", "id": "x", "schema": 1, "from": "px2", "holder": before, "number": int((time.time() + 7200) * 1e6)}
    value = redis.seal("stream", key, json.dumps(ahead).encode()).hex()
    store.cli("EVAL", "return redis.call('XADD', KEYS[1], '*', 'm', (ARGV[1]:gsub('..', function(h) return string.char(tonumber(h, 16)) end)))",
              "1", key, value)
    os.kill(nodes[1].engine_pid(), signal.SIGKILL)
    wait.until(lambda: nodes[1].ctl_run("system", "status", check=False).returncode == 0 and holder(nodes[1]) != before, "the next engine")
    know_each_other(nodes)
    s = stream(nodes[1], "--fleet", "event", "watch", "type=login")
    are_fed(nodes[:1], 1)
    login(nodes[0])
    s.wait_for(lambda r: r["node"] == "px1" and r["user"] == USERS[0], "the login at the other node")


def test_what_was_before_and_what_is_wrong(nodes, stream):
    login(nodes[1])
    login(nodes[2], USERS[1])
    s = stream(nodes[0], "--fleet", "event", "watch", "--last", "1", "type=login")
    wait.until(lambda: {r["node"] for r in s.rows()} == set(NODES), "one of each node")
    assert s.wait_for(lambda r: r["node"] == "px3", "the last of px3")["user"] == USERS[1]
    for words, why in ((("event", "watch", "nothing=1"), "nothing"), (("session", "trace", "nobody@example.org", "--for", "2h"), "an hour at most")):
        done = nodes[0].ctl_run("--fleet", *words, check=False)
        assert done.returncode in (1, 2) and why in done.stderr, done.stderr
    done = nodes[0].ctl_run("--node", "px9", "event", "watch", check=False)
    assert done.returncode == 3 and "no node px9" in done.stderr
    for method in ("session.list", "fleet.watch", "no.such"):
        assert nodes[0].ctl_run("fleet", "watch", method, check=False).returncode != 0


def test_a_trace_of_all_nodes(nodes, stream):
    s = stream(nodes[0], "--fleet", "session", "trace", f"user={USERS[0]}")
    are_fed(nodes[1:], 1)
    assert [r["user"] for r in nodes[2].ctl("op", "list", "kind=trace", "state=running")] == [r["user"] + "@px1" for r in nodes[0].ctl(
        "op", "list", "kind=trace", "state=running")]
    login(nodes[2], USERS[1])
    login(nodes[2])
    s.wait_for(lambda r: r["node"] == "px3" and "LOGOUT" in r["text"], "what px3 heard")
    login(nodes[0])
    s.wait_for(lambda r: r["node"] == "px1" and "LOGOUT" in r["text"], "what px1 heard")
    with open(s.path, encoding="ascii") as f:
        text = f.read()
    assert "****" in text and USERS[1] not in text
    s.end()
    are_fed(nodes, 0)
    wait.until(lambda: not nodes[2].ctl("--allow-empty", "op", "list", "kind=trace", "state=running"), "the end of the trace")


def test_too_much_at_once(nodes, stream):
    """What is left out is counted, and told."""
    n = 3000
    s = stream(nodes[0], "--node", "px2", "event", "watch", "type=ban")
    are_fed(nodes[1:2], 1)
    nodes[1].ctl("ban", "add", *(f"10.1.{i // 250}.{i % 250}" for i in range(n)), "--yes")
    s.wait_for(lambda r: "are missing" in r["text"], "that some are missing")
    nodes[1].ctl("ban", "add", "10.2.0.1", "--yes")
    s.wait_for(lambda r: "10.2.0.1 " in r["text"], "the last of them")
    missing = sum(int(r["text"].split()[0]) for r in s.rows() if "are missing" in r["text"])
    assert missing > 0 and missing + len([r for r in s.rows() if r["type"] == "ban"]) == n + 1
    # In their order, and what is missing is said where it is missing.
    said = [r["text"].split()[0] for r in s.rows()]
    assert said.index("10.1.0.1") == 1 and said[-1] == "10.2.0.1" and said[-2] == str(missing)
    assert metric(nodes[0], "mailproxy_fleet_stream_lines_lost_total") == missing
    nodes[1].ctl("ban", "clear", "--all", "--yes")


def test_nodes_come_and_go(nodes, store, stream):
    s = stream(nodes[0], "--fleet", "event", "watch")
    are_fed(nodes[1:], 1)
    nodes[2].die()
    s.wait_for(lambda r: r["node"] == "px3" and "is away" in r["text"], "that it is away")
    late = stream(nodes[1], "--fleet", "event", "watch")
    late.wait_for(lambda r: r["node"] == "px3" and "is away" in r["text"], "that it was away at the start")
    nodes[2].start()
    s.wait_for(lambda r: r["node"] == "px3" and "there again" in r["text"], "that it is back")
    wait.until(lambda: metric(nodes[2], FED) == 2, "what it is asked for")
    login(nodes[2])
    for each in (s, late):
        each.wait_for(lambda r: r["node"] == "px3" and r["type"] == "login", "its logins")
    # The store forgets everything, or is away for a moment: then it goes on.
    store.cli("FLUSHALL")
    store.restart()
    know_each_other(nodes)
    wait.until(lambda: login(nodes[1]) or len([r for r in s.rows() if r["node"] == "px2" and r["type"] == "login"]) > 0, "logins after that")
    # Who asked dies without a word: nobody sends anything any more.
    late.end()
    are_fed(nodes[1:], 1)
    nodes[0].die()
    are_fed(nodes[1:], 0)
    nodes[0].start()
