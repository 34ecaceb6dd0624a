# SPDX-License-Identifier: ISC
"""Commands about many users: by names, by a file, by a filter; a row for each, and nothing of a file that is not one."""
import json

import pytest
from harness import imap
from test_backends import fails
from test_control import logged_in

USERS = [f"u{n}@example.org" for n in (1, 2)]
PASSWORD = "pw"


@pytest.fixture
def proxy(make_proxy, settings):
    p = make_proxy(settings)
    for name in (*USERS, "g1@example.org"):
        p.add_user(name, PASSWORD)
    return p


def states(p):
    return {r["name"]: r["state"] for r in p.ctl("user", "list")}


def batch(p, *args, stdin=None):
    """The exit status, and the answer as one object."""
    done = p.ctl_run("-o", "json", "user", *args, stdin=stdin, check=False)
    return done.returncode, json.loads(done.stdout) if done.stdout.strip() else done.stderr


def results(answer):
    return {r["name"]: r["result"] for r in answer["rows"]}


def test_lock_those_of_a_file(proxy, folder):
    clients = [logged_in(proxy, USERS[0]), logged_in(proxy, USERS[0]), logged_in(proxy, USERS[1])]
    path = f"{folder}/names.txt"
    with open(path, "w") as f:
        f.write("# those who moved out\nU1@Example.Org\n\n  u2@example.org\nu1@example.org\nnobody@example.org\n")
    # what it would do; without a terminal it wants to be sure
    status, dry = batch(proxy, "lock", "--from", path, "--dry-run")
    assert status == 0 and dry["count"] == 2 and dry["sessions"] == 3 and dry["changed"] is False
    assert dry["message"].startswith("2 users would be locked; 3 sessions would end: 3 imap; ")
    assert dry["breakdown"]["protocols"] == {"imap": 3}
    text = fails(proxy, 1, "user", "lock", "--from", path)
    assert "E_CONFIRM" in text and "2 users would be locked; 3 sessions would end: 3 imap" in text
    assert "E_TOO_MANY" in fails(proxy, 1, "user", "lock", "--from", path, "--max", "1", "--yes")
    assert set(states(proxy).values()) == {"active"}
    # names are those of logins, each once; one that nobody knows has failed, the others are done
    status, done = batch(proxy, "lock", "--from", path, "--text", "Please call us", "--yes")
    assert status == 7 and done["failed"] == 1 and done["sessions"] == 3 and done["cut"] == 0
    assert results(done) == {USERS[0]: "locked", USERS[1]: "locked", "nobody@example.org": "there is no such user"}
    assert {r["name"]: r.get("sessions") for r in done["rows"]} == {USERS[0]: 2, USERS[1]: 1, "nobody@example.org": None}
    assert [r for r in done["rows"] if r.get("error")][0]["error"] == "E_NO_USER"
    for c in clients:
        assert b"Please call us" in c.rest()
        c.close()
    assert states(proxy) == {USERS[0]: "locked", USERS[1]: "locked", "g1@example.org": "active"}
    assert proxy.ctl("user", "show", USERS[1])["state_text"] == "Please call us"
    assert done["message"].startswith("2 users locked: sessions 3 ended, ") and done["message"].endswith("; some failed, see the rows")
    lines = proxy.ctl_run("user", "lock", "--from", path, "--yes", check=False)  # for programs: a line for each
    assert lines.stdout.splitlines()[0].startswith("name\tresult\tsessions\t")
    assert sorted(line.split("\t")[0] for line in lines.stdout.splitlines()[1:]) == sorted([*USERS, "nobody@example.org"])
    assert lines.stderr.startswith("2 users locked"), lines.stderr
    ids = proxy.ctl_run("-o", "id", "user", "lock", "--from", path, "--text", "Please call us", "--yes", check=False).stdout.split()
    assert sorted(ids) == sorted([*USERS, "nobody@example.org"])
    # again: nothing is different
    status, again = batch(proxy, "lock", "--from", path, "--text", "Please call us", "--yes")
    assert status == 7 and again["changed"] is False and results(again)[USERS[0]] == "already so"
    # by filter; the table has a line for each
    would = proxy.ctl("user", "unlock", "--filter", "state=locked", "--dry-run")
    assert would["count"] == 2 and set(states(proxy).values()) == {"locked", "active"}
    table = proxy.ctl_run("-o", "table", "user", "unlock", "--filter", "state=locked").stdout
    assert [line.split()[0] for line in table.splitlines()[:3]] == ["USER", *USERS] and "2 users" in table
    assert set(states(proxy).values()) == {"active"}
    assert fails(proxy, 3, "user", "unlock", "--filter", "state=locked")
    assert proxy.ctl("audit", "list", "command=user.lock", "result=ok")[0]["count"] == 2


