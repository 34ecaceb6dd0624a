# SPDX-License-Identifier: ISC
"""The PROXY protocol from load balancers and towards mail servers, UNIX sockets, and IPv6."""
import os
import socket
import struct

import pytest
from conftest import backend
from harness import imap, wait
from harness.server import Server

USER, PASSWORD = "alice@example.org", "secret-a"
SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"


def v2(src, dst, sport, dport, family=socket.AF_INET, command=1, tlvs=b""):
    body = socket.inet_pton(family, src) + socket.inet_pton(family, dst) + struct.pack("!HH", sport, dport) + tlvs
    return SIGNATURE + bytes([0x20 | command, 0x11 if family == socket.AF_INET else 0x21]) + struct.pack("!H", len(body)) + body


HEADERS = {
    "v1": b"PROXY TCP4 192.0.2.7 192.0.2.1 4711 143\r\n",
    "v2": v2("192.0.2.7", "192.0.2.1", 4711, 143),
    "v2+tlv": v2("192.0.2.7", "192.0.2.1", 4711, 143, tlvs=b"\x04\x00\x03abc"),
}


@pytest.fixture
def make_balanced(make_proxy, settings, dovecot1):
    def make(nets=("127.0.0.0/8",), auth=None, **pool):
        settings["listeners"] = [
            {"name": "imap", "protocol": "imap", "tls": "starttls", "allow_plaintext": True, "proxy_protocol": list(nets)},
            {"name": "imaps", "protocol": "imap", "tls": "implicit", "proxy_protocol": list(nets)},
        ]
        settings["pools"] = [{"name": "main", "tls": "off", "forward": "id", "backends": [backend(dovecot1)], **pool}]
        settings["timeouts"] = {"proxy_header": "500ms", "failure_delay": "50ms"}
        if auth:
            settings["auth"] = auth
        p = make_proxy(settings)
        p.add_user(USER, PASSWORD)
        return p
    return make


@pytest.mark.parametrize("version", HEADERS)
@pytest.mark.parametrize("split", [False, True])
def test_header_in(make_balanced, version, split, dovecot1):
    p = make_balanced()
    c = imap.Lines(p.host, p.ports["imap"])
    for piece in ([bytes([b]) for b in HEADERS[version]] if split else [HEADERS[version] + b"a NOOP\r\n"]):
        c.send(piece)
    assert c.line().startswith("* OK")
    if not split:
        assert c.line().startswith("a OK")
    assert c.command("b", f"LOGIN {USER} {PASSWORD}")[-1].startswith("b OK")
    row = p.sessions()[0]
    assert row["ip"] == "192.0.2.7" and row["port"] == 4711
    c.close()
    wait.until(lambda: "rip=192.0.2.7" in dovecot1.log(), "the address in Dovecot's log")


def test_a_header_that_is_not_believed(make_proxy, settings, dovecot1, make_auth):
    """Taken off and told to the auth server, but the client is who connected: in lists and limits, and at the mail server."""
    auth = make_auth(lambda h: {"Auth-Status": "OK", "Auth-Server": dovecot1.host, "Auth-Port": str(dovecot1.ports["imap"])})
    settings["listeners"] = [{"name": "imap", "protocol": "imap", "tls": "off", "allow_plaintext": True, "proxy_protocol": ["127.0.0.0/8"],
                              "proxy_protocol_trusted": ["192.0.2.0/24"]}]
    settings["pools"] = [{"name": "main", "tls": "off", "backends": [backend(dovecot1)]}]
    settings["auth"] = [{"type": "http", "url": auth.url}]
    settings["limits"] = {"sessions_per_ip": 2, "trusted": []}
    p = make_proxy(settings)
    clients = []
    for n in range(2):
        clients.append(imap.Lines(p.host, p.ports["imap"]))
        clients[n].send(f"PROXY TCP4 192.0.2.{n} 192.0.2.1 4711 143\r\n".encode())
        assert clients[n].line().startswith("* OK")
    assert {row["ip"] for row in p.sessions()} == {clients[0].sock.getsockname()[0]}
    assert clients[0].command("a", f"LOGIN {USER} {PASSWORD}")[-1].startswith("a OK")
    asked = auth.requests[-1]
    assert (asked["Proxy-Protocol-Addr"], asked["Client-Ip"]) == ("192.0.2.0", clients[0].sock.getsockname()[0])
    refused = imap.Lines(p.host, p.ports["imap"])
    refused.send(b"PROXY TCP4 192.0.2.99 192.0.2.1 4711 143\r\n")
    assert refused.line().startswith("* BYE")
    for c in (*clients, refused):
        c.close()


def test_header_before_tls(make_balanced):
    p = make_balanced()
    s = socket.create_connection((p.host, p.ports["imaps"]), timeout=30)
    s.sendall(HEADERS["v2"])
    tls = imap.context().wrap_socket(s, server_hostname="proxy.test")
    assert tls.recv(1000).startswith(b"* OK")
    assert p.sessions()[0]["ip"] == "192.0.2.7"
    tls.close()


def test_ipv6_and_local(make_balanced):
    p = make_balanced()
    c = imap.Lines(p.host, p.ports["imap"])
    c.send(b"PROXY TCP6 2001:db8::7 2001:db8::1 4711 143\r\n")
    assert c.line().startswith("* OK")
    assert p.sessions()[0]["ip"] == "2001:db8::7"
    c.close()
    c = imap.Lines(p.host, p.ports["imap"])
    c.send(v2("0.0.0.0", "0.0.0.0", 0, 0, command=0))  # LOCAL: a health check of the balancer
    assert c.line().startswith("* OK")
    assert p.sessions("state=command")[0]["ip"].startswith("127.")
    c.close()


