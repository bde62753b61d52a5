#include "datasets/idx.h"

#include <algorithm>

#include "datasets/files.h"

namespace mixop::datasets {
namespace {

constexpr int64_t kMaxSide = 1 << 14, kMaxCount = int64_t{1} << 31;

int64_t big_endian(const uint8_t* p) {
  return (int64_t{p[0]} << 24) | (int64_t{p[1]} << 16) | (int64_t{p[2]} << 8) | int64_t{p[3]};
}

struct IdxFile {
  std::vector<int64_t> dims;
  std::vector<uint8_t> values;  // product(dims)
};

// An IDX file of unsigned bytes with `rank` dimensions.
IdxFile read_idx_file(const std::filesystem::path& path, int rank) {
  const std::string where = path.string();
  std::vector<uint8_t> raw = read_file(path);
  const bool gzip = raw.size() > 1 && raw[0] == 0x1f && raw[1] == 0x8b;
  const size_t header = 4 + 4 * static_cast<size_t>(rank);

  std::vector<uint8_t> head = gzip ? inflate_at_most(raw, Wrapper::kGzip, header, where).bytes
                                   : std::vector<uint8_t>(raw.begin(), raw.begin() + std::min(raw.size(), header));
  const int64_t want = 0x800 + rank, magic = head.size() < 4 ? want : big_endian(head.data());
  if (magic != want)
    fail(where, ": wrong magic number ", magic, " at byte 0; an idx", rank, "-ubyte file begins with ", want);
  if (head.size() < header)
    fail(where, ": truncated: the header takes ", header, " bytes, found ", head.size(), "; fetch the file again");

  IdxFile file;
  int64_t count = 1;
  for (int d = 0; d < rank; ++d) {
    const int64_t size = big_endian(head.data() + 4 + 4 * d), most = d == 0 ? kMaxCount : kMaxSide;
    if (size < 1 || size > most)
      fail(where, ": dimension ", d, " at byte ", 4 + 4 * d, " is ", size, "; it must be 1 to ", most);
    file.dims.push_back(size);
    count *= size;  // below 2^59
  }
  const size_t expected = header + static_cast<size_t>(count);
  bool complete = true;
  if (gzip) {
    Inflated content = inflate_at_most(raw, Wrapper::kGzip, expected + 1, where);
    complete = content.complete;
    raw = std::move(content.bytes);
  }
  if (raw.size() < expected)
    fail(where, ": truncated: ", expected, " bytes expected, found ", raw.size(), "; fetch the file again");
  if (raw.size() > expected)
    fail(where, ": trailing garbage: the header promises ", expected, " bytes, the file holds more");
  if (!complete) fail(where, ": truncated: the end of the gzip stream is missing; fetch the file again");
  raw.erase(raw.begin(), raw.begin() + static_cast<std::ptrdiff_t>(header));
  file.values = std::move(raw);
  return file;
}

std::filesystem::path find_file(const std::filesystem::path& directory, Part part, const std::string& kind,
                                int rank, const std::string& name) {
  const std::string stem = part == Part::kTrain ? "train-" : "t10k-",
                    tail = "idx" + std::to_string(rank) + "-ubyte";
  for (const std::string& prefix : {std::string(), name + "-"})
    for (const char* join : {"-", "."})
      for (const char* end : {"", ".gz"}) {
        const auto path = directory / (prefix + stem + kind + join + tail + end);
        if (std::filesystem::exists(path)) return path;
      }
  fail(directory.string(), ": ", stem, kind, "-", tail, "[.gz] is missing; the ", part_name(part),
       " part of an IDX data set needs it");
}

}  // namespace

Dataset read_idx(const std::filesystem::path& images, const std::filesystem::path& labels, int classes,
                 const std::string& name) {
  IdxFile x = read_idx_file(images, 3);
  const IdxFile y = read_idx_file(labels, 1);
  if (x.dims[0] != y.dims[0])
    fail(labels.string(), ": ", y.dims[0], " labels for the ", x.dims[0], " images of ", images.string());
  if (classes == 0) classes = 1 + *std::max_element(y.values.begin(), y.values.end());
  const auto bad = std::find_if(y.values.begin(), y.values.end(), [&](uint8_t label) { return label >= classes; });
  if (bad != y.values.end())
    fail(labels.string(), ": label ", int{*bad}, " of image ", bad - y.values.begin(), " is outside 0..",
         classes - 1);

  Dataset data;
  data.name = name;
  data.height = static_cast<int>(x.dims[1]);
  data.width = static_cast<int>(x.dims[2]);
  data.channels = 1;
  data.classes = classes;
  data.pixels = std::move(x.values);
  data.labels.assign(y.values.begin(), y.values.end());
  data.class_names = numbered_names(classes);
  return data;
}

Dataset read_idx_directory(const std::filesystem::path& directory, Part part, int classes,
                           const std::string& name) {
  const auto images = find_file(directory, part, "images", 3, name);
  const auto labels = find_file(directory, part, "labels", 1, name);
  return read_idx(images, labels, classes, name + "/" + part_name(part));
}

}  // namespace mixop::datasets
