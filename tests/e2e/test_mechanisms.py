# SPDX-License-Identifier: ISC
"""Every mechanism on every protocol that carries it, in clear and inside TLS; and what is refused."""
import base64
import re
import ssl

import pytest
from conftest import backend, site_settings
from harness import imap, sasl, wait
from harness.server import Server

USER, PASSWORD = "alice@example.org", "secret-a"
OTHER = "bob@example.org"
TOKEN = "token.of-a+long/kind=="
ALL = ["PLAIN", "LOGIN", "CRAM-MD5", "XOAUTH2", "OAUTHBEARER", "SCRAM-SHA-256", "SCRAM-SHA-256-PLUS"]
GREETINGS = {"imap": "* OK", "pop3": "+OK", "smtp": "220"}
DIALOGUES = {"imap": sasl.imap, "pop3": sasl.pop3, "smtp": sasl.smtp}
EXCHANGES = {
    "PLAIN": lambda user=USER: sasl.plain(user, PASSWORD),
    "LOGIN": lambda user=USER: sasl.login(user, PASSWORD),
    "CRAM-MD5": lambda user=USER: sasl.cram_md5(user, PASSWORD),
    "SCRAM-SHA-256": lambda user=USER: sasl.scram_sha_256(user, PASSWORD),
}


def listeners():
    made = []
    for protocol in GREETINGS:
        for tls, name in (("off", protocol), ("implicit", protocol + "s")):
            command = [] if protocol == "smtp" else ["COMMAND"]
            made.append({"name": name, "protocol": protocol, "tls": tls, "allow_plaintext": True, "mechanisms": command + ALL})
    return made


@pytest.fixture
def make_all(make_proxy, settings, dovecot1):
    def make(auth=None, **pool):
        settings["listeners"] = listeners()
        settings["resolver"] = {"enabled": False}
        settings["pools"] = [{"name": "main", "tls": "off", "smtp_auth": True, "backends": [backend(dovecot1)], **pool}]
        if auth:
            settings["auth"] = auth
        return make_proxy(settings)
    return make


@pytest.fixture(scope="module")
def shared(make_shared_proxy, dovecot1, dovecot2, server_cert):
    """A proxy that knows alice by her password, and bob by another than his server does."""
    p = make_shared_proxy({**site_settings(dovecot1, dovecot2, server_cert), "listeners": listeners(), "resolver": {"enabled": False},
                           "pools": [{"name": "main", "tls": "off", "smtp_auth": True, "backends": [backend(dovecot1)]}]})
    p.ctl("user", "add", USER, "--password-stdin", "--keep-plain", "--backend-password-stdin", stdin=f"{PASSWORD}\n{PASSWORD}\n")
    p.ctl("user", "add", OTHER, "--password-stdin", "--keep-plain", stdin="another\n")
    return p


def connect(p, protocol, front, context=None):
    name = protocol + ("s" if front == "tls" else "")
    c = imap.Lines(p.host, p.ports[name], tls=(context or imap.context()) if front == "tls" else None)
    assert c.line().startswith(GREETINGS[protocol])
    if protocol == "smtp":
        c.send("EHLO client.test\r\n")
        c.until("250 ")
    return c


@pytest.fixture(params=["plain", "tls"])
def front(request):
    return request.param


@pytest.mark.parametrize("initial", [True, False])
@pytest.mark.parametrize("mechanism", EXCHANGES)
@pytest.mark.parametrize("protocol", GREETINGS)
def test_users_of_the_store(shared, protocol, mechanism, front, initial):
    before = len(logins(shared))
    c = connect(shared, protocol, front)
    good = DIALOGUES[protocol](c).run(mechanism, EXCHANGES[mechanism](), initial)
    assert good.startswith(("a OK", "+OK", "235")), good
    c.close()
    row, = wait.until(lambda: logins(shared)[before:], "the line of the login")
    assert f"user={USER}" in row and f"listener={protocol}{'s' if front == 'tls' else ''}" in row


def logins(p):
    return [line for line in p.log().splitlines() if " login session=" in line]


@pytest.mark.parametrize("protocol", GREETINGS)
@pytest.mark.parametrize("mechanism", ["PLAIN", "LOGIN", "CRAM-MD5", "SCRAM-SHA-256"])
def test_wrong_password(shared, protocol, mechanism):
    c = connect(shared, protocol, "plain")
    line = DIALOGUES[protocol](c).run(mechanism, EXCHANGES[mechanism](OTHER))
    assert line.startswith(("a NO [AUTHENTICATIONFAILED]", "-ERR [AUTH]", "535")), line
    c.close()


