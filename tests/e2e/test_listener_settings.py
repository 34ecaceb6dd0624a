# SPDX-License-Identifier: ISC
"""What a listener says for itself: providers, names, errors, times, sizes, capabilities; the others keep what the top level says."""
import os
import socket
import subprocess
import time

import pytest
from conftest import backend
from harness import dns, imap, net
from harness.proxy import BUILD
from test_upgrade import upgrade


@pytest.fixture
def two(settings, dovecot1):
    """Two IMAP listeners and two of SMTP; the tests say what is special of the second ones."""
    settings["pools"] = [{"name": "main", "tls": "off", "smtp_auth": True, "backends": [backend(dovecot1)]}]
    settings["listeners"] = [{"name": name, "protocol": name.split("-")[0], "tls": "off", "allow_plaintext": True}
                             for name in ("imap", "imap-own", "smtp", "smtp-own")]
    settings["resolver"] = {"enabled": False}

    def make(imap_own=None, smtp_own=None, **more):
        settings.update(more)
        settings["listeners"][1].update(imap_own or {})
        settings["listeners"][3].update(smtp_own or {})
        return settings
    return make


def connect(p, name):
    c = imap.Lines(p.host, p.ports[name])
    return c, c.line()


def log_in(p, name, user, password):
    c, _ = connect(p, name)
    answer = c.command("a", f"LOGIN {user} {password}")[-1]
    c.close()
    return answer


def test_each_listener_has_its_own_providers(two, make_proxy, make_auth):
    """Two auth servers and the store: who one knows is nobody where another is asked."""
    def judge(known):
        return lambda h: {"Auth-Status": "OK" if h["Auth-User"] == known else "Invalid login or password"}
    staff, guests = make_auth(judge("alice@example.org")), make_auth(judge("bob@example.org"))
    p = make_proxy(two({"providers": ["guests"]}, {"providers": ["staff"]},
                       auth=[{"type": "http", "name": "staff", "url": staff.url, "cache": "1m"},
                             {"type": "http", "name": "guests", "url": guests.url, "cache": "1m"}]))
    assert "a OK" in log_in(p, "imap", "alice@example.org", "secret-a")
    # What the cache knows of one listener is nothing to another.
    assert "a NO" in log_in(p, "imap-own", "alice@example.org", "secret-a")
    assert "a OK" in log_in(p, "imap-own", "bob@example.org", "secret-b")
    assert len(guests.requests) == 2
    # The providers' order is another now, and "imap" is gone: nobody is judged by the wrong one.
    waiting = [connect(p, "imap-own")[0] for _ in range(2)]
    left, _ = connect(p, "imap")
    settings = p.settings
    p.configure({"auth": settings["auth"][::-1], "listeners": settings["listeners"][1:]})
    p.ctl("config", "reload", "--yes")
    assert "a NO" in waiting[0].command("a", "LOGIN alice@example.org secret-a")[-1]
    assert "a OK" in waiting[1].command("a", "LOGIN bob@example.org secret-b")[-1]
    assert "a NO [UNAVAILABLE]" in left.command("a", "LOGIN bob@example.org secret-b")[-1]
    for c in (*waiting, left):
        c.close()


def test_scram_is_not_offered_where_the_store_is_not_asked(two, make_proxy, make_auth):
    web = make_auth(lambda h: {"Auth-Status": "OK"})
    p = make_proxy(two({"providers": ["web"]}, auth=[{"type": "users"}, {"type": "http", "name": "web", "url": web.url}],
                       listeners=[{**one, "mechanisms": ["SCRAM-SHA-256"] + (["PLAIN"] if one["protocol"] == "smtp" else ["COMMAND"])}
                                  for one in two()["listeners"]]))
    for name, is_offered in (("imap", True), ("imap-own", False)):
        c, _ = connect(p, name)
        assert ("AUTH=SCRAM-SHA-256" in c.command("a", "CAPABILITY")[0]) == is_offered
        c.close()


