#!/usr/bin/python3
# SPDX-License-Identifier: ISC
"""Moves mailboxes from one Dovecot to another by user move --exec and doveadm backup while clients write into them, and tells figures.

    tests/bench/move_mailboxes.py [--users 200] [--parallel 4] [--clients 8]
"""
import argparse
import os
import shutil
import sys
import tempfile
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "e2e"))
from harness.mailboxes import Load, Mailboxes  # noqa: E402


def main():
    args = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    args.add_argument("--users", type=int, default=200)
    args.add_argument("--parallel", type=int, default=4)
    args.add_argument("--clients", type=int, default=8)
    args = args.parse_args()
    folder = tempfile.mkdtemp(prefix="mailproxy-move-", dir="/tmp")
    boxes = Mailboxes(folder, args.users)
    try:
        load = Load(boxes, args.clients)
        while load.n_mails < args.users:
            time.sleep(0.1)
        begun = time.monotonic()
        done = boxes.move("--parallel", str(args.parallel), timeout=900)
        took = time.monotonic() - begun
        load.stop()
        print((done.stdout + done.stderr).strip())
        rows = boxes.proxy.ctl("op", "users", boxes.proxy.ctl("op", "list", "kind=move")[-1]["id"])
        held = sorted(r["held"] for r in rows)
        print(f"{args.users} mailboxes, {args.parallel} at a time, {args.clients} clients: {took:.1f} s")
        print(f"held: median {held[len(held) // 2]} ms, 95 % {held[len(held) * 95 // 100]} ms, longest {held[-1]} ms")
        print(f"load: {load.n_logins} logins, slowest {load.slowest:.2f} s; {load.n_mails} mails acknowledged; "
              f"{len(load.refused)} logins refused")
        print(f"mails in the mailboxes afterwards: {boxes.check()}; none lost, none twice")
        return done.returncode
    finally:
        boxes.close()
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main())
