# SPDX-License-Identifier: ISC
"""What the nodes of a fleet have as one beside pins and commands: the secret of TLS tickets, and users."""
import copy
import json
import os
import sqlite3
import struct
import threading
import time

import pytest
from harness import certs, imap, redis, wait

USER = "u1@example.org"

pytestmark = pytest.mark.skipif(redis.missing() is not None, reason=str(redis.missing()))


@pytest.fixture
def store(folder):
    s = redis.RedisServer(os.path.join(folder, "redis")).start()
    yield s
    s.close()


@pytest.fixture
def make_node(make_proxy, settings, folder, store):
    """make_node(name, **keys of the group): a proxy of the fleet."""
    def make(name, **more):
        return make_proxy({**copy.deepcopy(settings), "node": name, "fleet": redis.fleet(folder, store, heartbeat="200ms", **more)})
    return make


# ---- the secret of TLS tickets ----

def can_resume(one, other):
    return certs.can_resume(one, other) and certs.can_resume(other, one)


def test_tickets(make_node, store):
    """A client resumes at one node what it began at another, whatever happens to the store."""
    one, other = make_node("px1"), make_node("px2")
    wait.until(lambda: can_resume(one, other), "one secret for both")
    store.cli("FLUSHALL")
    wait.until(lambda: store.cli("EXISTS", "mp:mail:tickets") == "1", "the secret to be there again")
    assert can_resume(one, other)
    assert 86_000_000 < int(store.cli("PTTL", "mp:mail:tickets")) <= 86_400_000
    # What somebody else puts there changes nothing, nor does a store that is away.
    store.cli("SET", "mp:mail:tickets", "x" * 101)
    store.cli("CLIENT", "KILL", "TYPE", "normal")  # who comes back looks at once
    for p in (one, other):
        p.wait_for_log("fleet-tickets-refused")
    assert can_resume(one, other)
    store.kill()
    assert can_resume(one, other)
    other.settings["fleet"]["tickets"] = False
    other.configure({})
    other.ctl("config", "reload")
    assert not certs.can_resume(one, other)


def put(store, key, value):
    """Bytes of any value into the store; nodes look at it at once."""
    store.cli("EVAL", "redis.call('SET', KEYS[1], (ARGV[1]:gsub('..', function(h) return string.char(tonumber(h, 16)) end)))", "1", key, value.hex())
    store.cli("CLIENT", "KILL", "TYPE", "normal")


def test_tickets_of_clocks_that_differ(make_node, store):
    """A node's clock was ahead by a year: nobody works with its secret for a year."""
    node, key = make_node("px1"), "mp:mail:tickets"

    def made(at):
        return redis.seal("ticket", key, struct.pack("<Q", int(at * 1000)) + os.urandom(64))

    wait.until(lambda: store.cli("EXISTS", key) == "1", "a secret")
    put(store, key, made(time.time() + 60))
    wait.until(lambda: node.ctl("fleet", "show").get("up", 0) > 1000, "the connection again")
    assert "fleet-tickets-refused" not in node.whole_log()
    put(store, key, made(time.time() + 365 * 86400))
    node.wait_for_log("fleet-tickets-refused")


# ---- users ----

@pytest.fixture
def nodes(make_node):
    made = [make_node(f"px{i}", users=True) for i in (1, 2, 3)]
    wait.until(lambda: all(in_step(p) == {"px1", "px2", "px3"} for p in made), "nodes that are in step")
    return made


def in_step(p):
    return {row["node"] for row in p.ctl("fleet", "list") if row.get("sync") == "in step"}


def user(p, name):
    """The row of user show; None = there is no such user."""
    done = p.ctl_run("-o", "json", "user", "show", name, check=False)
    return json.loads(done.stdout) if done.returncode == 0 else None


def everywhere(nodes, name, what, **facts):
    """Waits until all nodes say the same of a user; no facts: that there is none."""
    def is_so():
        rows = [user(p, name) for p in nodes]
        return all((row is None) == (not facts) and all((row or {}).get(k) == v for k, v in facts.items()) for row in rows)
    wait.until(is_so, what)


def taken(p):
    return p.ctl("fleet", "show")["users_taken"]


def told(p):
    row = p.ctl("fleet", "show")
    return row.get("users_told"), row.get("users_waiting")


