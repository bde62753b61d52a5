"""Reports: joining them, and the tables. A number that was not measured is never shown, nor a ratio of it."""
import statistics

from .ours import CONFIGURATIONS, ENOUGH_STEPS, step_label
from .peers import VARIANTS

MISSING = "not measured"
KEYS = {"step": "way", "peers": "variant", "beside": "what"}  # of a row of a part, beside "tf32"
# Of a first-order search step: what, key, largest value, how it is shown.
PROMISES = [("step in float32 of at most 80 ms", False, "median_ms", 80, "{:.2f} ms"),
            ("step in TF32 of at most 7 ms", True, "median_ms", 7, "{:.2f} ms"),
            ("at most 600 launches a step", False, "launches_per_step", 600, "{:,}"),
            ("at most 2.5 GB of device memory", False, "peak_bytes", 2.5e9, "{:,} bytes")]


def join(reports):
    """Several reports of one machine as one: of each part the better one, of equal ones the later."""
    rank = {"passed": 3, "failed": 2, "no time": 1, "not available": 1}
    result = {**reports[0], "parts": dict(reports[0]["parts"])}
    for report in reports[1:]:
        for key in ("name", "driver_version", "memory.total"):
            a, b = (r["machine"]["gpu"].get(key) for r in (result, report))
            if a != b:
                raise ValueError(f"reports of different machines: {key} is '{a}' and '{b}'")
        for name, part in report["parts"].items():
            before = result["parts"].get(name)
            if before is None:
                result["parts"][name] = part
                continue
            better = part if rank[part["status"]] >= rank[before["status"]] else before
            if name in KEYS:  # row by row: one call may have measured what the other had no time for
                key = KEYS[name]
                rows = {(row[key], row["tf32"]): row for row in before.get("rows", [])}
                for row in part.get("rows", []):
                    if "median_s" in row or "median_s" not in rows.get((row[key], row["tf32"]), {}):
                        rows[row[key], row["tf32"]] = row
                better = {**better, "rows": list(rows.values())}
            result["parts"][name] = better
    result["minutes"] = sum(r["minutes"] for r in reports)
    return result


def table(head, rows):
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(str(c).replace("|", "/") for c in line) + " |" for line in lines) + "\n"


def number(value, form="{:.1f}"):
    return MISSING if value is None else form.format(value)


def spread(seconds):
    """'5 % to 95 %' of a list of seconds, in ms."""
    ordered = sorted(seconds)
    at = [ordered[round(q * (len(ordered) - 1))] for q in (0.05, 0.95)]
    return f"{1e3 * at[0]:.2f} to {1e3 * at[1]:.2f}"


def step_rows(report):
    """Rows of the step table: every configuration and variant that the suite knows, measured or not."""
    ours = {(r["tf32"], r["way"]): r for r in report["parts"].get("step", {}).get("rows", [])}
    part = report["parts"].get("peers", {})
    peers = {r["variant"]: r for r in part.get("rows", [])}
    for variant, _ in VARIANTS:
        peers.setdefault(variant, {"variant": variant, "tf32": "tf32" in variant.split("+")})
    for tf32, way in CONFIGURATIONS:
        row = ours.get((tf32, way), {})
        yield "mixop", step_label(tf32, way), row, row.get("step_s"), None, ""
    for variant, row in peers.items():
        own = ours.get((row["tf32"], "graph"), {}).get("step_s")
        loss = [f"{row['losses'][i]:.4f}" for i in (0, 9) if len(row.get("losses", [])) > i]
        yield f"PyTorch {row.get('version', '')}".strip(), variant, row, row.get("seconds"), own, " / ".join(loss)


def step_table(report):
    lines, notes = [], []
    for program, label, row, seconds, own, loss in step_rows(report):
        median = statistics.median(seconds) if seconds else None
        peer = program != "mixop"
        ratio = number(median / statistics.median(own), "{:.2f}") if median and own else MISSING
        lines.append([program, label, number(median and 1e3 * median, "{:.2f}"), spread(seconds) if seconds else "",
                      len(seconds or []) or "", number(row.get("peak_bytes") and row["peak_bytes"] / 1e9, "{:.2f}"),
                      number(row.get("launches_per_step"), "{:,}"), ratio if peer else "", loss])
        if row.get("reason"):
            notes.append(f"- {program} {label}: {row['reason']}")
    head = ["program", "variant", "ms per step, median", "5 % to 95 %", "steps", "peak memory, GB", "launches per step",
            "times ours (graph, same arithmetic)", "loss after 1 / 10 steps"]
    return table(head, lines) + ("\nNot measured:\n" + "\n".join(notes) + "\n" if notes else "")


