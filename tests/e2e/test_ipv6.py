# SPDX-License-Identifier: ISC
"""IPv6 everywhere: listeners, mail servers, auth servers, names of clients, limits and bans by /64, PROXY headers, XCLIENT, traces and lists."""
import base64
import socket
import threading

import pytest
from conftest import backend
from harness import dns, imap, net, wait
from harness.server import Server
from harness.trace import Trace
from test_proxy_protocol import Recorder, v2

USER, PASSWORD = "alice@example.org", "secret-a"
HOST = "::1"
CLIENT, NEAR, FAR = "2001:db8:1:1::7", "2001:db8:1:1:ffff::8", "2001:db8:1:2::7"  # the second is in the same /64
GREETINGS = {"imap": "* OK", "pop3": "+OK", "smtp": "220 ", "sieve": "OK"}


class Bridge(Server):
    """Reaches a server of IPv4 by IPv6, and keeps what it is told."""

    def __init__(self, host, port):
        self.target, self.heard = (host, port), b""
        super().__init__(self.carry, HOST)

    def carry(self, client):
        server = socket.create_connection(self.target)
        self.clients.append(server)
        back = threading.Thread(target=self.copy, args=(server, client), daemon=True)
        back.start()
        while data := client.recv(65536):
            self.heard += data
            server.sendall(data)
        server.shutdown(socket.SHUT_WR)
        back.join()
        server.close()

    @staticmethod
    def copy(source, to):
        try:
            while data := source.recv(65536):
                to.sendall(data)
            to.shutdown(socket.SHUT_WR)
        except OSError:
            pass


class Script(Server):
    """A mail server that takes everything and keeps its lines."""

    def __init__(self, greeting, answers):
        self.greeting, self.answers, self.heard = greeting, answers, []
        super().__init__(self.talk, HOST)

    def talk(self, client):
        client.sendall(self.greeting)
        file = client.makefile("rwb", buffering=0)
        for line in file:
            self.heard.append(line.decode("latin-1").rstrip("\r\n"))
            file.write(next(reply for prefix, reply in self.answers if line.upper().startswith(prefix)))


@pytest.fixture
def servers():
    """servers(class, ...) starts one; all are closed at the end."""
    made = []

    def make(kind, *args):
        made.append(kind(*args))
        return made[-1]

    yield make
    for server in made:
        server.close()


@pytest.fixture
def make(make_proxy, settings, dovecot1, servers):
    """A proxy whose listeners, plain and behind a balancer ("imap-lb"), and mail servers are reached by IPv6."""
    def make(**more):
        ports = {name: net.port(HOST) for protocol in GREETINGS for name in (protocol, f"{protocol}-lb")}
        settings["listeners"] = [
            {"name": name, "protocol": name.split("-")[0], "tls": "off", "allow_plaintext": True, "address": f"[{HOST}]:{port}",
             **({"proxy_protocol": ["::1/128"]} if name.endswith("-lb") else {})} for name, port in ports.items()]
        bridges = {protocol: servers(Bridge, dovecot1.host, port) for protocol, port in backend(dovecot1)["ports"].items()}
        settings["pools"] = [{"name": "main", "tls": "off", "smtp_auth": True, "backends": [
            {"name": "six", "host": HOST, "ports": {protocol: b.port for protocol, b in bridges.items()}}]}]
        settings["resolver"] = {"enabled": False}
        settings["timeouts"] = {"failure_delay": "50ms"}
        settings.update(more)
        p = make_proxy(settings)
        p.ports.update(ports)
        p.add_user(USER, PASSWORD)
        return p
    return make


def connect(p, name, header=b""):
    """A client whose greeting has been read; header: what a balancer says before."""
    c = imap.Lines(HOST, p.ports[name])
    if header:
        c.send(header if isinstance(header, bytes) else f"PROXY TCP6 {header} 2001:db8::143 4711 143\r\n")
    c.greeting = c.until(GREETINGS[name.split("-")[0]])[-1]
    return c


def log_in(c, protocol, password=PASSWORD):
    token = base64.b64encode(f"\0{USER}\0{password}".encode()).decode()
    if protocol == "imap":
        return c.command("a", f"LOGIN {USER} {password}")[-1]
    if protocol == "smtp":
        c.send("EHLO client.test\r\n")
        c.until("250 ")
    c.send({"pop3": f"AUTH PLAIN {token}\r\n", "smtp": f"AUTH PLAIN {token}\r\n", "sieve": f'AUTHENTICATE "PLAIN" "{token}"\r\n'}[protocol])
    return c.line()


def refused(p, header):
    """What a client hears that is not let in."""
    c = imap.Lines(HOST, p.ports["imap-lb"])
    c.send(f"PROXY TCP6 {header} 2001:db8::143 4711 143\r\n")
    line = c.line()
    c.close()
    return line


