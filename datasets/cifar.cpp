#include "datasets/cifar.h"

#include <fstream>

#include "datasets/files.h"

namespace mixop::datasets {
namespace {

namespace fs = std::filesystem;
constexpr int kSide = 32, kChannels = 3, kPlane = kSide * kSide, kPixels = kChannels * kPlane;

void append(Cifar kind, const fs::path& path, Dataset& data) {
  const std::vector<uint8_t> bytes = read_file(path);
  const size_t label_bytes = kind == Cifar::k10 ? 1 : 2, record = label_bytes + kPixels;
  if (bytes.empty()) fail(path.string(), ": empty; records of ", record, " bytes are expected");
  if (bytes.size() % record != 0)
    fail(path.string(), ": ", bytes.size(), " bytes is no multiple of the ", record, "-byte record; ",
         bytes.size() % record, " bytes are left over: truncated, or not a CIFAR-", data.classes, " binary file");
  const size_t count = bytes.size() / record, first = data.labels.size();
  data.pixels.resize((first + count) * kPixels);
  for (size_t i = 0; i < count; ++i) {
    const uint8_t* source = bytes.data() + i * record + label_bytes;
    const int label = source[-1];  // the fine label is the second of two
    if (label >= data.classes)
      fail(path.string(), ": label ", label, " of record ", i, " (byte ", i * record + label_bytes - 1,
           ") is outside 0..", data.classes - 1);
    data.labels.push_back(label);
    uint8_t* target = data.pixels.data() + (first + i) * kPixels;
    for (int p = 0; p < kPlane; ++p)
      for (int c = 0; c < kChannels; ++c) target[p * kChannels + c] = source[c * kPlane + p];
  }
}

std::vector<fs::path> cifar10_batches(const fs::path& directory) {
  std::vector<fs::path> present;
  std::string absent;
  for (int i = 1; i <= 5; ++i) {
    const std::string file = "data_batch_" + std::to_string(i) + ".bin";
    if (fs::exists(directory / file)) present.push_back(directory / file);
    else absent += (absent.empty() ? "" : ", ") + file;
  }
  const bool subset = present.size() == 1 && present[0].filename() == "data_batch_1.bin";
  if (present.size() != 5 && !subset)
    fail(directory.string(), ": ", absent,
         " missing; unpack cifar-10-binary.tar.gz there (a subset in one file is ", "named data_batch_1.bin)");
  return present;
}

std::vector<std::string> read_names(const fs::path& path, size_t count) {
  std::ifstream in(path);
  std::vector<std::string> names;
  for (std::string line; std::getline(in, line);) {
    while (!line.empty() && (line.back() == '\r' || line.back() == ' ')) line.pop_back();
    if (!line.empty()) names.push_back(line);
  }
  if (names.size() != count) fail(path.string(), ": ", names.size(), " class names, expected ", count);
  return names;
}

}  // namespace

Dataset read_cifar(Cifar kind, const std::vector<fs::path>& files, const std::string& name) {
  Dataset data;
  data.name = name;
  data.height = data.width = kSide;
  data.channels = kChannels;
  if (kind == Cifar::k10)
    data.class_names = {"airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"};
  else data.class_names = numbered_names(100);
  data.classes = static_cast<int>(data.class_names.size());
  for (const fs::path& file : files) append(kind, file, data);
  check_sizes(data);
  return data;
}

Dataset read_cifar_directory(Cifar kind, const fs::path& directory, Part part) {
  const bool ten = kind == Cifar::k10;
  const fs::path unpacked = directory / (ten ? "cifar-10-batches-bin" : "cifar-100-binary");
  const fs::path home = fs::is_directory(unpacked) ? unpacked : directory;
  const std::string name = (ten ? "cifar10/" : "cifar100/") + std::string(part_name(part));
  if (ten && part == Part::kTrain) return read_cifar(kind, cifar10_batches(home), name);

  const fs::path file = home / (ten ? "test_batch.bin" : part == Part::kTrain ? "train.bin" : "test.bin");
  if (!fs::exists(file))
    fail(file.string(), ": no such file; unpack cifar-", ten ? "10" : "100", "-binary.tar.gz in ",
         directory.string());
  Dataset data = read_cifar(kind, {file}, name);
  const fs::path names = home / "fine_label_names.txt";
  if (!ten && fs::exists(names)) data.class_names = read_names(names, 100);
  return data;
}

}  // namespace mixop::datasets