def search_lines(report):
    """What a search would cost, and whether what is promised is kept."""
    lines = []
    rows = {(r["tf32"], r["way"]): r for r in report["parts"].get("step", {}).get("rows", [])}
    for tf32 in (False, True):
        row = rows.get((tf32, "graph"), {})
        cost, label = row.get("search_50_epochs_s"), step_label(tf32, "graph")
        lines.append(f"50-epoch search, steps alone ({label}): " + (
            f"{cost / 60:.1f} min, from the mean of {len(row['step_s'])} steps" if cost else
            f"{MISSING} (needs {ENOUGH_STEPS} steps)"))
    on_h200 = "H200" in report["machine"]["gpu"]["name"]
    for what, tf32, key, most, form in PROMISES:
        row = rows.get((tf32, "graph"), {})
        value = row.get(key)
        if key == "median_ms":
            value = 1e3 * statistics.median(row["step_s"]) if row.get("step_s") and on_h200 else None
            what += " on an H200"
        lines.append(f"{what}: " + (
            MISSING if value is None else f"{'kept' if value <= most else 'NOT kept'}, {form.format(value)}"))
    return "\n".join(f"- {line}" for line in lines) + "\n"


def beside_table(report):
    """Ours and the peer's steps of one run, in turns."""
    lines, notes = [], []
    for row in report["parts"].get("beside", {}).get("rows", []):
        label = f"{row['what']}, {'TF32' if row['tf32'] else 'float32'}"
        if row.get("reason"):
            notes.append(f"- {label}: {row['reason']}")
        for peer in row.get("peers", []):
            own = 1e3 * statistics.median(peer["our_step_s"])
            lines.append([label, f"{own:.2f}", peer["variant"], f"{1e3 * statistics.median(peer['seconds']):.2f}",
                          f"{peer['ratio']:.2f}"])
    head = ["step", "mixop, ms", "PyTorch", "its ms", "times ours"]
    text = table(head, lines) if lines else f"{MISSING}\n"
    return text + ("\nNot measured:\n" + "\n".join(notes) + "\n" if notes else "")


def ops_table(report):
    part = report["parts"].get("ops", {})
    if not part.get("rows"):
        return f"{MISSING}\n"
    top = part.get("ceilings", {})
    lines = [[r["name"], f"{r['us']:.1f}", number(r.get("GFLOP/s"), "{:.0f}"), number(r.get("%flops")),
              number(r.get("GB/s"), "{:.0f}"), number(r.get("%copy")), number(r.get("library_us")),
              number(r.get("library_us") and r["library_us"] / r["us"], "{:.2f}")] for r in part["rows"]]
    head = ["op, forward and gradients", "us", "GFLOP/s", "% of product", "GB/s", "% of copy", "cuDNN or cuBLAS, us",
            "times ours"]
    return (f"Ceilings measured on the spot: product {number(top.get('GFLOP/s'), '{:.0f}')} GFLOP/s, "
            f"copy {number(top.get('GB/s'), '{:.0f}')} GB/s.\n\n" + table(head, lines))


def tests_table(report):
    parts = report["parts"]
    tests, verify, runs = (parts.get(name, {}) for name in ("tests", "verify", "runs"))
    lines = [[r["name"], r["result"], r["passed"], r["failed"], r["skipped"], f"{r['seconds']:.1f}"]
             for r in tests.get("rows", [])]
    text = table(["test on the device", "result", "passed", "failed", "skipped", "seconds"], lines) if lines else ""
    total = (f"{tests['passed']} passed, {tests['failed']} failed, {tests['skipped']} skipped"
             if tests.get("rows") else MISSING)
    recorded = (f"{verify['passed']} passed, {verify['failed']} failed, {verify['not_covered']} not covered"
                if "passed" in verify else MISSING)
    facts = [f"cases on the device: {total}", f"recorded results (`mixop verify`): {recorded}"]
    for kind in ("memcheck", "racecheck"):
        found = parts.get("sanitizer", {}).get(kind, {})
        facts.append(f"compute-sanitizer {kind}: " + (
            MISSING if found.get("errors") is None or not found["passed"] else
            f"{found['errors']} errors in {found['passed']} cases"))
    for name in ("again", "no graph", "killed and resumed", "candidates, two workers"):
        facts.append(f"search, {name}: {runs.get(name, MISSING)}")
    return text + ("\n" if text else "") + "\n".join(f"- {fact}" for fact in facts) + "\n"


def markdown(report):
    machine, parts = report["machine"], report["parts"]
    g = machine["gpu"]
    lines = [[name, p["status"], f"{p['seconds']:.0f}", p.get("commit", ""), p.get("reason", "")]
             for name, p in parts.items()]
    build = parts.get("build", {})
    built = f", built in {build['build_s']:.0f} s" if "build_s" in build else ""
    return f"""# {g['name']}, {report['date']}

Written by `bench/gpu_suite`; the numbers are in the JSON file of the same name.

- GPU: {g['name']}, {g['memory.total']}, compute capability {g['compute_cap']}, driver {g['driver_version']}
- CPU: {machine['cpu']}; {machine['system']}
- compilers: {machine['compiler']}; nvcc {machine['nvcc']}{built}

## One first-order search step (C=16, 8 cells, 32x32x3, batch 64)

{step_table(report)}
{search_lines(report)}
## In turns with the peer, in one run

{beside_table(report)}
## Ops

{ops_table(report)}
## Tests

{tests_table(report)}
## Parts

{table(["part", "status", "seconds", "commit", "reason"], lines)}"""
