"""The same search step in PyTorch: every variant in a process of its own, with a time limit."""
import json
import shutil
import sys

from .process import ROOT, Problem

SCRIPT = ROOT / "bench/peers/darts_step.py"
# (variant, seconds that it may take); in the order of what they say, since time may run out
VARIANTS = [
    ("channels_last+tf32", 80), ("nchw+tf32", 80), ("channels_last+frozen+tf32", 80),
    ("channels_last+frozen+graph+tf32", 80), ("nchw+frozen+graph+tf32", 80),
    ("channels_last+frozen+edges+compile+tf32", 150), ("channels_last+frozen+edges+compile+graph+tf32", 90),
    ("channels_last+frozen+graph", 80), ("nchw+frozen+graph", 80), ("channels_last", 80), ("nchw", 80),
    ("channels_last+frozen+edges+autotune+tf32", 150), ("channels_last+frozen+edges+compile", 120),
    ("channels_last+frozen+compile+tf32", 400)]


def find_python(suite):
    """The Python whose PyTorch sees the GPU."""
    wanted = [suite.python] if suite.python else [sys.executable, shutil.which("python3"), "/usr/bin/python3"]
    for python in dict.fromkeys(p for p in wanted if p):
        probe = f"import torch; print(torch.__version__); assert '{suite.device}' == 'cpu' or torch.cuda.is_available()"
        result = suite.run(python, "-c", probe, limit=60)
        if result.code == 0:
            return python, result.output.strip().splitlines()[-1]
    raise Problem(f"no PyTorch with {suite.device} in {', '.join(dict.fromkeys(p for p in wanted if p))}")


def peers(suite):
    python, version = find_python(suite)
    data = {"python": python, "version": version, "rows": []}
    golden = suite.run(python, SCRIPT, "--device", suite.device, "--variant", "channels_last+frozen", "--golden",
                       ROOT / "tests/golden/darts_tiny", limit=90)
    data["golden"] = "agrees to 1e-9 in float64" if golden.code == 0 else golden.reason()
    if golden.code != 0:
        raise Problem(f"the peer is not shown to be the same supernet: {golden.reason()}", data=data)
    out = suite.logs / "peer.json"
    limits = dict(VARIANTS)
    for variant in suite.variants or limits:
        row = {"variant": variant, "tf32": "tf32" in variant.split("+")}
        limit = min(limits.get(variant, 150), suite.left())
        out.unlink(missing_ok=True)
        if limit < 15:
            row["reason"] = "no time was left"
        else:
            few = ["--steps", "50", "--seconds", "12", "--warmup", "5"]
            count = ["--launches"] if not set(variant.split("+")) & {"graph", "compile", "autotune"} else []
            result = suite.run(python, SCRIPT, "--device", suite.device, "--variant", variant, *few, *count,
                               *suite.size, "--json", out, limit=limit)
            if result.code == 0 and out.is_file():
                row.update(json.loads(out.read_text()))
            else:
                row["reason"] = result.reason()
        data["rows"].append(row)
        state = f"{1e3 * row['median_s']:.1f} ms" if "median_s" in row else row["reason"]
        print(f"   {variant}: {state}", flush=True)
    if not any("median_s" in row for row in data["rows"]):
        raise Problem("no variant was measured", data=data)
    return data
