"""The suite checked without a GPU: canned outputs of every part go through the parsers, the merging and the tables."""
import contextlib
import io
import os
import pathlib
import sys
import tempfile
import time
import unittest
import unittest.mock

from . import beside, machine, ours, peers, report, runs
from .process import ROOT, Part, Problem, Suite, all_well, run, run_parts

GPU = "Test GPU 1000, 1.2.3, 1000 MiB, 9.9, 1000 MHz, [N/A]"
CTEST = """
    Start 11: cuda.mix
11: [==========] 26 tests from 1 test suite ran. (180 ms total)
11: [  PASSED  ] 26 tests.
1/4 Test #11: cuda.mix .........................   Passed    1.25 sec
12: [  PASSED  ] 3 tests.
12: [  SKIPPED ] 2 tests, listed below:
12: [  FAILED  ] 1 test, listed below:
2/4 Test #12: cuda.conv2d ......................***Failed    2.50 sec
3/4 Test #13: cuda.pool ........................***Timeout 1800.01 sec
4/4 Test #14: cuda.unary .......................***Exception: SegFault  0.10 sec
"""
LISTING = """Running main() from gtest_main.cc
conv2d/OnDevice.
  Reference/conv_3x3_0  # GetParam() = 88-byte object <50-FA>
  Reference/conv_5x5_1  # GetParam() = 88-byte object <50-FA>
  Bits/conv_3x3_0  # GetParam() = 88-byte object <50-FA>
pool/OnDevice.
  Reference/max_pool_2_2_0  # GetParam() = 88-byte object <50-FA>
  Reference/avg_pool_2_2_1  # GetParam() = 88-byte object <50-FA>
"""
OPS = {"context": {"ceiling GFLOP/s": "1000.0", "ceiling GB/s": "100.0"}, "benchmarks": [
    {"name": "darts/mix/8x8x64/real_time", "run_type": "iteration", "real_time": 2.0, "time_unit": "us",
     "GFLOP/s": 250.0, "%flops": 25.0, "GB/s": 50.0, "%copy": 50.0},
    {"name": "darts/pool/8x8x64/manual_time", "run_type": "iteration", "real_time": 3000.0, "time_unit": "ns",
     "GB/s": 10.0, "%copy": 10.0},
    {"name": "cudnn/pool/8x8x64/manual_time", "run_type": "iteration", "real_time": 6.0, "time_unit": "us"}]}


def step_row(tf32, seconds, steps):
    return {"tf32": tf32, "way": "graph", "step_s": [seconds] * steps, "median_s": seconds, "peak_bytes": 2e9,
            "launches_per_step": 1234}


def peer_row(variant, seconds):
    return {"variant": variant, "tf32": "tf32" in variant, "version": "9.9", "seconds": [seconds] * 3,
            "losses": [2.5] * 10, "median_s": seconds, "peak_bytes": 8e9, "launches_per_step": None}


def canned(parts, gpu=GPU):
    parts = {k: {"status": "passed", "reason": "", "seconds": 1.0, "required": True, **v} for k, v in parts.items()}
    return {"suite": 1, "date": "2000-01-01", "minutes": 8, "parts": parts,
            "machine": {"gpu": machine.parse_gpu(gpu), "cpu": "c", "system": "s", "compiler": "g", "nvcc": "n"}}


def cells(text, *start):
    """The cells of the only row of a Markdown text that begins with these cells."""
    lines = [[c.strip() for c in line.strip("|").split("|")] for line in text.splitlines() if line.startswith("| ")]
    found = [line for line in lines if line[:len(start)] == list(start)]
    assert len(found) == 1, (start, found)
    return found[0]


