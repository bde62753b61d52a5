// PNG and JPEG files as 8-bit pixels.
#pragma once

#include <cstdint>
#include <filesystem>
#include <vector>

namespace mixop::datasets {

struct Image {
  int height = 0, width = 0, channels = 0;
  std::vector<uint8_t> pixels;  // [height, width, channels], channels 1 (grey) or 3 (R, G, B)
};

// Decodes a .png, .jpg or .jpeg file (extension in any case). Colour stays 3 channels, grey 1; 16-bit PNG samples
// become 8-bit and transparency is composited onto black. Throws Error naming the file and the decoder's reason for
// anything that is not a whole, undamaged image of that kind (a cut JPEG is an error, not a half grey picture).
Image read_image(const std::filesystem::path& path);

// True when read_image knows the extension.
bool is_image_name(const std::filesystem::path& path);

// Bilinear resampling to [height, width, channels], pixel centres aligned; when shrinking, the triangle filter
// widens with the scale, so every source pixel counts and fine detail does not alias. Rounds to nearest.
Image resize_bilinear(const Image& image, int height, int width);

}  // namespace mixop::datasets
