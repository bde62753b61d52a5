#!/usr/bin/python3
"""One first-order DARTS search step in PyTorch, timed: the peer of bench/step_bench.cpp.

The supernet (Liu et al., arXiv 1806.09055) is written here from its specification. A step is what a search does for
a pair of batches: Adam on the architecture parameters (alphas) with the validation batch, then SGD on the weights
with the training batch. Runs on Debian 12's own PyTorch (apt-get install python3-torch) and on later ones.

  bench/peers/darts_step.py --variant frozen --steps 5 --warmup 1 --json peer.json
  bench/peers/darts_step.py --golden CASE     # is it the same supernet? compares with a recorded case, in float64

Variants: nchw          as the reference implementation runs it
          channels_last NHWC memory format: what a user with a CPU or tensor cores would choose
          frozen        channels_last, and the weights need no gradient during the architecture step
"""
import argparse
import json
import pathlib
import re
import resource
import statistics
import sys
import time

import numpy as np
import torch
from torch import nn

NODES, OPS = 4, 8  # per cell; candidates: none, max, avg, skip, sep 3x3, sep 5x5, dil 3x3, dil 5x5
EDGES = sum(2 + n for n in range(NODES))  # node n reads both cell inputs and all earlier nodes
# (channels, cells) with 3 input channels and 10 classes
KNOWN_PARAMETERS = {(16, 8): 1930618, (4, 5): 136182, (8, 8): 597890}


def norm(channels):
    """Batch norm without scale and shift: a learnable scale would undo the alphas."""
    return nn.BatchNorm2d(channels, affine=False)


