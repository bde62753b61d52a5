#include "datasets/idx.h"

#include "datasets/files.h"
#include "datasets/open.h"
#include "tests/datasets_support.h"

namespace mixop::datasets::test {
namespace {

const Bytes kLabels = idx_bytes({3}, {2, 0, 1});
Bytes images() { return idx_bytes({3, 4, 5}, counting(60)); }

struct IdxTest : testing::Test {
  TempDir dir;
  // Reads a pair of files made of these bytes.
  Dataset read(const Bytes& x, const Bytes& y, int classes = 3) {
    return read_idx(dir.write("x", x), dir.write("y", y), classes, "pair");
  }
};

TEST_F(IdxTest, ReadsPlainAndGzippedAlike) {
  const Dataset plain = read(images(), kLabels), packed = read(gzipped(images()), gzipped(kLabels));
  EXPECT_EQ(plain.height, 4);
  EXPECT_EQ(plain.width, 5);
  EXPECT_EQ(plain.channels, 1);
  EXPECT_EQ(plain.classes, 3);
  EXPECT_EQ(plain.pixels, counting(60));
  EXPECT_EQ(plain.labels, (std::vector<int32_t>{2, 0, 1}));
  EXPECT_EQ(packed.pixels, plain.pixels);
  EXPECT_EQ(packed.labels, plain.labels);
}

TEST_F(IdxTest, ReadsConcatenatedGzipMembers) {
  const Bytes all = images();
  const Bytes two = gzipped({all.begin(), all.begin() + 30}) + gzipped({all.begin() + 30, all.end()});
  EXPECT_EQ(read(two, kLabels).pixels, counting(60));
}

TEST_F(IdxTest, ReadsMoreThanOneInflateChunk) {
  const Bytes many = counting(500 * 28 * 28);
  EXPECT_EQ(read(gzipped(idx_bytes({500, 28, 28}, many)), idx_bytes({500}, Bytes(500))).pixels, many);
}

TEST_F(IdxTest, InfersClassesWhenNotTold) { EXPECT_EQ(read(images(), idx_bytes({3}, {0, 6, 1}), 0).classes, 7); }

TEST_F(IdxTest, RefusesBadFilesByNameAndReason) {
  const std::string x = (dir.path() / "x").string() + ": ", y = (dir.path() / "y").string() + ": ";
  const auto refuses = [&](const Bytes& xs, const Bytes& ys, std::vector<std::string> parts) {
    expect_error([&] { read(xs, ys); }, parts);
  };
  refuses(kLabels, kLabels, {x, "wrong magic number 2049", "2051"});
  refuses(images(), images(), {y, "wrong magic number 2051", "2049"});
  refuses({0, 0, 8}, kLabels, {x, "truncated", "16", "found 3"});
  refuses({}, kLabels, {x, "truncated", "found 0"});
  Bytes cut = images();
  cut.resize(50);
  refuses(cut, kLabels, {x, "truncated: 76 bytes expected, found 50"});
  refuses(gzipped(cut), kLabels, {x, "truncated: 76 bytes expected, found 50"});
  Bytes cut_stream = gzipped(images());
  cut_stream.resize(cut_stream.size() - 30);
  refuses(cut_stream, kLabels, {x, "truncated"});
  Bytes no_trailer = gzipped(images());
  no_trailer.resize(no_trailer.size() - 4);
  refuses(no_trailer, kLabels, {x, "truncated: the end of the gzip stream is missing"});
  refuses(images() + Bytes{1}, kLabels, {x, "trailing garbage", "76"});
  refuses(gzipped(images() + Bytes{1}), kLabels, {x, "trailing garbage"});
  refuses(gzipped(images()) + Bytes{1, 2, 3}, kLabels, {x, "3 stray bytes"});
  Bytes corrupt = gzipped(images());
  corrupt[corrupt.size() - 6] ^= 0xff;  // inside the checksum
  refuses(corrupt, kLabels, {x, "corrupt compressed data"});
  refuses(images(), idx_bytes({4}, {0, 0, 0, 0}), {y, "4 labels", "3 images", dir.path().string() + "/x"});
  refuses(images(), idx_bytes({3}, {0, 3, 1}), {y, "label 3 of image 1", "0..2"});
  refuses(idx_bytes({3, 0, 5}, {}), kLabels, {x, "dimension 1 at byte 8 is 0"});
  refuses(idx_bytes({3, 4, 100000}, {}), kLabels, {x, "dimension 2", "100000"});
  refuses(idx_bytes({0, 4, 5}, {}), idx_bytes({0}, {}), {x, "dimension 0 at byte 4 is 0"});
  // A header that promises terabytes must fail on the bytes that are there, without allocating them.
  refuses(gzipped(idx_bytes({2000000000, 16000, 16000}, counting(10))), kLabels, {x, "truncated", "found 26"});
  expect_error([&] { read_idx(dir / "absent", dir / "y", 3, ""); }, {"absent: no such file"});
  expect_error([&] { read_idx(dir.path(), dir / "y", 3, ""); }, {dir.path().string() + ": not a regular file"});
}

TEST_F(IdxTest, DirectoryNamesTheMissingFile) {
  dir.write("train-images-idx3-ubyte.gz", gzipped(images()));
  expect_error([&] { read_idx_directory(dir.path(), Part::kTrain, 3, "mnist"); },
               {dir.path().string(), "train-labels-idx1-ubyte"});
  dir.write("train-labels-idx1-ubyte", kLabels);
  EXPECT_EQ(read_idx_directory(dir.path(), Part::kTrain, 3, "mnist").name, "mnist/train");
}

TEST_F(IdxTest, MnistTestPartAloneNeedsNoTrainingFiles) {
  dir.write("mnist-t10k-images-idx3-ubyte", images());
  dir.write("mnist-t10k-labels-idx1-ubyte", kLabels);
  EXPECT_EQ(open_test("mnist", dir.path()).size(), 3);
  expect_error([&] { open("mnist", dir.path()); }, {dir.path().string(), "train-images-idx3-ubyte", "train part"});
}

TEST_F(IdxTest, OpenGivesTheTestPartTheTrainingClasses) {
  dir.write("train-images-idx3-ubyte", images());
  dir.write("train-labels-idx1-ubyte", kLabels);
  dir.write("t10k-images-idx3-ubyte", images());
  dir.write("t10k-labels-idx1-ubyte", idx_bytes({3}, {0, 0, 1}));
  EXPECT_EQ(open("idx", dir.path()).test.classes, 3);
  EXPECT_EQ(open("idx:8", dir.path()).train.classes, 8);
  dir.write("t10k-labels-idx1-ubyte", idx_bytes({3}, {0, 9, 1}));
  expect_error([&] { open("idx", dir.path()); }, {"t10k-labels-idx1-ubyte", "label 9", "0..2"});
  dir.write("t10k-labels-idx1-ubyte", kLabels);
  dir.write("t10k-images-idx3-ubyte", idx_bytes({3, 5, 4}, counting(60)));
  expect_error([&] { open("idx", dir.path()); }, {dir.path().string(), "4x5x1", "5x4x1"});
}

TEST(FashionMnist, RealFiles) {
  const std::filesystem::path root = "/usr/share/datasets/fashion-mnist";
  if (!std::filesystem::exists(root)) GTEST_SKIP() << root << " is absent; apt install dataset-fashion-mnist";
  const Split split = open("fashion-mnist");
  ASSERT_EQ(split.train.size(), 60000);
  ASSERT_EQ(split.test.size(), 10000);
  EXPECT_EQ(split.train.class_names[9], "Ankle boot");
  EXPECT_EQ(split.train.labels[0], 9);  // the published first training image is an ankle boot
  const ChannelStatistics statistics = channel_statistics(split.train);
  EXPECT_NEAR(statistics.mean[0], 0.2860, 1e-4);  // published values
  EXPECT_NEAR(statistics.std[0], 0.3530, 1e-4);
  std::vector<int> counts(10);
  for (int label : split.test.labels) ++counts[label];
  EXPECT_EQ(counts, std::vector<int>(10, 1000));
  const std::string text = describe(split.train);
  for (const char* part :
       {"60000 images of 28x28x1 in 10 classes", "0.2860", "0.3530", "6000  Ankle boot", "crc32 "})
    EXPECT_NE(text.find(part), std::string::npos) << text;
}

TEST(Mnist, RealTestFiles) {
  const char* shared = std::getenv("MIXOP_SHARED");
  if (!shared) GTEST_SKIP() << "MIXOP_SHARED does not name a directory of data sets";
  const auto images = std::filesystem::path(shared) / "mnist-t10k-images-idx3-ubyte.gz";
  if (!std::filesystem::exists(images)) GTEST_SKIP() << images << " is absent";
  const Dataset data = open_test("mnist", shared);
  EXPECT_EQ(data.size(), 10000);
  EXPECT_NEAR(channel_statistics(data).mean[0], 0.1325, 1e-4);  // published for the test images
}

}  // namespace
}  // namespace mixop::datasets::test
