#include "datasets/cifar.h"

#include "datasets/open.h"
#include "tests/datasets_support.h"

namespace mixop::datasets::test {
namespace {

// `labels`, then planes whose pixel p of channel c is (p + 50 c + first label) mod 256.
Bytes record(const Bytes& labels) {
  Bytes bytes = labels;
  for (int c = 0; c < 3; ++c)
    for (int p = 0; p < 1024; ++p) bytes.push_back(static_cast<uint8_t>(p + 50 * c + labels[0]));
  return bytes;
}

struct CifarTest : testing::Test {
  TempDir dir;
  void write_batches(const std::string& folder = "") {
    for (uint8_t i = 1; i <= 5; ++i)
      dir.write(folder + "data_batch_" + std::to_string(i) + ".bin", record({i}) + record({9}));
    dir.write(folder + "test_batch.bin", record({7}));
  }
};

TEST_F(CifarTest, TurnsPlanesIntoPixels) {
  const Dataset data = read_cifar(Cifar::k10, {dir.write("a.bin", record({3}) + record({4}))}, "two");
  ASSERT_EQ(data.size(), 2);
  EXPECT_EQ(data.labels, (std::vector<int32_t>{3, 4}));
  EXPECT_EQ(data.class_names[3], "cat");
  for (int i = 0; i < 2; ++i)
    for (int p = 0; p < 1024; ++p)
      for (int c = 0; c < 3; ++c)
        ASSERT_EQ(data.image(i)[p * 3 + c], static_cast<uint8_t>(p + 50 * c + 3 + i)) << i << " " << p << " " << c;
}

TEST_F(CifarTest, ReadsAllBatchesInOrderAlsoFromTheFolderAbove) {
  write_batches();
  const Split split = open("cifar10", dir.path());
  EXPECT_EQ(split.train.labels, (std::vector<int32_t>{1, 9, 2, 9, 3, 9, 4, 9, 5, 9}));
  EXPECT_EQ(split.test.labels, (std::vector<int32_t>{7}));
  TempDir above;
  std::filesystem::rename(dir.path(), above.path() / "cifar-10-batches-bin");
  EXPECT_EQ(open("cifar10", above.path()).train.pixels, split.train.pixels);
}

TEST_F(CifarTest, AcceptsASubsetInOneFileButNoHoles) {
  dir.write("data_batch_1.bin", record({1}));
  EXPECT_EQ(open_train("cifar10", dir.path()).size(), 1);
  expect_error([&] { open("cifar10", dir.path()); }, {"test_batch.bin: no such file", "cifar-10-binary.tar.gz"});
  write_batches();
  std::filesystem::remove(dir.path() / "data_batch_3.bin");
  expect_error([&] { open_train("cifar10", dir.path()); }, {dir.path().string(), "data_batch_3.bin missing"});
}

TEST_F(CifarTest, HundredTakesTheFineLabel) {
  dir.write("train.bin", record({2, 77}) + record({19, 99}));
  dir.write("test.bin", record({0, 0}));
  EXPECT_EQ(open("cifar100", dir.path()).train.class_names[5], "5");
  std::string names;
  for (int i = 0; i < 100; ++i) names += "name" + std::to_string(i) + "\n";
  dir.write("fine_label_names.txt", Bytes(names.begin(), names.end()));
  const Split split = open("cifar100", dir.path());
  EXPECT_EQ(split.train.labels, (std::vector<int32_t>{77, 99}));
  EXPECT_EQ(split.train.class_names[77], "name77");
  EXPECT_EQ(split.train.image(1)[1], static_cast<uint8_t>(50 + 19));
  dir.write("fine_label_names.txt", {'a', '\n'});
  expect_error([&] { open("cifar100", dir.path()); }, {"fine_label_names.txt", "1 class names, expected 100"});
}

TEST_F(CifarTest, RefusesBadFilesByNameAndReason) {
  const auto refuses = [&](Cifar kind, const Bytes& bytes, std::vector<std::string> parts) {
    parts.push_back((dir.path() / "f.bin").string());
    expect_error([&] { read_cifar(kind, {dir.write("f.bin", bytes)}, ""); }, parts);
  };
  refuses(Cifar::k10, {}, {"empty", "3073"});
  refuses(Cifar::k10, record({1}) + Bytes{5}, {"3074 bytes", "3073-byte record", "1 bytes are left over"});
  refuses(Cifar::k100, record({1}), {"3073 bytes", "3074-byte record"});
  refuses(Cifar::k10, record({1}) + record({10}), {"label 10 of record 1 (byte 3073)", "0..9"});
  refuses(Cifar::k100, record({1, 100}), {"label 100 of record 0 (byte 1)", "0..99"});
  expect_error([&] { read_cifar(Cifar::k10, {dir / "no.bin"}, ""); }, {"no.bin: no such file"});
}

}  // namespace
}  // namespace mixop::datasets::test
