# SPDX-License-Identifier: ISC
"""No client password is in the engine's memory a second after its relay began: each protocol, mechanism, provider, with and without TLS."""
import base64
import os
import secrets
import time
import urllib.parse

import pytest
from conftest import backend
from harness import dovecot, imap, sasl

MARK = secrets.token_hex(4)
PIECE, OVERLAP = 1 << 20, 256
# (protocol, mechanism, listener's TLS)
WAYS = [(protocol, mechanism, tls) for tls in (False, True) for protocol, mechanism in (
    ("imap", "COMMAND"), ("imap", "PLAIN"), ("imap", "LOGIN"), ("pop3", "COMMAND"), ("pop3", "PLAIN"), ("pop3", "LOGIN"),
    ("smtp", "PLAIN"), ("smtp", "LOGIN"), ("sieve", "PLAIN"))] + [("imap", "literal", False), ("imap", "literal", True)]
USERS = {f"u{i}@example.org": f"S%{MARK}-{secrets.token_hex(4)}" for i in range(len(WAYS))}


@pytest.fixture(scope="module")
def server(root, ca):
    folder = os.path.join(root, "memory")
    os.makedirs(folder)
    cert, key = ca.issue("memory.test", "DNS:memory.test")
    os.chmod(key, 0o644)
    d = dovecot.Dovecot(folder, "memory", USERS, cert, key).start()
    yield d
    d.close()


def log_in(p, way, user, password):
    """Logs in and stays; returns the connection."""
    protocol, mechanism, tls = way
    c = imap.Lines(p.host, p.ports[f"{protocol}{'s' if tls else ''}"], tls=imap.context() if tls else None)
    if protocol == "sieve":
        c.until("OK")
        c.send(f'AUTHENTICATE "PLAIN" "{base64.b64encode(f"{chr(0)}{user}{chr(0)}{password}".encode()).decode()}"\r\n')
        assert c.line().startswith("OK")
        return c
    c.line()
    if protocol == "smtp":
        c.send("EHLO me\r\n")
        c.until("250 ")
    if mechanism == "literal":
        c.send(f"a LOGIN {{{len(user)}}}\r\n")
        c.line()
        c.send(f"{user} {{{len(password)}+}}\r\n{password}\r\n")
        assert "OK" in c.until("a ")[-1]
    elif protocol == "imap" and mechanism == "COMMAND":
        assert "OK" in c.command("a", f'LOGIN "{user}" "{password}"')[-1]
    elif mechanism == "COMMAND":
        c.send(f"USER {user}\r\n")
        c.line()
        c.send(f"PASS {password}\r\n")
        assert c.line().startswith("+OK")
    else:
        exchange = {"PLAIN": sasl.plain, "LOGIN": sasl.login}[mechanism](user, password)
        last = getattr(sasl, protocol)(c).run(mechanism, exchange)
        assert last.startswith(("a OK", "+OK", "235")), last
    return c


SHADOW = 1 << 32  # bytes; what a sanitizer reserves is larger, and reading it would make it real


def writable_memory(pid):
    with open(f"/proc/{pid}/maps") as maps, open(f"/proc/{pid}/mem", "rb", buffering=0) as mem:
        for line in maps:
            span, mode, *rest = line.split()
            if not mode.startswith("rw") or rest[-1:] == ["[vvar]"]:
                continue
            start, end = (int(x, 16) for x in span.split("-"))
            if end - start >= SHADOW:
                continue
            for at in range(start, end, PIECE):
                try:
                    data = os.pread(mem.fileno(), min(PIECE + OVERLAP, end - at), at)
                except OSError:
                    continue
                # Most of it was never touched.
                if data != bytes(len(data)):
                    yield line.strip(), at, data


def forms(user, password):
    """The password as the client sent it, as the auth server and the mail server heard it; in base64 at each alignment."""
    plain = password.encode()
    yield "as it is", plain
    yield "escaped", urllib.parse.quote(password).encode()
    yield "base64 of PLAIN", base64.b64encode(b"\0" + user.encode() + b"\0" + plain).rstrip(b"=")[-20:-1]
    yield "base64 of LOGIN", base64.b64encode(plain).rstrip(b"=")[:-1]


def found(pid):
    """What is left of the passwords. The names of the users have to be there: they show that all of the memory was looked at."""
    hits, names = [], set(USERS)
    for where, at, data in writable_memory(pid):
        names -= {n for n in names if n.encode() in data}
        for way, (user, password) in zip(WAYS, USERS.items()):
            for name, needle in forms(user, password):
                found_at = data.find(needle)
                while found_at >= 0:
                    around = data[max(0, found_at - 40):found_at + len(needle) + 24]
                    hits.append(f"{'/'.join(map(str, way))}: {name} at {at + found_at:#x} ({where[-30:]}): {around!r}")
                    found_at = data.find(needle, found_at + 1)
    assert not names, f"not seen: {names}"
    return hits


@pytest.mark.parametrize("provider", ["users", "http", "backend"])
@pytest.mark.parametrize("tls", ["off", "starttls"])
def test_no_password_stays(make_proxy, settings, make_auth, server, provider, tls):
    settings["listeners"] = [{"name": n, "protocol": n.rstrip("s") if n != "sieves" else "sieve", "tls": "implicit" if n.endswith("s") else "off",
                              "allow_plaintext": True, **({} if n.startswith("sieve") else {"mechanisms": ["COMMAND", "PLAIN", "LOGIN"]} if not n.startswith("smtp")
                                                          else {"mechanisms": ["PLAIN", "LOGIN"]})}
                             for n in ("imap", "imaps", "pop3", "pop3s", "smtp", "smtps", "sieve", "sieves")]
    settings["pools"] = [{"name": "main", "tls": tls, "verify": False, "smtp_auth": True, "backends": [backend(server)]}]
    settings["auth"] = [{"type": provider}]
    if provider == "http":
        settings["auth"][0]["url"] = make_auth(lambda h: {"Auth-Status": "OK"}).url
    settings["limits"] = {"failures_before_ban": 0}
    p = make_proxy(settings)
    if provider == "users":
        for user, password in USERS.items():
            p.add_user(user, password)
    connections = [log_in(p, way, user, password) for way, (user, password) in zip(WAYS, USERS.items())]
    time.sleep(1)  # what is promised
    try:
        hits = found(p.engine_pid())
    except PermissionError:
        pytest.skip("the engine's memory is closed to this user")
    for c in connections:
        c.close()
    assert not hits, f"{len(hits)} found:\n" + "\n".join(hits)
