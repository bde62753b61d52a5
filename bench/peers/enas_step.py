#!/usr/bin/python3
"""One step of the weights of the ENAS micro search in PyTorch, timed: the peer of step_bench --network enas-micro.

A step is forward, backward and Nesterov SGD with one batch and one architecture, the auxiliary head counting 0.4. The
architectures given take turns. Weights that an architecture does not use are left alone, which the reference
implementation does not do: its weight decay and momentum are of all. A small favour to this peer.

  bench/peers/enas_step.py --steps 3
"""
import sys

sys.dont_write_bytecode = True  # a run leaves nothing beside the sources
import peer  # noqa: E402
import torch  # noqa: E402
from torch import nn  # noqa: E402

from enas_micro import KNOWN_PARAMETERS, Cell, Child  # noqa: E402

PUBLISHED = "0 2 0 0 0 4 0 1 0 4 1 1 1 0 0 1 0 2 1 1 1 0 1 0 0 3 0 2 1 1 3 1 1 0 0 4 0 3 1 1"


class Search(peer.Peer):
    AUXILIARY_WEIGHT = 0.4

    def __init__(self, net, words, device, archs):
        super().__init__(net, words, device, clip=None, parts=Cell)
        self.parameters = sum(w.numel() for name, w in net.named_parameters() if not name.startswith("auxiliary."))
        self.sgd = torch.optim.SGD(self.weights, lr=0.05, momentum=0.9, nesterov=True, weight_decay=2e-4, foreach=True)
        self.optimizers, self.archs, self.steps = "foreach SGD", archs, 0

    def loss(self, images, labels):
        self.net.arch = self.archs[self.steps % len(self.archs)]
        self.steps += 1
        logits, auxiliary = self.model(images)
        loss = nn.functional.cross_entropy(logits, labels)
        return loss + self.AUXILIARY_WEIGHT * nn.functional.cross_entropy(auxiliary, labels)

    def step(self, train, _):
        """Returns the loss and, as there is no clipping, no norm."""
        return self.half("weight", train, self.sgd, clip=False)


def begin_search(args):
    archs = [[int(n) for n in text.split()] for text in args.archs.split("|")]
    net = Child(args.channels, args.cells, args.classes, args.image[2])
    search = Search(net, args.words, args.device, archs)
    known = KNOWN_PARAMETERS.get((args.channels, args.cells)) if (args.image[2], args.classes) == (3, 10) else None
    peer.check_parameters(search.parameters, known)
    return search


def main():
    arguments = peer.parser(__doc__, channels=20, cells=6, batch=160)
    arguments.add_argument("--archs", default=PUBLISHED, help="texts of forty numbers, separated by |")
    args = peer.parse(arguments)
    peer.report(args, peer.measure(args, begin_search))


if __name__ == "__main__":
    main()