def can_log_in(p, name, password):
    m = imap.plain(p.host, p.ports["imap"])
    try:
        m.login(name, password)
        m.logout()
        return True
    except m.error:
        return False


def test_users_are_one(nodes, store, dovecot1):
    """What an operator says at one node holds at all, live sessions end with a lock, and nothing is in clear on the way."""
    one, two, three = nodes
    one.add_user(USER, "pw")
    everywhere(nodes, USER, "the user everywhere", state="active")
    assert all(can_log_in(p, USER, "pw") for p in nodes)
    session = imap.plain(three.host, three.ports["imap"])
    session.login(USER, "pw")
    two.ctl("user", "lock", USER, "--yes", "--text", "call us")
    everywhere(nodes, USER, "the lock everywhere", state="locked", state_text="call us")
    assert session.readline().startswith(b"* BYE")
    three.ctl("user", "unlock", USER)
    everywhere(nodes, USER, "the end of the lock", state="active")
    for p, others, password in ((three, (one, two), "new"), (one, (two, three), "pw")):
        before = [taken(other) for other in others]
        p.ctl_run("user", "passwd", USER, "--password-stdin", stdin=password)
        wait.until(lambda others=others, before=before: all(taken(o) > n for o, n in zip(others, before)), "the other password everywhere")
        assert [can_log_in(node, USER, "pw") for node in nodes] == [password == "pw"] * 3  # the mail server's is that
    text = "".join(store.cli("HVALS", "mp:mail:users", encoding="latin-1"))
    assert USER not in text and "$6$" not in text and "$y$" not in text and USER not in store.cli("HKEYS", "mp:mail:users")
    for p in nodes:
        assert "$6$" not in p.whole_log() and "$y$" not in p.whole_log()
    one.ctl("user", "remove", USER, "--yes")
    everywhere(nodes, USER, "the removal everywhere")


def test_users_changed_at_once(nodes, store):
    """Operators at two nodes at the same time, and one that is away: in the end all nodes say the same, and nobody's word is lost."""
    one, two, three = nodes
    names = [f"u{i}@example.org" for i in range(6)]
    for name in names:
        one.add_user(name, "pw")
    everywhere(nodes, names[-1], "the users", state="active")
    acts = [threading.Thread(target=lambda p=p, words=words: [p.ctl("user", *words(name)) for name in names])
            for p, words in ((one, lambda n: ("set", n, "--note", "from one")), (two, lambda n: ("lock", n, "--yes")),
                             (three, lambda n: ("set", n, "--max-sessions", "3")))]
    for t in acts:
        t.start()
    for t in acts:
        t.join()
    for name in names:
        everywhere(nodes, name, "all that was said", note="from one", state="locked", max_sessions=3)
    store.kill()
    wait.until(lambda: all("fleet-trouble" in p.whole_log() for p in nodes), "the loss of the store")
    one.ctl("user", "unlock", names[0])
    two.ctl("user", "remove", names[1], "--yes")
    three.ctl("user", "set", names[2], "--note", "older")
    one.ctl("user", "set", names[2], "--note", "newer")
    assert user(one, names[0])["state"] == "active" and user(two, names[0])["state"] == "locked"
    store.start()
    everywhere(nodes, names[0], "what was said meanwhile", state="active", note="from one")
    everywhere(nodes, names[1], "the removal")
    everywhere(nodes, names[2], "the later note", note="newer")
    assert any("at the same time" in str(p.ctl("--allow-empty", "event", "list", "type=fleet")) for p in nodes)