def test_names_and_errors(two, make_proxy):
    p = make_proxy(two({"max_errors": 2}, {"server_name": "own.test", "max_errors": 0}, max_errors=3))
    for name, server in (("smtp", "proxy.test"), ("smtp-own", "own.test")):
        c, greeting = connect(p, name)
        assert greeting.startswith(f"220 {server} ")
        c.send("EHLO me\r\n")
        assert server in c.until("250 ")[0]
        c.close()
    for name, most in (("imap", 3), ("imap-own", 2)):
        c, _ = connect(p, name)
        for _ in range(most):
            assert c.command("a", "NONSENSE")[-1].startswith("a BAD")
        assert c.line().startswith("* BYE")
        c.close()
    c, _ = connect(p, "smtp-own")
    for _ in range(10):
        c.send("NONSENSE\r\n")
        assert c.line().startswith("500 ")
    c.close()


def test_too_many_commands(two, make_proxy):
    p = make_proxy(two({"max_commands": 3}))
    for name, is_over in (("imap", False), ("imap-own", True)):
        c, _ = connect(p, name)
        for _ in range(3):
            assert c.command("a", "NOOP")[-1].startswith("a OK")
        c.send("a NOOP\r\n")
        assert c.line().startswith("* BYE" if is_over else "a OK")
        c.close()


def test_times_and_sizes(two, make_proxy):
    p = make_proxy(two({"timeouts": {"preauth": "500ms"}, "limits": {"line": "512"}}))
    patient, _ = connect(p, "imap")
    began = time.monotonic()
    c, _ = connect(p, "imap-own")
    assert c.line().startswith("* BYE")  # long before the three minutes of the others
    assert time.monotonic() - began < 30
    c.close()
    assert patient.command("a", "NOOP")[-1].startswith("a OK")
    for name, is_too_long in (("imap", False), ("imap-own", True)):
        c, _ = connect(p, name)
        c.send("a LOGIN u1@example.org " + "x" * 1000 + "\r\n")
        assert ("too long" in c.line().lower()) == is_too_long
        c.close()
    patient.close()


def test_nothing_is_announced(two, make_proxy, dovecot1):
    """Neither capabilities nor mechanisms: mail without a login, as on port 25."""
    p = make_proxy(two({"capabilities": []}, {"capabilities": [], "mechanisms": [], "auth": "none"}))
    c, greeting = connect(p, "imap-own")
    assert c.command("a", "CAPABILITY")[0].split()[2:] == ["AUTH=PLAIN", "AUTH=LOGIN"]
    c.close()
    c, _ = connect(p, "smtp-own")
    c.send("EHLO me\r\n")
    assert c.until("250 ") == ["250 proxy.test"]
    c.send("AUTH PLAIN AGEAYg==\r\n")
    assert c.line().startswith("50")
    c.close()


def test_what_the_top_level_says_is_told_once(two, make_proxy):
    """A change of the top level is one change, not one for each listener; a listener's own stays its own."""
    p = make_proxy(two({"timeouts": {"preauth": "50s"}}))
    p.configure({"max_errors": 9, "timeouts": {"preauth": "100s"}})
    changes = [row["path"] for row in p.ctl("config", "diff")]
    assert sorted(changes) == ["max_errors", "timeouts.preauth"]


