# SPDX-License-Identifier: ISC
"""Pools made, changed and taken out while the proxy runs: in force at once, over restarts, reloads and upgrades."""
import pytest
from conftest import backend
from harness import wait
from test_backends import crash
from test_control import logged_in
from test_upgrade import upgrade

USER, PASSWORD = "u1@example.org", "pw"


@pytest.fixture
def proxy(two_pools, dovecot2):
    two_pools.other = backend(dovecot2)
    return two_pools


def pools(p):
    return {r["name"]: (r["origin"], r.get("edits")) for r in p.ctl("pool", "list")}


def home(p):
    """The pool that a login goes to now."""
    c = logged_in(p)
    pool = p.sessions("state=relay")[-1]["pool"]
    c.close()
    wait.until(lambda: not p.sessions("state=relay"), "the end of the session")
    return pool


def refused(p, error, *args):
    with pytest.raises(Exception, match=error) as e:
        p.ctl("pool", *args)
    return str(e.value)


def ports_text(b):
    return ",".join("%s=%d" % item for item in b["ports"].items())


def make_third(p):
    """A pool that only operators know, with a backend and the user's logins."""
    assert p.ctl("pool", "add", "third", "--like", "one", "--balance", "least")["changed"] is True
    assert p.ctl("pool", "add", "third", "--like", "one", "--balance", "least")["changed"] is False
    p.ctl("backend", "add", "third", "b9", p.other["host"], "--ports", ports_text(p.other))
    p.ctl("route", "add", "third", "--domain", "example.org")


def test_a_pool_is_made(proxy):
    p = proxy
    make_third(p)
    assert pools(p)["third"] == ("runtime", "added, balance") and home(p) == "third"
    row = p.ctl("pool", "show", "third")
    assert (row["balance"], row["tls"], row["max_tries"], row["check_interval"], row["backends"]) == ("least", "off", 3, 10000, 1)
    assert "there is a pool third already" in refused(p, "E_EXISTS", "add", "third", "--balance", "user")
    crash(p)
    assert home(p) == "third"
    text = p.ctl("config", "export")["text"]
    assert 'name = "third";' in text and 'balance = "least";' in text and 'name = "b9";' in text
    diff = {r["path"]: r for r in p.ctl("config", "diff")}
    assert diff["pools[third]"]["old"] == "like one" and diff["pools[third].balance"]["old"] == "least"
    # Its users, routes and sessions keep it.
    c = logged_in(p)
    p.ctl("user", "set", USER, "--pool", "third")
    text = refused(p, "E_BUSY", "remove", "third", "--yes")
    assert "route 2" in text and "1 session" in text and "1 user" in text, text
    dry = p.ctl("pool", "remove", "third", "--dry-run")
    assert not dry["changed"] and "route 2" in dry["message"] and "third" in pools(p)
    done = p.ctl("pool", "remove", "third", "--force", "--yes")
    assert done["changed"] and "route 2" in done["message"] and "third" not in pools(p)
    assert c.command("b", "NOOP")[-1].startswith("b OK"), "sessions go on"
    c.close()
    # What was in it does not come back with a new one of its name.
    assert p.ctl("pool", "add", "third")["changed"] and p.ctl("pool", "show", "third")["backends"] == 0
    assert p.ctl("pool", "show", "third")["tls"] == "starttls", "nothing is in clear that nobody asked for"
    p.ctl("user", "set", USER, "--pool", "")
    p.ctl("route", "reset")
    assert p.ctl("pool", "remove", "third", "--yes")["changed"] is True
    crash(p)
    assert set(pools(p)) == {"one", "two"} and home(p) == "one"


