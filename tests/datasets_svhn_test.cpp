#include "datasets/svhn.h"

#include <cstring>

#include "datasets/open.h"
#include "tests/datasets_support.h"

namespace mixop::datasets::test {
namespace {

constexpr uint32_t kMiUint8 = 2, kMiDouble = 9, kMiMatrix = 14, kMiCompressed = 15;
constexpr uint32_t kMxDouble = 6, kMxUint8 = 9;

Bytes word(uint32_t v) {
  Bytes bytes(4);
  std::memcpy(bytes.data(), &v, 4);
  return bytes;
}

Bytes element(uint32_t type, Bytes data) {
  const auto size = static_cast<uint32_t>(data.size());
  if (type != kMiCompressed) data.resize((data.size() + 7) / 8 * 8);
  return word(type) + word(size) + data;
}

// As MATLAB writes it: up to 4 bytes go into the tag.
Bytes small_element(uint32_t type, Bytes data) {
  const auto size = static_cast<uint32_t>(data.size());
  data.resize(4);
  return word(type | size << 16) + data;
}

Bytes variable(const std::string& name, uint32_t array_class, const std::vector<uint32_t>& dims, uint32_t type,
               const Bytes& values) {
  Bytes sizes;
  for (uint32_t d : dims) sizes = sizes + word(d);
  const Bytes stored = values.size() <= 4 ? small_element(type, values) : element(type, values);
  return element(kMiMatrix, element(6, word(array_class) + word(0)) + element(5, sizes) +
                                small_element(1, Bytes(name.begin(), name.end())) + stored);
}

Bytes header(const std::string& text = "MATLAB 5.0 MAT-file", uint8_t version = 1, const char* endian = "IM") {
  Bytes bytes(text.begin(), text.end());
  bytes.resize(124, ' ');
  return bytes + Bytes{0, version, static_cast<uint8_t>(endian[0]), static_cast<uint8_t>(endian[1])};
}

Bytes packed(const Bytes& element_bytes) { return element(kMiCompressed, compressed(element_bytes, 15)); }

Bytes doubles(const std::vector<double>& values) {
  Bytes bytes(8 * values.size());
  std::memcpy(bytes.data(), values.data(), bytes.size());
  return bytes;
}

const Bytes kPixels = counting(2 * 3072);
Bytes x_variable(uint32_t n = 2) { return variable("X", kMxUint8, {32, 32, 3, n}, kMiUint8, counting(n * 3072)); }
const Bytes kY = variable("y", kMxDouble, {2, 1}, kMiDouble, doubles({10, 3}));

struct SvhnTest : testing::Test {
  TempDir dir;
  Dataset read(const Bytes& bytes) { return read_svhn(dir.write("train_32x32.mat", bytes), "svhn"); }
};

TEST_F(SvhnTest, ReadsColumnMajorImagesAndMapsTenToZero) {
  const Dataset data = read(header() + x_variable() + kY);
  ASSERT_EQ(data.size(), 2);
  EXPECT_EQ(data.labels, (std::vector<int32_t>{0, 3}));
  for (int i = 0; i < 2; ++i)
    for (int row = 0; row < 32; ++row)
      for (int column = 0; column < 32; ++column)
        for (int c = 0; c < 3; ++c)
          ASSERT_EQ(data.image(i)[(row * 32 + column) * 3 + c], kPixels[row + 32 * (column + 32 * (c + 3 * i))]);
}

TEST_F(SvhnTest, ReadsEveryFormOfStorage) {
  const Dataset want = read(header() + x_variable() + kY);
  const Bytes narrow = variable("y", kMxDouble, {2, 1}, kMiUint8, {10, 3});  // small form, stored as bytes
  const Bytes bytes = variable("y", kMxUint8, {2, 1}, kMiUint8, {10, 3});
  const Bytes other = variable("z", kMxDouble, {1, 1}, kMiDouble, doubles({5}));
  for (const Bytes& body : {packed(x_variable()) + packed(kY), kY + x_variable(), x_variable() + narrow,
                            x_variable() + packed(bytes), packed(other) + packed(x_variable()) + other + bytes}) {
    const Dataset data = read(header() + body);
    EXPECT_EQ(data.pixels, want.pixels);
    EXPECT_EQ(data.labels, want.labels);
  }
}

TEST_F(SvhnTest, ReadsOneImageWhoseLastDimensionIsDropped) {
  const Bytes x = variable("X", kMxUint8, {32, 32, 3}, kMiUint8, counting(3072));
  EXPECT_EQ(read(header() + x + variable("y", kMxUint8, {1, 1}, kMiUint8, {4})).labels, std::vector<int32_t>{4});
}

TEST_F(SvhnTest, OpensBothParts) {
  dir.write("train_32x32.mat", header() + x_variable() + kY);
  expect_error([&] { open("svhn", dir.path()); }, {"test_32x32.mat: no such file"});
  dir.write("test_32x32.mat", header() + packed(x_variable(1)) + variable("y", kMxUint8, {1, 1}, kMiUint8, {9}));
  const Split split = open("svhn", dir.path());
  EXPECT_EQ(split.train.size(), 2);
  EXPECT_EQ(split.test.labels, std::vector<int32_t>{9});
}

TEST_F(SvhnTest, RefusesBadFilesByNameAndReason) {
  const auto refuses = [&](const Bytes& bytes, std::vector<std::string> parts) {
    parts.push_back((dir.path() / "train_32x32.mat").string());
    expect_error([&] { read(bytes); }, parts);
  };
  const auto y_of = [](std::vector<double> values) {
    return variable("y", kMxDouble, {2, 1}, kMiDouble, doubles(values));
  };
  refuses({}, {"truncated", "found 0"});
  refuses(header("MATLAB 7.3 MAT-file", 2), {"version 7.3 (HDF5)", "-v7"});
  refuses(header("MATLAB 5.0 MAT-file", 1, "MI"), {"big-endian"});
  refuses(Bytes(200, 'a'), {"not a MAT version 5 file"});
  refuses(header() + x_variable(), {"variable y is missing"});
  refuses(header() + kY, {"variable X is missing"});
  refuses(header() + x_variable() + y_of({1, 11}), {"label 11 of image 1", "1..10"});
  refuses(header() + x_variable() + y_of({0, 1}), {"label 0 of image 0"});
  refuses(header() + x_variable() + y_of({1.5, 1}), {"label 1.5"});
  refuses(header() + x_variable(3) + kY, {"y must be [3, 1]", "[2, 1]"});
  refuses(header() + variable("X", kMxUint8, {2, 32, 32, 3}, kMiUint8, kPixels) + kY,
          {"X must be uint8 [32, 32, 3, N]", "[2, 32, 32, 3]"});
  refuses(header() + variable("X", kMxDouble, {32, 32, 3, 2}, kMiDouble, Bytes(8 * 6144)) + kY,
          {"X must be uint8"});
  refuses(header() + variable("X", kMxUint8, {32, 32, 3, 3}, kMiUint8, kPixels) + kY,
          {"byte 128", "'X' needs 9216 bytes", "found 6144"});
  refuses(header() + variable("X", kMxUint8, {1u << 30, 1u << 30, 1u << 30}, kMiUint8, kPixels),
          {"absurd dimension"});
  refuses(header() + variable("X", kMxUint8, {32, 32, 3, 2}, 99, kPixels), {"'X'", "unknown type 99"});
  refuses(header() + element(3, {1, 2}), {"element of type 3 at byte 128"});
  refuses(header() + x_variable() + Bytes(4), {"truncated", "tag"});
  Bytes cut = header() + x_variable();
  cut.resize(cut.size() - 100);
  refuses(cut, {"truncated", "byte 128", "are left"});
  refuses(header() + element(kMiCompressed, {1, 2, 3, 4}), {"byte 128", "corrupt compressed data"});
  Bytes stream = compressed(x_variable(), 15);
  stream.resize(stream.size() / 2);
  refuses(header() + element(kMiCompressed, stream), {"byte 128", "compressed variable", "bytes expected, found"});
  Bytes unsealed = compressed(x_variable(), 15);
  unsealed.resize(unsealed.size() - 4);  // all content is there, its checksum is not
  refuses(header() + element(kMiCompressed, unsealed), {"byte 128", "compressed variable"});
  refuses(header() + packed(x_variable() + Bytes{1}), {"compressed variable", "found more"});
  refuses(header() + packed(element(9, Bytes(16))), {"holds no variable"});
}

TEST_F(SvhnTest, EveryPrefixOfAFileIsRefused) {
  const Bytes whole = header() + packed(x_variable(1)) + variable("y", kMxUint8, {1, 1}, kMiUint8, {4});
  ASSERT_EQ(read(whole).size(), 1);
  for (size_t n = 0; n < whole.size(); n += n < 200 || n + 100 > whole.size() ? 1 : 97)
    EXPECT_THROW(read(Bytes(whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(n))), Error) << n;
}

}  // namespace
}  // namespace mixop::datasets::test
