#include "datasets/open.h"

#include <zlib.h>

#include <charconv>
#include <cmath>
#include <cstdio>
#include <numeric>

#include "datasets/cifar.h"
#include "datasets/idx.h"
#include "datasets/image_folder.h"
#include "datasets/svhn.h"
#include "datasets/synthetic.h"

namespace mixop::datasets {
namespace {

namespace fs = std::filesystem;

// A specification taken apart: NAME:FIELD:FIELD...
struct Request {
  std::string spec, name;
  std::vector<std::string> fields;
  fs::path root;
  int classes = 0;  // idx: what the training part turned out to have
};

std::vector<std::string> cut(const std::string& text, char at) {
  std::vector<std::string> parts(1);
  for (char c : text) {
    if (c == at) parts.emplace_back();
    else parts.back() += c;
  }
  return parts;
}

// The whole positive numbers of "28x28x1".
std::vector<int> numbers(const Request& request, const std::string& field, size_t count, const char* form) {
  std::vector<int> values;
  for (const std::string& part : cut(field, 'x')) {
    int value = 0;
    const auto [end, error] = std::from_chars(part.data(), part.data() + part.size(), value);
    if (error != std::errc() || end != part.data() + part.size() || value < 1) break;
    values.push_back(value);
  }
  if (values.size() != count || cut(field, 'x').size() != count)
    fail("data '", request.spec, "': '", field, "' is not of the form ", form, " with whole numbers >= 1");
  return values;
}

Dataset read_fashion_mnist(const Request& request, Part part) {
  Dataset data = read_idx_directory(request.root, part, 10, request.name);
  data.class_names = {"T-shirt/top", "Trouser", "Pullover", "Dress", "Coat",
                      "Sandal",      "Shirt",   "Sneaker",  "Bag",   "Ankle boot"};
  return data;
}

Dataset read_mnist(const Request& request, Part part) {
  return read_idx_directory(request.root, part, 10, "mnist");
}

Dataset read_any_idx(const Request& request, Part part) {
  int classes = request.classes;
  if (!request.fields.empty()) classes = numbers(request, request.fields[0], 1, "CLASSES")[0];
  return read_idx_directory(request.root, part, classes, "idx");
}

Dataset read_cifar10(const Request& request, Part part) {
  return read_cifar_directory(Cifar::k10, request.root, part);
}
Dataset read_cifar100(const Request& request, Part part) {
  return read_cifar_directory(Cifar::k100, request.root, part);
}
Dataset read_house_numbers(const Request& request, Part part) { return read_svhn_directory(request.root, part); }

Dataset read_folder(const Request& request, Part part) {
  FolderOptions options;
  if (!request.fields.empty()) {
    const auto size = numbers(request, request.fields[0], 2, "HxW");
    options = {size[0], size[1]};
  }
  return read_image_folder(request.root, part, options);
}

// The images of the classes in turn, so that the first so many of them are as many of each class.
Dataset in_turn(const Dataset& sorted) {
  std::vector<std::vector<int64_t>> of_class(static_cast<size_t>(sorted.classes));
  for (int64_t i = 0; i < sorted.size(); ++i) of_class[static_cast<size_t>(sorted.labels[i])].push_back(i);
  Dataset data = sorted;
  data.pixels.clear();
  data.labels.clear();
  for (size_t n = 0; data.size() < sorted.size(); ++n) {
    for (const std::vector<int64_t>& images : of_class) {
      if (n >= images.size()) continue;
      data.pixels.insert(data.pixels.end(), sorted.image(images[n]), sorted.image(images[n]) + sorted.image_size());
      data.labels.push_back(sorted.labels[images[n]]);
    }
  }
  return data;
}

// CIFAR-10 as JPEG files of quality 75: other images than CIFAR-10's, so that results carry another name.
Dataset read_cifar10_jpeg75(const Request& request, Part part) {
  return in_turn(read_image_folder(request.root, part, {32, 32}, request.name));
}

Dataset make_synthetic(const Request& request, Part part) {
  std::vector<int> size{32, 32, 3};
  int classes = 10, images = 2000;
  if (request.fields.size() > 0) size = numbers(request, request.fields[0], 3, "HxWxC");
  if (request.fields.size() > 1) classes = numbers(request, request.fields[1], 1, "CLASSES")[0];
  if (request.fields.size() > 2) images = numbers(request, request.fields[2], 1, "IMAGES")[0];
  const int n = part == Part::kTrain ? images : std::max(1, images / 5);
  Dataset data = synthetic(n, size[0], size[1], size[2], classes, part == Part::kTrain ? 1 : 2);
  data.name += std::string("/") + part_name(part);
  return data;
}

struct Entry {
  const char* name;
  size_t most_fields;
  const char* default_root;  // nullptr: must be given; "": needs no files
  const char* remedy;        // when the directory is not there
  Dataset (*read)(const Request&, Part);
};

constexpr Entry kEntries[] = {
    {"fashion-mnist", 0, "/usr/share/datasets/fashion-mnist", "apt install dataset-fashion-mnist",
     read_fashion_mnist},
    {"mnist", 0, nullptr, "give the directory of train-images-idx3-ubyte[.gz] and its companions", read_mnist},
    {"idx", 1, nullptr, "give the directory of train-images-idx3-ubyte[.gz] and its companions", read_any_idx},
    {"cifar10", 0, nullptr, "give the directory where cifar-10-binary.tar.gz was unpacked", read_cifar10},
    {"cifar100", 0, nullptr, "give the directory where cifar-100-binary.tar.gz was unpacked", read_cifar100},
    {"cifar10-jpeg75", 0, nullptr, "give the directory where cifar10_jpeg75.tar.zst was unpacked (train/, test/)",
     read_cifar10_jpeg75},
    {"svhn", 0, nullptr, "give the directory of train_32x32.mat and test_32x32.mat", read_house_numbers},
    {"folder", 1, nullptr, "give a directory with train/CLASS/ and test/CLASS/ folders", read_folder},
    {"synthetic", 3, "", "", make_synthetic},
};

const Entry& find_entry(Request& request) {
  request.fields = cut(request.spec, ':');
  request.name = request.fields[0];
  request.fields.erase(request.fields.begin());
  for (const Entry& entry : kEntries) {
    if (request.name != entry.name) continue;
    if (request.fields.size() > entry.most_fields)
      fail("data '", request.spec, "': ", entry.name, " takes at most ", entry.most_fields,
           " fields after its name");
    if (request.root.empty() && entry.default_root) request.root = entry.default_root;
    const bool files = !entry.default_root || *entry.default_root;
    if (files && request.root.empty()) fail("data '", request.spec, "': no directory; ", entry.remedy);
    if (files && !fs::is_directory(request.root))
      fail("data '", request.spec, "': ", request.root.string(), " is not a directory; ", entry.remedy);
    return entry;
  }
  std::string known;
  for (const std::string& name : names()) known += (known.empty() ? "" : ", ") + name;
  fail("data '", request.spec, "': unknown name; known are ", known);
}

Dataset open_part(const std::string& spec, const fs::path& root, Part part) {
  Request request{spec, {}, {}, root};
  const Entry& entry = find_entry(request);
  return entry.read(request, part);
}

std::string image_text(const Dataset& data) {
  return std::to_string(data.height) + "x" + std::to_string(data.width) + "x" + std::to_string(data.channels);
}

template <class... Values>
std::string format(const char* form, Values... values) {
  char text[256];
  std::snprintf(text, sizeof text, form, values...);
  return text;
}

}  // namespace

Split open(const std::string& spec, const fs::path& root) {
  Request request{spec, {}, {}, root};
  const Entry& entry = find_entry(request);
  Split split;
  split.train = entry.read(request, Part::kTrain);
  request.classes = split.train.classes;
  split.test = entry.read(request, Part::kTest);
  if (image_text(split.train) != image_text(split.test))
    fail("data '", spec, "' in ", request.root.string(), ": training images are ", image_text(split.train),
         ", test images ", image_text(split.test));
  if (split.train.class_names != split.test.class_names)
    fail("data '", spec, "' in ", request.root.string(), ": the classes of train and test differ (",
         split.train.classes, " and ", split.test.classes, ")");
  return split;
}

Dataset open_train(const std::string& spec, const fs::path& root) { return open_part(spec, root, Part::kTrain); }
Dataset open_test(const std::string& spec, const fs::path& root) { return open_part(spec, root, Part::kTest); }

std::vector<std::string> names() {
  std::vector<std::string> all;
  for (const Entry& entry : kEntries) all.emplace_back(entry.name);
  return all;
}

uint32_t checksum(const Dataset& data) {
  uLong crc = crc32_z(0, data.pixels.data(), data.pixels.size());
  for (int32_t label : data.labels) {
    const auto bits = static_cast<uint32_t>(label);
    const uint8_t bytes[4] = {static_cast<uint8_t>(bits), static_cast<uint8_t>(bits >> 8),
                              static_cast<uint8_t>(bits >> 16), static_cast<uint8_t>(bits >> 24)};
    crc = crc32_z(crc, bytes, sizeof bytes);
  }
  return static_cast<uint32_t>(crc);
}

std::string describe(const Dataset& data) {
  const ChannelStatistics statistics = channel_statistics(data);
  std::vector<int64_t> counts(data.classes);
  for (int64_t i = 0; i < data.size(); ++i) {
    const int32_t label = data.labels[i];
    if (label < 0 || label >= data.classes)
      fail("data set '", data.name, "': label ", label, " of image ", i, " is outside 0..", data.classes - 1);
    ++counts[label];
  }
  std::string text = data.name + ": " + std::to_string(data.size()) + " images of " + image_text(data) + " in " +
                     std::to_string(data.classes) + " classes\n";
  text += "mean";
  for (double m : statistics.mean) text += format(" %.4f", m);
  text += "\nstd ";
  for (double s : statistics.std) text += format(" %.4f", s);
  text += format("\ncrc32 %08x\n", checksum(data));
  for (int k = 0; k < data.classes; ++k)
    text += format("class %3d  %8lld  ", k, static_cast<long long>(counts[k])) + data.class_names[k] + "\n";
  return text;
}

IndexSplit darts_split(int64_t n, double train_portion) {
  if (!(train_portion > 0 && train_portion < 1))
    fail("darts_split: train portion ", train_portion, " is outside (0, 1)");
  const auto head = static_cast<int64_t>(std::floor(train_portion * static_cast<double>(n)));
  if (head < 1 || head >= n)
    fail("darts_split: ", n, " images cannot be split at ", train_portion, "; both halves need an image");
  const std::vector<int64_t> all = all_indices(n);
  return {{all.begin(), all.begin() + head}, {all.begin() + head, all.end()}};
}

std::vector<int64_t> all_indices(int64_t n) {
  if (n < 0) fail("all_indices: ", n, " images");
  std::vector<int64_t> indices(static_cast<size_t>(n));
  std::iota(indices.begin(), indices.end(), int64_t{0});
  return indices;
}

}  // namespace mixop::datasets
