// Normalisation and random augmentation of one image, in the order of the DARTS training scripts (Liu, Simonyan and
// Yang 2019): RandomCrop or RandomResizedCrop, RandomHorizontalFlip, ColorJitter, ToTensor, Normalize, Cutout.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "datasets/colour_jitter.h"
#include "datasets/dataset.h"

namespace mixop::datasets {

struct Augment {
  int height = 0,
      width = 0;  // of the result, 0, 0: as the image; made of a random part of the image or of its middle
  bool resized_crop = false;  // a random part, see datasets/resized_crop.h; needs no height and width
  bool crop = false;  // pad with `pad` black pixels on each side, then cut out the original size at a random place
  int pad = 4;
  bool flip = false;  // mirror left-right with probability 1/2
  int cutout = 0;     // side of the erased square in pixels, 0: none (DeVries and Taylor 2017)
  ColourJitter jitter;
  std::vector<float> mean, std;  // [channels] of pixel / 255; both empty: 0 and 1

  int out_height(int h) const { return height ? height : h; }  // of an image of h rows
  int out_width(int w) const { return width ? width : w; }
  // Whether a Draw says all: neither other sizes nor colours.
  bool is_draw() const { return height == 0 && !resized_crop && !jitter.any(); }
};

// mean and std of `data` as float, no augmentation: what an evaluation uses.
Augment normalisation_of(const Dataset& data);

// Throws Error unless mean and std have `channels` values (or none), every std is finite and > 0, and pad and
// cutout are >= 0 (at most 4096), height and width are 0 or both in 1..4096, and what check(ColourJitter) refuses.
void check(const Augment& augment, int channels);

// Writes out [out_height, out_width, c] = (pixel / 255 - mean) / std of `image` [h, w, c], augmented as `key`
// decides: equal keys give equal results, and switching one step on or off leaves the random choices of the others
// as they were. As in torchvision the padding is black before normalisation, so a padded value is -mean / std, not
// 0. The cutout square [y - side/2, y + side/2) x [x - side/2, x + side/2) around a uniform pixel is clipped at the
// border and set to 0 after normalisation; an odd side covers side - 1 pixels, as in the original. `out` must not
// overlap `image`. Throws Error as check() does.
void apply(const Augment& augment, const uint8_t* image, int h, int w, int c, uint64_t key, float* out);

// apply() in two parts, for those who keep the pixels elsewhere: with a draw and the table it is
// (is_draw() alone)
//   out(y, x, c) = table[c][image(y + dy, (flip ? w - 1 - x : x) + dx, c)], table[c][0] outside the image, and 0 in
// the cutout rectangle [y1, y2) x [x1, x2), which lies inside the image or is empty.
using Draw = std::array<int32_t, 7>;  // {dy, dx, flip (0 or 1), y1, y2, x1, x2}

// The random choices of apply(). `augment` is one that check() accepts.
Draw draw(const Augment& augment, int h, int w, uint64_t key);

// [channels, 256]: the normalised value of every pixel value, the same bits as in apply(). Throws Error as check()
// does.
std::vector<float> normalisation_table(const Augment& augment, int channels);

}  // namespace mixop::datasets
