"""What the peers of bench/step_bench.cpp share: variants, timed halves of a step, measuring, and taking turns.

A variant is words joined by +:
  nchw           as the reference implementation runs it
  channels_last  NHWC memory format, the default: what a user with a CPU or tensor cores would choose
  frozen         each half of a step computes only the gradients that it uses; the reference computes all, drops some
  compile        torch.compile, mode default               (PyTorch 2.5 or later)
  autotune       torch.compile, mode max-autotune-no-cudagraphs
  edges          with those two: compile each mixed operation (cell of a derived network) by itself, much faster to
                 compile than the whole network
  graph          the whole step is captured once and replayed as a CUDA graph
  tf32           convolutions and products in TensorFloat-32; without it in full float32

With --serve a peer does a step for each line "step" on its standard input and answers with one line of JSON; between
them it is idle, so that another program can take turns with it. At the end of its input it writes its record.
"""
import argparse
import json
import os
import pathlib
import re
import resource
import statistics
import sys
import time

import torch
from torch import nn

WORDS = ("nchw", "channels_last", "frozen", "compile", "autotune", "edges", "graph", "tf32")
PARTS = ("forward", "backward", "update")  # of a half


def compiled(net, words, parts):
    """The network as a callable, compiled as the variant says; `parts` is the class that `edges` compiles alone."""
    if not words & {"compile", "autotune"}:
        return net
    from torch import _dynamo  # not in the PyTorch of Debian 12
    mode = "max-autotune-no-cudagraphs" if "autotune" in words else "default"
    for name in ("recompile_limit", "cache_size_limit"):  # renamed in 2.6; one graph per shape and set of gradients
        if hasattr(_dynamo.config, name):
            setattr(_dynamo.config, name, 64)
    if "edges" not in words:
        return torch.compile(net, mode=mode, dynamic=False)
    parts.forward = torch.compile(parts.forward, mode=mode, dynamic=False)
    return net


class Peer:
    """A network with the SGD of its weights. A step consists of halves; step() is the business of what derives."""

    def __init__(self, net, words, device, clip, parts):
        self.net, self.words, self.device, self.clip = net.to(device), words, device, clip
        self.layout = torch.contiguous_format if "nchw" in words else torch.channels_last
        net.to(memory_format=self.layout)
        self.weights = list(net.parameters())
        self.model = compiled(net, words, parts)
        sgd = {"lr": 0.025, "momentum": 0.9, "weight_decay": 3e-4}
        # foreach: one optimiser kernel for all tensors instead of a Python loop over 1,399 of them
        self.optimizers, self.clip_options = "foreach SGD", {}
        if device == "cuda":
            self.clip_options = {"foreach": True}
            try:
                self.sgd, self.optimizers = torch.optim.SGD(self.weights, fused=True, **sgd), "fused SGD"
            except TypeError:  # PyTorch before 2.3
                pass
        if self.optimizers == "foreach SGD":
            self.sgd = torch.optim.SGD(self.weights, foreach=True, **sgd)
        self.halves = {}  # seconds of the last step, on the CPU: a GPU would have to be stopped

    def batch(self, x, y):
        return x.to(self.device, memory_format=self.layout), y.to(self.device)

    def now(self):
        if self.device == "cuda":
            torch.cuda.synchronize()
        return time.perf_counter()

    def loss(self, images, labels):
        return nn.functional.cross_entropy(self.model(images), labels)

    def half(self, name, batch, optimizer, clip):
        """Forward, backward, update with one batch; returns the loss and, if clipped, the gradient norm before."""
        times = [time.perf_counter()]
        optimizer.zero_grad(set_to_none=True)
        loss = self.loss(*batch)
        times.append(time.perf_counter())
        loss.backward()
        times.append(time.perf_counter())
        grad_norm = nn.utils.clip_grad_norm_(self.weights, self.clip, **self.clip_options) if clip else None
        optimizer.step()
        times.append(time.perf_counter())
        if self.device == "cpu":
            self.halves[name] = {part: end - begin for part, begin, end in zip(PARTS, times, times[1:])}
        return loss.detach(), grad_norm

    def clear_gradients(self):
        """Before capturing: else the graph would write into gradients that it does not own."""
        for tensor in self.weights:
            tensor.grad = None

    def captured(self, step):
        """step() as a CUDA graph: a function that replays it. Warm-up steps must have run before."""
        self.clear_gradients()
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, stream=torch.cuda.current_stream()):
            result = step()

        def replay():
            graph.replay()
            return result

        return replay


