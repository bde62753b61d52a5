#!/usr/bin/python3
"""One training step of a network derived from a genotype in PyTorch, timed: the peer of step_bench --network.

A step is forward, backward, clipping and SGD with one batch, with batch norm in training mode, drop-path masks and,
with --auxiliary, the second classifier whose loss counts 0.4. The data are on the device from the start.

  bench/peers/derived_step.py --auxiliary --steps 3
  bench/peers/derived_step.py --channels 16 --cells 8 --genotype '{"normal": [["sep_conv_3x3", 0], ...], ...}'
"""
import json
import sys

sys.dont_write_bytecode = True  # a run leaves nothing beside the sources
import peer  # noqa: E402
from torch import nn  # noqa: E402

from derived_network import DARTS_V2, KNOWN_PARAMETERS, Cell, Network  # noqa: E402


class Training(peer.Peer):
    AUXILIARY_WEIGHT = 0.4

    def __init__(self, net, words, device, clip=5.0):
        super().__init__(net, words, device, clip, parts=Cell)
        self.parameters = sum(w.numel() for name, w in net.named_parameters() if not name.startswith("auxiliary."))

    def loss(self, images, labels):
        logits, auxiliary = self.model(images)
        loss = nn.functional.cross_entropy(logits, labels)
        if auxiliary is not None:
            loss = loss + self.AUXILIARY_WEIGHT * nn.functional.cross_entropy(auxiliary, labels)
        return loss

    def step(self, train, _):
        """Returns the loss and the norm of the gradient before clipping."""
        return self.half("weight", train, self.sgd, clip=True)


def begin_training(args):
    genotype = json.loads(args.genotype) if args.genotype else DARTS_V2
    net = Network(genotype, args.channels, args.cells, args.classes, args.image[2], args.auxiliary, args.drop_path)
    training = Training(net, args.words, args.device)
    known = None
    if genotype == DARTS_V2 and (args.image[2], args.classes) == (3, 10):
        known = KNOWN_PARAMETERS.get((args.channels, args.cells))
    peer.check_parameters(training.parameters, known)
    return training


def main():
    arguments = peer.parser(__doc__, channels=36, cells=20, batch=96)
    arguments.add_argument("--genotype", metavar="JSON", help="normal, normal_concat, ...; default DARTS_V2")
    arguments.add_argument("--auxiliary", action="store_true", help="train a second classifier too")
    arguments.add_argument("--drop-path", type=float, default=0.2, help="probability, default 0.2; 0: no masks")
    args = peer.parse(arguments)
    peer.report(args, peer.measure(args, begin_training))


if __name__ == "__main__":
    main()