def test_scram_plus(make_all):
    p = make_all()
    p.ctl("user", "add", USER, "--password-stdin", "--backend-password-stdin", stdin=f"{PASSWORD}\n{PASSWORD}\n")
    context = imap.context()
    context.maximum_version = ssl.TLSVersion.TLSv1_2  # Python knows only this binding
    for data, is_right in ((None, True), (b"another channel", False)):
        c = connect(p, "imap", "tls", context)
        binding = ("tls-unique", data or c.sock.get_channel_binding("tls-unique"))
        try:
            line = sasl.imap(c).run("SCRAM-SHA-256-PLUS", sasl.scram_sha_256(USER, PASSWORD, binding))
        except AssertionError:
            line = "a NO"
        assert line.startswith("a OK") == is_right
        c.close()


def test_a_mechanism_that_is_not_enabled(make_proxy, settings):
    settings["listeners"] = [{"name": n, "protocol": n, "allow_plaintext": True, "mechanisms": ["PLAIN"]} for n in GREETINGS]
    p = make_proxy(settings)
    p.add_user(USER, PASSWORD)
    c = connect(p, "imap", "plain")
    assert c.command("a", f"LOGIN {USER} {PASSWORD}")[-1].startswith(("a NO", "a BAD"))
    c.close()
    for protocol in GREETINGS:
        c = connect(p, protocol, "plain")
        assert DIALOGUES[protocol](c).run("LOGIN", sasl.login(USER, PASSWORD)).startswith(("a NO", "a BAD", "-ERR", "504"))
        c.close()


def test_only_what_a_provider_can_serve_is_offered(make_all, make_auth):
    p = make_all(auth=[{"type": "backend"}])
    c = connect(p, "imap", "tls")
    text = " ".join(c.command("a", "CAPABILITY"))
    assert "AUTH=PLAIN" in text and "CRAM" not in text and "SCRAM" not in text
    c.close()


def test_master_user_by_authzid(make_all):
    """PLAIN with another authorisation identity is for master users only."""
    p = make_all()
    p.add_user(USER, PASSWORD)
    c = connect(p, "imap", "plain")
    assert sasl.imap(c).run("PLAIN", sasl.plain(USER, PASSWORD, authzid=USER)).startswith("a OK")
    c.close()
    c = connect(p, "imap", "plain")
    assert sasl.imap(c).run("PLAIN", sasl.plain(USER, PASSWORD, authzid="bob@example.org")).startswith("a NO")
    c.close()


def test_master_user_of_the_pool(make_all, folder):
    path = folder + "/master-password"
    with open(path, "w") as f:
        f.write("master-secret\n")
    p = make_all(master_user="master", master_password_file=path)
    p.add_user("bob@example.org", "known to the proxy only")
    m = imap.plain(p.host, p.ports["imap"])
    m.login("bob@example.org", "known to the proxy only")
    assert m.select()[0] == "OK"
    m.logout()


# ---- tokens ----

@pytest.mark.parametrize("protocol", GREETINGS)
@pytest.mark.parametrize("mechanism", ["XOAUTH2", "OAUTHBEARER"])
def test_token_judged_by_the_auth_server(make_all, make_auth, dovecot1, protocol, mechanism, front):
    ports = {"imap": "imap", "pop3": "pop3", "smtp": "submission"}

    def answer(h):
        if h["Auth-Pass"] != TOKEN:
            return {"Auth-Status": "Token is not known", "Auth-Wait": "1"}
        return {"Auth-Status": "OK", "Auth-User": USER, "Auth-Pass": PASSWORD,
                "Auth-Server": dovecot1.host, "Auth-Port": str(dovecot1.ports[ports[protocol]])}
    auth = make_auth(answer)
    p = make_all(auth=[{"type": "http", "url": auth.url}])
    exchange = sasl.xoauth2 if mechanism == "XOAUTH2" else sasl.oauthbearer
    c = connect(p, protocol, front)
    bad = DIALOGUES[protocol](c).run(mechanism, exchange(USER, "wrong"))
    assert bad.startswith(("a NO", "-ERR", "535")), bad
    good = DIALOGUES[protocol](c).run(mechanism, exchange(USER, TOKEN))
    assert good.startswith(("a OK", "+OK", "235")), good
    c.close()
    assert auth.requests[-1]["Auth-Method"] == mechanism.lower() and auth.requests[-1]["Auth-User"] == USER
    assert TOKEN not in p.whole_log()