def test_listeners_and_mail_servers(make):
    """All protocols, from the client to the mail server; and what lists, filters, events and the log say of them."""
    p = make()
    clients = []
    for protocol, welcome in (("imap", "a OK"), ("pop3", "+OK"), ("smtp", "235 "), ("sieve", "OK")):
        clients += [connect(p, protocol), connect(p, f"{protocol}-lb", CLIENT)]
        assert log_in(clients[-2], protocol).startswith(welcome) and log_in(clients[-1], protocol).startswith(welcome)
    assert len(p.sessions("ip=::1", "state=relay")) == len(p.sessions("ip=2001:db8:1::/48", "state=relay")) == 4
    assert not p.sessions("ip=2001:db8:2::/48") and not p.sessions("ip=0.0.0.0/0")
    assert {(r["ip"], r["backend"]) for r in p.sessions()} == {("::1", "six"), (CLIENT, "six")}
    wait.until(lambda: p.ctl("backend", "list")[0]["health"] == "up", "a check by IPv6")
    assert p.ctl("backend", "show", "main/six")["host"] == HOST
    assert f"[::1]:{p.ports['imap']}" in {r["address"] for r in p.ctl("listener", "list")}
    assert {e["ip"] for e in p.ctl("event", "list", "type=login", "ip=2001:db8:1::/48")} == {CLIENT}
    lines = [line for line in p.whole_log().splitlines() if " info login session=" in line]
    assert [len([x for x in lines if f" client=[{a}]:" in x and f" server=[{HOST}]:" in x]) for a in (HOST, CLIENT)] == [4, 4]
    assert p.ctl("session", "kill", "ip=2001:db8:1:1::/64", "--now", "--yes", "--wait")
    wait.until(lambda: not p.sessions("ip=2001:db8:1:1::/64"), "the end of those behind the balancer")
    assert len(p.sessions("ip=::1")) == 4
    for c in clients:
        c.close()


def test_both_families_on_one_address(make_proxy, settings):
    """[::] takes IPv4 as what it is; with v6_only it does not."""
    ports = [net.port("::"), net.port("::")]
    settings["listeners"] = [{"name": f"imap-{n}", "protocol": "imap", "allow_plaintext": True, "address": f"[::]:{port}", "v6_only": n == 1}
                             for n, port in enumerate(ports)]
    p = make_proxy(settings)
    for host, port in (("127.0.0.1", ports[0]), (HOST, ports[0]), (HOST, ports[1])):
        c = imap.Lines(host, port)
        assert c.line().startswith("* OK")
        assert [r["ip"] for r in p.sessions()] == [host]
        c.close()
        wait.until(lambda: not p.sessions(), "the end of the session")
    with pytest.raises(ConnectionRefusedError):
        imap.Lines("127.0.0.1", ports[1])


def test_auth_server(make, make_auth, servers, dovecot1):
    """Asked by IPv6 for clients of IPv6, and names a server of IPv6 as NGINX takes it: without brackets."""
    server = servers(Bridge, dovecot1.host, dovecot1.ports["imap"])
    auth = make_auth(lambda h: {"Auth-Status": "OK", "Auth-Server": HOST, "Auth-Port": str(server.port)}, host=HOST)
    assert auth.url.startswith("http://[::1]:")
    p = make(auth=[{"type": "http", "url": auth.url}])
    direct, balanced = connect(p, "imap"), connect(p, "imap-lb", CLIENT)
    assert log_in(direct, "imap").startswith("a OK") and log_in(balanced, "imap").startswith("a OK")
    assert [h["Client-Ip"] for h in auth.requests] == ["::1", CLIENT]
    assert (auth.requests[1]["Proxy-Protocol-Addr"], auth.requests[1]["Proxy-Protocol-Server-Addr"]) == (CLIENT, "2001:db8::143")
    assert {r["backend"] for r in p.sessions()} == {f"[::1]:{server.port}"}
    direct.close()
    balanced.close()


