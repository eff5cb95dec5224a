"""Turns what was measured into rows, and rows into a table."""

import pathlib
import platform
import statistics

from targets import MANY, MANY_BOUND, WORKS

COLUMNS = ("host", "passthrough_hp", "bindfs", "mergerfs", "file_region")


def per_operation(samples):
    """Median of seconds for one operation."""
    return statistics.median(s["seconds"] / s["count"] for s in samples)


def ratio(samples, other):
    """How many times as fast as the other: median over the rounds, each pair measured side by side."""
    return statistics.median(
        (o["seconds"] / o["count"]) / (p["seconds"] / p["count"]) for p, o in zip(samples["pmemfs"], samples[other]))


def row(key, figure, samples):
    ratios = {s: ratio(samples, s) for s in COLUMNS if samples.get(s)}
    reached = {s: ratios[s] >= least for s, least in figure.targets.items() if s in ratios}
    return {
        "key": key, "title": figure.title, "ratios": ratios, "targets": figure.targets, "reached": all(reached.values()),
        "seconds_each": {s: per_operation(v) for s, v in samples.items() if v},
        "rounds": len(samples["pmemfs"]),
    }


def rows(measured):
    return [
        row(key, figure, measured[key])
        for work in WORKS for key, figure in work.figures.items() if measured.get(key, {}).get("pmemfs")
    ]


def many_rows(measured):
    """`measured`: work → system → one list of figures."""
    out = []
    for work, systems in measured.items():
        for system, figures in systems.items():
            took = {f["name"]: f["seconds"] / f["count"] for f in figures}
            slower = {op: took[f"{op}_last"] / took[f"{op}_first"] for op in ("create", "stat", "unlink")}
            out.append({"work": work, "title": MANY[work], "system": system, "slower": slower, "bound": MANY_BOUND,
                        "reached": max(slower.values()) <= MANY_BOUND, "seconds_each": took})
    return out


def show_time(seconds):
    for unit, size in (("s", 1), ("ms", 1e-3), ("µs", 1e-6)):
        if seconds >= size:
            return f"{seconds / size:.3g} {unit}"
    return f"{seconds * 1e9:.0f} ns"


def show_targets(targets):
    return ", ".join(f"{'hp' if s == 'passthrough_hp' else s} {least:g}" for s, least in targets.items())


def cells(r):
    return [r["title"], show_time(r["seconds_each"]["pmemfs"]),
            *(f"{r['ratios'][c]:.2f}" if c in r["ratios"] else "–" for c in COLUMNS),
            show_targets(r["targets"]), "yes" if r["reached"] else "**no**"]


HEAD = ["work", "pmemfs", *COLUMNS, "to reach", "reached"]


def many_cells(m):
    return [m["title"], m["system"], *(f"{m['slower'][op]:.2f}" for op in ("create", "stat", "unlink")),
            f"{m['bound']:g}", "yes" if m["reached"] else "**no**"]


MANY_HEAD = ["many files", "system", "create", "stat", "unlink", "at most", "reached"]


def as_markdown(head, lines):
    rule = ["---"] + ["---:"] * (len(head) - 1)
    return "\n".join("| " + " | ".join(line) + " |" for line in [head, rule, *lines])


def as_text(head, lines):
    plain = [[c.replace("**", "") for c in line] for line in [head, *lines]]
    widths = [max(len(line[i]) for line in plain) for i in range(len(head))]
    return "\n".join("  ".join(c.ljust(w) if i == 0 else c.rjust(w) for i, (c, w) in enumerate(zip(line, widths)))
                     for line in plain)


def machine():
    """Of what a reader can use; no names."""
    info = pathlib.Path("/proc/cpuinfo").read_text().splitlines()
    models = [line.split(":", 1)[1].strip() for line in info if line.startswith("model name")]
    return {"cpu": models[0] if models else platform.machine(), "cores": len(models),
            "kernel": platform.release().split("-")[0]}


def print_tables(result, markdown):
    draw = as_markdown if markdown else as_text
    if result["rows"]:
        print(draw(HEAD, [cells(r) for r in result["rows"]]))
    if result["many"]:
        print()
        print(draw(MANY_HEAD, [many_cells(m) for m in result["many"]]))
