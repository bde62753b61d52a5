#include "datasets/svhn.h"

#include <algorithm>
#include <cstring>
#include <deque>
#include <optional>
#include <span>

#include "datasets/files.h"

namespace mixop::datasets {
namespace {

using Bytes = std::span<const uint8_t>;

// MAT-file version 5, as MathWorks' "MAT-File Format" describes it: tables 1-1 (data types) and 1-3 (array types).
enum : uint32_t { kInt8 = 1, kUint8 = 2, kInt16 = 3, kUint16 = 4, kInt32 = 5, kUint32 = 6 };
enum : uint32_t { kSingle = 7, kDouble = 9, kInt64 = 12, kUint64 = 13, kMatrix = 14, kCompressed = 15 };
constexpr uint32_t kDoubleClass = 6, kUint8Class = 9, kComplexFlag = 0x800;
constexpr size_t kHeader = 128;

template <class T>
T load(const uint8_t* p) {
  T value;
  std::memcpy(&value, p, sizeof value);
  return value;
}

struct Element {
  uint32_t type;
  Bytes data;
  size_t end;  // offset of what follows
};

// The element at `offset`: a tag of 8 bytes and its data, padded to 8, or the small form with both in 8 bytes.
Element element_at(Bytes bytes, size_t offset, const std::string& where) {
  if (bytes.size() < offset + 8) fail(where, ": truncated: an element tag is expected at byte ", offset);
  const uint32_t word = load<uint32_t>(bytes.data() + offset);
  if (word >> 16) {
    const uint32_t size = word >> 16;
    if (size > 4) fail(where, ": malformed small element at byte ", offset);
    return {word & 0xffff, bytes.subspan(offset + 4, size), offset + 8};
  }
  const uint64_t size = load<uint32_t>(bytes.data() + offset + 4), begin = offset + 8;
  if (bytes.size() - begin < size)
    fail(where, ": truncated: the element at byte ", offset, " needs ", size, " bytes, ", bytes.size() - begin,
         " are left");
  const uint64_t padding = word == kCompressed ? 0 : (8 - size % 8) % 8;
  return {word, bytes.subspan(begin, size), std::min<size_t>(begin + size + padding, bytes.size())};
}

struct Variable {
  std::string name;
  uint32_t array_class;
  std::vector<int64_t> dims;
  uint32_t type;  // of the stored values, which may be narrower than the class says
  Bytes values;
};

size_t value_bytes(uint32_t type) {
  switch (type) {
    case kInt8:
    case kUint8:
      return 1;
    case kInt16:
    case kUint16:
      return 2;
    case kInt32:
    case kUint32:
    case kSingle:
      return 4;
    case kDouble:
    case kInt64:
    case kUint64:
      return 8;
    default:
      return 0;
  }
}

double value_at(const Variable& v, size_t i) {
  const uint8_t* p = v.values.data() + i * value_bytes(v.type);
  switch (v.type) {
    case kInt8:
      return load<int8_t>(p);
    case kUint8:
      return *p;
    case kInt16:
      return load<int16_t>(p);
    case kUint16:
      return load<uint16_t>(p);
    case kInt32:
      return load<int32_t>(p);
    case kUint32:
      return load<uint32_t>(p);
    case kSingle:
      return load<float>(p);
    case kInt64:
      return static_cast<double>(load<int64_t>(p));
    case kUint64:
      return static_cast<double>(load<uint64_t>(p));
    default:
      return load<double>(p);
  }
}

// The parts of a numeric array; empty for the kinds that SVHN has no use for (cells, structures, text, ...).
std::optional<Variable> parse_matrix(Bytes matrix, const std::string& where) {
  const Element flags = element_at(matrix, 0, where);
  if (flags.type != kUint32 || flags.data.size() != 8) fail(where, ": malformed array flags");
  Variable v;
  const uint32_t word = load<uint32_t>(flags.data.data());
  v.array_class = word & 0xff;
  if (v.array_class < kDoubleClass || v.array_class > 15 || (word & kComplexFlag)) return std::nullopt;

  const Element dims = element_at(matrix, flags.end, where);
  if (dims.type != kInt32 || dims.data.size() % 4 || dims.data.size() < 8) fail(where, ": malformed dimensions");
  int64_t count = 1;
  for (size_t i = 0; i < dims.data.size(); i += 4) {
    const int64_t size = load<int32_t>(dims.data.data() + i);
    count *= std::max<int64_t>(size, 0);  // no overflow: count was at most 2^31
    if (size < 0 || count > (int64_t{1} << 31)) fail(where, ": absurd dimension ", size);
    v.dims.push_back(size);
  }
  const Element name = element_at(matrix, dims.end, where);
  if (name.type != kInt8) fail(where, ": malformed variable name");
  v.name.assign(name.data.begin(), name.data.end());
  const Element values = element_at(matrix, name.end, where);
  v.type = values.type;
  v.values = values.data;
  const size_t each = value_bytes(v.type);
  if (each == 0) fail(where, ": variable '", v.name, "' is stored with the unknown type ", v.type);
  if (v.values.size() != static_cast<size_t>(count) * each)
    fail(where, ": variable '", v.name, "' needs ", static_cast<size_t>(count) * each, " bytes of values, found ",
         v.values.size());
  return v;
}

// The matrix inside a compressed element; its own tag says how many bytes to expect.
std::vector<uint8_t> unpack_matrix(Bytes packed, const std::string& where) {
  const std::vector<uint8_t> tag = inflate_at_most(packed, Wrapper::kZlib, 8, where).bytes;
  if (tag.size() < 8) fail(where, ": truncated compressed variable");
  if (load<uint32_t>(tag.data()) != kMatrix) fail(where, ": a compressed element holds no variable");
  const size_t expected = size_t{8} + load<uint32_t>(tag.data() + 4);
  Inflated content = inflate_at_most(packed, Wrapper::kZlib, expected + 1, where);
  if (!content.complete || content.bytes.size() != expected)
    fail(where, ": compressed variable: ", expected, " bytes expected, found ",
         content.bytes.size() > expected ? "more" : std::to_string(content.bytes.size()));
  return std::move(content.bytes);
}

void check_header(Bytes file, const std::string& where) {
  const std::string_view text(reinterpret_cast<const char*>(file.data()), std::min<size_t>(file.size(), 116));
  const std::string remedy = "; a version 5 (MATLAB: save -v7) little-endian file is needed";
  if (text.starts_with("MATLAB 7.3") || text.substr(0, 4) == "\x89HDF")
    fail(where, ": MAT version 7.3 (HDF5)", remedy);
  if (file.size() < kHeader) fail(where, ": truncated: the header takes ", kHeader, " bytes, found ", file.size());
  if (file[126] == 'M' && file[127] == 'I') fail(where, ": big-endian MAT file", remedy);
  if (file[126] != 'I' || file[127] != 'M' || file[125] != 1) fail(where, ": not a MAT version 5 file", remedy);
}

std::string shape_text(const std::vector<int64_t>& dims) {
  std::string text = "[";
  for (int64_t d : dims) text += (text.size() > 1 ? ", " : "") + std::to_string(d);
  return text + "]";
}

Dataset to_dataset(const Variable& x, const Variable& y, const std::string& where) {
  constexpr int kSide = 32, kChannels = 3, kPixels = kSide * kSide * kChannels;
  std::vector<int64_t> dims = x.dims;
  if (dims.size() == 3) dims.push_back(1);  // MATLAB drops a last dimension of 1
  if (x.array_class != kUint8Class || x.type != kUint8 || dims.size() != 4 || dims[0] != kSide ||
      dims[1] != kSide || dims[2] != kChannels || dims[3] < 1)
    fail(where, ": X must be uint8 [32, 32, 3, N], found class ", x.array_class, " ", shape_text(x.dims));
  const int64_t n = dims[3];
  if (y.dims != std::vector<int64_t>{n, 1} && y.dims != std::vector<int64_t>{1, n})
    fail(where, ": y must be [", n, ", 1] like the images of X, found ", shape_text(y.dims));

  Dataset data;
  data.height = data.width = kSide;
  data.channels = kChannels;
  data.classes = 10;
  data.class_names = numbered_names(10);
  data.pixels.resize(static_cast<size_t>(n) * kPixels);
  for (int64_t i = 0; i < n; ++i) {
    const double label = value_at(y, static_cast<size_t>(i));
    if (!(label >= 1 && label <= 10) || label != static_cast<int>(label))
      fail(where, ": label ", label, " of image ", i, " is outside 1..10");
    data.labels.push_back(static_cast<int>(label) % 10);
    const uint8_t* source = x.values.data() + i * kPixels;
    uint8_t* target = data.pixels.data() + i * kPixels;
    for (int c = 0; c < kChannels; ++c)
      for (int column = 0; column < kSide; ++column)
        for (int row = 0; row < kSide; ++row) target[(row * kSide + column) * kChannels + c] = *source++;
  }
  return data;
}

}  // namespace

Dataset read_svhn(const std::filesystem::path& file, const std::string& name) {
  const std::vector<uint8_t> bytes = read_file(file);
  const std::string where = file.string();
  check_header(bytes, where);

  std::deque<std::vector<uint8_t>> unpacked;  // owns what the variables point into; a deque does not move its items
  std::optional<Variable> x, y;
  for (size_t offset = kHeader; offset < bytes.size();) {
    const Element outer = element_at(bytes, offset, where);
    const std::string here = where + ": variable at byte " + std::to_string(offset);
    std::optional<Variable> variable;
    if (outer.type == kCompressed) {
      unpacked.push_back(unpack_matrix(outer.data, here));
      variable = parse_matrix(Bytes(unpacked.back()).subspan(8), here);
    } else if (outer.type == kMatrix) {
      variable = parse_matrix(outer.data, here);
    } else {
      fail(where, ": element of type ", outer.type, " at byte ", offset, " where a variable is expected");
    }
    if (variable && variable->name == "X") x = variable;
    if (variable && variable->name == "y") y = variable;
    offset = outer.end;
  }
  if (!x || !y) fail(where, ": the variable ", x ? "y" : "X", " is missing; SVHN files hold X and y");
  Dataset data = to_dataset(*x, *y, where);
  data.name = name;
  return data;
}

Dataset read_svhn_directory(const std::filesystem::path& directory, Part part) {
  const auto file = directory / (std::string(part_name(part)) + "_32x32.mat");
  if (!std::filesystem::exists(file))
    fail(file.string(), ": no such file; fetch it from http://ufldl.stanford.edu/housenumbers/");
  return read_svhn(file, std::string("svhn/") + part_name(part));
}

}  // namespace mixop::datasets
