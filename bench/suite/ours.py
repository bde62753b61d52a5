"""What is measured of mixop itself: build, tests, compute-sanitizer, recorded results, ops, steps."""
import json
import os
import pathlib
import re
import shutil
import statistics

from .process import ROOT, Problem

SEARCH_STEPS = 50 * 391  # 50 epochs over 25,000 images, batch 64
ENOUGH_STEPS = 500       # a search is extrapolated from no fewer
WAYS = {"graph": [], "graph, stored as bf16": ["--bf16"], "no graph": ["--no-graph"],
        "graph, no dependent launches": []}  # of running a step, with the flags
CONFIGURATIONS = [(False, "graph"), (True, "graph"), (True, "graph, stored as bf16"), (False, "no graph"),
                  (True, "no graph"), (True, "graph, no dependent launches")]  # (TF32, way)


def build(suite):
    if not suite.rebuild:
        suite.program("mixop")
        return {"skipped": "as it was (--no-build)"}
    configured = suite.run("cmake", "-S", ROOT, "-B", suite.build, "-G", "Ninja", "-DMIXOP_CUDA=ON").check()
    # Only what runs here: the rest of the tests needs no GPU and is CI's task.
    offered = suite.run("cmake", "--build", suite.build, "--target", "help").check().output
    device_tests = set(re.findall(r"^(?:\.\.\. )?(cuda_\w*test)\b", offered, re.M))
    targets = ["mixop", "op_bench", "step_bench", *sorted(device_tests)]
    built = suite.run("cmake", "--build", suite.build, "--target", *targets).check()
    back_end = re.search(r"CUDA back end: (.*)", configured.output)
    return {"configure_s": round(configured.seconds, 1), "build_s": round(built.seconds, 1),
            "cuda": back_end.group(1) if back_end else "unknown", "targets": targets}


def parse_ctest(output):
    """Rows {name, result, passed, failed, skipped, seconds} from `ctest -V`; the counts are Google Test's cases."""
    rows, counts = [], {}
    for number, word, count in re.findall(r"^(\d+): \[  (PASSED |FAILED |SKIPPED) *\] (\d+) tests?[.,]", output, re.M):
        counts.setdefault(number, {})[word.strip().lower()] = int(count)
    line = r"^ *\d+/\d+ Test +#(\d+): (\S+) [. ]*(?:\*\*\*)?([A-Z][A-Za-z ]*?(?: \(\w+\))?):? +(\S* *[\d.]+) sec"
    for number, name, result, seconds in re.findall(line, output, re.M):
        cases = counts.get(number, {})
        rows.append({"name": name, "result": result.lower(), "passed": cases.get("passed", 0),
                     "failed": cases.get("failed", 0), "skipped": cases.get("skipped", 0),
                     "seconds": float(seconds.split()[-1])})
    return rows


def tests(suite, pattern=r"^cuda\."):
    jobs = min(4, os.cpu_count() or 1)  # they share one GPU
    result = suite.run("ctest", "--test-dir", suite.build, "-V", "-R", pattern, "--no-tests=error", "-j", jobs)
    rows = parse_ctest(result.output)
    data = {"rows": rows, **{k: sum(row[k] for row in rows) for k in ("passed", "failed", "skipped")}}
    bad = [row["name"] for row in rows if row["result"] != "passed"]
    if not rows and result.code is not None:
        raise Problem(f"no test matches {pattern} in {suite.build}")
    if result.code != 0 or bad:
        raise Problem(f"{', '.join(bad)} did not pass" if bad else result.reason(), data=data)
    if data["passed"] == 0:
        raise Problem(f"no case ran on the device ({data['skipped']} skipped)", data=data)
    return data


def short_selection(listing):
    """From --gtest_list_tests: of every kind of case of every stem the first, as a list of full names."""
    chosen, suite = {}, ""
    for line in listing.splitlines():
        name = line.split("#")[0].rstrip()
        if re.match(r"\S+\.$", name):
            suite = name
        elif name.startswith("  Reference/"):
            kind = re.match(r"[A-Za-z]+(_[A-Za-z]+)*", name.strip()[len("Reference/"):])
            chosen.setdefault((suite, kind and kind.group()), suite + name.strip())
    return list(chosen.values())


def parse_sanitizer(output):
    """(errors, cases that passed) of one run; errors is None without a summary, as when the device is refused."""
    summary = re.search(r"(?:ERROR SUMMARY: (\d+) error|RACECHECK SUMMARY: (\d+) hazard)", output)
    passed = re.search(r"^\[  PASSED  \] (\d+) test", output, re.M)
    return (int(summary.group(1) or summary.group(2)) if summary else None, int(passed.group(1)) if passed else 0)


def sanitizer(suite):
    folders = [os.environ.get("CUDA_HOME", "/usr/local/cuda") + "/bin", "/usr/local/cuda/bin"]
    tool = shutil.which("compute-sanitizer", path=os.pathsep.join([os.environ.get("PATH", ""), *folders]))
    if not tool:
        raise Problem("compute-sanitizer is not installed", "not available")
    test = suite.program("tests/cuda_test")
    chosen = short_selection(suite.run(test, "--gtest_list_tests").check().output)
    data, share = {"selected": len(chosen)}, min(120, suite.left() / 2)
    for kind in ("memcheck", "racecheck"):
        result = suite.run(tool, "--tool", kind, test, "--gtest_filter=" + ":".join(chosen), limit=share)
        errors, passed = parse_sanitizer(result.output)
        data[kind] = {"errors": errors, "passed": passed, "reason": result.reason() if result.code != 0 else ""}
    if any(data[k]["errors"] for k in ("memcheck", "racecheck")):
        raise Problem("errors were found, see the log", data=data)
    if any(data[k]["errors"] is None or data[k]["reason"] or not data[k]["passed"] for k in ("memcheck", "racecheck")):
        first = next(data[k]["reason"] for k in ("memcheck", "racecheck") if data[k]["reason"] or not data[k]["passed"])
        raise Problem(first or "no case ran", "not available", data)
    return data


