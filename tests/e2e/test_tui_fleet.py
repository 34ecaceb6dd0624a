# SPDX-License-Identifier: ISC
"""The dashboard's screen of a fleet: who is there, and users on two backends."""
import pytest
from conftest import site_settings
from harness import redis, wait
from tui_case import login, open_screen  # noqa: F401

NODES = ("px1", "px2")
USER = "u1@example.org"


@pytest.fixture
def fleet(make_proxy, folder, shared_store, dovecot1, dovecot2, server_cert):
    """Two nodes, which were told different things about a user while they were alone."""
    made = [make_proxy({**site_settings(dovecot1, dovecot2, server_cert), "node": name,
                        "fleet": redis.fleet(folder, shared_store, heartbeat="500ms", timeout="500ms")}) for name in NODES]
    for p, backend in zip(made, (dovecot1, dovecot2)):
        p.add_user(USER, "pw", backend=backend.name)
    wait.until(lambda: all(len(p.ctl("fleet", "list")) == 2 for p in made), "nodes that know each other")
    return made


def test_nodes(fleet, open_screen):  # noqa: F811
    one, two = fleet
    s = open_screen("-s", one.control, "-i", "250ms", size=(150, 40))
    s.until(r"9 groups  0 fleet")
    s.keys("0")
    s.until(r"^ px1 +serving .* this node ")
    s.until(r"^ px2 +serving ")
    s.keys("Down", "Enter")
    s.until(r"^ nodes .* fleet px2#")
    s.until(r"^ node +px2 +state +serving")
    s.until(r"^ fleet +mail")
    s.keys("q")
    two.ctl("fleet", "leave")
    s.until(r"^ px2 +leaving ")
    s.keys("Tab")
    s.until("busiest users")
    s.keys("BTab")
    s.until(r"^ px1 +serving ")


def test_all_nodes_in_one_view(fleet, open_screen):  # noqa: F811
    """Each of them knows all: they are listed once."""
    s = open_screen("-s", fleet[0].control, "-s", fleet[1].control, "-i", "250ms", size=(150, 40))
    s.until(r"^ 2 daemons  mailproxy")
    s.until(r"0 fleet")
    s.keys("0")
    s.until(r"^ nodes  2$")


def test_conflicts(fleet, shared_store, open_screen):  # noqa: F811
    one, two = fleet
    shared_store.kill()
    wait.until(lambda: all("store is away" in p.ctl("system", "status").get("trouble", "") for p in fleet), "the store to be missed")
    clients = [login(one, USER), login(two, USER)]
    shared_store.start()
    loser = wait.until(lambda: next((p for p in fleet if p.ctl("fleet", "conflicts")), None), "a user on two backends")
    s = open_screen("-s", loser.control, "-i", "250ms", size=(150, 40))
    s.until("0 fleet")
    s.keys("0")
    s.until(rf"^ {USER} +main +\S+ +1 +\S+ ")
    s.keys("o", "x")
    s.until("End the sessions of")
    s.until("where the user belongs")
    s.keys("y")
    s.until("no user has sessions on two backends")
    wait.until(lambda: not loser.ctl("session", "list"), "its end")
    assert len((two if loser is one else one).ctl("session", "list")) == 1
    for c in clients:
        c.close()


def test_without_a_fleet(make_proxy, settings, open_screen):  # noqa: F811
    p = make_proxy(settings)
    s = open_screen("-s", p.control, "-i", "250ms", size=(150, 40))
    s.until(r"9 groups *$")
    s.keys("0")
    s.keys("9")
    s.until("no sessions")
    s.keys("Tab")
    s.until("busiest users")