class TokenServer(Server):
    """An IMAP server that takes every token, and keeps what it was told."""

    def __init__(self):
        self.heard = []
        super().__init__(self.talk)

    def talk(self, client):
        file = client.makefile("rwb", buffering=0)
        file.write(b"* OK [CAPABILITY IMAP4rev1 SASL-IR AUTH=XOAUTH2 AUTH=OAUTHBEARER ID] hello\r\n")
        for line in file:
            self.heard.append(line.decode().strip())
            reply = b"OK [CAPABILITY IMAP4rev1] in" if b"AUTHENTICATE" in line else b"OK done"
            file.write(line.split()[0] + b" " + reply + b"\r\n")


@pytest.mark.parametrize("mechanism", ["XOAUTH2", "OAUTHBEARER"])
def test_token_passed_to_the_backend(make_all, mechanism):
    server = TokenServer()
    p = make_all(auth=[{"type": "backend"}], backends=[{"name": "tokens", "host": server.host, "ports": {"imap": server.port}}])
    exchange = sasl.xoauth2 if mechanism == "XOAUTH2" else sasl.oauthbearer
    c = connect(p, "imap", "tls")
    assert sasl.imap(c).run(mechanism, exchange(USER, TOKEN)).startswith("a OK")
    c.close()
    server.close()
    said = [x for x in server.heard if "AUTHENTICATE" in x]
    assert len(said) == 1 and TOKEN in base64.b64decode(re.split(r"\s+", said[0])[-1]).decode()


def test_the_auth_servers_own_words_about_a_token(make_proxy, settings, dovecot1, make_auth):
    """Auth-Error-SASL is the challenge before the failure; what is no base64 of a text is not."""
    said = {"good": base64.b64encode(b'{"status":"expired"}').decode(), "nonsense": "***", "binary": base64.b64encode(b"a\0b").decode()}
    auth = make_auth(lambda h: {"Auth-Status": "no", "Auth-Wait": "1", "Auth-Error-SASL": said[h["Auth-Pass"]]})
    settings["listeners"] = [{"name": "x", "protocol": "imap", "tls": "off", "allow_plaintext": True, "mechanisms": ["XOAUTH2"]}]
    settings["pools"] = [{"name": "main", "tls": "off", "backends": [backend(dovecot1)]}]
    settings["auth"] = [{"type": "http", "url": auth.url}]
    settings["timeouts"] = {"failure_delay": "0"}
    p = make_proxy(settings)
    c = imap.Lines(p.host, p.ports["x"])
    c.line()
    for token, words in (("good", '{"status":"expired"}'), ("nonsense", '"401"'), ("binary", '"401"')):
        first = base64.b64encode(f"user={USER}\1auth=Bearer {token}\1\1".encode()).decode()
        c.send(f"a AUTHENTICATE XOAUTH2 {first}\r\n")
        assert words in base64.b64decode(c.line()[2:]).decode()
        c.send("\r\n")
        assert c.line().startswith("a NO")
    c.close()


# ---- client certificates ----

@pytest.fixture
def certified(make_proxy, settings, dovecot1, ca, make_auth):
    def make(mode, protocol="imap", auth=None, **options):
        settings["listeners"] = [{"name": "x", "protocol": protocol, "tls": "implicit", "mechanisms": ["PLAIN", "EXTERNAL"],
                                  "tls_options": {**settings["tls"], "client_auth": mode, "client_ca": ca.cert, **options}}]
        settings["resolver"] = {"enabled": False}
        settings["pools"] = [{"name": "main", "tls": "off", "smtp_auth": True, "backends": [backend(dovecot1)]}]
        settings["auth"] = auth or [{"type": "users"}]
        return make_proxy(settings)
    return make


@pytest.fixture(scope="session")
def client_cert(ca):
    return ca.issue("alice", f"email:{USER}", usage="clientAuth")


@pytest.fixture(scope="session")
def foreign_cert(root):
    from harness import certs
    return certs.Authority(root + "/foreign", "Foreign CA").issue("mallory", f"email:{USER}", usage="clientAuth")


