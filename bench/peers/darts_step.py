#!/usr/bin/python3
"""One first-order DARTS search step in PyTorch, timed: the peer of bench/step_bench.cpp.

A step is what a search does for a pair of batches: Adam on the architecture parameters (alphas) with the validation
batch, then SGD on the weights with the training batch. The data are on the device from the start. Runs on Debian 12's
own PyTorch (apt-get install python3-torch) and on later ones.

  bench/peers/darts_step.py --variant frozen --steps 5 --warmup 1 --json peer.json
  bench/peers/darts_step.py --device cuda --variant channels_last+frozen+graph+tf32 --steps 50 --warmup 5
  bench/peers/darts_step.py --golden CASE     # is it the same supernet? compares with a recorded case, in float64

A variant is words joined by +:
  nchw           as the reference implementation runs it
  channels_last  NHWC memory format, the default: what a user with a CPU or tensor cores would choose
  frozen         each half of a step computes only the gradients that it uses; the reference computes all, drops some
  compile        torch.compile, mode default               (PyTorch 2.5 or later)
  autotune       torch.compile, mode max-autotune-no-cudagraphs
  edges          with those two: compile each mixed operation by itself, much faster to compile than the whole network
  graph          the whole step is captured once and replayed as a CUDA graph
  tf32           convolutions and products in TensorFloat-32; without it in full float32
"""
import argparse
import json
import pathlib
import re
import resource
import statistics
import sys
import time

import torch
from torch import nn

sys.dont_write_bytecode = True  # a run leaves nothing beside the sources
from darts_golden import check_golden  # noqa: E402
from darts_supernet import KNOWN_PARAMETERS, MixedOp, Supernet  # noqa: E402

WORDS = ("nchw", "channels_last", "frozen", "compile", "autotune", "edges", "graph", "tf32")


def compiled(net, words):
    """The network as a callable, compiled as the variant says."""
    if not words & {"compile", "autotune"}:
        return net
    from torch import _dynamo  # not in the PyTorch of Debian 12
    mode = "max-autotune-no-cudagraphs" if "autotune" in words else "default"
    for name in ("recompile_limit", "cache_size_limit"):  # renamed in 2.6; one graph per shape and set of gradients
        if hasattr(_dynamo.config, name):
            setattr(_dynamo.config, name, 64)
    if "edges" not in words:
        return torch.compile(net, mode=mode, dynamic=False)
    MixedOp.forward = torch.compile(MixedOp.forward, mode=mode, dynamic=False)
    return net


class Search:
    """The supernet, its two optimisers, and the step that is timed."""

    def __init__(self, net, words, device, clip=5.0):
        self.net, self.words, self.device, self.clip = net.to(device), words, device, clip
        self.layout = torch.contiguous_format if "nchw" in words else torch.channels_last
        net.to(memory_format=self.layout)
        net.alphas = [a.detach().to(device).requires_grad_() for a in net.alphas]
        self.weights = list(net.parameters())
        self.model = compiled(net, words)
        sgd = {"lr": 0.025, "momentum": 0.9, "weight_decay": 3e-4}
        adam = {"lr": 3e-4, "betas": (0.5, 0.999), "weight_decay": 1e-3}
        # foreach: one optimiser kernel for all tensors instead of a Python loop over 1,399 of them
        self.optimizers, self.clip_options = "foreach SGD", {}
        if device == "cuda":
            self.clip_options = {"foreach": True}
            adam.update(fused=True, capturable="graph" in words)
            try:
                self.sgd, self.optimizers = torch.optim.SGD(self.weights, fused=True, **sgd), "fused SGD"
            except TypeError:  # PyTorch before 2.3
                pass
        if self.optimizers == "foreach SGD":
            self.sgd = torch.optim.SGD(self.weights, foreach=True, **sgd)
        self.adam = torch.optim.Adam(net.alphas, **adam)
        self.optimizers += ", fused Adam" if device == "cuda" else ", Adam"
        self.seconds = {"forward": [], "backward": [], "update": []}  # on the CPU: a GPU would have to be stopped

    def batch(self, x, y):
        return x.to(self.device, memory_format=self.layout), y.to(self.device)

    def now(self):
        if self.device == "cuda":
            torch.cuda.synchronize()
        return time.perf_counter()

    def half(self, batch, optimizer, clip):
        """Forward, backward, update with one batch; returns the loss and, if clipped, the gradient norm before."""
        times = [time.perf_counter()]
        optimizer.zero_grad(set_to_none=True)
        loss = nn.functional.cross_entropy(self.model(batch[0]), batch[1])
        times.append(time.perf_counter())
        loss.backward()
        times.append(time.perf_counter())
        grad_norm = nn.utils.clip_grad_norm_(self.weights, self.clip, **self.clip_options) if clip else None
        optimizer.step()
        times.append(time.perf_counter())
        if self.device == "cpu":
            for name, begin, end in zip(self.seconds, times, times[1:]):
                self.seconds[name].append(end - begin)
        return loss.detach(), grad_norm

    def need_gradients(self, weights, alphas):
        if "frozen" in self.words:
            for w in self.weights:
                w.requires_grad_(weights)
            for a in self.net.alphas:
                a.requires_grad_(alphas)

    def step(self, train, valid):
        """Returns validation loss, training loss, norm of the weight gradient before clipping."""
        self.need_gradients(weights=False, alphas=True)
        valid_loss, _ = self.half(valid, self.adam, clip=False)
        self.need_gradients(weights=True, alphas=False)
        result = (valid_loss, *self.half(train, self.sgd, clip=True))
        self.need_gradients(weights=True, alphas=True)
        return result

    def captured(self, train, valid):
        """step(train, valid) as a CUDA graph: a function that replays it. Warm-up steps must have run before."""
        for tensor in self.weights + self.net.alphas:
            tensor.grad = None  # else the graph would write into gradients that it does not own
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, stream=torch.cuda.current_stream()):
            result = self.step(train, valid)

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


