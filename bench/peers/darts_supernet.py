"""The DARTS supernet in PyTorch (Liu et al., arXiv 1806.09055), written from its specification."""
import torch
from torch import nn

NODES, OPS = 4, 8  # per cell; candidates: none, max, avg, skip, sep 3x3, sep 5x5, dil 3x3, dil 5x5
EDGES = sum(2 + n for n in range(NODES))  # node n reads both cell inputs and all earlier nodes
# (channels, cells) with 3 input channels and 10 classes
KNOWN_PARAMETERS = {(16, 8): 1930618, (4, 5): 136182, (8, 8): 597890}


def norm(channels, affine=False):
    """Batch norm, in a supernet without scale and shift: a learnable scale would undo the alphas."""
    return nn.BatchNorm2d(channels, affine=affine)


def depthwise(c, kernel, stride=1, dilation=1):
    return nn.Conv2d(c, c, kernel, stride, dilation * (kernel // 2), dilation, groups=c, bias=False)


def pointwise(c_in, c_out, stride=1):
    return nn.Conv2d(c_in, c_out, 1, stride, bias=False)


def relu_conv_norm(c_in, c_out, affine=False):
    return nn.Sequential(nn.ReLU(), pointwise(c_in, c_out), norm(c_out, affine))


def separable(c, kernel, stride, affine=False):
    def half(s):
        return [nn.ReLU(), depthwise(c, kernel, s), pointwise(c, c), norm(c, affine)]

    return nn.Sequential(*half(stride), *half(1))


def dilated(c, kernel, stride, affine=False):
    return nn.Sequential(nn.ReLU(), depthwise(c, kernel, stride, dilation=2), pointwise(c, c), norm(c, affine))


class FactorizedReduce(nn.Module):
    """Halves height and width: two strided 1x1 convolutions, one of them shifted by a pixel, side by side."""

    def __init__(self, c_in, c_out, affine=False):
        super().__init__()
        self.even, self.odd = pointwise(c_in, c_out // 2, 2), pointwise(c_in, c_out // 2, 2)
        self.norm = norm(c_out, affine)

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
