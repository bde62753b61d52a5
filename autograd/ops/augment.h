#pragma once

#include "autograd/graph.h"
#include "kernels/ops/augment.h"

namespace mixop::autograd {

extern const OpDef kAugment;

/// A batch of images out of a data set that lies on the device as a whole: pixels [n,H,W,C] uint8, draws [N,8]
/// int32 {index into pixels, dy, dx, flip, y1, y2, x1, x2} and table [C,256], the number that each pixel value
/// stands for in each channel, give images [N,H,W,C]. An image is moved by (dy, dx), with pixel value 0 from
/// outside, after it was mirrored where flip is not 0; [y1,y2) x [x1,x2) becomes 0. No gradient. Throws, naming the
/// shapes, when they do not fit.
Value augment(Graph& g, Value pixels, Value draws, Value table);

}  // namespace mixop::autograd
