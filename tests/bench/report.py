# SPDX-License-Identifier: ISC
"""From measurements to a table that reads well on a terminal and as Markdown."""
import datetime
import os
import platform
import statistics
import subprocess


def _first_line(argv):
    try:
        done = subprocess.run(argv, capture_output=True, text=True, check=False)
    except OSError:
        return "not installed"
    return (done.stdout or done.stderr).strip().splitlines()[0]


def machine(build):
    """Where the numbers come from."""
    with open("/proc/cpuinfo") as f:
        model = next((line.partition(":")[2].strip() for line in f if line.startswith("model name")), platform.machine())
    return {
        "date": datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%d %H:%M UTC"),
        "cpu": f"{os.cpu_count()} x {model}",
        "kernel": platform.release(),
        "mailproxyd": _first_line([os.path.join(build, "mailproxyd"), "-V"]),
        "GnuTLS": _first_line(["pkg-config", "--modversion", "gnutls"]),
        "nginx": _first_line(["/usr/sbin/nginx", "-v"]).rpartition("/")[2],
        "HAProxy": _first_line(["/usr/sbin/haproxy", "-v"]).split()[-1 if not os.path.exists("/usr/sbin/haproxy") else 2],
        "Dovecot": _first_line(["/usr/sbin/dovecot", "--version"]).split()[0],
        "OpenSSL": _first_line(["openssl", "version"]).split()[1],
    }


def median(cell):
    """Of a list of measurements; None when there is none."""
    values = [m["value"] for m in cell or [] if "value" in m]
    return statistics.median(values) if values else None


def number(x):
    return f"{x:.0f}" if x >= 100 else f"{x:.1f}" if x >= 10 else f"{x:.2f}"


def _cell(cell):
    values = [m["value"] for m in cell or [] if "value" in m]
    if not values:
        return "-"
    text = number(statistics.median(values))
    spread = "" if len(values) == 1 else f" ({number(min(values))}-{number(max(values))})"
    user = [m["user"] for m in cell if "user" in m]
    return text + spread + (f", {number(statistics.median(user))} user" if user else "")


def ratio_of(ours, others):
    """The median of the ratios of each round; None when no round has both. Two measurements of one round are seconds apart, so that what the machine does
    to one it does to the other: their ratio scatters less than the medians of all rounds do."""
    ratios = [a["value"] / b["value"] for a, b in zip(ours or [], others or []) if "value" in a and b.get("value")]
    return statistics.median(ratios) if ratios else None


def judge(row, cells):
    """(ratio to nginx, goal, whether it is met), each None when it cannot be said."""
    ours = median(cells.get("mailproxyd"))
    ratio = ratio_of(cells.get("mailproxyd"), cells.get("nginx"))
    goal = f"≤ {row.ratio} × nginx" if row.ratio else f"≤ {row.most}" if row.most else None
    measured, limit = (ratio, row.ratio) if row.ratio else (ours, row.most)
    return ratio, goal, None if measured is None or limit is None else measured <= limit


def notes(rows, results):
    """Why cells are empty, or lack a round."""
    for row in rows:
        for peer, cell in results.get(row.name, {}).items():
            why = next((m["why"] for m in cell if "why" in m), None)
            if why:
                yield f"{row.text}, {peer}: {why}"


def table(rows, results, peers):
    """Lines of a Markdown table: medians with their spread."""
    head = ["work", "unit"] + peers + ["× nginx", "goal", "met"]
    lines = [head]
    for row in rows:
        cells = results.get(row.name, {})
        ratio, goal, is_met = judge(row, cells)
        lines.append([row.text, row.unit] + [_cell(cells.get(p)) for p in peers] +
                     [f"{ratio:.2f}" if ratio else "-", goal or "", {True: "yes", False: "NO", None: ""}[is_met]])
    widths = [max(len(line[i]) for line in lines) for i in range(len(head))]
    lines.insert(1, ["-" * w for w in widths])
    return ["| " + " | ".join(text.ljust(w) for text, w in zip(line, widths)) + " |" for line in lines]
