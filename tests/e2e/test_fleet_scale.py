# SPDX-License-Identifier: ISC
"""Many nodes and users of a fleet on one store: counted right, told again when it has lost everything, and no login waits for that.
`make fleet-scale` measures the same with 50 nodes, 1,000,000 users and 100,000 of one node."""
import json
import os
import subprocess

import pytest
from harness import redis
from harness.proxy import BUILD, IS_SANITIZED, SANITIZERS
from harness.recovery import Site

pytestmark = pytest.mark.skipif(redis.missing() is not None, reason=str(redis.missing()))

SESSIONS = 5000
TURN_MS = 15  # see test_scale.py


@pytest.fixture
def store(folder):
    s = redis.RedisServer(os.path.join(folder, "store")).start()
    yield s
    s.close()


@pytest.mark.parametrize("balance", ["user", "random"])
def test_nodes_without_proxies(store, balance):
    """The daemon's own scripts of ten nodes; the program says what it counts otherwise than the store."""
    done = subprocess.run([os.path.join(BUILD, "scale", "fleet"), f"server=unix:{store.socket}", "nodes=10", "users=2000", "heartbeat_ms=100", "show=1",
                           "again=0", f"balance={balance}"], capture_output=True, text=True, timeout=120, env={**os.environ, **SANITIZERS})
    assert done.returncode == 0, done.stdout + done.stderr
    phases = {p["phase"]: p for p in map(json.loads, done.stdout.splitlines())}
    assert phases["second login"]["elsewhere"] == 0 and phases["recovery"]["n"] >= 3900
    if balance == "user":
        assert phases["recovery"]["elsewhere"] == 0 and phases["once more"]["conflicts"] == 0


def test_all_told_again_while_users_log_in(folder):
    with Site(folder, SESSIONS) as site:
        found = site.recover(200)
        assert found.refused == [] and found.logins > 0
        if not IS_SANITIZED:
            assert found.control_ms < TURN_MS and found.workers_ms < TURN_MS
