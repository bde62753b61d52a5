// Augmentation by the op against augmentation by the loader: the same batches, bit for bit.
#include "autograd/ops/augment.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <limits>

#include "autograd/plan.h"
#include "datasets/loader.h"
#include "datasets/open.h"
#include "datasets/synthetic.h"

namespace mixop::test {
namespace {

using autograd::Graph;
using autograd::Plan;
using autograd::Value;
using datasets::Content;
using datasets::Loader;
using datasets::Order;
using kernels::DType;
using kernels::Shape;

datasets::Augment everything() {
  datasets::Augment augment;
  augment.crop = augment.flip = true;
  augment.cutout = 8;
  augment.mean = {0.4914f, 0.4822f, 0.4465f};
  augment.std = {0.2023f, 0.1994f, 0.2010f};
  return augment;
}

template <class T>
void fill(const kernels::View& to, const std::vector<T>& from) {
  std::copy(from.begin(), from.end(), to.as<T>());
}

TEST(Augment, DrawsGiveTheImagesOfTheLoaderBitForBit) {
  constexpr int kImages = 40, kSide = 16, kBatch = 12;
  const datasets::Dataset data = datasets::synthetic(kImages, kSide, kSide, 3, 3, 1);
  Graph g;
  const Value images = autograd::augment(g, g.input("pixels", {kImages, kSide, kSide, 3}, DType::kU8),
                                         g.input("draws", {kBatch, 8}, DType::kI32), g.input("table", {3, 256}));
  Plan plan(g, {images});
  fill(plan.input("pixels"), data.pixels);
  fill(plan.input("table"), datasets::normalisation_table(everything(), 3));
  std::vector<int64_t> indices;
  for (int64_t i = 0; i < kImages; ++i) indices.push_back(kImages - 1 - i);
  Loader plain(data, indices, kBatch, everything(), Order::kRandomBatch, 3),
      draws(data, indices, kBatch, everything(), Order::kRandomBatch, 3, 3, Content::kDraws);
  for (int step = 0; step < 10; ++step) {
    const datasets::Batch& want = plain.next();
    fill(plan.input("draws"), draws.next().draws);
    plan.run();
    ASSERT_EQ(0, std::memcmp(plan.output(images).as<float>(), want.images.data(), want.images.size() * 4)) << step;
  }
}

TEST(Augment, IndicesOutsideTheDataReadTheNearestImage) {
  Graph g;
  const Value images = autograd::augment(g, g.input("pixels", {2, 1, 1, 1}, DType::kU8),
                                         g.input("draws", {4, 8}, DType::kI32), g.input("table", {1, 256}));
  Plan plan(g, {images});
  fill(plan.input("pixels"), std::vector<uint8_t>{7, 9});
  std::vector<float> table(256);
  for (int i = 0; i < 256; ++i) table[i] = static_cast<float>(i);
  fill(plan.input("table"), table);
  std::vector<int32_t> draws(32);
  draws[0] = -5;
  draws[8] = 1;
  draws[16] = std::numeric_limits<int32_t>::max();
  draws[25] = std::numeric_limits<int32_t>::min();  // an offset that leaves the image by far
  fill(plan.input("draws"), draws);
  plan.run();
  const float* y = plan.output(images).as<float>();
  EXPECT_EQ(std::vector<float>(y, y + 4), (std::vector<float>{7, 9, 9, 0}));
}

TEST(Augment, RefusesShapesAndTypesThatDoNotFit) {
  const auto refused = [](const Shape& pixels, DType type, const Shape& draws, const Shape& table) {
    Graph g;
    EXPECT_THROW(autograd::augment(g, g.input("pixels", pixels, type), g.input("draws", draws, DType::kI32),
                                   g.input("table", table)),
                 Error);
  };
  refused({2, 4, 3}, DType::kU8, {5, 8}, {3, 256});
  refused({2, 4, 4, 3}, DType::kI32, {5, 8}, {3, 256});
  refused({2, 4, 4, 3}, DType::kU8, {5, 7}, {3, 256});
  refused({2, 4, 4, 3}, DType::kU8, {5, 8}, {1, 256});
}

}  // namespace
}  // namespace mixop::test
