// An image-classification data set held in memory, and what every reader of this directory shares.
// This layer includes only the standard library, zlib, libpng and libjpeg: nothing else of the project.
#pragma once

#include <cstdint>
#include <sstream>
#include <stdexcept>
#include <string>
#include <vector>

namespace mixop::datasets {

// Every failure of this layer: one line that names the thing, the place and the remedy.
struct Error : std::runtime_error {
  using std::runtime_error::runtime_error;
};

// Throws Error with all `parts` streamed into one message.
template <class... Parts>
[[noreturn]] void fail(const Parts&... parts) {
  std::ostringstream text;
  (text << ... << parts);
  throw Error(text.str());
}

// Which half of a published data set a reader is asked for.
enum class Part { kTrain, kTest };
const char* part_name(Part part);  // "train" or "test"

struct Dataset {
  std::string name;
  int height = 0, width = 0, channels = 0, classes = 0;
  std::vector<uint8_t> pixels;           // [n, height, width, channels], 0..255, channels R, G, B or one grey
  std::vector<int32_t> labels;           // [n], each in [0, classes)
  std::vector<std::string> class_names;  // [classes]

  int64_t size() const { return static_cast<int64_t>(labels.size()); }
  int64_t image_size() const { return int64_t{1} * height * width * channels; }  // values of one image
  const uint8_t* image(int64_t i) const { return pixels.data() + i * image_size(); }
};

// Throws Error unless height, width, channels and classes are positive, there is at least one image, and `pixels`,
// `labels` and `class_names` have the sizes that belong together. Labels are not looked at.
void check_sizes(const Dataset& data);

// Mean and population standard deviation of pixel / 255 for each channel, in float64.
struct ChannelStatistics {
  std::vector<double> mean, std;  // [channels]
};
// Throws Error as check_sizes does.
ChannelStatistics channel_statistics(const Dataset& data);

// {"0", "1", ...}: class names for data that comes without any.
std::vector<std::string> numbered_names(int classes);

}  // namespace mixop::datasets