def count_launches(step):
    """Kernels that one step starts, copies and fills left out; None where the profiler gives nothing."""
    try:
        with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CUDA]) as profile:
            step()
            torch.cuda.synchronize()
        kernels = [e for e in profile.events() if e.device_type == torch.autograd.DeviceType.CUDA
                   and not getattr(e, "is_user_annotation", False) and not e.name.startswith(("Memcpy", "Memset"))]
        return len(kernels) or None
    except Exception as error:  # a profiler without rights or CUPTI is no reason to lose the timing
        print(f"launches not counted: {error}", flush=True)
        return None


def device_name(device):
    if device == "cuda":
        return torch.cuda.get_device_name()
    cpu = re.search(r"model name\s*: (.*)", pathlib.Path("/proc/cpuinfo").read_text())
    return cpu.group(1) if cpu else "unknown"


def turns(args, now):
    """One item for each step that is to be done: asked for on the standard input, or counted."""
    if args.serve:
        for line in sys.stdin:
            if line.strip() != "step":
                sys.exit(f"a peer is asked for a step, not '{line.strip()}'")
            yield line
        return
    start, done = now(), 0
    while done < args.steps and not (args.seconds and done and now() - start > args.seconds):
        yield done
        done += 1


def medians(steps):
    """{half: {part: median seconds}, part: median over steps of its sum over halves}."""
    if not steps or not steps[0]["halves"]:
        return {}
    names = list(steps[0]["halves"])
    record = {f"{part}_s": statistics.median(sum(s["halves"][n][part] for n in names) for s in steps)
              for part in PARTS}
    record["halves"] = {n: {part: statistics.median(s["halves"][n][part] for s in steps) for part in PARTS}
                        for n in names}
    if len(names) > 1:
        record.update({f"{n}_s": statistics.median(sum(s["halves"][n].values()) for s in steps) for n in names})
    return record


