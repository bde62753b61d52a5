// The alternation of ENAS on toy networks: what moves when, and that it goes on bit for bit from any step.
#include "nas/search/enas.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cmath>

#include "autograd/ops/binary.h"
#include "autograd/ops/global_pool.h"
#include "autograd/ops/matmul.h"

namespace mixop {
namespace {

using kernels::DType;
using nas::Arch;
using nas::EnasOptions;
using nas::EnasSearch;

constexpr int64_t kBatch = 4, kSide = 4, kChannels = 3, kClasses = 3;

// One linear layer on the mean of the image, the same for all architectures.
nas::SharedNetwork linear() {
  nas::SharedNetwork network;
  network.build = [](autograd::Graph& g, autograd::Value images, nas::Stores& stores, bool) {
    nas::NetworkOutputs out;
    out.pooled = autograd::global_avg_pool(g, images);
    out.logits = autograd::linear(g, out.pooled,
                                  g.tensor(stores.weights, "w", {kClasses, kChannels}, autograd::Init::normal(1)));
    return out;
  };
  network.choices = [](const Arch&) { return std::vector<int32_t>{}; };
  network.height = network.width = kSide;
  network.image_channels = kChannels;
  return network;
}

std::string weights_of(size_t operation) { return "w" + std::to_string(operation); }

// The first operation of an architecture says which of five linear layers it is.
nas::SharedNetwork branches() {
  nas::SharedNetwork network = linear();
  network.build = [](autograd::Graph& g, autograd::Value images, nas::Stores& stores, bool) {
    nas::NetworkOutputs out;
    out.pooled = autograd::global_avg_pool(g, images);
    const int choice = g.add_choice();
    std::vector<autograd::Value> all;
    for (int32_t op = 0; op < 5; ++op) {
      const autograd::Value w = g.tensor(stores.weights, weights_of(static_cast<size_t>(op)), {kClasses, kChannels},
                                         autograd::Init::normal(1));
      const autograd::Graph::When when(g, {choice, op});
      all.push_back(autograd::linear(g, out.pooled, w));
    }
    out.logits = autograd::sum(g, all);
    return out;
  };
  network.choices = [](const Arch& arch) { return std::vector<int32_t>{arch[1]}; };
  return network;
}

EnasOptions small() {
  EnasOptions o;
  o.controller.nodes = 1;
  o.controller.units = 4;
  o.controller.aggregate = 3;
  o.epochs = 2;
  o.seed = 1;
  return o;
}

// Images whose mean in the channel of their label is large; another batch for each number.
struct Images {
  explicit Images(uint64_t number) {
    nas::Random random(5, number);
    for (int64_t i = 0; i < kBatch; ++i) {
      labels.push_back(static_cast<int32_t>(random.below(kClasses)));
      for (int64_t p = 0; p < kSide * kSide * kChannels; ++p)
        pixels.push_back(random.normal() + (p % kChannels == labels.back() ? 1 : 0));
    }
    floats.assign(pixels.begin(), pixels.end());
  }
  nas::Batch batch() const {
    return {.images = floats.data(), .labels = labels.data(), .size = kBatch, .exact = pixels.data()};
  }
  std::vector<double> pixels;
  std::vector<float> floats;
  std::vector<int32_t> labels;
};

std::string bytes_of(autograd::TensorStore& store) {
  return {reinterpret_cast<const char*>(store.data()),
          static_cast<size_t>(store.elements()) * kernels::size_of(store.dtype())};
}

TEST(CosineRestarts, FallAtTheReferenceEpochs) {
  const auto at = [](int64_t epoch) { return autograd::cosine_restarts_lr(0.05, 0.0005, epoch, 10, 2); };
  for (const int64_t restart : {0, 10, 30, 70, 150, 310, 630}) EXPECT_EQ(at(restart), 0.05) << restart;
  for (const int64_t last : {9, 29, 69, 149, 309, 629}) EXPECT_LT(at(last), 0.002) << last;
  EXPECT_DOUBLE_EQ(at(5), (0.05 + 0.0005) / 2);
  EXPECT_DOUBLE_EQ(at(20), (0.05 + 0.0005) / 2);
  EXPECT_DOUBLE_EQ(at(40), autograd::cosine_lr(0.05, 0.0005, 10, 40));
  for (int64_t e = 0; e < 50; ++e)
    EXPECT_EQ(autograd::cosine_restarts_lr(0.1, 0, e, 50, 1),
              autograd::cosine_lr(0.1, 0, static_cast<double>(e), 50));
}

TEST(CosineRestarts, OrAWaveThatRisesAgain) {
  EnasOptions o = small();
  o.wave = true;
  EnasSearch search(o, linear(), {{kBatch}, {}}, DType::kF64);
  const auto at = [&](int epoch) {
    search.begin_epoch(epoch);
    return search.learning_rate();
  };
  for (const int top : {0, 20, 40}) EXPECT_NEAR(at(top), 0.05, 1e-12) << top;
  for (const int bottom : {10, 30}) EXPECT_NEAR(at(bottom), 0.0005, 1e-12) << bottom;
  EXPECT_NEAR(at(13), at(7), 1e-12);
}

TEST(Enas, EachPhaseMovesItsOwn) {
  EnasSearch search(small(), linear(), {{kBatch}, {kBatch}});
  const Images train(1), valid(2);
  const std::string controller = search.controller().save().dump();
  const std::string before = bytes_of(search.stores().weights);
  search.begin_weight_step(train.batch()).get();
  EXPECT_EQ(search.controller().save().dump(), controller);
  const std::string trained = bytes_of(search.stores().weights);
  EXPECT_NE(trained, before);
  const std::string optimizer = bytes_of(search.stores().optimizer);
  const std::string parameters = bytes_of(search.controller().parameters());
  for (int i = 0; i < 3; ++i) {
    EXPECT_EQ(bytes_of(search.controller().parameters()), parameters) << i;
    search.reward_step(valid.batch());
  }
  EXPECT_NE(bytes_of(search.controller().parameters()), parameters);
  EXPECT_EQ(search.controller().waiting(), 0u);
  EXPECT_EQ(bytes_of(search.stores().weights), trained);
  EXPECT_EQ(bytes_of(search.stores().optimizer), optimizer);
}

// The loss has l2 |w|^2: a first step with Nesterov's momentum m moves w by -lr (1 + m) (gradient + 2 l2 w).
TEST(Enas, L2HasNoHalf) {
  EnasOptions o = small();
  o.l2 = 0;
  EnasSearch plain(o, linear(), {{kBatch}, {}}, DType::kF64);
  o.l2 = 0.01;
  EnasSearch decayed(o, linear(), {{kBatch}, {}}, DType::kF64);
  const auto weights = [](EnasSearch& s) {
    const kernels::View v = s.stores().weights.flat();
    return std::vector<double>(v.as<double>(), v.as<double>() + v.shape.elements());
  };
  const std::vector<double> w = weights(plain);
  const Images train(1);
  plain.begin_weight_step(train.batch()).get();
  decayed.begin_weight_step(train.batch()).get();
  for (size_t i = 0; i < w.size(); ++i)
    EXPECT_NEAR(weights(decayed)[i] - weights(plain)[i], -0.05 * 1.9 * 2 * 0.01 * w[i], 1e-12);
}

TEST(Enas, AStepMovesTheWeightsOfTheArchitectureThatWasDrawn) {
  EnasOptions o = small();
  o.l2 = 0;
  o.weights = {.momentum = 0};
  EnasSearch search(o, branches(), {{kBatch}, {kBatch}});
  autograd::TensorStore& store = search.stores().weights;
  std::array<int, 5> drawn{};
  for (uint64_t i = 0; i < 20; ++i) {
    const std::string before = bytes_of(store);
    const Images train(i);
    search.begin_weight_step(train.batch()).get();
    const auto op = static_cast<size_t>(search.last_sample().arch[1]);
    ++drawn[op];
    const std::string after = bytes_of(store);
    const size_t length = after.size() / 5;
    for (size_t k = 0; k < 5; ++k) {
      const size_t at = static_cast<size_t>(store.entry(store.find(weights_of(k))).offset) * sizeof(float);
      EXPECT_EQ(after.substr(at, length) == before.substr(at, length), k != op) << k << " " << op;
    }
  }
  EXPECT_GT(*std::max_element(drawn.begin(), drawn.end()), 0);
  EXPECT_GE(std::count_if(drawn.begin(), drawn.end(), [](int n) { return n > 0; }), 3);
}

TEST(Enas, GoesOnFromAnyStepBitForBit) {
  // Four steps of the weights, then six samples of the controller, which are two updates; twice.
  const auto go = [](EnasSearch& search, int from, int to) {
    for (int i = from; i < to; ++i) {
      if (i % 10 == 0) search.begin_epoch(i / 10);
      const Images images(static_cast<uint64_t>(i));
      if (i % 10 < 4) search.begin_weight_step(images.batch()).get();
      else search.reward_step(images.batch());
    }
  };
  const EnasSearch::BatchSizes sizes{{kBatch}, {kBatch}};
  EnasSearch whole(small(), linear(), sizes);
  go(whole, 0, 20);
  for (const int stop : {2, 4, 5, 7, 10, 13, 18}) {
    EnasSearch first(small(), linear(), sizes), second(small(), linear(), sizes);
    go(first, 0, stop);
    const nas::Json saved = nas::Json::parse(first.save().dump());
    go(second, 0, 1);
    second.load(saved);
    for (size_t i = 0; i < first.stores().all().size(); ++i) {
      autograd::TensorStore &from = *first.stores().all()[i], &to = *second.stores().all()[i];
      std::copy_n(from.data(), static_cast<size_t>(from.elements()) * sizeof(float), to.data());
    }
    go(second, stop, 20);
    EXPECT_EQ(whole.save(), second.save()) << stop;
    EXPECT_EQ(bytes_of(whole.stores().weights), bytes_of(second.stores().weights)) << stop;
    EXPECT_EQ(bytes_of(whole.stores().optimizer), bytes_of(second.stores().optimizer)) << stop;
  }
}

TEST(Enas, HasTheDefaultsOfTheScripts) {
  const EnasOptions micro, macro = EnasOptions::macro(), nb201 = EnasOptions::nb201();
  EXPECT_EQ(nb201.epochs, 250);
  EXPECT_EQ(2 * nb201.l2, 2.5e-4);  // the weight decay of PyTorch's SGD
  EXPECT_EQ(nb201.weights.clip, 5);
  EXPECT_EQ(nb201.updates * nb201.controller.aggregate, 1000);
  EXPECT_EQ(autograd::cosine_restarts_lr(nb201.lr, nb201.lr_min, 20, nb201.period, nb201.factor), 0.05);
  EXPECT_EQ(micro.epochs, 150);
  EXPECT_EQ(macro.epochs, 310);
  EXPECT_EQ(micro.l2, 1e-4);
  EXPECT_EQ(macro.l2, 2.5e-4);
  EXPECT_EQ(micro.controller.lr, 0.0035);
  EXPECT_EQ(macro.controller.lr, 0.001);
  EXPECT_EQ(micro.controller.aggregate, 10);
  EXPECT_EQ(macro.controller.aggregate, 20);
  EXPECT_EQ(macro.controller.tanh_constant, 1.5);
}

}  // namespace
}  // namespace mixop
