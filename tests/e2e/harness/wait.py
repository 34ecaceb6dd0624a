# SPDX-License-Identifier: ISC
"""Waiting for conditions, never for time."""
import time

TIMEOUT = 30


def until(condition, what, timeout=TIMEOUT, step=0.02):
    """Calls condition until it returns something true, which is returned."""
    end = time.monotonic() + timeout
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise AssertionError(f"waited {timeout} s in vain for {what}")
        time.sleep(step)