def measure(args, begin_peer):
    """Times steps on random images after args.warmup untimed ones; returns the record.

    begin_peer(args) builds the peer; its step(train, valid) returns (..., training loss, gradient norm).
    """
    height, width, planes = args.image
    torch.manual_seed(0)
    begin = time.perf_counter()
    if "graph" in args.words:  # the default stream cannot be captured, and warm-up must run where capturing does
        torch.cuda.set_stream(torch.cuda.Stream())
    peer = begin_peer(args)
    batches = [peer.batch(torch.randn(args.batch, planes, height, width),
                          torch.randint(args.classes, (args.batch,))) for _ in range(2)]
    losses = []  # of training; the same in all variants up to rounding, since seed and batches are

    def step():
        return peer.step(*batches)

    for _ in range(args.warmup):
        losses.append(float(step()[-2]))
    if args.device == "cuda":
        torch.cuda.reset_peak_memory_stats()
    if "graph" in args.words:
        step = peer.captured(step)
    setup = peer.now() - begin
    record = {"peer": "pytorch", "version": torch.__version__, "variant": args.variant, "device": args.device,
              "device_name": device_name(args.device), "threads": torch.get_num_threads(),
              "tunables": os.environ.get("GLIBC_TUNABLES", ""), "channels": args.channels, "cells": args.cells,
              "batch": args.batch, "image": args.image, "classes": args.classes,
              "parameters": peer.parameters, "optimizers": peer.optimizers, "setup_s": setup}
    print(json.dumps({"ready": True, **record}) if args.serve else f"ready after {setup:.1f} s", flush=True)

    steps = []
    for _ in turns(args, peer.now):
        peer.halves = {}
        begin = peer.now()
        result = step()
        steps.append({"seconds": peer.now() - begin, "halves": peer.halves})
        losses.append(float(result[-2]))
        if args.serve:
            print(json.dumps(steps[-1]), flush=True)
        elif args.device == "cpu":
            print(f"step {len(steps) - 1}: {steps[-1]['seconds']:.3f} s", flush=True)
    if not steps:
        sys.exit("no step was asked for")
    seconds = [s["seconds"] for s in steps]
    median = statistics.median(seconds)
    record.update({"seconds": seconds, "median_s": median, "min_s": min(seconds), "max_s": max(seconds),
                   "spread": (max(seconds) - min(seconds)) / median, "losses": losses[:20], **medians(steps),
                   "peak_rss_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024})
    if args.device == "cuda":
        record.update({"tf32": "tf32" in args.words, "graph": "graph" in args.words,
                       "cuda": torch.version.cuda, "cudnn": torch.backends.cudnn.version(),
                       "peak_bytes": torch.cuda.max_memory_allocated(),
                       "reserved_bytes": torch.cuda.max_memory_reserved(),
                       "launches_per_step": count_launches(step) if args.launches else None})
    return record


def image_shape(text):
    """'32x32x3' to [32, 32, 3]: height, width, channels."""
    shape = [int(n) for n in text.split("x")]
    if len(shape) != 3 or min(shape) < 1:
        raise argparse.ArgumentTypeError(f"'{text}' is not HEIGHTxWIDTHxCHANNELS, for example 32x32x3")
    return shape


def variant_words(text, device):
    """The words of a variant as a set; ends the program when this machine or PyTorch cannot run it."""
    words = set(text.split("+"))
    compiles = words & {"compile", "autotune"}
    if words - set(WORDS) or words >= {"nchw", "channels_last"} or len(compiles) > 1:
        sys.exit(f"variant '{text}': words are {', '.join(WORDS)}; one layout, one of compile and autotune")
    if device == "cuda" and not torch.cuda.is_available():
        sys.exit(f"PyTorch {torch.__version__} of {sys.executable} sees no CUDA device")
    if "edges" in words and not compiles:
        sys.exit(f"variant '{text}': edges needs compile or autotune")
    if compiles and not hasattr(torch, "compile"):
        sys.exit(f"variant '{text}': PyTorch {torch.__version__} has no torch.compile")
    if words & {"graph", "tf32"} and device != "cuda":
        sys.exit(f"variant '{text}' needs --device cuda")
    return words


def parser(description, **defaults):
    """The options of every peer; `defaults` are its integers (channels, cells, batch, ...)."""
    result = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter,
                                     epilog=__doc__[__doc__.index("A variant"):])
    for name, default in {**defaults, "classes": 10, "threads": 2, "steps": 5}.items():
        result.add_argument(f"--{name}", type=int, default=default, help=f"default {default}")
    result.add_argument("--warmup", type=int, default=1, help="untimed steps first, default 1")
    result.add_argument("--seconds", type=float, default=0, help="stop after so many measured seconds, 0: off")
    result.add_argument("--image", type=image_shape, default=[32, 32, 3], metavar="HxWxC", help="default 32x32x3")
    result.add_argument("--variant", default="channels_last", help="see below, default channels_last")
    result.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    result.add_argument("--launches", action="store_true", help="on a GPU: count kernel launches of a step")
    result.add_argument("--serve", action="store_true", help="a step for each line of the standard input")
    result.add_argument("--json", metavar="FILE", help="write the JSON line to FILE too")
    return result


def parse(arguments):
    """Parsed options, checked; sets PyTorch up for them. `arguments` is what parser() gave."""
    args = arguments.parse_args()
    if min(args.channels, args.cells, args.batch, args.classes, args.threads, args.steps, args.warmup + 1) < 1:
        arguments.error("sizes and counts must be positive (--warmup may be 0)")
    args.words = variant_words(args.variant, args.device)
    if "graph" in args.words and args.warmup < 3:
        arguments.error("variants with graph need --warmup 3 or more")
    torch.set_num_threads(args.threads)
    torch.backends.cudnn.benchmark = True
    # The older names of these switches: torch.compile reads them and refuses a mixture of both kinds.
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = "tf32" in args.words
    return args


def check_parameters(count, expected):
    """Prints the number of parameters; ends the program when it is not that of the network named (None: unknown)."""
    print(f"parameters {count:,}{'' if expected is None else f' (expected {expected:,})'}", flush=True)
    if expected not in (None, count):
        sys.exit("the parameter count is wrong: this is another network")


def report(args, record):
    split = "".join(f", {part} {record[f'{part}_s']:.3f}" for part in PARTS if f"{part}_s" in record)
    memory = record.get("peak_bytes", record["peak_rss_bytes"])
    print(f"median {record['median_s']:.4f} s of {len(record['seconds'])} (min {record['min_s']:.4f}, max "
          f"{record['max_s']:.4f}, spread {100 * record['spread']:.1f} %){split}; peak memory {memory / 1e9:.2f} GB")
    line = json.dumps(record)
    print(line, flush=True)
    if args.json:
        pathlib.Path(args.json).write_text(line + "\n")
