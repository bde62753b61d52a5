#include "datasets/image_folder.h"

#include <algorithm>

#include "datasets/image_codec.h"

namespace mixop::datasets {
namespace {

namespace fs = std::filesystem;

// Sorted entries that are not hidden and satisfy `keep`.
template <class Keep>
std::vector<fs::path> sorted_entries(const fs::path& directory, Keep keep) {
  std::error_code error;
  fs::directory_iterator entries(directory, error);
  if (error) fail(directory.string(), ": cannot be listed: ", error.message());
  std::vector<fs::path> found;
  for (const auto& entry : entries)
    if (entry.path().filename().string()[0] != '.' && keep(entry)) found.push_back(entry.path());
  std::sort(found.begin(), found.end());
  return found;
}

fs::path part_folder(const fs::path& directory, Part part) {
  const bool split = fs::is_directory(directory / "train") || fs::is_directory(directory / "test");
  if (!split && part == Part::kTest)
    fail(directory.string(), ": no test/ folder; without train/ and test/ it can only be read as training data");
  const fs::path folder = split ? directory / part_name(part) : directory;
  if (!fs::is_directory(folder)) fail(folder.string(), ": no such folder");
  return folder;
}

void grey_to_rgb(std::vector<uint8_t>& pixels) {
  std::vector<uint8_t> rgb;
  rgb.reserve(3 * pixels.size());
  for (uint8_t p : pixels) rgb.insert(rgb.end(), 3, p);
  pixels = std::move(rgb);
}

// Appends one image; the first colour image turns all that came before it into RGB.
void append(Image image, const std::string& where, const FolderOptions& options, Dataset& data) {
  if (options.height > 0 && (image.height != options.height || image.width != options.width))
    image = resize_bilinear(image, options.height, options.width);
  if (data.labels.empty()) {
    data.height = image.height;
    data.width = image.width;
    data.channels = image.channels;
  }
  if (image.height != data.height || image.width != data.width)
    fail(where, ": ", image.height, "x", image.width, " pixels where the images before it have ", data.height, "x",
         data.width, "; ask for a resize to one size");
  if (image.channels > data.channels) {
    grey_to_rgb(data.pixels);
    data.channels = 3;
  } else if (image.channels < data.channels) {
    grey_to_rgb(image.pixels);
  }
  data.pixels.insert(data.pixels.end(), image.pixels.begin(), image.pixels.end());
}

}  // namespace

Dataset read_image_folder(const fs::path& directory, Part part, const FolderOptions& options,
                          const std::string& name) {
  constexpr int kMaxSide = 4096;
  const bool whole = (options.height == 0) == (options.width == 0);
  if (!whole || options.height < 0 || options.width < 0 || options.height > kMaxSide || options.width > kMaxSide)
    fail(directory.string(), ": cannot resize to ", options.height, "x", options.width, "; sides are 1 to ",
         kMaxSide);
  const fs::path folder = part_folder(directory, part);
  const auto classes = sorted_entries(folder, [](const auto& entry) { return entry.is_directory(); });
  if (classes.empty()) fail(folder.string(), ": no class folders; images belong in ", folder.string(), "/CLASS/");

  Dataset data;
  data.name = name + "/" + part_name(part);
  data.classes = static_cast<int>(classes.size());
  for (int label = 0; label < data.classes; ++label) {
    const auto files = sorted_entries(
        classes[label], [](const auto& entry) { return entry.is_regular_file() && is_image_name(entry.path()); });
    if (files.empty()) fail(classes[label].string(), ": no .png, .jpg or .jpeg file in this class");
    data.class_names.push_back(classes[label].filename().string());
    for (const fs::path& file : files) {
      append(read_image(file), file.string(), options, data);
      data.labels.push_back(label);
    }
  }
  return data;
}

}  // namespace mixop::datasets
