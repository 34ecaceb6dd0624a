# SPDX-License-Identifier: ISC
"""What the nodes of a fleet have as one beside pins and commands: the secret of TLS tickets, and users."""
import copy
import os

import pytest
from harness import certs, redis, wait

pytestmark = pytest.mark.skipif(redis.missing() is not None, reason=str(redis.missing()))


@pytest.fixture
def store(folder):
    s = redis.RedisServer(os.path.join(folder, "redis")).start()
    yield s
    s.close()


@pytest.fixture
def make_node(make_proxy, settings, folder, store):
    """make_node(name, **keys of the group): a proxy of the fleet."""
    def make(name, **more):
        return make_proxy({**copy.deepcopy(settings), "node": name, "fleet": redis.fleet(folder, store, beat="200ms", **more)})
    return make


# ---- the secret of TLS tickets ----

def can_resume(one, other):
    return certs.can_resume(one, other) and certs.can_resume(other, one)


def test_tickets(make_node, store):
    """A client resumes at one node what it began at another, whatever happens to the store."""
    one, other = make_node("px1"), make_node("px2")
    wait.until(lambda: can_resume(one, other), "one secret for both")
    store.cli("FLUSHALL")
    wait.until(lambda: store.cli("EXISTS", "mp:mail:tickets") == "1", "the secret to be there again")
    assert can_resume(one, other)
    assert 86_000_000 < int(store.cli("PTTL", "mp:mail:tickets")) <= 86_400_000
    # What somebody else puts there changes nothing, nor does a store that is away.
    store.cli("SET", "mp:mail:tickets", "x" * 101)
    store.cli("CLIENT", "KILL", "TYPE", "normal")  # who comes back looks at once
    for p in (one, other):
        p.wait_for_log("fleet-tickets-refused")
    assert can_resume(one, other)
    store.kill()
    assert can_resume(one, other)
    other.settings["fleet"]["tickets"] = False
    other.configure({})
    other.ctl("config", "reload")
    assert not certs.can_resume(one, other)
