# SPDX-License-Identifier: ISC
"""Many graceful ends of sessions whose clients come back and do again what had no answer: how many mails are there twice, or lost?
Dovecot serves IMAP, POP3 and ManageSieve; an SMTP server takes 0.7 s for each mail.
usage: graceful.py --build BUILD [--ends N] [--clients N] [--protocols imap pop3 smtp sieve]"""
import argparse
import os
import shutil
import sys
import tempfile
import threading
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "e2e"))
sys.dont_write_bytecode = True
SLOW = 0.7
MAILS = 30  # of each POP3 user at first


def prepare(dovecot, protocol, users):
    from harness import imap
    for user in users:
        if protocol in ("imap", "pop3"):
            for n in range(MAILS):
                dovecot.deliver(user, f"mail {n}", ("x" * 70 + "\r\n") * 100)
        if protocol == "imap":
            m = imap.plain(dovecot.host, dovecot.ports["imap"])
            m.login(user, "pw")
            m.create("Sent")
            m.logout()


def run(proxy, dovecot, slow, protocol, options, users):
    """One line of figures; True when nobody was hurt."""
    from harness.retrying import CLIENTS, Operator, judge
    prepare(dovecot, protocol, users)
    stop = threading.Event()
    clients = [CLIENTS[protocol](proxy, user, "pw", n, stop) for n, user in enumerate(users)]
    begin = time.monotonic()
    for c in clients:
        c.thread.start()
    operator = Operator(proxy, protocol)
    try:
        operator.run(options.ends)
    finally:
        stop.set()
        for c in clients:
            c.thread.join(90)
    took = time.monotonic() - begin
    alive = sum(c.thread.is_alive() for c in clients)
    hurt = judge(clients, slow)
    done = sum(len(c.done) for c in clients)
    print(f"{protocol}: {operator.ended} ends in {took:.0f} s, {operator.clean} clean, {operator.cut} commands cut; {done} attempts answered, "
          f"{len(hurt.twice)} done without an answer (twice), {len(hurt.lost)} lost, {hurt.truncated} replies lost, "
          f"{len(hurt.wrong)} else, {alive} clients hang", flush=True)
    for text in hurt.wrong[:5]:
        print("   ", text)
    return not hurt and not alive and operator.cut == 0


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--build", required=True)
    parser.add_argument("--ends", type=int, default=1000, help="of each protocol")
    parser.add_argument("--clients", type=int, default=12)
    parser.add_argument("--protocols", nargs="*", default=["imap", "pop3", "sieve", "smtp"])
    options = parser.parse_args()
    os.environ["MAILPROXY_BUILD"] = os.path.abspath(options.build)
    from harness.dovecot import Dovecot
    from harness.proxy import Proxy
    from harness.retrying import SlowSmtp
    folder = tempfile.mkdtemp(prefix="mailproxy-graceful-", dir="/tmp")
    os.chmod(folder, 0o755)
    users = [f"u{n}@example.org" for n in range(options.clients)]
    slow = SlowSmtp(SLOW)
    os.makedirs(folder + "/dc1")
    dovecot = Dovecot(folder + "/dc1", "dc1", {u: "pw" for u in users}).start()
    proxy = Proxy(folder + "/proxy", {
        "listeners": [{"name": p, "protocol": p, "tls": "off", "allow_plaintext": True, **({"pool": "mx"} if p == "smtp" else {})}
                      for p in ("imap", "pop3", "sieve", "smtp")],
        "auth": [{"type": "users"}],
        "pools": [{"name": "main", "tls": "off",
                   "backends": [{"name": "dc1", "host": dovecot.host, "ports": {p: dovecot.ports[p] for p in ("imap", "pop3", "sieve")}}]},
                  {"name": "mx", "tls": "off", "backends": [{"name": "mx", "host": slow.host, "ports": {"smtp": slow.port}}]}]}).start()
    try:
        for user in users:
            proxy.add_user(user, "pw")
        good = [run(proxy, dovecot, slow, p, options, users) for p in options.protocols]
        print("graceful ends: " + ("passed" if all(good) else "FAILED"))
        return 0 if all(good) else 1
    finally:
        proxy.stop()
        dovecot.close()
        slow.close()
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main())
