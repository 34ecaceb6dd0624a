# SPDX-License-Identifier: ISC
"""A store that loses everything while an engine has many users and others log in: until when is all told again, and who waits meanwhile?"""
import dataclasses
import itertools
import os
import time

from . import prometheus, redis, wait
from .crowd import Crowd
from .pinned import MailServers

REGULARS = [f"regular{i}@example.org" for i in range(50)]  # who log in meanwhile
# The sum over all users of what the store counts, in pieces that hold up nobody.
COUNT = ("local at, n, keys = ARGV[1], 0, nil repeat local r = redis.call('SCAN', at, 'MATCH', 'mp:mail:u:*', 'COUNT', 1000) at, keys = r[1], r[2] "
         "for _, k in ipairs(keys) do local all = redis.call('HGETALL', k) for i = 1, #all, 2 do if all[i]:sub(1, 2) == 'h:' then "
         "n = n + all[i + 1] end end end until true return {at, n}")


def counted(store):
    at, total = "0", 0
    while True:
        at, n = store.lines("EVAL", COUNT, "0", at)
        total += int(n)
        if at == "0":
            return total


@dataclasses.dataclass
class Recovered:
    told_s: float     # until every user was in the store again
    logins: int
    refused: list     # answers
    longest_ms: float
    failed_open: int  # logins that went on without the store
    control_ms: float  # the longest turn of the control thread, CPU time
    workers_ms: float


class Site:
    """An engine with made-up sessions, of as many users as there are (nearly), in a fleet of its own."""

    def __init__(self, folder, sessions):
        self.servers = MailServers(4)
        self.store = redis.RedisServer(os.path.join(folder, "redis"), "store").start()
        self.sessions = sessions
        self.crowd = Crowd(os.path.join(folder, "crowd"), {
            "node": "px1",
            "log": [{"target": "stderr", "level": "warn"}],
            "listeners": [{"name": "imap", "protocol": "imap", "tls": "off", "allow_plaintext": True}],
            "auth": [{"type": "backend"}],
            "resolver": {"enabled": False},
            "fleet": redis.fleet(folder, self.store, heartbeat="500ms"),
            "pools": [{"name": "main", "tls": "off", "check": {"enabled": False}, "backends": self.servers.backends()}],
        }, sessions, users=1000 * sessions)

    def __enter__(self):
        self.crowd.start()
        wait.until(lambda: self.keys() >= self.metric("mailproxy_fleet_pins") > 0, "all users to be told for the first time", 180, 0.2)
        return self

    def __exit__(self, *_):
        self.crowd.stop()
        self.store.close()
        self.servers.close()

    def metric(self, name, **labels):
        return prometheus.parse(self.crowd.ctl("system", "metrics")["text"])[name].value(**labels)

    def keys(self):
        return int(self.store.cli("DBSIZE"))

    def recover(self, per_second):
        crowd = self.crowd
        users = self.metric("mailproxy_fleet_pins")
        open_before = self.metric("mailproxy_fleet_failopen_total", feature="pin")
        logins = ((crowd.host, crowd.ports["imap"], user) for user in itertools.cycle(REGULARS))
        crowd.turns()
        self.store.cli("FLUSHALL")
        began = time.monotonic()
        steady = self.servers.log_in_steadily(logins, per_second, lambda: self.keys() >= users)
        told_s = time.monotonic() - began
        control_ms, workers_ms = crowd.turns()
        # The regulars' sessions are over by then, all others counted once.
        wait.until(lambda: counted(self.store) == self.sessions, "the right sum of sessions in the store", step=0.2)
        return Recovered(told_s, steady.n, [c.answer for c in steady.refused], steady.longest * 1000,
                         self.metric("mailproxy_fleet_failopen_total", feature="pin") - open_before, control_ms, workers_ms)
