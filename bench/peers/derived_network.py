"""Networks derived from a genotype of the DARTS space in PyTorch, for CIFAR (Liu et al., arXiv 1806.09055): written
from the specification."""
import torch
from torch import nn

from darts_supernet import FactorizedReduce, dilated, norm, pointwise, relu_conv_norm, separable

DARTS_V2 = {"normal": [["sep_conv_3x3", 0], ["sep_conv_3x3", 1], ["sep_conv_3x3", 0], ["sep_conv_3x3", 1],
                       ["sep_conv_3x3", 1], ["skip_connect", 0], ["skip_connect", 0], ["dil_conv_3x3", 2]],
            "normal_concat": [2, 3, 4, 5],
            "reduce": [["max_pool_3x3", 0], ["max_pool_3x3", 1], ["skip_connect", 2], ["max_pool_3x3", 1],
                       ["max_pool_3x3", 0], ["skip_connect", 2], ["skip_connect", 2], ["max_pool_3x3", 1]],
            "reduce_concat": [2, 3, 4, 5]}
# of DARTS_V2 without the auxiliary head: (channels, cells) with 3 input channels and 10 classes
KNOWN_PARAMETERS = {(36, 20): 3349342, (16, 8): 246106}


def operation(name, c, stride):
    """The operation of an edge; unlike in the supernet batch norm is affine, and pools have none."""
    if name == "skip_connect":
        return nn.Identity() if stride == 1 else FactorizedReduce(c, c, affine=True)
    if name == "max_pool_3x3":
        return nn.MaxPool2d(3, stride, 1)
    if name == "avg_pool_3x3":
        return nn.AvgPool2d(3, stride, 1, count_include_pad=False)
    if name == "conv_7x1_1x7":
        return nn.Sequential(nn.ReLU(), nn.Conv2d(c, c, (1, 7), (1, stride), (0, 3), bias=False),
                             nn.Conv2d(c, c, (7, 1), (stride, 1), (3, 0), bias=False), norm(c, affine=True))
    kind, kernel = name.rsplit("_", 1)
    return {"sep_conv": separable, "dil_conv": dilated}[kind](c, int(kernel[0]), stride, affine=True)


class Cell(nn.Module):
    def __init__(self, edges, concat, c_before, c_last, c, reduction, after_reduction, drop):
        super().__init__()
        reduce = FactorizedReduce if after_reduction else relu_conv_norm
        self.pre0, self.pre1 = reduce(c_before, c, affine=True), relu_conv_norm(c_last, c, affine=True)
        self.sources, self.concat, self.drop = [source for _, source in edges], concat, drop
        self.ops = nn.ModuleList(operation(name, c, 2 if reduction and source < 2 else 1) for name, source in edges)

    def path(self, op, x):
        """An operation; whole samples of its result are dropped, those of an identity never."""
        y = op(x)
        if not self.drop or isinstance(op, nn.Identity):
            return y
        keep = 1 - self.drop
        mask = torch.empty(len(y), 1, 1, 1, device=y.device, dtype=y.dtype).bernoulli_(keep)
        return y.mul_(mask.div_(keep))  # one pass where the reference makes two: a small favour to this peer

    def forward(self, before, last):
        states = [self.pre0(before), self.pre1(last)]
        for e in range(0, len(self.ops), 2):
            a, b = (self.path(self.ops[i], states[self.sources[i]]) for i in (e, e + 1))
            states.append(a + b)
        return torch.cat([states[i] for i in self.concat], dim=1)


def auxiliary_head(c, classes):
    """For maps of 8x8: relu, average pool to 2x2, 1x1 to 128, 2x2 to 768, linear."""
    return nn.Sequential(nn.ReLU(), nn.AvgPool2d(5, 3), pointwise(c, 128), norm(128, affine=True), nn.ReLU(),
                         nn.Conv2d(128, 768, 2, bias=False), norm(768, affine=True), nn.ReLU(), nn.Flatten(),
                         nn.Linear(768, classes))


class Network(nn.Module):
    """Images [N, C, H, W] to logits [N, classes] and those of the auxiliary head, or None."""

    def __init__(self, genotype, channels, cells, classes, image_channels=3, auxiliary=False, drop=0.2):
        super().__init__()
        c, c_before, c_last, after_reduction = channels, 3 * channels, 3 * channels, False
        self.stem = nn.Sequential(nn.Conv2d(image_channels, c_last, 3, padding=1, bias=False),
                                  norm(c_last, affine=True))
        self.cells, self.auxiliary, self.auxiliary_at = nn.ModuleList(), None, 2 * cells // 3
        for i in range(cells):
            reduction = i in (cells // 3, 2 * cells // 3)
            c *= 2 if reduction else 1
            kind = "reduce" if reduction else "normal"
            concat = genotype[f"{kind}_concat"]
            self.cells.append(Cell(genotype[kind], concat, c_before, c_last, c, reduction, after_reduction, drop))
            c_before, c_last, after_reduction = c_last, len(concat) * c, reduction
            if auxiliary and i == self.auxiliary_at:
                self.auxiliary = auxiliary_head(c_last, classes)
        self.head = nn.Linear(c_last, classes)

    def forward(self, x):
        before = last = self.stem(x)
        auxiliary = None
        for i, cell in enumerate(self.cells):
            before, last = last, cell(before, last)
            if self.auxiliary is not None and i == self.auxiliary_at:
                auxiliary = self.auxiliary(last)
        return self.head(last.mean(dim=(2, 3))), auxiliary
