#include "datasets/loader.h"

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdlib>
#include <new>
#include <set>

#include "datasets/open.h"
#include "datasets/synthetic.h"
#include "tests/datasets_support.h"

namespace {
thread_local int64_t allocations = 0;  // on this thread, through the operators below
}

// Not inlined: the compiler would see malloc and free meet delete and new, and warn.
[[gnu::noinline]] void* operator new(size_t size) {
  ++allocations;
  if (void* p = std::malloc(size ? size : 1)) return p;
  throw std::bad_alloc();
}
[[gnu::noinline]] void operator delete(void* p) noexcept { std::free(p); }
[[gnu::noinline]] void operator delete(void* p, size_t) noexcept { std::free(p); }

namespace mixop::datasets::test {
namespace {

// n images of one pixel that holds the image's number, in 3 classes.
Dataset numbered(int n) {
  Dataset data;
  data.name = "numbered";
  data.height = data.width = data.channels = 1;
  data.classes = 3;
  data.class_names = numbered_names(3);
  for (int i = 0; i < n; ++i) {
    data.pixels.push_back(static_cast<uint8_t>(i));
    data.labels.push_back(i % 3);
  }
  return data;
}

// Image numbers of a batch of such images, checked against their labels.
std::vector<int> members(const Batch& batch) {
  std::vector<int> found;
  EXPECT_EQ(static_cast<int64_t>(batch.images.size()), batch.size);
  EXPECT_EQ(static_cast<int64_t>(batch.labels.size()), batch.size);
  for (int64_t i = 0; i < batch.size; ++i) {
    found.push_back(static_cast<int>(batch.images[i] * 255 + 0.5f));
    EXPECT_EQ(batch.labels[i], found.back() % 3);
  }
  return found;
}

std::vector<int> epoch_members(Loader& loader) {
  std::vector<int> all;
  for (int64_t i = 0; i < loader.batches_per_epoch(); ++i)
    for (int m : members(loader.next())) all.push_back(m);
  return all;
}

std::vector<int> range(int begin, int end) {
  std::vector<int> all;
  for (int i = begin; i < end; ++i) all.push_back(i);
  return all;
}

Augment everything() {
  Augment augment;
  augment.crop = augment.flip = true;
  augment.cutout = 4;
  augment.mean = augment.std = {0.5f, 0.4f, 0.3f};
  return augment;
}

bool equal(const Batch& a, const Batch& b) {
  return a.size == b.size && a.images == b.images && a.draws == b.draws && a.labels == b.labels &&
         a.epoch == b.epoch && a.number == b.number;
}

TEST(Loader, SequentialKeepsTheOrderAndTheShortLastBatch) {
  const Dataset data = numbered(20);
  Loader loader(data, {5, 3, 9, 1, 7, 19, 0}, 3, {}, Order::kSequential, 1);
  ASSERT_EQ(loader.batches_per_epoch(), 3);
  EXPECT_EQ(loader.batch_size_at(0), 3);
  EXPECT_EQ(loader.batch_size_at(2), 1);
  expect_error([&] { loader.batch_size_at(3); }, {"no batch 3", "0..2"});
  for (int64_t epoch = 0; epoch < 3; ++epoch) {
    const std::vector<std::vector<int>> want{{5, 3, 9}, {1, 7, 19}, {0}};
    for (int64_t i = 0; i < 3; ++i) {
      const Batch& batch = loader.next();
      EXPECT_EQ(members(batch), want[i]);
      EXPECT_EQ(batch.epoch, epoch);
      EXPECT_EQ(batch.number, i);
    }
  }
}

TEST(Loader, ShuffleCoversAllAndDiffersByEpochAndSeed) {
  const Dataset data = numbered(100);
  Loader loader(data, all_indices(100), 16, {}, Order::kShuffle, 1),
      other(data, all_indices(100), 16, {}, Order::kShuffle, 2);
  std::set<std::vector<int>> orders;
  for (int epoch = 0; epoch < 3; ++epoch)
    for (Loader* one : {&loader, &other}) {
      std::vector<int> order = epoch_members(*one);
      EXPECT_TRUE(orders.insert(order).second) << "an order came twice";
      std::sort(order.begin(), order.end());
      EXPECT_EQ(order, range(0, 100));
    }
  EXPECT_FALSE(orders.count(range(0, 100)));
}

TEST(Loader, ShuffleIsUniform) {
  const Dataset data = numbered(4);
  Loader loader(data, all_indices(4), 4, {}, Order::kShuffle, 7);
  std::vector<int> counts(256);
  for (int i = 0; i < 24000; ++i) {
    const auto order = members(loader.next());
    ++counts[order[0] + 4 * order[1] + 16 * order[2] + 64 * order[3]];
  }
  int seen = 0;
  for (int count : counts)
    if (count) {
      ++seen;
      EXPECT_NEAR(count, 1000, 160);  // 5 standard deviations
    }
  EXPECT_EQ(seen, 24);
}

TEST(Loader, RandomBatchesAreFullWithoutRepeatsAndFresh) {
  const Dataset data = numbered(50);
  std::vector<int64_t> indices = all_indices(50);
  indices.erase(indices.begin(), indices.begin() + 25);
  Loader loader(data, indices, 10, {}, Order::kRandomBatch, 1);
  EXPECT_EQ(loader.batches_per_epoch(), 3);
  EXPECT_EQ(loader.batch_size_at(2), 10);
  std::set<std::vector<int>> batches;
  std::vector<int> counts(50);
  for (int i = 0; i < 600; ++i) {
    const Batch& batch = loader.next();
    ASSERT_EQ(batch.size, 10);
    EXPECT_EQ(batch.epoch, i / 3);
    EXPECT_EQ(batch.number, i % 3);
    const auto found = members(batch);
    EXPECT_EQ(std::set<int>(found.begin(), found.end()).size(), 10u);
    EXPECT_TRUE(batches.insert(found).second);
    for (int m : found) ++counts[m];
  }
  for (int i = 0; i < 25; ++i) EXPECT_EQ(counts[i], 0);
  for (int i = 25; i < 50; ++i) EXPECT_NEAR(counts[i], 240, 60);  // 5 standard deviations
}

TEST(Loader, FewerImagesThanABatch) {
  const Dataset data = numbered(5);
  Loader random(data, all_indices(5), 64, {}, Order::kRandomBatch, 1);
  auto found = members(random.next());
  std::sort(found.begin(), found.end());
  EXPECT_EQ(found, range(0, 5));
  Loader plain(data, all_indices(5), 64, {}, Order::kSequential, 1);
  EXPECT_EQ(plain.batches_per_epoch(), 1);
  EXPECT_EQ(members(plain.next()), range(0, 5));
  EXPECT_EQ(plain.next().epoch, 1);
}

TEST(Loader, ResultsDoNotDependOnPrefetchDepth) {
  const Dataset data = synthetic(50, 8, 8, 3, 3, 1);
  for (Order order : {Order::kSequential, Order::kShuffle, Order::kRandomBatch}) {
    Loader a(data, all_indices(50), 16, everything(), order, 11, 1),
        b(data, all_indices(50), 16, everything(), order, 11, 8);
    for (int i = 0; i < 12; ++i) ASSERT_TRUE(equal(a.next(), b.next())) << i;
  }
}

TEST(Loader, AugmentationChangesFromEpochToEpochAndImageToImage) {
  Dataset data = synthetic(1, 16, 16, 3, 1, 1);
  Loader loader(data, {0, 0, 0, 0}, 4, everything(), Order::kSequential, 3);
  std::set<std::vector<float>> images;
  for (int epoch = 0; epoch < 3; ++epoch) {
    const Batch& batch = loader.next();
    for (int i = 0; i < 4; ++i)
      images.emplace(batch.images.begin() + i * 768, batch.images.begin() + (i + 1) * 768);
  }
  EXPECT_GE(images.size(), 11u);
}

TEST(Loader, SeekResumesBitForBit) {
  const Dataset data = synthetic(50, 8, 8, 3, 3, 1);
  for (Order order : {Order::kSequential, Order::kShuffle, Order::kRandomBatch}) {
    Loader loader(data, all_indices(50), 16, everything(), order, 11);
    std::vector<Batch> batches;
    std::vector<Cursor> cursors;
    for (int i = 0; i < 14; ++i) {
      cursors.push_back(loader.cursor());
      batches.push_back(loader.next());
      EXPECT_EQ(cursors.back(), (Cursor{batches.back().epoch, batches.back().number}));
    }
    Loader resumed(data, all_indices(50), 16, everything(), order, 11);
    for (int start : {9, 0, 13, 4, 4}) {
      resumed.seek(cursors[start]);
      EXPECT_EQ(resumed.cursor(), cursors[start]);
      for (int i = start; i < 14; ++i) ASSERT_TRUE(equal(resumed.next(), batches[i])) << start << " " << i;
    }
  }
}

// The images that a batch of draws stands for.
std::vector<float> images_of(const Batch& batch, const Dataset& data, const Augment& augment) {
  const std::vector<float> table = normalisation_table(augment, data.channels);
  const int h = data.height, w = data.width, channels = data.channels;
  std::vector<float> images;
  for (int64_t i = 0; i < batch.size; ++i) {
    const int32_t* row = batch.draws.data() + i * Batch::kDrawRow;
    const auto [index, dy, dx, flip, y1, y2, x1, x2] =
        std::to_array<int32_t>({row[0], row[1], row[2], row[3], row[4], row[5], row[6], row[7]});
    for (int y = 0; y < h; ++y)
      for (int x = 0; x < w; ++x)
        for (int c = 0; c < channels; ++c) {
          const int sy = y + dy, sx = (flip ? w - 1 - x : x) + dx;
          const bool inside = sy >= 0 && sy < h && sx >= 0 && sx < w;
          const bool erased = y1 <= y && y < y2 && x1 <= x && x < x2;
          const int pixel = inside ? data.image(index)[(sy * w + sx) * channels + c] : 0;
          images.push_back(erased ? 0.0f : table[c * 256 + pixel]);
        }
  }
  return images;
}

TEST(Loader, DrawsStandForTheSameImagesLabelsAndCursors) {
  const Dataset data = synthetic(50, 8, 8, 3, 3, 1);
  for (Order order : {Order::kSequential, Order::kShuffle, Order::kRandomBatch}) {
    Loader plain(data, all_indices(50), 16, everything(), order, 11),
        draws(data, all_indices(50), 16, everything(), order, 11, 2, Content::kDraws);
    const auto compare = [&] {
      for (int i = 0; i < 9; ++i) {
        ASSERT_EQ(plain.cursor(), draws.cursor());
        const Batch &a = plain.next(), &b = draws.next();
        ASSERT_TRUE(a.draws.empty() && b.images.empty());
        ASSERT_EQ(b.draws.size(), static_cast<size_t>(b.size * 8));
        ASSERT_TRUE(a.size == b.size && a.labels == b.labels && a.epoch == b.epoch && a.number == b.number);
        ASSERT_EQ(a.images, images_of(b, data, everything())) << i;
      }
    };
    compare();
    plain.seek({7, 2});
    draws.seek({7, 2});
    compare();
  }
}

TEST(Loader, SeekLeavesTheHeldBatchAlone) {
  const Dataset data = synthetic(50, 8, 8, 3, 3, 1);
  Loader loader(data, all_indices(50), 16, everything(), Order::kShuffle, 11, 1);
  const Batch& held = loader.next();
  const Batch copy = held;
  for (int64_t i = 0; i < 200; ++i) loader.seek({i, i % 4});
  EXPECT_TRUE(equal(held, copy));
  EXPECT_EQ(loader.next().epoch, 199);
}

TEST(Loader, SeekRefusesWhatIsNotThere) {
  const Dataset data = numbered(10);
  Loader loader(data, all_indices(10), 4, {}, Order::kSequential, 1);
  expect_error([&] { loader.seek({0, 3}); }, {"'numbered'", "batch 3 of epoch 0", "0..2"});
  expect_error([&] { loader.seek({-1, 0}); }, {"epoch -1"});
  EXPECT_EQ(members(loader.next()), range(0, 4));
}

TEST(Loader, DestructionWhilePrefetching) {
  const Dataset data = synthetic(256, 32, 32, 3, 3, 1);
  for (int i = 0; i < 30; ++i) {
    Loader loader(data, all_indices(256), 64, everything(), Order::kShuffle, i, 8);
    if (i % 3) loader.next();
  }
}

TEST(Loader, ErrorOfTheThreadReachesTheCallerInItsPlace) {
  Dataset data = numbered(12);
  data.labels[9] = 3;
  Loader loader(data, all_indices(12), 4, {}, Order::kSequential, 1);
  EXPECT_EQ(loader.next().number, 0);
  EXPECT_EQ(loader.next().number, 1);
  for (int i = 0; i < 2; ++i) expect_error([&] { loader.next(); }, {"'numbered'", "label 3 of image 9", "0..2"});
  loader.seek({5, 1});
  EXPECT_EQ(members(loader.next()), range(4, 8));
}

TEST(Loader, RefusesBadArguments) {
  const Dataset data = numbered(10);
  const auto refuses = [&](std::vector<int64_t> indices, int64_t batch, int prefetch,
                           std::vector<std::string> parts) {
    expect_error([&] { Loader(data, indices, batch, {}, Order::kShuffle, 1, prefetch); }, parts);
  };
  refuses({}, 4, 3, {"'numbered'", "no images"});
  refuses({0, 10}, 4, 3, {"index 10", "0..9"});
  refuses({-1}, 4, 3, {"index -1"});
  refuses({1}, 0, 3, {"batch size 0"});
  refuses({1}, 4, 0, {"prefetch 0"});
  refuses({1}, 4, 65, {"prefetch 65"});
  Augment augment;
  augment.mean = augment.std = {1, 1, 1};
  expect_error([&] { Loader(data, {1}, 4, augment, Order::kShuffle, 1); }, {"3 means", "1 channels"});
  Dataset broken = numbered(10);
  broken.pixels.pop_back();
  expect_error([&] { Loader(broken, {1}, 4, {}, Order::kShuffle, 1); }, {"'numbered'", "found 9"});
}

TEST(Loader, NextDoesNotAllocate) {
  const Dataset data = synthetic(50, 8, 8, 3, 3, 1);
  int64_t before = 0;
  for (Content content : {Content::kImages, Content::kDraws}) {
    Loader loader(data, all_indices(50), 16, everything(), Order::kShuffle, 11, 3, content);
    before = allocations;
    for (int i = 0; i < 40; ++i) loader.next();
    EXPECT_EQ(allocations, before);
  }
  const std::vector<int> one(1);
  EXPECT_EQ(allocations, before + one.size()) << "the counter is dead";
}

}  // namespace
}  // namespace mixop::datasets::test
