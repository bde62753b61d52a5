#include "datasets/dataset.h"

#include <array>
#include <cmath>

namespace mixop::datasets {

const char* part_name(Part part) { return part == Part::kTrain ? "train" : "test"; }

void check_sizes(const Dataset& data) {
  const auto where = "data set '" + data.name + "': ";
  if (data.height < 1 || data.width < 1 || data.channels < 1)
    fail(where, "an image of ", data.height, "x", data.width, "x", data.channels, " is no image");
  if (data.classes < 1) fail(where, data.classes, " classes; at least 1 is needed");
  if (data.labels.empty()) fail(where, "it holds no images");
  if (static_cast<int64_t>(data.pixels.size()) != data.size() * data.image_size())
    fail(where, data.size(), " labels need ", data.size() * data.image_size(), " bytes of pixels, found ",
         data.pixels.size());
  if (static_cast<int64_t>(data.class_names.size()) != data.classes)
    fail(where, data.classes, " classes but ", data.class_names.size(), " class names");
}

ChannelStatistics channel_statistics(const Dataset& data) {
  check_sizes(data);
  // Counting the 256 values first makes the sums exact and independent of the order of the images.
  std::vector<std::array<int64_t, 256>> histogram(data.channels, std::array<int64_t, 256>{});
  for (size_t i = 0; i < data.pixels.size(); i += data.channels)
    for (int c = 0; c < data.channels; ++c) ++histogram[c][data.pixels[i + c]];

  const double count = static_cast<double>(data.size()) * data.height * data.width;
  ChannelStatistics statistics;
  for (const auto& bins : histogram) {
    double mean = 0, variance = 0;
    for (int v = 0; v < 256; ++v) mean += static_cast<double>(bins[v]) * v / 255;
    mean /= count;
    for (int v = 0; v < 256; ++v)
      variance += static_cast<double>(bins[v]) * (v / 255.0 - mean) * (v / 255.0 - mean);
    statistics.mean.push_back(mean);
    statistics.std.push_back(std::sqrt(variance / count));
  }
  return statistics;
}

std::vector<std::string> numbered_names(int classes) {
  std::vector<std::string> names;
  for (int i = 0; i < classes; ++i) names.push_back(std::to_string(i));
  return names;
}

}  // namespace mixop::datasets
