"""End to end: searches that must end with the same bits, whatever happened on the way."""
import hashlib
import json
import os
import shutil
import signal
import subprocess
import time

from .process import ROOT, Problem, end_group

FILES = ("ckpt/latest/weights.safetensors", "ckpt/latest/optim.safetensors", "alphas.npz", "genotypes.txt")
SEARCH = ("--data", "synthetic:32x32x3:10:640", "--channels", "8", "--cells", "5", "--batch", "32", "--epochs", "4",
          "--ckpt-every", "2", "--log-every", "1", "--eval-every", "0", "--seed", "7", "--progress", "none")

CANDIDATES = ("--data", "synthetic:32x32x3:10:640", "--train-images", "320", "--val-images", "320", "--evaluations", "6",
              "--seed", "7", "--progress", "none")


def digest(folder):
    """SHA-256 of the files of a run that must not differ."""
    return {name: hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in FILES}


def latest(folder):
    return os.readlink(folder / "ckpt/latest") if (folder / "ckpt/latest").is_symlink() else None


def kill_at_checkpoints(suite, command, folder, kills):
    """Starts the run again and again, each time killing it (-9) once it has one more checkpoint; returns the kills."""
    killed = 0
    with (suite.logs / "runs.log").open("ab") as log:
        while killed < kills:
            before = latest(folder)
            process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                       start_new_session=True)
            try:
                while process.poll() is None and latest(folder) == before:
                    if suite.left() < 0:
                        raise Problem("a run to be killed took too long")
                    time.sleep(0.002)
            finally:
                end_group(process, signal.SIGKILL)
            if process.wait() != -signal.SIGKILL:
                return killed  # it had ended by itself
            killed += 1
    return killed


def candidates(suite, folder):
    """A black-box search that trains its candidates, with one worker and with two; what it found must agree."""
    command = [str(suite.program("mixop")), "search", "random", "--device", suite.device, *CANDIDATES]
    found = []
    for workers in ("1", "2"):
        out = folder / f"candidates{workers}"
        suite.run(*command, "--workers", workers, "--out", out).check()
        lines = [json.loads(line) for line in (out / "evaluations.jsonl").read_text().splitlines()]
        failed = [line["failed"] for line in lines if "failed" in line]
        if failed:
            raise Problem(f"a candidate failed: {failed[0]}")
        found.append([(line["arch"], line["accuracy"]) for line in lines])
    return "same accuracies" if found[0] == found[1] else "differs"


def runs(suite):
    base = [str(suite.program("mixop")), "search", "darts", "--device", suite.device, *SEARCH]
    folder = suite.logs / "runs"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    suite.run(*base, "--out", folder / "whole").check()
    want = digest(folder / "whole")
    data, bad = {"sha256": want}, []

    def compare(name, action):
        try:
            out = folder / name.replace(" ", "_")
            action(out)
            differing = [file for file, value in digest(out).items() if value != want[file]]
            data[name] = f"differs: {', '.join(differing)}" if differing else "same bits"
        except (Problem, OSError) as problem:
            data[name] = str(problem)
        if data[name] != "same bits":
            bad.append(f"{name}: {data[name]}")

    def killed(out):
        command = [*base, "--out", str(out), "--resume"]
        data["kills"] = kill_at_checkpoints(suite, command, out, 3)
        suite.run(*command).check()
        if not data["kills"]:
            raise Problem("the run ended before it could be killed")

    compare("again", lambda out: suite.run(*base, "--out", out).check())
    if suite.device == "cuda":
        compare("no graph", lambda out: suite.run(*base, "--no-graph", "--out", out).check())
    compare("killed and resumed", killed)
    try:
        data["candidates, two workers"] = candidates(suite, folder)
    except (Problem, OSError) as problem:
        data["candidates, two workers"] = str(problem)
    if data["candidates, two workers"] != "same accuracies":
        bad.append(f"candidates, two workers: {data['candidates, two workers']}")
    shutil.rmtree(folder)
    if bad:
        raise Problem("; ".join(bad), data=data)
    return data