def verify(suite):
    result = suite.run(suite.program("mixop"), "verify", ROOT / "tests/golden", "--device", suite.device)
    last = re.search(r"(\d+) cases on .*: (\d+) passed, (\d+) failed, (\d+) not covered", result.output)
    data = dict(zip(("cases", "passed", "failed", "not_covered"), map(int, last.groups()))) if last else {}
    if result.code != 0 or not data.get("passed"):
        raise Problem(result.reason() if result.code != 0 else "no case was compared", data=data)
    return data


def parse_ops(report):
    """Ceilings and rows from Google Benchmark's JSON; cudnn/X or cublas/X, where registered, stands in the row of X."""
    library, rows = {}, []
    for b in report["benchmarks"]:
        if b.get("run_type", "iteration") != "iteration" or b.get("error_occurred"):
            continue
        prefix, name = re.sub(r"/(real|manual)_time$", "", b["name"]).split("/", 1)
        us = b["real_time"] * {"ns": 1e-3, "us": 1, "ms": 1e3, "s": 1e6}[b["time_unit"]]
        if prefix in ("cudnn", "cublas"):
            library[name] = {"library": prefix, "library_us": us}
        else:
            rows.append({"name": name, "us": us, **{k: b.get(k) for k in ("GFLOP/s", "%flops", "GB/s", "%copy")}})
    context = report.get("context", {})
    return {"ceilings": {k: float(context[f"ceiling {k}"]) for k in ("GFLOP/s", "GB/s") if f"ceiling {k}" in context},
            "rows": [{**row, **library.get(row["name"], {})} for row in rows]}


def ops(suite, choice="^(darts|cudnn|cublas)/"):
    out = suite.logs / "ops.json"
    out.unlink(missing_ok=True)
    device = ["--device", suite.device] if suite.device != "cpu" else []
    result = suite.run(suite.program("bench/op_bench"), *device, f"--benchmark_filter={choice}",
                       "--benchmark_min_time=0.1", f"--benchmark_out={out}", "--benchmark_out_format=json").check()
    data = parse_ops(json.loads(out.read_text()))
    if not data["rows"]:
        raise Problem(f"op_bench measured nothing: {result.reason()}")
    return data


def step_label(tf32, way):
    return f"{'TF32' if tf32 else 'float32'}, {way}"


def measure_step(suite, tf32, way, steps):
    """One run of step_bench; returns its JSON, and the seconds it took beside the steps.

    Read are step_s (seconds of each step, synchronised), tf32, bf16, graph, peak_bytes (device memory of the process at
    its highest) and launches_per_step (kernels of both halves, however they are started).
    """
    out = suite.logs / "step.json"
    out.unlink(missing_ok=True)
    before = ["env", "MIXOP_DEPENDENT_LAUNCH=0"] if "no dependent" in way else []
    flags = ["--tf32"] * tf32 + WAYS[way]
    device = ["--device", suite.device] if suite.device != "cpu" else []
    result = suite.run(*before, suite.program("bench/step_bench"), *device, *flags, *suite.size, "--steps", steps,
                       "--json", out).check()
    record = json.loads(out.read_text())
    reported = [record.get(key) for key in ("tf32", "bf16", "graph")]
    if suite.device != "cpu" and reported != [tf32, "--bf16" in flags, "--no-graph" not in flags]:
        raise Problem(f"step_bench reports another configuration than was asked: {step_label(tf32, way)}")
    return record, max(1.0, result.seconds - sum(record["step_s"]))


def step(suite):
    rows, bad = [], []
    for i, (tf32, way) in enumerate(CONFIGURATIONS):
        row = {"tf32": tf32, "way": way}
        try:
            if i == 0 or not rows[0].get("step_s"):  # a short run tells how many steps the time allows
                pilot, around = measure_step(suite, tf32, way, min(20, suite.steps))
            each = max(1e-4, statistics.median(pilot["step_s"])) * (2 if way == "no graph" else 1)
            share = suite.left() / (len(CONFIGURATIONS) - i) * 0.9 - around
            steps = max(20, min(suite.steps, int(share / each)))
            record, around = measure_step(suite, tf32, way, steps)
            row.update(record)
            if len(record["step_s"]) >= ENOUGH_STEPS:
                row["search_50_epochs_s"] = SEARCH_STEPS * statistics.fmean(record["step_s"])
        except (Problem, OSError, KeyError, ValueError) as problem:
            row["reason"] = f"{type(problem).__name__}: {problem}" if not isinstance(problem, Problem) else str(problem)
            bad.append(f"{step_label(tf32, way)}: {row['reason']}")
        rows.append(row)
    if bad:
        raise Problem("; ".join(bad), data={"rows": rows})
    return {"rows": rows}
