// Made-up images that a small network can learn, for tests, benchmarks and a first run without any data.
#pragma once

#include <cstdint>

#include "datasets/dataset.h"

namespace mixop::datasets {

// n images [height, width, channels], image i of class i % classes. A class is a smooth random pattern that depends
// on the class and channel alone, so sets made with different seeds share it and one can test what another trained;
// the seed decides each image's shift (up to an eighth of the side), contrast and pixel noise. Integer arithmetic
// only: the same bytes on every machine. Throws Error unless all sizes are >= 1, sides <= 4096, channels <= 64,
// classes <= 1000 and the pixels take at most 4 GiB.
Dataset synthetic(int64_t n, int height, int width, int channels, int classes, uint64_t seed);

}  // namespace mixop::datasets
