// Images of a batch, cut, mirrored, normalised and partly erased, out of the pixels of a whole data set.
#pragma once

#include <span>

#include "kernels/core/impl.h"

namespace mixop::kernels {

/// Columns of `draws`: the image's index in pixels, its offset dy, dx, mirrored or not, and the erased rectangle
/// [y1, y2) x [x1, x2), which is empty when y1 >= y2.
enum DrawColumn : int { kDrawIndex, kDrawDy, kDrawDx, kDrawFlip, kDrawY1, kDrawY2, kDrawX1, kDrawX2, kDrawColumns };

/// augment(pixels [n,H,W,C] uint8, draws [N,8] int32, table [C,256]) -> images [N,H,W,C]:
///   y(y,x,c) = table[c][pixels(index, y + dy, (flip ? W-1-x : x) + dx, c)], table[c][0] outside the image, and 0
///   in
/// the erased rectangle. The index of an image that does not exist is moved to the nearest that does.
std::span<const Impl> augment_cpu();
std::span<const Impl> augment_cuda();

}  // namespace mixop::kernels