def test_external(certified, client_cert):
    p = certified("optional")
    p.ctl("user", "add", USER, "--no-password", "--backend-password-stdin", stdin=PASSWORD + "\n")
    c = imap.Lines(p.host, p.ports["x"], tls=imap.context(cert=client_cert[0], key=client_cert[1]))
    c.line()
    assert "AUTH=EXTERNAL" in " ".join(c.command("b", "CAPABILITY"))
    assert sasl.imap(c).run("EXTERNAL", sasl.external()).startswith("a OK")
    c.close()
    c = imap.Lines(p.host, p.ports["x"], tls=imap.context())
    c.line()
    assert "AUTH=EXTERNAL" not in " ".join(c.command("b", "CAPABILITY"))
    assert sasl.imap(c).run("EXTERNAL", sasl.external(USER)).startswith(("a NO", "a BAD"))
    c.close()


@pytest.mark.parametrize("protocol,words", [
    ("imap", (b"* BYE", b"* BYE")), ("pop3", (b"-ERR", b"-ERR")), ("smtp", (b"421 4.7.1", b"421 4.7.1"))])
def test_certificate_trouble_is_said_in_the_protocol(certified, protocol, words, foreign_cert, client_cert):
    p = certified("required", protocol)
    c = imap.Lines(p.host, p.ports["x"], tls=imap.context())
    text = c.rest()
    assert text.startswith(words[0]) and b"No required SSL certificate" in text
    c.close()
    c = imap.Lines(p.host, p.ports["x"], tls=imap.context(cert=foreign_cert[0], key=foreign_cert[1]))
    text = c.rest()
    assert text.startswith(words[1]) and b"SSL certificate error" in text
    c.close()
    c = imap.Lines(p.host, p.ports["x"], tls=imap.context(cert=client_cert[0], key=client_cert[1]))
    assert c.line().startswith(GREETINGS[protocol])
    c.close()


def test_optional_no_ca(certified, foreign_cert):
    p = certified("optional_no_ca")
    c = imap.Lines(p.host, p.ports["x"], tls=imap.context(cert=foreign_cert[0], key=foreign_cert[1]))
    assert c.line().startswith("* OK")
    assert "AUTH=EXTERNAL" not in " ".join(c.command("b", "CAPABILITY"))
    c.close()


def test_revoked(certified, ca, root, folder):
    import subprocess
    cert, key = ca.issue("revoked", f"email:{USER}", usage="clientAuth")
    config = folder + "/ca.conf"
    with open(config, "w") as f:
        f.write(f"[ca]\ndefault_ca=x\n[x]\ndatabase={folder}/index\ncrlnumber={folder}/number\ndefault_md=sha256\ndefault_crl_days=30\n")
    open(folder + "/index", "w").close()
    with open(folder + "/number", "w") as f:
        f.write("01\n")
    base = ["openssl", "ca", "-config", config, "-cert", ca.cert, "-keyfile", ca.key]
    subprocess.run([*base, "-revoke", cert], check=True, capture_output=True)
    subprocess.run([*base, "-gencrl", "-out", folder + "/crl.pem"], check=True, capture_output=True)
    p = certified("required", client_crl=folder + "/crl.pem")
    c = imap.Lines(p.host, p.ports["x"], tls=imap.context(cert=cert, key=key))
    assert b"SSL certificate error" in c.rest()
    c.close()


def test_certificate_reaches_the_auth_server(certified, make_auth, client_cert, dovecot1):
    auth = make_auth(lambda h: {"Auth-Status": "OK", "Auth-Server": dovecot1.host, "Auth-Port": str(dovecot1.ports["imap"]),
                                "Auth-User": USER, "Auth-Pass": PASSWORD})
    p = certified("required", auth=[{"type": "http", "url": auth.url, "client_cert": True}])
    c = imap.Lines(p.host, p.ports["x"], tls=imap.context(cert=client_cert[0], key=client_cert[1]))
    c.line()
    assert sasl.imap(c).run("EXTERNAL", sasl.external()).startswith("a OK")
    c.close()
    h = auth.requests[0]
    assert h["Auth-Method"] == "external" and h["Auth-Ssl-Verify"] == "SUCCESS" and "alice" in h["Auth-Ssl-Subject"]
    assert "Test CA" in h["Auth-Ssl-Issuer"] and re.fullmatch("[0-9a-f]{40}", h["Auth-Ssl-Fingerprint"])
    assert h["Auth-Ssl-Cert"].startswith("-----BEGIN%20CERTIFICATE-----%0A") and h["Auth-Pass"] == ""
