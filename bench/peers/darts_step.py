#!/usr/bin/python3
"""One first-order DARTS search step in PyTorch, timed: the peer of bench/step_bench.cpp.

A step is what a search does for a pair of batches: Adam on the architecture parameters (alphas) with the validation
batch, then SGD on the weights with the training batch. The data are on the device from the start. Runs on Debian 12's
own PyTorch (apt-get install python3-torch) and on later ones.

  bench/peers/darts_step.py --variant frozen --steps 5 --warmup 1 --json peer.json
  bench/peers/darts_step.py --device cuda --variant channels_last+frozen+graph+tf32 --steps 50 --warmup 5
  bench/peers/darts_step.py --golden CASE     # is it the same supernet? compares with a recorded case, in float64
"""
import sys

import torch

sys.dont_write_bytecode = True  # a run leaves nothing beside the sources
import peer  # noqa: E402
from darts_golden import check_golden  # noqa: E402
from darts_supernet import KNOWN_PARAMETERS, MixedOp, Supernet  # noqa: E402


class Search(peer.Peer):
    """The supernet, its two optimisers, and the step that is timed."""

    def __init__(self, net, words, device, clip=5.0):
        net.alphas = [a.detach().to(device).requires_grad_() for a in net.alphas]
        super().__init__(net, words, device, clip, parts=MixedOp)
        adam = {"lr": 3e-4, "betas": (0.5, 0.999), "weight_decay": 1e-3}
        if device == "cuda":
            adam.update(fused=True, capturable="graph" in words)
        self.adam = torch.optim.Adam(net.alphas, **adam)
        self.optimizers += ", fused Adam" if device == "cuda" else ", Adam"
        self.parameters = sum(w.numel() for w in self.weights)

    def need_gradients(self, weights, alphas):
        if "frozen" in self.words:
            for w in self.weights:
                w.requires_grad_(weights)
            for a in self.net.alphas:
                a.requires_grad_(alphas)

    def clear_gradients(self):
        super().clear_gradients()
        for a in self.net.alphas:
            a.grad = None

    def step(self, train, valid):
        """Returns validation loss, training loss, norm of the weight gradient before clipping."""
        self.need_gradients(weights=False, alphas=True)
        valid_loss, _ = self.half("arch", valid, self.adam, clip=False)
        self.need_gradients(weights=True, alphas=False)
        result = (valid_loss, *self.half("weight", train, self.sgd, clip=True))
        self.need_gradients(weights=True, alphas=True)
        return result


def begin_search(args):
    planes = args.image[2]
    search = Search(Supernet(args.channels, args.cells, args.classes, planes), args.words, args.device)
    known = KNOWN_PARAMETERS.get((args.channels, args.cells)) if (planes, args.classes) == (3, 10) else None
    peer.check_parameters(search.parameters, known)
    return search


def main():
    arguments = peer.parser(__doc__, channels=16, cells=8, batch=64)
    arguments.add_argument("--golden", metavar="DIR", help="compare with the recorded case in DIR, time nothing")
    args = peer.parse(arguments)
    if args.golden:
        if "graph" in args.words:
            arguments.error("variants with graph cannot be compared with --golden")
        torch.set_default_dtype(torch.float64)
        same = check_golden(args.golden, lambda net, clip: Search(net, args.words, args.device, clip), args.device)
        sys.exit(0 if same else "the peer differs from the recorded supernet")
    peer.report(args, peer.measure(args, begin_search))


if __name__ == "__main__":
    main()
