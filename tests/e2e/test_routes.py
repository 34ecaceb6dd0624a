# SPDX-License-Identifier: ISC
"""Routes changed while the proxy runs: in force at once, over restarts and reloads, and told beside the file's."""
import pytest
from conftest import backend
from harness import wait
from test_backends import crash, fails
from test_control import logged_in

USER, PASSWORD = "u1@example.org", "pw"


@pytest.fixture
def proxy(two_pools):
    return two_pools


def routes(p):
    return [(r["number"], r.get("domain") or r.get("user") or r.get("protocol") or r.get("listener"), r["pool"], r["origin"])
            for r in p.ctl("--allow-empty", "route", "list")]


def home(p):
    """The pool that a login goes to now, and that explain says the same."""
    c = logged_in(p)
    pool = p.sessions("state=relay")[-1]["pool"]
    c.close()
    assert p.ctl("route", "explain", USER)["pool"] == pool
    wait.until(lambda: not p.sessions("state=relay"), "the end of the session")
    return pool


def test_changes(proxy):
    p = proxy
    assert routes(p) == [(1, "example.net", "two", "file")] and home(p) == "one"
    assert p.ctl("route", "add", "two", "--domain", "example.org")["changed"] is True
    assert p.ctl("route", "add", "two", "--domain", "example.org")["changed"] is False
    assert routes(p) == [(1, "example.net", "two", "runtime"), (2, "example.org", "two", "runtime")]
    assert home(p) == "two"
    assert p.ctl("route", "explain", USER)["reason"] == "route 2: domain=example.org"
    p.ctl("route", "add", "one", "--user", "u1@*", "--at", "1")
    assert home(p) == "one"
    p.ctl("route", "move", "1", "3")
    assert [r[1] for r in routes(p)] == ["example.net", "example.org", "u1@*"] and home(p) == "two"
    p.ctl("route", "set", "2", "--domain", "", "--protocol", "pop3")
    assert routes(p)[1][1] == "pop3" and home(p) == "one"
    crash(p)
    assert [r[1] for r in routes(p)] == ["example.net", "pop3", "u1@*"]
    p.ctl("route", "remove", "3", "--yes", "--until-restart")
    assert len(routes(p)) == 2 and routes(p)[0][3] == "runtime (until restart)"
    crash(p)
    assert len(routes(p)) == 3
    assert p.ctl("route", "reset")["changed"] is True and p.ctl("route", "reset")["changed"] is False
    assert routes(p) == [(1, "example.net", "two", "file")]
    for args, error in ((["add", "three"], "E_NO_POOL"), (["set", "2", "--user", "x"], "E_NO_ROUTE"), (["remove", "0", "--yes"], "E_NO_ROUTE"),
                        (["move", "1", "2"], "E_NO_ROUTE"), (["add", "one", "--listener", "imp"], "E_NO_LISTENER")):
        with pytest.raises(Exception, match=error):
            p.ctl("route", *args)
    audited = [row["command"] for row in p.ctl("audit", "list")]
    assert {"route.add", "route.move", "route.set", "route.remove", "route.reset"} <= {c.replace(" ", ".") for c in audited}


def test_dry_runs(proxy):
    """Whose next login would go elsewhere; nothing changes."""
    p = proxy
    c = logged_in(p)
    p.ctl("route", "add", "one", "--domain", "example.org")
    for args, count, left in ((["set", "2", "--pool", "two"], 1, ["two", "two"]), (["set", "1", "--pool", "one"], 0, ["one", "one"]),
                              (["remove", "1"], 0, ["one"]), (["add", "two", "--user", "u1@*", "--at", "1"], 1, ["two", "two", "one"]),
                              (["move", "2", "1"], 0, ["one", "two"]), (["reset"], 0, ["two"])):
        before = routes(p)
        done = p.ctl("route", *args, "--dry-run")
        assert (done["count"], done["changed"]) == (count, False), (args, done)
        assert [r["pool"] for r in done["rows"]] == left, (args, done)
        assert f"of 1 session that came by the routes {count} would go elsewhere" in done["message"]
        assert routes(p) == before
    c.close()


def test_beside_the_file(proxy):
    p = proxy
    p.ctl("route", "add", "two", "--user", "u1@*")
    diff = [r for r in p.ctl("config", "diff") if r["path"] == "routes"]
    assert diff == [{"path": "routes", "old": "domain=example.net -> two; user=u1@* -> two", "new": "domain=example.net -> two",
                     "effect": "runtime edit"}]
    text = p.ctl("config", "export")["text"]
    assert 'user = "u1@*";' in text
    # The file changes: told as hidden, and what is in force stays.
    p.configure({"routes": [{"domain": "example.com", "pool": "two"}]})
    rows = p.ctl("config", "reload")
    assert rows and all(r["effect"] == "hidden by a runtime edit" for r in rows if r["path"].startswith("routes")), rows
    assert [r[1] for r in routes(p)] == ["example.net", "u1@*"] and home(p) == "two"
    # The file catches up: the edit is over, and the next change of the file counts.
    p.configure({"routes": [{"domain": "example.net", "pool": "two"}, {"user": "u1@*", "pool": "two"}]})
    p.ctl("config", "reload")
    wait.until(lambda: {r[3] for r in routes(p)} == {"file"}, "the end of the edit")
    p.configure({"routes": []})
    p.ctl("config", "reload")
    assert routes(p) == [] and home(p) == "one"


def test_a_pool_that_is_gone(proxy, dovecot1):
    """No login goes elsewhere in silence."""
    p = proxy
    p.ctl("route", "add", "two", "--user", "u1@*", "--at", "1")
    p.settings["pools"].pop()
    p.configure({"routes": []})
    p.ctl("config", "reload")
    assert "no such pool" in p.ctl("route", "list")[0]["fault"]
    assert "there is no pool" in str(p.ctl("route", "explain", USER)) or "no such pool" in str(p.ctl("route", "explain", USER))
    p.ctl("route", "reset")
    assert home(p) == "one"
    assert fails(p, 3, "route", "set", "1", "--user", "x")
