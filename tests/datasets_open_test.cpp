#include "datasets/open.h"

#include <cmath>

#include "datasets/random.h"
#include "datasets/synthetic.h"
#include "tests/datasets_support.h"

namespace mixop::datasets::test {
namespace {

Dataset tiny() {
  Dataset data;
  data.name = "tiny";
  data.height = data.width = 1;
  data.channels = 2;
  data.classes = 2;
  data.pixels = {0, 255, 51, 255, 102, 255};
  data.labels = {0, 1, 1};
  data.class_names = {"no", "yes"};
  return data;
}

TEST(Statistics, MeanAndPopulationDeviation) {
  const ChannelStatistics statistics = channel_statistics(tiny());
  EXPECT_NEAR(statistics.mean[0], 0.2, 1e-15);
  EXPECT_NEAR(statistics.std[0], std::sqrt((0.04 + 0 + 0.04) / 3), 1e-15);
  EXPECT_EQ(statistics.mean[1], 1);
  EXPECT_EQ(statistics.std[1], 0);
}

TEST(Statistics, RefusesInconsistentSizes) {
  const auto refuses = [](auto change, std::vector<std::string> parts) {
    Dataset data = tiny();
    change(data);
    parts.push_back("'tiny'");
    expect_error([&] { channel_statistics(data); }, parts);
  };
  refuses([](Dataset& d) { d.pixels.pop_back(); }, {"need 6 bytes", "found 5"});
  refuses([](Dataset& d) { d.height = 0; }, {"0x1x2"});
  refuses([](Dataset& d) { d.labels.clear(), d.pixels.clear(); }, {"no images"});
  refuses([](Dataset& d) { d.classes = 3; }, {"3 classes but 2 class names"});
  refuses([](Dataset& d) { d.classes = 0; }, {"0 classes"});
}

TEST(Describe, SaysWhatIsThere) {
  const std::string text = describe(tiny());
  for (const char* part : {"tiny: 3 images of 1x1x2 in 2 classes", "mean 0.2000 1.0000", "std  0.1633 0.0000",
                           "class   0         1  no", "class   1         2  yes"})
    EXPECT_NE(text.find(part), std::string::npos) << text;
  // CRC-32 of 00ff33ff66ff and the labels 00000000 01000000 01000000, computed with Python's zlib.crc32.
  EXPECT_NE(text.find("crc32 86c5ce5a"), std::string::npos) << text;
  Dataset bad = tiny();
  bad.labels[2] = 2;
  expect_error([&] { describe(bad); }, {"'tiny'", "label 2 of image 2"});
}

TEST(Describe, ChecksumSeesPixelsAndLabels) {
  Dataset data = tiny();
  const uint32_t before = checksum(data);
  data.labels[1] = 0;
  const uint32_t other_label = checksum(data);
  data.labels[1] = 1;
  data.pixels[3] = 254;
  EXPECT_NE(other_label, before);
  EXPECT_NE(checksum(data), before);
}

TEST(Random, SplitMixMatchesItsPublishedSequence) {
  // First outputs for seed 1234567 (Rosetta Code, "Pseudo-random numbers/Splitmix64").
  const uint64_t step = 0x9e3779b97f4a7c15u;
  EXPECT_EQ(splitmix64(1234567), 6457827717110365317u);
  EXPECT_EQ(splitmix64(1234567 + step), 3203168211198807973u);
}

TEST(Random, UniformStaysInRangeAndIsEven) {
  std::vector<int> counts(10);
  for (uint64_t i = 0; i < 100000; ++i) ++counts.at(uniform(3, i, 10));
  for (int count : counts) EXPECT_NEAR(count, 10000, 500);  // 5 standard deviations
  EXPECT_EQ(uniform(3, 4, 1), 0u);
}

TEST(Synthetic, IsDeterministicAndBalanced) {
  const Dataset a = synthetic(100, 8, 12, 3, 10, 5), b = synthetic(100, 8, 12, 3, 10, 5);
  check_sizes(a);
  EXPECT_EQ(a.pixels, b.pixels);
  EXPECT_NE(a.pixels, synthetic(100, 8, 12, 3, 10, 6).pixels);
  std::vector<int> counts(10);
  for (int label : a.labels) ++counts[label];
  EXPECT_EQ(counts, std::vector<int>(10, 10));
  EXPECT_EQ(checksum(a), 3295183905u) << "the bytes of a synthetic data set must never change";
}

// The class means of one set classify most of another: the patterns are there, and the noise leaves work to do.
TEST(Synthetic, PatternsCarryOverToAnotherSeed) {
  for (int channels : {1, 3}) {
    const Dataset train = synthetic(2000, 16, 16, channels, 10, 1), test = synthetic(500, 16, 16, channels, 10, 2);
    const auto values = static_cast<size_t>(train.image_size());
    std::vector<double> means(10 * values);
    for (int64_t i = 0; i < train.size(); ++i)
      for (size_t p = 0; p < values; ++p) means[train.labels[i] * values + p] += train.image(i)[p] / 200.0;
    int right = 0;
    for (int64_t i = 0; i < test.size(); ++i) {
      int best = 0;
      double best_score = -1e300;
      for (int k = 0; k < 10; ++k) {  // correlation with the centred class mean
        double score = 0, norm = 0;
        for (size_t p = 0; p < values; ++p) {
          const double m = means[k * values + p] - 128;
          score += m * (test.image(i)[p] - 128.0);
          norm += m * m;
        }
        score /= std::sqrt(norm);
        if (score > best_score) best_score = score, best = k;
      }
      right += best == test.labels[i];
    }
    EXPECT_GT(right, 350) << channels;
  }
}

TEST(Synthetic, RefusesAbsurdSizes) {
  expect_error([] { synthetic(0, 8, 8, 1, 2, 1); }, {"0 images"});
  expect_error([] { synthetic(1, 8, 5000, 1, 2, 1); }, {"8x5000x1"});
  expect_error([] { synthetic(1000000, 4096, 4096, 3, 2, 1); }, {"4 GiB"});
}

TEST(Open, SyntheticSpecification) {
  const Split split = open("synthetic:28x20x1:7:100");
  EXPECT_EQ(split.train.size(), 100);
  EXPECT_EQ(split.test.size(), 20);
  EXPECT_EQ(split.train.height, 28);
  EXPECT_EQ(split.train.width, 20);
  EXPECT_EQ(split.train.channels, 1);
  EXPECT_EQ(split.test.classes, 7);
  EXPECT_EQ(split.train.name, "synthetic/train");
  EXPECT_EQ(split.test.name, "synthetic/test");
  EXPECT_EQ(open_test("synthetic:28x20x1:7:100").pixels, split.test.pixels);
  EXPECT_NE(std::vector<uint8_t>(split.train.pixels.begin(), split.train.pixels.begin() + 560),
            std::vector<uint8_t>(split.test.pixels.begin(), split.test.pixels.begin() + 560));
  EXPECT_EQ(open("synthetic").train.size(), 2000);
}

TEST(Open, RefusesBadSpecifications) {
  expect_error([] { open("imagenet"); }, {"'imagenet'", "unknown name", "fashion-mnist", "svhn", "folder"});
  for (const char* spec : {"synthetic:28x28", "synthetic:28x28x0", "synthetic:28x28x1x1", "synthetic:axbxc",
                           "synthetic:", "synthetic:28x28x1x", "synthetic:99999999999x1x1"})
    expect_error([&] { open(spec); }, {std::string("'") + spec + "'", "HxWxC"});
  expect_error([] { open("synthetic:8x8x1:0"); }, {"CLASSES"});
  expect_error([] { open("synthetic:8x8x1:2:-5"); }, {"IMAGES"});
  expect_error([] { open("synthetic:8x8x1:2:5:5"); }, {"at most 3 fields"});
  expect_error([] { open("cifar10:5", "/"); }, {"cifar10 takes at most 0 fields"});
  expect_error([] { open("cifar10"); }, {"'cifar10'", "no directory", "cifar-10-binary.tar.gz"});
  expect_error([] { open("svhn", "/no/such"); }, {"/no/such is not a directory", "train_32x32.mat"});
  expect_error([] { open("fashion-mnist", "/no/such"); }, {"/no/such", "apt install dataset-fashion-mnist"});
}

TEST(DartsSplit, HeadForWeightsRestForAlphas) {
  const IndexSplit split = darts_split(7, 0.5);
  EXPECT_EQ(split.weights, (std::vector<int64_t>{0, 1, 2}));
  EXPECT_EQ(split.alphas, (std::vector<int64_t>{3, 4, 5, 6}));
  EXPECT_EQ(darts_split(50000, 0.5).weights.size(), 25000u);
  for (double portion : {0.0, 1.0, -0.5, 1.5, std::nan("")})
    expect_error([&] { darts_split(10, portion); }, {"outside (0, 1)"});
  expect_error([] { darts_split(3, 0.1); }, {"3 images", "both halves"});
}

}  // namespace
}  // namespace mixop::datasets::test