def test_limits_by_64(make):
    """One /64 is one client: its sessions, failures, delays and bans are those of all its addresses."""
    p = make(limits={"sessions_per_ip": 2, "failures_before_ban": 3, "ban": "1h", "trusted": []})
    held = [connect(p, "imap-lb", CLIENT), connect(p, "imap-lb", NEAR), connect(p, "imap-lb", FAR)]
    assert refused(p, "2001:db8:1:1::9").startswith("* BYE [LIMIT]")
    assert {r["subject"]: r["sessions"] for r in p.ctl("limit", "list", "kind!=user")} == {"2001:db8:1:1::/64": 2, "2001:db8:1:2::/64": 1}
    assert p.ctl("limit", "show", NEAR)["sessions"] == 2
    for c in held:
        c.close()
    wait.until(lambda: not p.sessions(), "room for others")
    for n in range(3):
        c = connect(p, "imap-lb", f"2001:db8:1:1::{n + 10}")
        assert not log_in(c, "imap", f"wrong-{n}").startswith("a OK")
        c.close()
    row, = wait.until(lambda: p.ctl("ban", "list"), "the ban")
    assert row["subject"] == "2001:db8:1:1::/64"
    assert refused(p, NEAR).startswith("* BYE [LIMIT]")
    c = connect(p, "imap-lb", FAR)
    assert log_in(c, "imap").startswith("a OK")
    c.close()
    # by hand, of a whole site, and of one address
    p.ctl("ban", "remove", "2001:db8:1:1::/64")
    p.ctl("ban", "add", "2001:db8:1::/48", "2001:db8:2::1", "--yes")
    assert refused(p, FAR).startswith("* BYE") and refused(p, "2001:db8:2::1").startswith("* BYE")
    c = connect(p, "imap-lb", "2001:db8:2::2")
    # an IPv4 address in the words of IPv6 is that address
    p.ctl("ban", "add", "192.0.2.9", "--yes")
    assert refused(p, "::ffff:192.0.2.9").startswith("* BYE")
    c.close()


@pytest.mark.parametrize("version", ["proxy-v1", "proxy-v2"])
def test_proxy_header_out(make, servers, version):
    """The client's address, from one header into the other."""
    server = servers(Recorder, HOST)
    p = make(pools=[{"name": "main", "tls": "off", "forward": version, "check": {"enabled": False},
                     "backends": [{"name": "six", "host": HOST, "ports": {"imap": server.port}}]}])
    header = v2(CLIENT, "2001:db8::143", 4711, 143, family=socket.AF_INET6)
    c = connect(p, "imap-lb", header)
    c.send(f"a LOGIN {USER} {PASSWORD}\r\n")
    wait.until(lambda: b"LOGIN" in server.heard, "a login")
    if version == "proxy-v1":
        assert server.heard.startswith(f"PROXY TCP6 {CLIENT} 2001:db8::143 4711 143\r\n".encode())
    else:
        assert server.heard.startswith(header[:14]) and server.heard[16:].startswith(header[16:])
    c.close()


def test_mail_of_clients_with_names(make, make_auth, servers):
    """XCLIENT's IPV6: and a name from ip6.arpa that an AAAA record confirms."""
    server = servers(Script, b"220 mx\r\n", [(b"EHLO", b"250-mx\r\n250 XCLIENT NAME ADDR PORT PROTO HELO\r\n"), (b"XCLIENT", b"220 mx\r\n"),
                                             (b"", b"250 ok\r\n")])
    auth = make_auth(lambda h: {"Auth-Status": "OK", "Auth-Server": HOST, "Auth-Port": str(server.port)}, host=HOST)
    ns = dns.NameServer({("PTR", dns.reverse(CLIENT)): ["client.test"], ("AAAA", "client.test"): [CLIENT],
                         ("PTR", dns.reverse(FAR)): ["client.test"]}, host=HOST)
    p = make(auth=[{"type": "http", "url": auth.url}], resolver={"enabled": True, "name_servers": [f"[::1]:{ns.port}"], "timeout": "5s"})
    p.configure({"listeners": [{**x, "auth": "none"} if x["protocol"] == "smtp" else x for x in p.settings["listeners"]],
                 "pools": [{"name": "main", "tls": "off", "forward": "xclient", "check": {"enabled": False},
                            "backends": [{"name": "six", "host": HOST, "ports": {"smtp": server.port}}]}]})
    p.ctl("config", "reload", "--yes")
    for address, name in ((CLIENT, "client.test"), (FAR, "[UNAVAILABLE]")):
        server.heard.clear()
        c = connect(p, "smtp-lb", address)
        c.send("HELO me\r\nMAIL FROM:<a@b.test>\r\nRCPT TO:<c@d.test>\r\n")
        wait.until(lambda: [x for x in server.heard if x.startswith("RCPT")], "the recipient")
        assert auth.requests[-1]["Client-Host"] == name and auth.requests[-1]["Client-Ip"] == address
        xclient = " ".join(x for x in server.heard if x.startswith("XCLIENT"))
        assert f"ADDR=IPV6:{address}" in xclient and f"NAME={name}" in xclient
        c.close()
    ns.close()


def test_trace(make):
    """By network; both sides of the session, its client by its own address."""
    p = make()
    t = Trace(p, "ip=2001:db8:1:1::/64")
    other, c = connect(p, "imap-lb", FAR), connect(p, "imap-lb", CLIENT)
    assert log_in(other, "imap").startswith("a OK") and log_in(c, "imap").startswith("a OK")
    wait.until(lambda: "a OK" in t.text(), "the login in the trace")
    assert CLIENT in t.text() and FAR not in t.text()
    assert p.ctl("route", "explain", USER, "--ip", NEAR)["backend"] == "six"
    t.end()
    other.close()
    c.close()
