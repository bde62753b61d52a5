"""Which machine and which sources a measurement belongs to."""
import os
import pathlib
import platform
import re
import shutil
import subprocess

from .process import ROOT

FIELDS = ("name", "driver_version", "memory.total", "compute_cap", "clocks.max.sm", "power.limit")


def ask(*command):
    """Output of a short command, or None."""
    try:
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None


def parse_gpu(line):
    """One line of nvidia-smi's CSV as a dictionary."""
    return dict(zip(FIELDS, (value.strip() for value in line.split(","))))


def gpu():
    """The first GPU that CUDA would use, and why there is none: (dictionary or None, reason)."""
    if not shutil.which("nvidia-smi"):
        return None, "nvidia-smi is not in PATH"
    first = os.environ.get("CUDA_VISIBLE_DEVICES", "0").split(",")[0].strip()
    listed = ask("nvidia-smi", "-i", first or "0", f"--query-gpu={','.join(FIELDS)}", "--format=csv,noheader")
    return (parse_gpu(listed.splitlines()[0]), "") if listed else (None, "nvidia-smi lists none")


def first_line(text):
    return text.splitlines()[0] if text else "unknown"


def describe(found, commit):
    """All that a reader needs to judge the numbers."""
    cpu = re.search(r"model name\s*: (.*)", pathlib.Path("/proc/cpuinfo").read_text())
    nvcc = shutil.which("nvcc") or "/usr/local/cuda/bin/nvcc"
    release = re.search(r"release .*", ask(nvcc, "--version") or "")
    git = ["git", "-c", f"safe.directory={ROOT}"]
    if not commit:
        commit = ask(*git, "rev-parse", "--short=12", "HEAD") or "unknown"
        commit += "-dirty" if ask(*git, "status", "--porcelain", "--untracked-files=no") else ""
    return {"gpu": found, "cpu": f"{cpu.group(1) if cpu else platform.machine()}, {os.cpu_count()} threads",
            "system": first_line(ask("sh", "-c", ". /etc/os-release && echo $PRETTY_NAME")),
            "compiler": first_line(ask(os.environ.get("CXX", "c++"), "--version")),
            "nvcc": release.group(0) if release else "unknown", "commit": commit}


def slug(name):
    """'NVIDIA H100 80GB HBM3' to 'h100-80gb-hbm3'."""
    return re.sub(r"[^a-z0-9]+", "-", re.sub(r"\bnvidia\b", "", name.lower())).strip("-")
