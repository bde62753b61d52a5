"""Commands with a time limit and a log, and what a part of the suite is."""
import os
import pathlib
import signal
import subprocess
import time
from collections import namedtuple

ROOT = pathlib.Path(__file__).resolve().parents[2]

# least: seconds under which starting it makes no sense; they are also kept free for it while earlier parts run
Part = namedtuple("Part", "name group required least what function")


class Problem(Exception):
    """Ends a part: its status (failed, not available, no time), why, and what it had found until then."""

    def __init__(self, reason, status="failed", data=None):
        super().__init__(reason)
        self.status, self.data = status, data or {}


class Result(namedtuple("Result", "command code output seconds limit")):
    """A command that has ended; code is None when it was stopped at its time limit."""

    def reason(self):
        program = pathlib.Path(self.command[0]).name
        if self.code is None:
            return f"{program} was stopped after {self.limit:.0f} s"
        if self.code < 0:
            return f"{program} was killed by {signal.Signals(-self.code).name}"
        lines = [line for line in self.output.splitlines() if line.strip() and "--help" not in line]
        return f"{program} ended with {self.code}: {lines[-1].strip()[:300] if lines else 'no output'}"

    def check(self, status="failed"):
        if self.code != 0:
            raise Problem(self.reason(), status)
        return self


def end_group(process, number):
    try:
        os.killpg(process.pid, number)
    except ProcessLookupError:
        pass


def run(command, limit, log):
    """Runs a command in the repository's root; all that it started ends with it or at the limit (seconds)."""
    command = [str(word) for word in command]
    log = pathlib.Path(log)
    log.parent.mkdir(parents=True, exist_ok=True)
    begin, code = time.monotonic(), None
    with log.open("ab") as out:
        out.write(f"\n$ {' '.join(command)}\n".encode())
        out.flush()
        start = out.tell()
        try:
            process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=out,
                                       stderr=subprocess.STDOUT, start_new_session=True)
        except OSError as error:
            raise Problem(f"cannot start {command[0]}: {error.strerror}") from None
        try:
            code = process.wait(timeout=max(1, limit))
        except subprocess.TimeoutExpired:
            end_group(process, signal.SIGTERM)
            try:
                process.wait(timeout=5)
            except subprocess.TimeoutExpired:
                pass
        finally:
            end_group(process, signal.SIGKILL)
            process.wait()
    with log.open("rb") as text:
        text.seek(start)
        output = text.read().decode(errors="replace")
    return Result(command, code, output, time.monotonic() - begin, limit)


class Suite:
    """What the parts share: places, settings, and the time that is left."""

    def __init__(self, build, python, variants=None, device="cuda"):
        self.build, self.python, self.variants, self.device = pathlib.Path(build).resolve(), python, variants, device
        self.logs = self.build / "suite"
        self.name, self.end = "", 0.0  # of the part in progress
        self.machine, self.size, self.steps, self.rebuild = {}, [], 600, True
        self.done = {}  # parts that have ended, by name

    def left(self):
        return self.end - time.monotonic()

    def run(self, *command, limit=None):
        return run(command, min(limit or self.left(), self.left()), self.logs / f"{self.name}.log")

    def program(self, path):
        """A program of the build; a part that needs one which is not there fails with a clear line."""
        if not (self.build / path).is_file():
            raise Problem(f"{path} is not in {self.build}")
        return self.build / path


def run_parts(plan, suite, minutes, save):
    """Runs the parts in order and returns {name: {status, reason, seconds, ...}}; save(parts) after each."""
    done, deadline = {}, {}
    for i, part in enumerate(plan):
        deadline.setdefault(part.group, time.monotonic() + 60 * minutes)
        reserve = sum(p.least for p in plan[i + 1:] if p.required and p.group == part.group)
        begin = time.monotonic()
        suite.name, suite.end = part.name, deadline[part.group] - reserve
        print(f"== {part.name}: {part.what}", flush=True)
        try:
            if suite.left() < part.least:
                raise Problem(f"of {minutes:g} minutes too little was left", "no time")
            record = {"status": "passed", "reason": "", **part.function(suite)}
        except Problem as problem:
            record = {"status": problem.status, "reason": str(problem), **problem.data}
        except Exception as error:  # an unforeseen output must not cost the parts that follow
            record = {"status": "failed", "reason": f"{type(error).__name__}: {error}"}
        record["seconds"] = round(time.monotonic() - begin, 1)
        record["required"] = part.required
        suite.done[part.name] = done[part.name] = record
        print(f"   {record['status']} after {record['seconds']:.0f} s {record['reason']}".rstrip(), flush=True)
        save(done)
    return done


def all_well(parts):
    """Every required part passed, and no other one failed."""
    return all(p["status"] == "passed" or (not p["required"] and p["status"] != "failed") for p in parts.values())
