"""Our step and the peer's in turns within one run: the search step beside its fastest variants, a derived network, and
the weights' step of an ENAS search."""
import json

from .peers import find_python
from .process import Problem

DERIVED = ["--network", "darts_v2", "--auxiliary"]  # C=36, 20 cells, batch 96
# One of each kind of PyTorch; of a search step the fastest that were measured on their own take their place.
VARIANTS = {True: ["channels_last+frozen+graph+tf32", "channels_last+frozen+edges+compile+graph+tf32"],
            False: ["channels_last+frozen+graph"]}
DERIVED_VARIANTS = {True: ["channels_last+tf32", "channels_last+graph+tf32"], False: ["channels_last+graph"]}
ENAS = ["--network", "enas-micro"]  # F=20, 6+2 layers, batch 160; eager in the peer, as every sample is another network
ENAS_VARIANTS = {True: ["channels_last+tf32", "nchw+tf32"], False: ["channels_last"]}


def fastest(rows, tf32, count=2):
    """The variants with the shortest median step among rows of the part `peers`."""
    measured = [r for r in rows if r["tf32"] == tf32 and "median_s" in r]
    return [r["variant"] for r in sorted(measured, key=lambda r: r["median_s"])[:count]]


def take_turns(suite, python, name, network, tf32, variants, limit):
    """One run of step_bench with a peer; its record, or why there is none."""
    out = suite.logs / "beside.json"
    out.unlink(missing_ok=True)
    device = ["--device", suite.device] if suite.device != "cpu" else []
    turns = ["--steps", "50", "--peer-steps", "10"] if suite.device != "cpu" else ["--steps", "2", "--peer-steps", "1"]
    row = {"what": name, "tf32": tf32}
    result = suite.run(suite.program("bench/step_bench"), *device, *["--tf32"] * tf32, *network, *suite.size,
                       "--peer", "pytorch", "--python", python, "--variant", ",".join(variants), *turns, "--json", out,
                       limit=limit)
    if result.code != 0 or not out.is_file():
        return {**row, "reason": result.reason()}
    record = json.loads(out.read_text())
    keys = ("subject", "step_s", "median_s", "peak_bytes", "launches_per_step", "peers", "ratio")
    return {**row, **{k: record[k] for k in keys if k in record}}


def beside(suite):
    python, version = find_python(suite)
    found = suite.done.get("peers", {}).get("rows", [])
    jobs = [("search step", [], tf32, fastest(found, tf32) or VARIANTS[tf32]) for tf32 in (True, False)]
    jobs += [("DARTS_V2, C=36, 20 cells, batch 96", DERIVED, tf32, DERIVED_VARIANTS[tf32]) for tf32 in (True, False)]
    jobs += [("ENAS micro, published architecture, batch 160", ENAS, tf32, ENAS_VARIANTS[tf32]) for tf32 in (True, False)]
    data = {"version": version, "rows": []}
    for i, (name, network, tf32, variants) in enumerate(jobs):
        row = take_turns(suite, python, name, network, tf32, variants, suite.left() / (len(jobs) - i))
        data["rows"].append(row)
        state = f"ratio {row['ratio']:.2f}" if "ratio" in row else row.get("reason", "no ratio")
        print(f"   {name}, {'TF32' if tf32 else 'float32'}: {state}", flush=True)
    if not any("ratio" in row for row in data["rows"]):
        raise Problem("nothing was measured side by side", data=data)
    return data
