// Confusion matrix, precision, recall, F1 and top-5 against small cases done by hand.
#include "nas/confusion.h"

#include <gtest/gtest.h>

#include "nas/cli/class_report.h"

namespace mixop::test {
namespace {

using nas::Confusion;

kernels::View view_of(std::vector<float>& logits, int64_t classes) {
  const auto rows = static_cast<int64_t>(logits.size()) / classes;
  return {.data = logits.data(), .dtype = kernels::DType::kF32, .shape = {rows, classes}, .ld = classes};
}

// Ten images of three classes and one class that does not occur:
//   labels 0: 3 right, 1 taken for 1; labels 1: 2 right, 1 taken for 0, 1 for 2; labels 2: 2 right.
Confusion ten_images() {
  const std::vector<std::pair<int, int>> answers = {{0, 0}, {0, 0}, {0, 0}, {0, 1}, {1, 1},
                                                    {1, 1}, {1, 0}, {1, 2}, {2, 2}, {2, 2}};
  Confusion c(4);
  for (const auto& [label, taken] : answers) {
    std::vector<float> logits(4, -1.0f);
    logits[taken] = 2.0f;
    const int32_t labels[] = {label};
    c.add(view_of(logits, 4), labels);
  }
  return c;
}

TEST(Confusion, ByHand) {
  const Confusion c = ten_images();
  EXPECT_EQ(c.images(), 10);
  EXPECT_EQ(c.count(0, 1), 1);
  EXPECT_EQ(c.count(1, 0), 1);
  EXPECT_EQ(c.count(2, 1), 0);
  EXPECT_DOUBLE_EQ(c.accuracy(), 0.7);
  EXPECT_EQ(c.score(0).images, 4);
  EXPECT_EQ(c.score(0).predicted, 4);
  EXPECT_DOUBLE_EQ(c.score(0).precision, 3.0 / 4);
  EXPECT_DOUBLE_EQ(c.score(0).recall, 3.0 / 4);
  EXPECT_DOUBLE_EQ(c.score(1).precision, 2.0 / 3);
  EXPECT_DOUBLE_EQ(c.score(1).recall, 2.0 / 4);
  EXPECT_DOUBLE_EQ(c.score(1).f1, 2 * (2.0 / 3) * 0.5 / (2.0 / 3 + 0.5));
  EXPECT_DOUBLE_EQ(c.score(2).precision, 2.0 / 3);
  EXPECT_DOUBLE_EQ(c.score(2).recall, 1);
  EXPECT_DOUBLE_EQ(c.score(3).f1, 0);
  // The class that occurs nowhere counts in no mean.
  EXPECT_DOUBLE_EQ(c.macro().precision, (0.75 + 2.0 / 3 + 2.0 / 3) / 3);
  EXPECT_DOUBLE_EQ(c.macro().recall, (0.75 + 0.5 + 1) / 3);
  EXPECT_DOUBLE_EQ(c.macro().f1, (0.75 + 4.0 / 7 + 0.8) / 3);
  EXPECT_FALSE(c.has_top5());
}

TEST(Confusion, TopFiveCountsRanksAndEqualLogitsInOrder) {
  Confusion c(7);
  std::vector<float> logits = {7, 6, 5, 4, 3, 2, 1, 7, 6, 5, 4, 3, 2, 1, 1, 1, 1, 1, 1, 1, 1, 0, 0, 0, 0, 0, 0, 0};
  const int32_t labels[] = {4, 5, 4, 5};  // fifth, sixth, fifth of equals, sixth of equals
  c.add(view_of(logits, 7), labels);
  EXPECT_TRUE(c.has_top5());
  EXPECT_DOUBLE_EQ(c.top5(), 0.5);
  EXPECT_EQ(c.count(4, 0), 2);
  EXPECT_EQ(c.count(5, 0), 2);
}

TEST(Confusion, JsonKeepsEverything) {
  const Confusion c = ten_images(), again = Confusion::from_json(nas::Json::parse(c.to_json().dump()));
  EXPECT_EQ(again.to_json(), c.to_json());
  for (int i = 0; i < 4; ++i)
    for (int j = 0; j < 4; ++j) EXPECT_EQ(again.count(i, j), c.count(i, j));
  EXPECT_DOUBLE_EQ(again.top5(), c.top5());
}

TEST(Confusion, FilesAndText) {
  const Confusion c = ten_images();
  const cli::Names names = {"cat", "dog, small", "bird", "none"};
  EXPECT_EQ(
      cli::confusion_csv(c, names),
      "class,cat,\"dog, small\",bird,none\ncat,3,1,0,0\n\"dog, small\",1,2,1,0\nbird,0,0,2,0\nnone,0,0,0,0\n");
  const std::string classes = cli::classes_csv(c, names);
  EXPECT_NE(classes.find("\"dog, small\",4,3,0.666667,0.500000,0.571429\n"), std::string::npos) << classes;
  EXPECT_NE(classes.find("macro average,10,10,0.694444,0.750000,0.707143\n"), std::string::npos) << classes;
  EXPECT_EQ(cli::describe_averages(c).find("top5"), std::string::npos);
  EXPECT_NE(cli::describe_classes(c, names).find("bird"), std::string::npos);
  EXPECT_EQ(cli::describe_classes(Confusion(100), cli::Names(100, "x")), "");
  EXPECT_NE(cli::describe_averages(Confusion(100)).find("top5"), std::string::npos);
}

}  // namespace
}  // namespace mixop::test
