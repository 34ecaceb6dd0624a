# SPDX-License-Identifier: ISC
"""Fixtures: two Dovecots and a CA for all tests of a run, a proxy for each test that wants one."""
import contextlib
import itertools
import os
import shutil
import tempfile

import pytest
from harness import certs, dovecot, postfix, redis
from harness.authserver import AuthServer
from harness.count import pytest_terminal_summary  # noqa: F401
from harness.proxy import Proxy


USERS = {"alice@example.org": "secret-a", "bob@example.org": "secret-b", "carol@example.org": "secret-c",
         "dave@example.org": 'pa ss"w\\ord', "u1@example.org": "pw", "u2@example.org": "pw",
         **{f"g{n}@example.org": "pw" for n in range(1, 5)}}  # their mailboxes are written into
MASTER = ("master", "master-secret")


# The files that take longest begin first: else one of them is all that is left at the end, and all processors but one have nothing to do.
LONGEST = ("tui", "tui_robust", "operations", "tui_several", "relay", "engines", "limits", "trace", "tls_directory", "scale", "security", "crash",
           "backends", "load", "upgrade", "fleet_pins", "fleet_nodes", "fleet_commands", "reload_storm", "control", "hostile_engine", "store_trouble")


def pytest_collection_modifyitems(items):
    places = {f"test_{name}.py": i for i, name in enumerate(LONGEST)}
    items.sort(key=lambda item: places.get(item.path.name, len(places)))  # stable: a file's tests stay together and in their order


@pytest.fixture(scope="session")
def root(request):
    """Not below pytest's own folder: each run of pytest closes that one to others, and the mail servers need a way in."""
    folder = tempfile.mkdtemp(prefix="mailproxy-")
    os.chmod(folder, 0o755)
    yield folder
    # What failed is looked into.
    if not request.session.testsfailed:
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def ca(root):
    return certs.Authority(os.path.join(root, "ca"))


@pytest.fixture(scope="session")
def server_cert(ca):
    return ca.issue("proxy.test", "DNS:proxy.test,DNS:localhost,IP:127.0.0.1")


def _dovecot(root, ca, name):
    folder = os.path.join(root, name)
    os.makedirs(folder)
    cert, key = ca.issue(f"{name}.test", f"DNS:{name}.test,DNS:localhost")
    os.chmod(key, 0o644)
    d = dovecot.Dovecot(folder, name, USERS, cert, key, master=MASTER)
    for user in USERS:
        d.deliver(user, f"Welcome to {name}", f"This is {name}.")
    return d.start()


@pytest.fixture(scope="session")
def dovecot1(root, ca):
    d = _dovecot(root, ca, "dc1")
    yield d
    d.close()


@pytest.fixture(scope="session")
def dovecot2(root, ca):
    d = _dovecot(root, ca, "dc2")
    yield d
    d.close()


@pytest.fixture(scope="session")
def mta(root, ca, dovecot1):
    """A Postfix that delivers into the first Dovecot's mailboxes."""
    why = postfix.missing()
    if why:
        pytest.skip(why)
    folder = os.path.join(root, "mta")
    os.makedirs(folder)
    p = postfix.Postfix(folder, dovecot1, *ca.issue("mx.test", "DNS:mx.test,DNS:localhost")).start()
    yield p
    p.close()


def mail_server(p):
    """A backend entry for a Postfix."""
    return {"name": "mx", "host": p.host, "ports": {"smtp": p.port}}


_numbers = itertools.count(1)


@pytest.fixture
def folder(root):
    path = os.path.join(root, f"t{next(_numbers)}")
    os.makedirs(path)
    return path


@contextlib.contextmanager
def proxies(folder):
    """make(settings) starts a proxy; all of them are stopped, and checked, at the end."""
    made = []

    def make(settings, start=True):
        p = Proxy(os.path.join(folder, f"proxy{len(made)}"), settings)
        made.append(p)
        return p.start() if start else p

    try:
        yield make
    finally:
        for p in made:
            p.begin_stop()
        for p in made:
            p.stop()


@pytest.fixture
def make_proxy(folder):
    """make_proxy(settings): see proxies."""
    with proxies(folder) as make:
        yield make


@pytest.fixture(scope="module")
def shared_folder(root):
    """One for all tests of a file."""
    path = os.path.join(root, f"t{next(_numbers)}")
    os.makedirs(path)
    return path


@pytest.fixture(scope="module")
def shared_store(shared_folder):
    """The store of a fleet that the tests of a file share."""
    why = redis.missing()
    if why:
        pytest.skip(why)
    r = redis.RedisServer(shared_folder).start()
    yield r
    r.close()


@pytest.fixture(scope="module")
def make_shared_proxy(shared_folder):
    """The same for proxies that the tests of a file share: each test leaves them as it found them."""
    with proxies(shared_folder) as make:
        yield make


@pytest.fixture
def make_auth():
    """make_auth(answer) starts an auth server."""
    made = []

    def make(answer, host=None):
        made.append(AuthServer(answer, host))
        return made[-1]

    yield make
    for a in made:
        a.close()


def backend(d, **more):
    """A backend entry for a Dovecot."""
    p = d.ports
    return {"name": d.name, "host": d.host,
            "ports": {"imap": p["imap"], "pop3": p["pop3"], "smtp": p["submission"], "sieve": p["sieve"]}, **more}


@pytest.fixture
def settings(dovecot1, dovecot2, server_cert):
    """A configuration with one listener of each kind and both Dovecots in one pool."""
    return site_settings(dovecot1, dovecot2, server_cert)


@pytest.fixture
def two_pools(make_proxy, settings, dovecot1, dovecot2):
    """A proxy with a pool for each Dovecot, `one` the default and `two` by a route of example.net, and the user u1@example.org."""
    settings["pools"] = [{"name": name, "tls": "off", "backends": [backend(d)]} for name, d in (("one", dovecot1), ("two", dovecot2))]
    settings["routes"] = [{"domain": "example.net", "pool": "two"}]
    p = make_proxy(settings)
    p.add_user("u1@example.org", "pw")
    return p


def site_settings(dovecot1, dovecot2, server_cert):
    cert, key = server_cert
    return {
        "tls": {"certificates": [{"cert": cert, "key": key}]},
        "listeners": [
            {"name": "imap", "protocol": "imap", "tls": "starttls", "allow_plaintext": True},
            {"name": "imaps", "protocol": "imap", "tls": "implicit"},
        ],
        "auth": [{"type": "users"}],
        "pools": [{"name": "main", "tls": "off", "backends": [backend(dovecot1), backend(dovecot2)]}],
    }