class SelfTest(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.suite = Suite(self.folder.name, None)
        self.addCleanup(self.folder.cleanup)

    def fake(self, path, text):
        """A program of the build directory, as a shell script."""
        file = self.suite.build / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("#!/bin/sh\n" + text)
        file.chmod(0o755)

    def parts(self, *functions, minutes=1.0, required=True):
        plan = [Part(f"p{i}", "ours", required, 5, "a part", f) for i, f in enumerate(functions)]
        with contextlib.redirect_stdout(io.StringIO()):
            return run_parts(plan, self.suite, minutes, lambda parts: None)

    def test_machine(self):
        self.assertEqual(machine.slug("NVIDIA H100 80GB HBM3"), "h100-80gb-hbm3")
        self.assertEqual(machine.parse_gpu(GPU)["memory.total"], "1000 MiB")

    def test_ctest(self):
        rows = {row["name"]: row for row in ours.parse_ctest(CTEST)}
        self.assertEqual(len(rows), 4)
        self.assertEqual([rows["cuda.mix"][k] for k in ("result", "passed", "seconds")], ["passed", 26, 1.25])
        self.assertEqual([rows["cuda.conv2d"][k] for k in ("result", "passed", "failed", "skipped")],
                         ["failed", 3, 1, 2])
        self.assertEqual(rows["cuda.pool"]["result"], "timeout")
        self.assertTrue(rows["cuda.unary"]["result"].startswith("exception"))

    def test_sanitizer(self):
        self.assertEqual(ours.short_selection(LISTING),
                         ["conv2d/OnDevice.Reference/conv_3x3_0", "pool/OnDevice.Reference/max_pool_2_2_0",
                          "pool/OnDevice.Reference/avg_pool_2_2_1"])
        passed = "[  PASSED  ] 7 tests.\n"
        self.assertEqual(ours.parse_sanitizer(passed + "========= ERROR SUMMARY: 0 errors"), (0, 7))
        self.assertEqual(ours.parse_sanitizer(
            passed + "========= RACECHECK SUMMARY: 2 hazards displayed (2 errors, 0 warnings)"), (2, 7))
        self.assertEqual(ours.parse_sanitizer("========= Error: Device not supported"), (None, 0))

    def test_commands_end_at_their_limit_with_all_that_they_started(self):
        pid, log = pathlib.Path(self.folder.name, "pid"), pathlib.Path(self.folder.name, "log")
        begin = time.monotonic()
        result = run(["sh", "-c", f"sleep 60 & echo $! > {pid}; echo here; wait"], 1, log)
        self.assertLess(time.monotonic() - begin, 20)
        self.assertIsNone(result.code)
        self.assertIn("was stopped after 1 s", result.reason())
        self.assertEqual(result.output, "here\n")
        for _ in range(100):  # the kernel may need a moment
            stat = pathlib.Path(f"/proc/{pid.read_text().strip()}/stat")
            if not stat.exists() or stat.read_text().split()[2] == "Z":
                break
            time.sleep(0.05)
        else:
            self.fail("a process outlived its command")
        self.assertIn("ended with 3: last", run(["sh", "-c", "echo first; echo last; exit 3"], 5, log).reason())
        with self.assertRaises(Problem):
            run(["/nonexistent/program"], 5, log)

    def test_one_failing_part_does_not_stop_the_others(self):
        def broken(suite):
            raise Problem("its reason", data={"found": 1})

        parts = self.parts(broken, lambda suite: {"value": 2}, lambda suite: 1 / 0)
        self.assertEqual([p["status"] for p in parts.values()], ["failed", "passed", "failed"])
        self.assertEqual((parts["p0"]["reason"], parts["p0"]["found"], parts["p1"]["value"]), ("its reason", 1, 2))
        self.assertIn("ZeroDivisionError", parts["p2"]["reason"])
        self.assertFalse(all_well(parts))
        self.assertTrue(all_well(self.parts(lambda suite: {})))

    def test_time(self):
        late = self.parts(lambda suite: {}, minutes=0.01)
        self.assertEqual(late["p0"]["status"], "no time")
        self.assertFalse(all_well(late))
        self.assertTrue(all_well(self.parts(lambda suite: {}, minutes=0.01, required=False)))
        left = []
        self.parts(lambda suite: left.append(suite.left()) or {}, lambda suite: {})
        self.assertTrue(50 < left[0] <= 55)  # five seconds are the second part's

    def test_steps(self):
        self.suite.end, self.suite.logs = time.monotonic() + 100, pathlib.Path(self.folder.name)
        self.fake("bench/step_bench", """
tf32=false graph=true bf16=false
while [ $# -gt 0 ]; do
  case $1 in --tf32) tf32=true ;; --bf16) bf16=true ;; --no-graph) graph=false ;; --steps) steps=$2 ;; --json) out=$2 ;; esac; shift
done
[ $tf32$graph = truefalse ] && { echo 'no such kernels'; exit 1; }
python3 -c "import json; json.dump(dict(tf32='$tf32' == 'true', graph='$graph' == 'true', bf16='$bf16' == 'true',
  step_s=[0.001 * (1 + ('$MIXOP_DEPENDENT_LAUNCH' == '0'))] * $steps, median_s=0.001), open('$out', 'w'))"
""")
        with self.assertRaises(Problem) as caught:
            ours.step(self.suite)
        self.assertIn("TF32, no graph: step_bench ended with 1: no such kernels", str(caught.exception))
        rows = caught.exception.data["rows"]
        self.assertEqual([len(row.get("step_s", [])) for row in rows], [600, 600, 600, 600, 0, 600])
        self.assertEqual([rows[i]["step_s"][0] for i in (2, 5)], [0.001, 0.002])
        self.assertAlmostEqual(rows[0]["search_50_epochs_s"], 19.55)

    def test_ops(self):
        none, text = report.MISSING, report.markdown(canned({"ops": ours.parse_ops(OPS)}))
        self.assertEqual(cells(text, "mix/8x8x64")[1:], ["2.0", "250", "25.0", "50", "50.0", none, none])
        self.assertEqual(cells(text, "pool/8x8x64")[1:], ["3.0", none, none, "10", "10.0", "6.0", "2.00"])
        self.assertIn("product 1000 GFLOP/s, copy 100 GB/s", text)

    def test_bits(self):
        self.suite.end = time.monotonic() + 100
        script = """
out=; while [ $# -gt 0 ]; do case $1 in --out) out=$2 ;; --no-graph) changed=%s ;; --workers) workers=$2 ;; esac; shift; done
if [ $workers ]; then mkdir -p $out; echo "{\\"arch\\": \\"a\\", \\"accuracy\\": 1%s}" > $out/evaluations.jsonl; exit; fi
for i in 1 2 3 4 5 6 7 8; do
  [ -e $out/$i ] && continue
  mkdir -p $out/ckpt/$i; touch $out/$i; for f in weights optim; do echo $i$changed > $out/ckpt/$i/$f.safetensors; done
  echo $i > $out/alphas.npz; echo g > $out/genotypes.txt; ln -sfn $i $out/ckpt/latest; sleep 0.1
done
"""
        self.fake("mixop", script % ("", ""))
        data = runs.runs(self.suite)
        self.assertEqual([data[k] for k in ("again", "no graph", "killed and resumed")], ["same bits"] * 3)
        self.assertEqual(data["candidates, two workers"], "same accuracies")
        self.assertEqual(data["kills"], 3)
        self.fake("mixop", script % ("x", "$workers"))
        with self.assertRaises(Problem) as caught:
            runs.runs(self.suite)
        self.assertIn("no graph: differs: ckpt/latest/weights", str(caught.exception))
        self.assertIn("candidates, two workers: differs", str(caught.exception))

    def test_nothing_measured_shows_no_number(self):
        text = report.markdown(canned({}))
        for tf32, way in ours.CONFIGURATIONS:
            self.assertEqual(cells(text, "mixop", ours.step_label(tf32, way))[2], report.MISSING)
        for variant, _ in peers.VARIANTS:
            row = cells(text, "PyTorch", variant)
            self.assertEqual((row[2], row[7]), (report.MISSING, report.MISSING))
        self.assertIn(f"memcheck: {report.MISSING}", text)
        self.assertIn(f"killed and resumed: {report.MISSING}", text)
        for what, *_ in report.PROMISES:
            self.assertRegex(text, f"{what}.*: {report.MISSING}")

    def test_ratios(self):
        full = {"step": {"rows": [step_row(False, 0.010, 600)]},
                "peers": {"rows": [peer_row("nchw", 0.250), peer_row("nchw+tf32", 0.200),
                                   {"variant": "channels_last", "tf32": False, "reason": "was stopped after 60 s"}]}}
        text = report.markdown(canned(full))
        self.assertEqual(cells(text, "mixop", "float32, graph")[2:5], ["10.00", "10.00 to 10.00", "600"])
        self.assertEqual(cells(text, "PyTorch 9.9", "nchw")[7:9], ["25.00", "2.5000 / 2.5000"])
        self.assertEqual(cells(text, "PyTorch 9.9", "nchw+tf32")[7], report.MISSING)  # ours has no TF32 here
        self.assertEqual(cells(text, "PyTorch", "channels_last")[7], report.MISSING)
        self.assertIn("PyTorch channels_last: was stopped after 60 s", text)
        for name, promise in (("NVIDIA H200", "kept, 10.00 ms"), ("NVIDIA H100", report.MISSING)):
            shown = report.markdown(canned(full, GPU.replace("Test GPU 1000", name)))
            self.assertIn(f"at most 80 ms on an H200: {promise}", shown)
            self.assertIn("launches a step: NOT kept, 1,234", shown)

    def test_in_turns(self):
        self.suite.end, self.suite.logs = time.monotonic() + 100, pathlib.Path(self.folder.name)
        self.suite.python = sys.executable
        self.suite.done = {"peers": {"rows": [peer_row("a+tf32", 0.2), peer_row("b+tf32", 0.1), peer_row("c", 0.3)]}}
        self.assertEqual(beside.fastest(self.suite.done["peers"]["rows"], True, 1), ["b+tf32"])
        self.fake("bench/step_bench", """
while [ $# -gt 0 ]; do
  case $1 in --variant) variant=$2 ;; --network) network=$2 ;; --json) out=$2 ;; esac; shift
done
[ "$network$variant" = darts_v2channels_last+graph ] && { echo 'out of memory'; exit 1; }
echo '{"median_s": 0.01, "ratio": 20.0, "peers": [{"variant": "'$variant'", "seconds": [0.2], "our_step_s": [0.01],
  "ratio": 20.0}]}' > $out
""")
        with contextlib.redirect_stdout(io.StringIO()), unittest.mock.patch.object(
                beside, "find_python", lambda suite: ("python3", "9.9")):
            data = beside.beside(self.suite)
        self.assertEqual([row["peers"][0]["variant"] for row in data["rows"][:2]], ["b+tf32,a+tf32", "c"])
        text = report.markdown(canned({"beside": data}))
        self.assertEqual(cells(text, "search step, float32")[1:], ["10.00", "c", "200.00", "20.00"])
        self.assertIn("DARTS_V2, C=36, 20 cells, batch 96, float32: step_bench ended with 1: out of memory", text)

    def test_joining(self):
        a = canned({"step": {"rows": [step_row(False, 0.01, 20), {"tf32": True, "way": "graph", "reason": "x"}],
                             "status": "failed"}, "tests": {"passed": 1, "failed": 0, "skipped": 0}})
        b = canned({"step": {"rows": [step_row(True, 0.02, 20), {"tf32": False, "way": "graph", "reason": "y"}],
                             "status": "failed"}, "tests": {"status": "failed", "reason": "z"},
                    "peers": {"rows": [peer_row("nchw", 0.1)]}})
        both = report.join([a, b])
        self.assertEqual(sorted(r["median_s"] for r in both["parts"]["step"]["rows"]), [0.01, 0.02])
        self.assertEqual((both["parts"]["tests"]["status"], both["minutes"]), ("passed", 16))
        self.assertEqual(cells(report.markdown(both), "PyTorch 9.9", "nchw")[7], "10.00")
        with self.assertRaises(ValueError):
            report.join([a, canned({}, GPU.replace("1000 MiB", "2000 MiB"))])


def main():
    results = ROOT / "bench/results"
    before = {name: os.stat(results / name).st_mtime_ns for name in os.listdir(results)}
    outcome = unittest.TextTestRunner().run(unittest.defaultTestLoader.loadTestsFromTestCase(SelfTest))
    if before != {name: os.stat(results / name).st_mtime_ns for name in os.listdir(results)}:
        print("the self-test changed bench/results/")
        return 1
    return 0 if outcome.wasSuccessful() else 1