def test_users_of_a_store_that_lies(nodes, store):
    """FLUSHALL, swapped, old and made-up records: nobody is changed, and the store has them right again."""
    one, two, _ = nodes
    a, b = "a@example.org", "b@example.org"
    for name in (a, b):
        one.add_user(name, "pw")
    everywhere(nodes, b, "the users", state="active")
    old = store.cli("HGETALL", "mp:mail:users", encoding="latin-1")
    two.ctl("user", "lock", a, "--yes")
    everywhere(nodes, a, "the lock", state="locked")
    store.cli("FLUSHALL")
    wait.until(lambda: store.cli("HLEN", "mp:mail:users") == "2", "the users in the store again")
    script = """local f = redis.call('HKEYS', KEYS[1])
    local x, y = redis.call('HGET', KEYS[1], f[1]), redis.call('HGET', KEYS[1], f[2])
    redis.call('HSET', KEYS[1], f[1], y, f[2], x, 'beef', x, 'dead', 'garbage')
    for _, v in ipairs({f[1], f[2], 'beef', 'dead'}) do redis.call('ZADD', KEYS[2], redis.call('INCR', KEYS[3]), v) end
    return {x, y}"""
    keys = ("mp:mail:users", "mp:mail:users:log", "mp:mail:users:number")
    right = store.cli("EVAL", script, "3", *keys, encoding="latin-1")
    wait.until(lambda: all(p.ctl("fleet", "show")["users_refused"] >= 4 for p in nodes), "the lies to be seen")
    assert old and [user(p, a)["state"] for p in nodes] == ["locked"] * 3 and [user(p, b)["state"] for p in nodes] == ["active"] * 3
    assert all(len(p.ctl("user", "list")) == 2 for p in nodes)
    wait.until(lambda: all(value in store.cli("HVALS", "mp:mail:users", encoding="latin-1") for value in right.split("\n")[:1]),
               "the store to be put right")
    for p in nodes:
        p.wait_for_log("fleet-users-refused")


def test_a_change_that_is_not_told(nodes, store):
    """One text more than the fleet carries is refused; a node whose changes the store does not take is behind."""
    one, two, _ = nodes
    assert "longer than 2048 bytes" in one.ctl_run("user", "import", "-", "--yes", stdin=f"name,note\nbig@example.org,{'x' * 100000}\n", check=False).stderr
    one.add_user("small@example.org", "pw")
    everywhere(nodes, "small@example.org", "the user", state="active")
    store.cli("DEL", "mp:mail:users")
    store.cli("SET", "mp:mail:users", "x")
    one.ctl("user", "lock", "small@example.org", "--yes")
    wait.until(lambda: {row["node"]: row["sync"] for row in two.ctl("fleet", "list")}[one.ctl("fleet", "show")["node"]] == "behind", "the word that it is behind")
    store.cli("DEL", "mp:mail:users")
    everywhere(nodes, "small@example.org", "the lock", state="locked")


DAY_MS = 86_400_000


def age(p, days):
    """A node that is stopped did everything that it has noted so long ago."""
    with sqlite3.connect(os.path.join(p.settings["state_dir"], "mailproxy.db")) as db:
        db.execute("UPDATE sync SET at_ms = at_ms - ?", (days * DAY_MS,))
        rows = db.execute("SELECT json FROM runtime WHERE kind = 'fleet' AND name = 'users'").fetchall()
        mark = json.loads(rows[0][0])
        db.execute("UPDATE runtime SET json = ? WHERE kind = 'fleet' AND name = 'users'", (json.dumps({**mark, "at": mark["at"] - days * DAY_MS}),))
    db.close()


def age_store(store, days):
    """The mark of the fleet's store was set so long ago, with all that there is now."""
    store.cli("HINCRBY", "mp:mail:users:mark", "at", -days * DAY_MS)
    store.cli("HSET", "mp:mail:users:mark", "number", store.cli("GET", "mp:mail:users:number"))


def fleet_says(p, text):
    return text in str(p.ctl("--allow-empty", "event", "list", "type=fleet"))