def depthwise(c, kernel, stride=1, dilation=1):
    return nn.Conv2d(c, c, kernel, stride, dilation * (kernel // 2), dilation, groups=c, bias=False)


def pointwise(c_in, c_out, stride=1):
    return nn.Conv2d(c_in, c_out, 1, stride, bias=False)


def relu_conv_norm(c_in, c_out):
    return nn.Sequential(nn.ReLU(), pointwise(c_in, c_out), norm(c_out))


def separable(c, kernel, stride):
    def half(s):
        return [nn.ReLU(), depthwise(c, kernel, s), pointwise(c, c), norm(c)]

    return nn.Sequential(*half(stride), *half(1))


def dilated(c, kernel, stride):
    return nn.Sequential(nn.ReLU(), depthwise(c, kernel, stride, dilation=2), pointwise(c, c), norm(c))


class FactorizedReduce(nn.Module):
    """Halves height and width: two strided 1x1 convolutions, one of them shifted by a pixel, side by side."""

    def __init__(self, c_in, c_out):
        super().__init__()
        self.even, self.odd = pointwise(c_in, c_out // 2, 2), pointwise(c_in, c_out // 2, 2)
        self.norm = norm(c_out)

    def forward(self, x):
        x = torch.relu(x)
        return self.norm(torch.cat([self.even(x), self.odd(x[:, :, 1:, 1:])], dim=1))


class MixedOp(nn.Module):
    """sum_k weight[k] * op_k(x). `none` (k = 0) adds nothing and is not computed: a small favour to this peer."""

    def __init__(self, c, stride):
        super().__init__()
        self.ops = nn.ModuleList([
            nn.Sequential(nn.MaxPool2d(3, stride, 1), norm(c)),
            nn.Sequential(nn.AvgPool2d(3, stride, 1, count_include_pad=False), norm(c)),
            nn.Identity() if stride == 1 else FactorizedReduce(c, c),
            separable(c, 3, stride), separable(c, 5, stride), dilated(c, 3, stride), dilated(c, 5, stride)])

    def forward(self, x, weights):
        return sum(w * op(x) for w, op in zip(weights[1:], self.ops))


class Cell(nn.Module):
    def __init__(self, c_before, c_last, c, reduction, after_reduction):
        super().__init__()
        self.reduction = reduction
        self.pre0 = FactorizedReduce(c_before, c) if after_reduction else relu_conv_norm(c_before, c)
        self.pre1 = relu_conv_norm(c_last, c)
        self.edges = nn.ModuleList(MixedOp(c, 2 if reduction and source < 2 else 1)
                                   for node in range(NODES) for source in range(2 + node))

    def forward(self, before, last, mix):
        states, edge = [self.pre0(before), self.pre1(last)], 0
        for _ in range(NODES):
            total = sum(self.edges[edge + j](s, mix[edge + j]) for j, s in enumerate(states))
            edge += len(states)
            states.append(total)
        return torch.cat(states[2:], dim=1)


class Supernet(nn.Module):
    """Images [N, C, H, W] to logits [N, classes]. The alphas are no module parameters: SGD must not see them."""

    def __init__(self, channels, cells, classes, image_channels=3):
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(image_channels, 3 * channels, 3, padding=1, bias=False),
                                  nn.BatchNorm2d(3 * channels))
        self.cells = nn.ModuleList()
        c, c_before, c_last, after_reduction = channels, 3 * channels, 3 * channels, False
        for i in range(cells):
            reduction = i in (cells // 3, 2 * cells // 3)
            c *= 2 if reduction else 1
            self.cells.append(Cell(c_before, c_last, c, reduction, after_reduction))
            c_before, c_last, after_reduction = c_last, NODES * c, reduction
        self.head = nn.Linear(c_last, classes)
        self.alphas = [(1e-3 * torch.randn(EDGES, OPS)).requires_grad_() for _ in ("normal", "reduction")]

    def forward(self, x):
        before = last = self.stem(x)  # no ReLU: every preprocess begins with one
        mixes = [a.softmax(dim=1) for a in self.alphas]
        for cell in self.cells:
            before, last = last, cell(before, last, mixes[cell.reduction])
        return self.head(last.mean(dim=(2, 3)))


class Search:
    """The supernet, its two optimisers, and the step that is timed."""

    def __init__(self, net, variant, device, clip=5.0):
        self.net, self.variant, self.device, self.clip = net.to(device), variant, device, clip
        if variant != "nchw":
            net.to(memory_format=torch.channels_last)
        net.alphas = [a.detach().to(device).requires_grad_() for a in net.alphas]
        self.weights = list(net.parameters())
        # foreach: one optimiser kernel for all tensors instead of a Python loop over 1,399 of them
        self.sgd = torch.optim.SGD(self.weights, lr=0.025, momentum=0.9, weight_decay=3e-4, foreach=True)
        self.adam = torch.optim.Adam(net.alphas, lr=3e-4, betas=(0.5, 0.999), weight_decay=1e-3)
        self.seconds = {"forward": [], "backward": [], "update": []}

    def batch(self, x, y):
        layout = torch.contiguous_format if self.variant == "nchw" else torch.channels_last
        return x.to(self.device, memory_format=layout), y.to(self.device)

    def now(self):
        if self.device == "cuda":
            torch.cuda.synchronize()
        return time.perf_counter()

    def half(self, batch, optimizer, clip):
        """Forward, backward, update with one batch; returns the loss and, if clipped, the gradient norm before."""
        t0 = self.now()
        optimizer.zero_grad(set_to_none=True)
        loss = nn.functional.cross_entropy(self.net(batch[0]), batch[1])
        t1 = self.now()
        loss.backward()
        t2 = self.now()
        grad_norm = nn.utils.clip_grad_norm_(self.weights, self.clip) if clip else None
        optimizer.step()
        for name, seconds in zip(self.seconds, (t1 - t0, t2 - t1, self.now() - t2)):
            self.seconds[name].append(seconds)
        return loss.detach(), grad_norm

    def need_weight_gradients(self, need):
        for w in self.weights:
            w.requires_grad_(need)

    def step(self, train, valid):
        """Returns validation loss, training loss, norm of the weight gradient before clipping."""
        self.need_weight_gradients(self.variant != "frozen")
        valid_loss, _ = self.half(valid, self.adam, clip=False)
        self.need_weight_gradients(True)
        return (valid_loss, *self.half(train, self.sgd, clip=True))


def check_golden(folder, variant):
    """Compares outputs, gradients and five search steps with a recorded case; returns whether all agree to 1e-9."""
    torch.set_default_dtype(torch.float64)
    folder, agree = pathlib.Path(folder), True
    manifest = json.loads((folder / "manifest.json").read_text())
    p = manifest["params"]

    def load(name):
        return torch.from_numpy(np.load(folder / f"{name}.npy"))

    def compare(name, got):
        nonlocal agree
        want, got = load(name), torch.as_tensor(got)
        error = float((got - want.reshape(got.shape)).abs().max() / want.abs().max())
        agree = agree and error < 1e-9  # false for NaN too
        print(f"  {name:28s} {error:.1e} {'' if error < 1e-9 else 'DIFFERS'}")

    def start(clip):
        net = Supernet(p["C"], p["layers"], p["classes"], p["image"][0])
        net.alphas = [load("alphas_normal"), load("alphas_reduce")]
        recorded = load("weights")
        for w, entry in zip(net.parameters(), manifest["weight_layout"], strict=True):
            if list(w.shape) != entry["shape"]:
                sys.exit(f"{folder}: {entry['name']} has shape {entry['shape']}, the peer's {list(w.shape)}")
            w.data.copy_(recorded[entry["offset"]:entry["offset"] + entry["size"]].reshape(w.shape))
        return Search(net, variant, "cpu", clip)

    def flat(tensors):
        return torch.cat([t.detach().flatten() for t in tensors])

    print(f"{manifest['case']}, variant {variant}: largest difference over largest magnitude")
    search = start(clip=5.0)
    x, y, xv, yv = (load(name) for name in ("x_train", "y_train", "x_val", "y_val"))
    logits = search.net(search.batch(x[0], y[0])[0])
    loss = nn.functional.cross_entropy(logits, y[0])
    grads = torch.autograd.grad(loss, search.net.alphas + search.weights)
    for name, got in (("logits", logits), ("loss", loss), ("grad_alphas_normal", grads[0]),
                      ("grad_alphas_reduce", grads[1]), ("grad_weights", flat(grads[2:]))):
        compare(name, got.detach())

    for clip, prefix in ((5.0, "steps"), (3.0, "clip3_steps")):
        search = start(clip)
        rows = [search.step(search.batch(x[i], y[i]), search.batch(xv[i], yv[i])) for i in range(len(x))]
        for name, got in zip(("val_loss", "train_loss", "grad_norm"), zip(*rows)):
            compare(f"{prefix}_{name}", got)
        if clip == 5.0:
            compare("weights_after_5", flat(search.weights))
    # 5.0 never clips in this case, 3.0 always does
    compare("clip3_weight_norms", [float(w.detach().norm()) for w in search.weights])
    for name, alphas in zip(("normal", "reduce"), search.net.alphas):
        compare(f"clip3_alphas_{name}", alphas.detach())
    return agree


def measure(args):
    """Times args.steps steps on random images after args.warmup untimed ones; returns the JSON record."""
    height, width, planes = args.image
    torch.manual_seed(0)
    torch.backends.cudnn.benchmark = True
    search = Search(Supernet(args.channels, args.cells, args.classes, planes), args.variant, args.device)
    parameters = sum(w.numel() for w in search.weights)
    expected = KNOWN_PARAMETERS.get((args.channels, args.cells)) if (planes, args.classes) == (3, 10) else None
    print(f"parameters {parameters:,}{'' if expected is None else f' (expected {expected:,})'}", flush=True)
    if expected not in (None, parameters):
        sys.exit("the parameter count is wrong: this is not the DARTS supernet")

    train, valid = (search.batch(torch.randn(args.batch, planes, height, width),
                                 torch.randint(args.classes, (args.batch,))) for _ in range(2))
    seconds = []
    for i in range(args.warmup + args.steps):
        begin = search.now()
        search.step(train, valid)
        if i >= args.warmup:
            seconds.append(search.now() - begin)
            print(f"step {i - args.warmup}: {seconds[-1]:.3f} s", flush=True)
    # two halves (architecture, weights) a step, the warm-up's first
    split = {k: statistics.median(a + w for a, w in zip(v[0::2][args.warmup:], v[1::2][args.warmup:]))
             for k, v in search.seconds.items()}
    median = statistics.median(seconds)
    cpu = re.search(r"model name\s*: (.*)", pathlib.Path("/proc/cpuinfo").read_text())
    device_name = torch.cuda.get_device_name() if args.device == "cuda" else cpu.group(1) if cpu else "unknown"
    return {"peer": "pytorch", "version": torch.__version__, "variant": args.variant, "device": args.device,
            "device_name": device_name, "threads": torch.get_num_threads(), "channels": args.channels,
            "cells": args.cells, "batch": args.batch, "image": args.image, "classes": args.classes,
            "parameters": parameters, "seconds": seconds,
            "median_s": median, "min_s": min(seconds), "max_s": max(seconds),
            "spread": (max(seconds) - min(seconds)) / median, **{f"{k}_s": s for k, s in split.items()},
            "peak_rss_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024}


def image_shape(text):
    """'32x32x3' to [32, 32, 3]: height, width, channels."""
    shape = [int(n) for n in text.split("x")]
    if len(shape) != 3 or min(shape) < 1:
        raise argparse.ArgumentTypeError(f"'{text}' is not HEIGHTxWIDTHxCHANNELS, for example 32x32x3")
    return shape


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, default in {"channels": 16, "cells": 8, "batch": 64, "classes": 10, "threads": 2, "steps": 5}.items():
        parser.add_argument(f"--{name}", type=int, default=default, help=f"default {default}")
    parser.add_argument("--warmup", type=int, default=1, help="untimed steps first, default 1")
    parser.add_argument("--image", type=image_shape, default=[32, 32, 3], metavar="HxWxC", help="default 32x32x3")
    parser.add_argument("--variant", choices=("nchw", "channels_last", "frozen"), default="channels_last")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--json", metavar="FILE", help="write the JSON line to FILE too")
    parser.add_argument("--golden", metavar="DIR", help="compare with the recorded case in DIR, time nothing")
    args = parser.parse_args()
    if min(args.channels, args.cells, args.batch, args.classes, args.threads, args.steps, args.warmup + 1) < 1:
        parser.error("sizes and counts must be positive (--warmup may be 0)")
    torch.set_num_threads(args.threads)
    if args.golden:
        sys.exit(0 if check_golden(args.golden, args.variant) else "the peer differs from the recorded supernet")
    record = measure(args)
    print(f"median {record['median_s']:.3f} s (min {record['min_s']:.3f}, max {record['max_s']:.3f}, spread "
          f"{100 * record['spread']:.1f} %): forward {record['forward_s']:.3f}, backward "
          f"{record['backward_s']:.3f}, update {record['update_s']:.3f}; "
          f"peak memory {record['peak_rss_bytes'] / 1e9:.2f} GB")
    line = json.dumps(record)
    print(line)
    if args.json:
        pathlib.Path(args.json).write_text(line + "\n")


if __name__ == "__main__":
    main()