def measure(args):
    """Times args.steps steps on random images after args.warmup untimed ones; returns the JSON record."""
    height, width, planes = args.image
    torch.manual_seed(0)
    begin = time.perf_counter()
    if "graph" in args.words:  # the default stream cannot be captured, and warm-up must run where capturing does
        torch.cuda.set_stream(torch.cuda.Stream())
    search = Search(Supernet(args.channels, args.cells, args.classes, planes), args.words, args.device)
    parameters = sum(w.numel() for w in search.weights)
    expected = KNOWN_PARAMETERS.get((args.channels, args.cells)) if (planes, args.classes) == (3, 10) else None
    print(f"parameters {parameters:,}{'' if expected is None else f' (expected {expected:,})'}", flush=True)
    if expected not in (None, parameters):
        sys.exit("the parameter count is wrong: this is not the DARTS supernet")

    batches = [search.batch(torch.randn(args.batch, planes, height, width),
                            torch.randint(args.classes, (args.batch,))) for _ in range(2)]
    losses = []  # of training; the same in all variants up to rounding, since seed and batches are

    def step():
        return search.step(*batches)

    for _ in range(args.warmup):
        losses.append(float(step()[1]))
    if args.device == "cuda":
        torch.cuda.reset_peak_memory_stats()
    if "graph" in args.words:
        step = search.captured(*batches)
    setup = search.now() - begin
    print(f"ready after {setup:.1f} s", flush=True)

    seconds, start = [], search.now()
    while len(seconds) < args.steps and not (args.seconds and seconds and search.now() - start > args.seconds):
        begin = search.now()
        result = step()
        seconds.append(search.now() - begin)
        losses.append(float(result[1]))
        if args.device == "cpu":
            print(f"step {len(seconds) - 1}: {seconds[-1]:.3f} s", flush=True)
    median = statistics.median(seconds)
    record = {"peer": "pytorch", "version": torch.__version__, "variant": args.variant, "device": args.device,
              "device_name": device_name(args.device), "threads": torch.get_num_threads(), "channels": args.channels,
              "cells": args.cells, "batch": args.batch, "image": args.image, "classes": args.classes,
              "parameters": parameters, "optimizers": search.optimizers, "setup_s": setup, "seconds": seconds,
              "median_s": median, "min_s": min(seconds), "max_s": max(seconds),
              "spread": (max(seconds) - min(seconds)) / median, "losses": losses[:20],
              "peak_rss_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024}
    if args.device == "cpu":  # two halves (architecture, weights) a step, the warm-up's first
        record.update({f"{k}_s": statistics.median(a + w for a, w in zip(v[0::2][args.warmup:], v[1::2][args.warmup:]))
                       for k, v in search.seconds.items()})
    else:
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


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, default in {"channels": 16, "cells": 8, "batch": 64, "classes": 10, "threads": 2, "steps": 5}.items():
        parser.add_argument(f"--{name}", type=int, default=default, help=f"default {default}")
    parser.add_argument("--warmup", type=int, default=1, help="untimed steps first, default 1")
    parser.add_argument("--seconds", type=float, default=0, help="stop after so many measured seconds, 0: off")
    parser.add_argument("--image", type=image_shape, default=[32, 32, 3], metavar="HxWxC", help="default 32x32x3")
    parser.add_argument("--variant", default="channels_last", help="see above, default channels_last")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--launches", action="store_true", help="on a GPU: count kernel launches of a step")
    parser.add_argument("--json", metavar="FILE", help="write the JSON line to FILE too")
    parser.add_argument("--golden", metavar="DIR", help="compare with the recorded case in DIR, time nothing")
    args = parser.parse_args()
    if min(args.channels, args.cells, args.batch, args.classes, args.threads, args.steps, args.warmup + 1) < 1:
        parser.error("sizes and counts must be positive (--warmup may be 0)")
    args.words = variant_words(args.variant, args.device)
    if "graph" in args.words and (args.golden or args.warmup < 3):
        parser.error("variants with graph need --warmup 3 or more, and cannot be compared with --golden")
    torch.set_num_threads(args.threads)
    torch.backends.cudnn.benchmark = True
    # The older names of these switches: torch.compile reads them and refuses a mixture of both kinds.
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = "tf32" in args.words
    if args.golden:
        torch.set_default_dtype(torch.float64)
        same = check_golden(args.golden, lambda net, clip: Search(net, args.words, args.device, clip), args.device)
        sys.exit(0 if same else "the peer differs from the recorded supernet")
    record = measure(args)
    split = "".join(f", {k} {record[f'{k}_s']:.3f}" for k in ("forward", "backward", "update") if f"{k}_s" in record)
    memory = record.get("peak_bytes", record["peak_rss_bytes"])
    print(f"median {record['median_s']:.4f} s of {len(record['seconds'])} (min {record['min_s']:.4f}, max "
          f"{record['max_s']:.4f}, spread {100 * record['spread']:.1f} %){split}; peak memory {memory / 1e9:.2f} GB")
    line = json.dumps(record)
    print(line)
    if args.json:
        pathlib.Path(args.json).write_text(line + "\n")


if __name__ == "__main__":
    main()