def test_a_removal_is_forgotten(make_node, store):
    """After a month nobody remembers who was removed; a node that was away for longer brings nobody back, and nobody that lives is lost."""
    store.cli("CONFIG", "SET", "appendonly", "yes")
    store.settings["appendonly"] = "yes"
    one, two = (make_node(name, users=True) for name in ("px1", "px2"))
    gone, kept = "gone@example.org", "kept@example.org"
    wait.until(lambda: in_step(one) == {"px1", "px2"}, "two nodes in step")
    for name in (gone, kept):
        one.add_user(name, "pw")
    everywhere([one, two], kept, "the users", state="active")
    everywhere([one, two], gone, "the users", state="active")
    wait.until(lambda: store.cli("EXISTS", "mp:mail:users:mark") == "1", "the mark of the store")
    two.stop()
    store.kill()
    one.ctl("user", "remove", gone, "--yes")
    one.add_user("new@example.org", "pw")
    one.stop()
    for p in (one, two):
        age(p, 40)
    store.start()
    one.start()  # it was away for as long, and knows better: it has removed the user itself
    wait.until(lambda: store.cli("HLEN", "mp:mail:users") == "3" and in_step(one) == {"px1"} and told(one)[1] == 0, "the removal to be told")
    assert user(one, gone) is None
    one.stop()
    age_store(store, 40)
    one.start()
    wait.until(lambda: store.cli("HLEN", "mp:mail:users") == "2", "the removal to be forgotten")
    assert user(one, gone) is None and user(one, kept) and user(one, "new@example.org")
    two.start()
    wait.until(lambda: in_step(one) == {"px1", "px2"}, "the node that was away")
    everywhere([one, two], "new@example.org", "who was added meanwhile", state="active")
    everywhere([one, two], kept, "who was there all the time", state="active")
    everywhere([one, two], gone, "no way back")
    assert fleet_says(two, "this node was away for 40 days") and fleet_says(two, "removed here")
    # The same where the store was lost: nobody is removed, and it is said what that means.
    two.stop()
    age(two, 40)
    store.cli("FLUSHALL")
    wait.until(lambda: store.cli("HLEN", "mp:mail:users") == "2", "the users in the store again")
    two.start()
    wait.until(lambda: in_step(one) == {"px1", "px2"}, "the node that was away once more")
    assert [bool(user(two, name)) for name in (gone, kept)] == [False, True]
    assert fleet_says(two, "users that were removed may be back")


def test_a_text_of_an_older_version(make_node, store):
    """Longer than any node reads today: it is named, stays here, and keeps no other user waiting."""
    one, two = (make_node(name, users=True) for name in ("px1", "px2"))
    one.add_user("big@example.org", "pw")
    everywhere([one, two], "big@example.org", "the user", state="active")
    one.stop()
    with sqlite3.connect(os.path.join(one.settings["state_dir"], "mailproxy.db")) as db:
        db.execute("UPDATE user SET note = ?", ("x" * 5000,))
        db.execute("UPDATE sync SET state = 1, edit = edit + 1")
    db.close()
    one.start()
    wait.until(lambda: in_step(two) == {"px1", "px2"}, "nodes in step")
    one.add_user("next@example.org", "pw")
    everywhere([one, two], "next@example.org", "the next user", state="active")
    assert fleet_says(one, "big@example.org is left out: one of its texts is longer than 2048 bytes")
    assert user(two, "big@example.org").get("note") is None


def test_a_new_node_gets_all_users(make_node, folder):
    """Paced; it says that it is in step only when it has them."""
    n = int(os.environ.get("MAILPROXY_FLEET_NEW_USERS", 2000))
    one = make_node("px1", users=True)
    path = os.path.join(folder, "users.csv")
    with open(path, "w") as f:
        f.write("name,password_hash,note\n" + "".join(f"u{i}@example.org,{{PLAIN}}x,n{i}\n" for i in range(n)))
    one.ctl("user", "import", path)
    begun = time.monotonic()
    wait.until(lambda: told(one) == (n, 0), "all to be told", 60)
    print(f"{n} users told in {time.monotonic() - begun:.1f} s")
    begun = time.monotonic()
    two = make_node("px2", users=True)
    row = wait.until(lambda: next((r for r in two.ctl("fleet", "list", "node=px2") if r.get("sync") == "in step"), None), "the new node", 60)
    print(f"{n} users in {time.monotonic() - begun:.1f} s")
    assert row and two.ctl("system", "status")["users"] == n
    assert user(two, f"u{n - 1}@example.org")["note"] == f"n{n - 1}"
    # The other way, by a switch: what was edited while it was off is told, too.
    two.settings["fleet"]["users"] = False
    two.configure({})
    two.ctl("config", "reload")
    two.ctl("user", "set", "u1@example.org", "--note", "while off")
    two.add_user("new@example.org", "pw")
    time.sleep(0.5)
    assert user(one, "u1@example.org")["note"] == "n1" and not user(one, "new@example.org")
    two.settings["fleet"]["users"] = True
    two.configure({})
    two.ctl("config", "reload")
    everywhere([one, two], "new@example.org", "who was added while it was off", state="active")
    everywhere([one, two], "u1@example.org", "what was said while it was off", note="while off")
