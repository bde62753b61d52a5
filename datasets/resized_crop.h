// Images of one size out of images of another: a random part resized, as ImageNet networks are trained, or the
// middle, as they are tested (Szegedy et al. 2015; RandomResizedCrop, Resize and CenterCrop of torchvision).
#pragma once

#include <cstdint>

#include "datasets/image_codec.h"

namespace mixop::datasets {

// A part of an image: rows [top, top + height), columns [left, left + width).
struct Box {
  int top = 0, left = 0, height = 0, width = 0;
};

// A box inside an image of h x w pixels with an area uniform in 0.08..1 of the image's and a ratio of width to
// height log-uniform in 3/4..4/3. Of ten attempts the first that fits; when none does, the largest box in the
// middle whose ratio is within those limits.
Box draw_box(int h, int w, uint64_t key);

// The box of `image` [h, w, c] resampled to [height, width, c] (resize_bilinear).
Image resized_box(const uint8_t* image, int w, int c, const Box& box, int height, int width);

// The middle [height, width, c] of an image [h, w, c] resampled so that it covers 8/7 of that size (256 for 224),
// its ratio kept.
Image resized_middle(const uint8_t* image, int h, int w, int c, int height, int width);

}  // namespace mixop::datasets