@pytest.mark.parametrize("header", [
    b"a LOGIN x y\r\n", b"PROXY TCP4 192.0.2.7 192.0.2.1 4711\r\n", b"PROXY TCP4 300.0.2.7 192.0.2.1 4711 143\r\n",
    b"PROXY TCP4 192.0.2.7 192.0.2.1 99999 143\r\n", b"PROXY " + b"x" * 200, SIGNATURE + b"\x31\x11\0\x0c" + b"\0" * 12,
    SIGNATURE + b"\x21\x11\0\x02ab"])
def test_malformed(make_balanced, header):
    p = make_balanced()
    c = imap.Lines(p.host, p.ports["imap"])
    c.send(header)
    assert c.rest() == b""
    c.close()
    p.wait_for_log("bad-proxy-header")


def test_slow_and_missing(make_balanced):
    p = make_balanced()
    for start in (b"", b"PROXY TCP4 192"):
        c = imap.Lines(p.host, p.ports["imap"])
        c.send(start)
        assert c.rest() == b""
        c.close()
    p.wait_for_log("reason=timeout", 2)


def test_strangers_are_not_believed(make_balanced):
    p = make_balanced(nets=("192.0.2.0/24",))
    c = imap.Lines(p.host, p.ports["imap"])
    assert c.line().startswith("* OK")
    c.send(HEADERS["v1"])
    assert "BAD" in c.line()
    assert p.sessions()[0]["ip"].startswith("127.")
    c.close()


def test_auth_server_hears_of_it(make_balanced, make_auth, dovecot1):
    auth = make_auth(lambda h: {"Auth-Status": "OK", "Auth-Server": dovecot1.host, "Auth-Port": str(dovecot1.ports["imap"])})
    p = make_balanced(auth=[{"type": "http", "url": auth.url}])
    c = imap.Lines(p.host, p.ports["imap"])
    c.send(HEADERS["v1"])
    c.line()
    assert c.command("b", f"LOGIN {USER} {PASSWORD}")[-1].startswith("b OK")
    c.close()
    h = auth.requests[0]
    assert h["Client-Ip"] == "192.0.2.7"
    assert (h["Proxy-Protocol-Addr"], h["Proxy-Protocol-Port"]) == ("192.0.2.7", "4711")
    assert (h["Proxy-Protocol-Server-Addr"], h["Proxy-Protocol-Server-Port"]) == ("192.0.2.1", "143")


class Recorder(Server):
    """A server that greets like an IMAP server and keeps all that it is told."""

    def __init__(self, host=None):
        self.heard = b""
        super().__init__(self.record, host)

    def record(self, client):
        client.sendall(b"* OK hello\r\n")
        while data := client.recv(4096):
            self.heard += data


def tlvs(body):
    """Those behind the addresses of a header of version 2: {kind: value}."""
    found = {}
    while body:
        size = struct.unpack("!H", body[1:3])[0]
        found[body[0]] = body[3:3 + size]
        body = body[3 + size:]
    return found


@pytest.mark.parametrize("version,tls", [("proxy-v1", "off"), ("proxy-v2", "off"), ("proxy-v2", "starttls"), ("proxy-v2", "implicit")])
def test_header_out(make_balanced, version, tls):
    server = Recorder()
    p = make_balanced(forward=version, tls=tls, check={"enabled": False},
                      backends=[{"name": "r", "host": server.host, "ports": {"imap": server.port}}])
    s = socket.create_connection((p.host, p.ports["imaps"]), timeout=30)
    s.sendall(HEADERS["v1"])
    client = imap.context().wrap_socket(s, server_hostname="proxy.test")
    client.recv(1000)
    client.sendall(f"a LOGIN {USER} {PASSWORD}\r\n".encode())
    begins = (b"\x16\x03",) if tls == "implicit" else (b"LOGIN", b"CAPABILITY", b"AUTHENTICATE", b"STARTTLS")
    wait.until(lambda: any(word in server.heard for word in begins), "what follows the header")
    if version == "proxy-v1":
        assert server.heard.startswith(b"PROXY TCP4 192.0.2.7 192.0.2.1 4711 143\r\n")
    else:
        assert server.heard.startswith(v2("192.0.2.7", "192.0.2.1", 4711, 143)[:13])
        n = struct.unpack("!H", server.heard[14:16])[0]
        body = server.heard[16:16 + n]
        assert body[:12] == v2("192.0.2.7", "192.0.2.1", 4711, 143)[16:28]
        ssl_tlv = tlvs(body[12:]).get(0x20)
        if tls == "starttls":  # Dovecot 2.4 takes it for a connection that is secured already, and offers no STARTTLS
            assert ssl_tlv is None
        else:
            assert ssl_tlv[0] & 1 and b"TLSv1.3" in ssl_tlv
    client.close()
    server.close()


def test_unix_listener(make_proxy, settings, folder, dovecot1):
    p = make_proxy(settings, start=False)
    path = os.path.join(p.run, "imap.sock")
    p.configure({"listeners": [{"name": "imap", "protocol": "imap", "allow_plaintext": True, "address": f"unix:{path}"}]})
    p.start()
    p.add_user(USER, PASSWORD)
    with socket.socket(socket.AF_UNIX) as s:
        s.settimeout(30)
        s.connect(path)
        f = s.makefile("rwb", buffering=0)
        assert f.readline().startswith(b"* OK")
        f.write(f"a LOGIN {USER} {PASSWORD}\r\n".encode())
        line = f.readline()
        while not line.startswith(b"a "):
            line = f.readline()
        assert line.startswith(b"a OK")