def test_name_servers(two, make_proxy, make_auth):
    """Each listener asks its own name servers for the names of clients, over reloads and upgrades; backends are looked up with the top level's."""
    auth = make_auth(lambda h: {"Auth-Status": "OK"})
    servers = {name: dns.NameServer({}) for name in ("top", "own", "next")}

    def resolver(name, **more):
        return {"enabled": True, "name_servers": [f"{servers[name].host}:{servers[name].port}"], "timeout": "5s", **more}

    settings = two(None, {"resolver": resolver("own")}, resolver=resolver("top", no_ipv6=True), auth=[{"type": "http", "url": auth.url}])
    main = settings["pools"][0]["backends"][0]
    main["host"], host = "backend.test", main["host"]
    servers["top"].records[("A", "backend.test")] = [host]
    p = make_proxy(settings)

    def client_host(name):
        c, _ = connect(p, name)
        for server in servers:
            servers[server].records.update({("PTR", dns.reverse(c.sock.getsockname()[0])): [f"client.{server}"],
                                            ("A", f"client.{server}"): [c.sock.getsockname()[0]]})
        c.send("EHLO me\r\n")
        c.until("250 ")
        c.send("AUTH PLAIN AGFsaWNlQGV4YW1wbGUub3JnAHNlY3JldC1h\r\n")
        assert c.line().startswith("235 ")
        c.close()
        return auth.requests[-1]["Client-Host"]

    assert [client_host(n) for n in ("smtp", "smtp-own")] == ["client.top", "client.own"]
    assert ("A", "backend.test") not in servers["own"].queries
    # no_ipv6 of the top level holds for the second listener, too, which says nothing of it
    assert not [q for q in servers["own"].queries if q[0] == "AAAA"]
    # a reload gives the second one another, and the first one (with the backends) its former
    listeners = p.settings["listeners"]
    p.configure({"listeners": [*listeners[:3], {**listeners[3], "resolver": resolver("next")}], "resolver": resolver("own", no_ipv6=True)})
    servers["own"].records[("A", "backend.test")] = [host]
    changes = p.ctl("config", "diff")
    assert not [c for c in changes if "restart" in c["effect"]], changes
    p.ctl("config", "reload", "--yes")
    assert [client_host(n) for n in ("smtp", "smtp-own")] == ["client.own", "client.next"]
    assert ("A", "backend.test") in servers["own"].queries
    upgrade(p)
    assert [client_host(n) for n in ("smtp", "smtp-own")] == ["client.own", "client.next"]
    # what is no address is said with its place, and nothing changes
    p.configure({"listeners": [*listeners[:3], {**listeners[3], "resolver": {"name_servers": ["dns.test"]}}]})
    failed = p.ctl_run("config", "reload", "--yes", check=False)
    assert failed.returncode == 1 and 'listeners[3].resolver.name_servers: "dns.test" is no IP address' in failed.stdout + failed.stderr
    assert client_host("smtp-own") == "client.next"
    for server in servers.values():
        server.close()


def test_names_of_hosts(make_proxy, settings):
    """A listener may name its host: all addresses are bound at the start and at a reload; one that has none changes nothing."""
    host, nobody = "localhost", f"{'n' * 64}.test"  # too long for anybody to be asked for it
    wanted = {f"[{a[0]}]" if ":" in a[0] else a[0] for *_, a in socket.getaddrinfo(host, None, type=socket.SOCK_STREAM, flags=socket.AI_ADDRCONFIG)}
    ports = [net.port("127.0.0.1") for _ in range(3)]

    def listener(name, *addresses):
        return {"name": name, "protocol": "imap", "tls": "off", "allow_plaintext": True, "address": list(addresses)}

    def check(n):
        addresses = [a for row in p.ctl("listener", "list") for a in row["address"].split(", ")]
        assert sorted(addresses) == sorted(f"{a}:{port}" for a in wanted for port in ports[:n])
        for a in addresses:
            c = imap.Lines(*a.replace("[", "").replace("]", "").rsplit(":", 1))
            assert c.line().startswith("* OK")
            c.close()

    p = make_proxy({**settings, "listeners": [listener("one", f"{host}:{ports[0]}")]})
    check(1)
    p.configure({"listeners": [listener("one", f"{host}:{ports[0]}", f"{host}:{ports[1]}"), listener("two", f"LOCALHOST:{ports[2]}")]})
    p.ctl("config", "reload", "--yes")
    check(3)
    assert p.ctl("config", "diff") == []
    listeners = p.settings["listeners"]
    p.configure({"listeners": [*listeners, listener("three", f"{nobody}:{ports[0]}")]})
    words = f'listeners[2].address: "{nobody}" has no address: '
    failed = p.ctl_run("config", "reload", "--yes", check=False)
    assert failed.returncode == 1 and words in failed.stdout + failed.stderr
    check(3)
    checked = subprocess.run([os.path.join(BUILD, "mailproxyd"), "-t", "-c", p.config], capture_output=True, text=True)
    assert checked.returncode == os.EX_CONFIG and words in checked.stderr
    p.configure({"listeners": listeners})
    upgrade(p)
    check(3)