def test_a_pool_is_changed(proxy):
    p = proxy
    assert p.ctl("pool", "set", "one", "--max-tries", "5", "--check-interval", "90s", "--forward", "id,xclient")["changed"] is True
    assert p.ctl("pool", "set", "one", "--max-tries", "5")["changed"] is False
    assert pools(p)["one"] == ("runtime", "forward, max_tries, check.interval")
    row = p.ctl("pool", "show", "one")
    assert (row["max_tries"], row["check_interval"], row["forward"]) == (5, 90000, "id,xclient")
    assert home(p) == "one"
    p.ctl("pool", "set", "one", "--balance", "round-robin", "--until-restart")
    assert "balance (until restart)" in pools(p)["one"][1]
    crash(p)
    assert pools(p)["one"] == ("runtime", "forward, max_tries, check.interval")
    # As in the file again is no edit.
    p.ctl("pool", "set", "one", "--forward", "off", "--check-interval", "10s")
    assert pools(p)["one"] == ("runtime", "max_tries")
    for args, error in ((["set", "ona", "--balance", "user"], "E_NO_POOL"), (["set", "one", "--balance", "fair"], "E_USAGE.*is not one of"),
                        (["set", "one"], "E_MISSING_PARAM"), (["set", "one", "--max-tries", "99"], "E_BAD_PARAM"),
                        (["set", "one", "--verify", "perhaps"], "E_BAD_PARAM"), (["set", "one", "--forward", "proxy-v1,proxy-v2"], "E_CONFIG"),
                        (["set", "one", "--source-address", "here"], "E_CONFIG"), (["add", "a/b"], "E_BAD_PARAM"),
                        (["add", "x", "--like", "none"], "E_NO_POOL"), (["reset", "none"], "E_NO_POOL")):
        refused(p, error, *args)
    # The file says something else: told as hidden. It says the same: the edit is over.
    p.settings["pools"][0]["max_tries"] = 7
    p.configure({})
    rows = p.ctl("config", "reload")
    assert [r["effect"] for r in rows if r["path"] == "pools[one].max_tries"] == ["hidden by a runtime edit"], rows
    assert p.ctl("pool", "show", "one")["max_tries"] == 5
    p.settings["pools"][0]["max_tries"] = 5
    p.configure({})
    p.ctl("config", "reload")
    wait.until(lambda: pools(p)["one"] == ("file", None), "the end of the edit")
    p.ctl("pool", "set", "one", "--max-tries", "2")
    assert p.ctl("pool", "reset", "one")["changed"] is True and p.ctl("pool", "reset", "one")["changed"] is False
    assert p.ctl("pool", "show", "one")["max_tries"] == 5
    audited = {row["command"].replace(" ", ".") for row in p.ctl("audit", "list")}
    assert {"pool.set", "pool.reset"} <= audited


def test_a_pool_of_the_file_is_taken_out(proxy):
    p = proxy
    assert "default pool" in refused(p, "E_BUSY", "remove", "one", "--yes")
    assert "route 1" in refused(p, "E_BUSY", "remove", "two", "--yes")
    assert "route 1" in p.ctl("pool", "remove", "two", "--force", "--yes")["message"]
    assert pools(p)["two"] == ("runtime", "removed") and p.ctl("pool", "remove", "two", "--yes")["changed"] is False
    assert "no such pool" in p.ctl("route", "list")[0]["fault"]
    crash(p)
    assert pools(p)["two"] == ("runtime", "removed")
    p.ctl("config", "reload")
    assert 'name = "two";' not in p.ctl("config", "export")["text"]
    assert p.ctl("pool", "reset", "two")["changed"] is True
    assert p.ctl("pool", "show", "two")["backends"] == 1 and p.ctl("route", "list")[0].get("fault") is None
    p.ctl("pool", "remove", "two", "--force", "--yes", "--until-restart")
    crash(p)
    assert pools(p)["two"] == ("file", None)


def test_over_an_upgrade(proxy):
    p = proxy
    c = logged_in(p)
    make_third(p)
    p.ctl("pool", "set", "one", "--max-tries", "5")
    upgrade(p)
    assert pools(p)["third"] == ("runtime", "added, balance") and pools(p)["one"] == ("runtime", "max_tries")
    p.ctl("pool", "set", "third", "--balance", "user")
    c.close()
    assert home(p) == "third"


def test_the_pool_behind_it_goes(proxy):
    """A pool that was made like one of the file keeps that in the file, and a start goes on without it."""
    p = proxy
    make_third(p)
    p.ctl("pool", "add", "fourth", "--like", "two")
    p.settings["pools"].pop()
    with pytest.raises(Exception, match="made like pool two"):
        p.configure({"routes": []})
        p.ctl("config", "reload")
    assert home(p) == "third" and "fourth" in pools(p)
    assert any("made like pool two" in r["effect"] for r in p.ctl("config", "diff"))
    p.stop()
    p.start()
    assert home(p) == "third" and "fourth" not in pools(p)
    p.wait_for_log("runtime-pool-left-out")
    assert p.ctl("pool", "remove", "fourth", "--yes")["changed"] is True
    assert not any("made like pool two" in r["effect"] for r in p.ctl("config", "diff"))