@pytest.mark.parametrize("verb", ["lock", "kick", "hold", "move"])
def test_a_malformed_file_does_nothing(proxy, verb):
    client = logged_in(proxy, USERS[0])
    more = {"move": ["--to", "dc2", "--yes"], "lock": ["--yes"], "kick": ["--yes"]}.get(verb, [])
    names = "\n".join([USERS[0], "x" * 300, "", USERS[1], "a\tb"])
    done = proxy.ctl_run("user", verb, "--from", "-", *more, stdin=names, check=False)
    assert done.returncode == 1 and "lines 2, 5: no login name" in done.stderr and "nothing was done" in done.stderr
    assert set(states(proxy).values()) == {"active"} and client.command("b", "NOOP")[-1].startswith("b OK")
    assert not proxy.ctl("op", "list", "--allow-empty")
    # bytes that are no text are found before anything is sent
    path = f"{proxy.folder}/bytes"
    with open(path, "wb") as f:
        f.write(b"u1@example.org\n\xff\xfe\n")
    assert "bytes:2: not UTF-8" in fails(proxy, 1, "user", verb, "--from", path, *more)
    assert fails(proxy, 2, "user", verb, *more)
    client.close()


def test_kick_hold_and_release_of_many(proxy):
    names = "\n".join([*USERS, "nobody@example.org"])
    clients = [logged_in(proxy, name) for name in USERS]
    status, done = batch(proxy, "kick", "--from", "-", "--text", "Back in a minute", "--yes", stdin=names)
    assert status == 7 and results(done)[USERS[0]] == "done" and done["sessions"] == 2 and done["clean"] == 2
    for c in clients:
        assert b"Back in a minute" in c.rest()
        c.close()
    status, held = batch(proxy, "hold", *USERS)
    assert status == 0 and results(held) == dict.fromkeys(USERS, "put on hold")
    proxy.ctl("user", "lock", "g1@example.org", "--yes")
    status, held = batch(proxy, "hold", "--filter", "name=*@example.org")
    assert status == 7 and results(held) == {**dict.fromkeys(USERS, "already so"), "g1@example.org": "the user is locked: unlock first"}
    waiting = imap.Lines(proxy.host, proxy.ports["imap"])
    waiting.line()
    waiting.send(f"a LOGIN {USERS[0]} {PASSWORD}\r\n")
    status, done = batch(proxy, "release", "--from", "-", stdin=names)
    assert status == 7 and results(done)[USERS[1]] == "released"
    assert "OK" in waiting.line()
    waiting.close()


def test_many_names_at_once(proxy):
    """A file in parts; the states of all are written together, and one look at the sessions is enough for all of them."""
    names = [f"m{n}@example.org" for n in range(3000)]
    proxy.ctl("user", "import", "-", stdin="name,password_hash\n" + "".join(f"{name},\n" for name in names))
    client = logged_in(proxy, USERS[0])
    status, done = batch(proxy, "lock", "--from", "-", "--yes", stdin="\n".join([*names, USERS[0]]))
    assert status == 0 and len(done["rows"]) == 3001 and done["sessions"] == 1
    assert client.rest().startswith(b"* BYE")
    client.close()
    assert len(proxy.ctl("user", "list", "state=locked", "--limit", "5000")) == 3001
    status, text = batch(proxy, "unlock", "--from", "-", stdin="\n".join(f"n{n}" for n in range(20001)))
    assert status == 1 and "20001 users" in str(text) and "nothing was done" in str(text)


def test_move_says_whom_it_ends(proxy):
    client = logged_in(proxy, USERS[0])
    dry = proxy.ctl("user", "move", *USERS, "--to", "dc2", "--dry-run")
    assert dry["count"] == 2 and dry["message"].startswith("2 users would be moved; 1 session would end: 1 imap; ")
    assert {r["name"]: r["sessions"] for r in dry["rows"]} == {USERS[0]: 1, USERS[1]: 0}
    client.close()


def test_question_before_a_lock(proxy):
    client = logged_in(proxy, USERS[0])
    t = proxy.ctl_terminal("user", "lock", USERS[0])
    t.until(r"user lock: 1 user would be locked; 1 session would end: 1 imap; 1 on dc[12]; 1 (idle|running commands)\. Go on\?")
    t.say("n\n")
    assert t.status() == 1 and states(proxy)[USERS[0]] == "active"
    client.close()


def test_dry_run_of_a_move_of_more_than_it_shows(proxy, folder):
    """10,000 rows at most; who has none is counted all the same."""
    many = [f"f{i}@example.net" for i in range(10000)]
    proxy.ctl("user", "import", "-", stdin="name,password_hash\n" + "".join(f"{name},\n" for name in many))
    path = f"{folder}/names.txt"
    with open(path, "w") as f:
        f.write("".join(f"{name}\n" for name in [*many, USERS[0]]))
    client = logged_in(proxy, USERS[0])
    dry = proxy.ctl("user", "move", "--from", path, "--to", "dc2", "--dry-run")
    assert len(dry["rows"]) == 10000 and (dry["count"], dry["sessions"]) == (10001, 1)
    client.close()
