"""The child of the ENAS micro search in PyTorch (Pham et al., arXiv 1802.03268): written from the specification.

All architectures share the weights; a step computes what the chosen one takes. Batch norm always uses the statistics
of the batch.
"""
import torch
from torch import nn

NODES, STATES = 5, 7
# (channels, layers besides the two that reduce) with 3 input channels and 10 classes
KNOWN_PARAMETERS = {(20, 6): 5373140}


def norm(c):
    return nn.BatchNorm2d(c, track_running_stats=False)


def pointwise(c_in, c_out, stride=1):
    return nn.Conv2d(c_in, c_out, 1, stride, bias=False)


def separable(c, kernel):
    def half():
        return [nn.ReLU(), nn.Conv2d(c, c, kernel, padding=kernel // 2, groups=c, bias=False), pointwise(c, c),
                norm(c)]

    return nn.Sequential(*half(), *half())


def relu_conv_norm(c_in, c_out):
    return nn.Sequential(nn.ReLU(), pointwise(c_in, c_out), norm(c_out))


class FactorizedReduce(nn.Module):
    def __init__(self, c_in, c_out):
        super().__init__()
        self.even, self.odd = pointwise(c_in, c_out // 2, 2), pointwise(c_in, c_out // 2, 2)
        self.norm = norm(c_out)

    def forward(self, x):
        return self.norm(torch.cat([self.even(x), self.odd(x[:, :, 1:, 1:])], dim=1))


class Cell(nn.Module):
    """Operations: 0 sep 3x3, 1 sep 5x5, 2 avg 3x3, 3 max 3x3, 4 identity; the first two have weights of their own
    for each node, slot and input."""

    def __init__(self, c_before, c_last, c, shrinks):
        super().__init__()
        if shrinks:
            self.pre0 = nn.Sequential(nn.ReLU(), FactorizedReduce(c_before, c))
        else:
            self.pre0 = relu_conv_norm(c_before, c) if c_before != c else nn.Identity()
        self.pre1 = relu_conv_norm(c_last, c) if c_last != c else nn.Identity()
        self.convolutions = nn.ModuleList(
            nn.ModuleList(nn.ModuleList(nn.ModuleList(separable(c, kernel) for _ in range(node + 2))
                                        for kernel in (3, 5)) for _ in range(2)) for node in range(NODES))
        self.average, self.maximum = nn.AvgPool2d(3, 1, 1, count_include_pad=False), nn.MaxPool2d(3, 1, 1)
        self.rows = nn.ParameterList(nn.Parameter(torch.empty(c, c, 1, 1).uniform_(-c ** -0.5, c ** -0.5))
                                     for _ in range(STATES))
        self.norm = norm(c)

    def operation(self, node, slot, op, source, x):
        if op < 2:
            return self.convolutions[node][slot][op][source](x)
        return x if op == 4 else (self.average, self.maximum)[op - 2](x)

    def forward(self, before, last, arch):
        states = [self.pre0(before), self.pre1(last)]
        for node in range(NODES):
            numbers = arch[4 * node:4 * node + 4]
            a, b = (self.operation(node, slot, numbers[2 * slot + 1], numbers[2 * slot], states[numbers[2 * slot]])
                    for slot in (0, 1))
            states.append(a + b)
        read = {arch[i] for i in range(0, 4 * NODES, 2)}
        loose = [s for s in range(STATES) if s not in read]
        x = torch.relu(torch.cat([states[s] for s in loose], dim=1))
        return self.norm(nn.functional.conv2d(x, torch.cat([self.rows[s] for s in loose], dim=1)))


def auxiliary_head(c, classes):
    """For maps of 8x8: relu, average pool to 2x2, 1x1 to 128, 2x2 to 768, linear."""
    return nn.Sequential(nn.ReLU(), nn.AvgPool2d(5, 3), pointwise(c, 128), norm(128), nn.ReLU(),
                         nn.Conv2d(128, 768, 2, bias=False), norm(768), nn.ReLU(), nn.Flatten(),
                         nn.Linear(768, classes, bias=False))


class Child(nn.Module):
    """Images [N, C, H, W] to logits [N, classes] and those of the auxiliary head, for the architecture `arch`: the
    twenty numbers of the normal cell, then those of the reduction cell."""

    def __init__(self, channels, layers, classes, image_channels):
        super().__init__()
        c, c_before, c_last = channels, 3 * channels, 3 * channels
        self.arch = None
        self.stem = nn.Sequential(nn.Conv2d(image_channels, c_last, 3, padding=1, bias=False), norm(c_last))
        self.reduces = (layers // 3, 2 * (layers // 3) + 1)
        self.cells, self.reductions = nn.ModuleList(), nn.ModuleDict()
        for i in range(layers + 2):
            if i in self.reduces:
                c *= 2
                self.reductions[str(i)] = FactorizedReduce(c_last, c)
                c_before, c_last = c_last, c
            self.cells.append(Cell(c_before, c_last, c, i in self.reduces))
            c_before, c_last = c_last, c
        self.auxiliary = auxiliary_head(c, classes)
        self.dropout = nn.Dropout(0.1)
        self.head = nn.Linear(c, classes, bias=False)

    def forward(self, x):
        before = last = self.stem(x)
        for i, cell in enumerate(self.cells):
            if i in self.reduces:
                before, last = last, self.reductions[str(i)](last)
            before, last = last, cell(before, last, self.arch[20:] if i in self.reduces else self.arch[:20])
            if i == self.reduces[1] + 1:
                auxiliary = self.auxiliary(last)
        return self.head(self.dropout(torch.relu(last).mean(dim=(2, 3)))), auxiliary
