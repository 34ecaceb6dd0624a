# SPDX-License-Identifier: ISC
"""What `make check` counts of pytest: each test once."""
import os


def counts(stats):
    """(passed, failed) of the terminal reporter's reports by kind; a test that passed and could not be cleaned up failed."""
    failed = {report.nodeid for kind in ("failed", "error") for report in stats.get(kind, [])}
    passed = {report.nodeid for report in stats.get("passed", [])} - failed
    return len(passed), len(failed)


def pytest_terminal_summary(terminalreporter):
    """Adds a line "PASSED FAILED" to the file that CHECK_COUNTS names. The workers of pytest-xdist report to their controller,
    which has all the tests: only it counts."""
    path = os.environ.get("CHECK_COUNTS")
    if path and not hasattr(terminalreporter.config, "workerinput"):
        with open(path, "a", encoding="ascii") as f:
            f.write("%d %d\n" % counts(terminalreporter.stats))
