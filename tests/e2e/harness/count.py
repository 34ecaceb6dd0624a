# SPDX-License-Identifier: ISC
"""What `make check` counts of pytest: each test once."""
import os

# Words of a failure that no lack of time explains: what a sanitizer or the list of system calls found.
NO_CHANCE = ("Sanitizer", "runtime error:", "unlisted system call", "session-bad-transition", "ended with")


def outcomes(stats):
    """(passed, failed) sets of the terminal reporter's reports by kind; a test that passed and could not be cleaned up failed."""
    failed = {report.nodeid for kind in ("failed", "error") for report in stats.get(kind, [])}
    return {report.nodeid for report in stats.get("passed", [])} - failed, failed


def may_be_chance(stats):
    """Could all that failed have failed for want of time?"""
    texts = [report.longreprtext for kind in ("failed", "error") for report in stats.get(kind, [])]
    return not any(word in text for word in NO_CHANCE for text in texts)


def pytest_terminal_summary(terminalreporter):
    """Adds a line "PASSED FAILED" to the file that CHECK_COUNTS names, and writes the failed ones into the file that CHECK_FAILED
    names, where they may be tried again. The workers of pytest-xdist report to their controller, which has all the tests: only it counts."""
    path = os.environ.get("CHECK_COUNTS")
    if not path or hasattr(terminalreporter.config, "workerinput"):
        return
    passed, failed = outcomes(terminalreporter.stats)
    with open(path, "a", encoding="ascii") as f:
        f.write(f"{len(passed)} {len(failed)}\n")
    with open(os.environ["CHECK_FAILED"], "w", encoding="utf-8") as f:
        f.writelines(f"{name}\n" for name in sorted(failed) if may_be_chance(terminalreporter.stats))
