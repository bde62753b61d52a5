// Weight sharing by sampled paths, and NAS-Bench-201 as a space of shared weights.
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <set>

#include "autograd/ops/cross_entropy.h"
#include "kernels/core/rng.h"
#include "nas/network.h"
#include "nas/sharing/nb201_mixed.h"
#include "nas/sharing/path_dropout.h"
#include "nas/sharing/path_search.h"
#include "nas/space/nb201.h"
#include "nas/train.h"
#include "tests/support/numbers.h"

namespace mixop::test {
namespace {

using kernels::DType;
using nas::Arch;
using nas::Nb201MixedOptions;
using nas::PathSample;
using nas::PathSearch;
using nas::Statistics;

Nb201MixedOptions tiny(bool affine = false, bool track = true) {
  return {.scale = {.channels = 4, .cells = 1, .classes = 3, .height = 8, .width = 8, .image_channels = 2},
          .affine = affine,
          .track = track};
}

struct Images {
  std::vector<float> pixels;
  std::vector<int32_t> labels;
  nas::Batch batch() const { return {pixels.data(), labels.data(), static_cast<int64_t>(labels.size())}; }
  explicit Images(uint64_t seed, size_t n = 4) : pixels(n * 8 * 8 * 2), labels(n) {
    for (size_t i = 0; i < n; ++i) labels[i] = static_cast<int32_t>(kernels::philox(seed, 1, i)[0] % 3);
    for (size_t i = 0; i < pixels.size(); ++i)
      pixels[i] = static_cast<float>(kernels::normal(seed, 0, i) + 0.3 * labels[i / (8 * 8 * 2)]);
  }
};

std::unique_ptr<PathSearch> make(const Nb201MixedOptions& net, Statistics statistics = Statistics::kBatch,
                                 DType real = DType::kF64, nas::PathOptions options = {}) {
  return std::make_unique<PathSearch>(nas::nb201_mixed_space(net), options,
                                      nas::PathScorer::Options{.statistics = statistics},
                                      PathSearch::BatchSizes{{4}, {4}, {4}}, real);
}

/// Copies the tensors that both stores have; returns how many those are.
size_t copy_common(autograd::TensorStore& from, autograd::TensorStore& to) {
  size_t copied = 0;
  for (int i = 0; i < static_cast<int>(to.entries().size()); ++i) {
    const int there = from.find(to.entry(i).name);
    if (there < 0) continue;
    const std::vector<double> values = numbers_of(from.view(there));
    const kernels::View v = to.view(i);
    EXPECT_EQ(v.shape, from.view(there).shape);
    std::copy(values.begin(), values.end(), v.as<double>());
    ++copied;
  }
  return copied;
}

const std::vector<Arch> kCells = {{3, 3, 3, 3, 3, 3}, {4, 2, 1, 0, 3, 1}, {0, 0, 3, 1, 2, 4}, {1, 0, 0, 0, 1, 1}};

TEST(Nb201Mixed, HasTheParametersOfAllEdgesWithBothConvolutions) {
  // blackbox.md 15.2: an edge of width c holds c^2 + 2c and 9c^2 + 2c parameters, 2c of each for the affine norm.
  const auto count = [](bool affine) {
    const auto space = nas::nb201_mixed_space({.scale = {.channels = 16, .cells = 5}, .affine = affine});
    nas::Stores stores(DType::kF32, 0);
    autograd::Graph g;
    space->build(g, g.input("images", {1, 32, 32, 3}), stores,
                 nas::sampled_mixing(g, *space, nas::Candidates::kAll), true);
    return stores.weights.elements();
  };
  int64_t edges = 0, norms = 0;
  for (const int64_t c : {16, 32, 64}) {
    edges += 5 * 6 * 10 * c * c;
    norms += 5 * 6 * 4 * c;
  }
  const int64_t skeleton = 73306;  // the network of the cell without convolutions
  EXPECT_EQ(count(false), skeleton + edges);
  EXPECT_EQ(count(true), skeleton + edges + norms);
  EXPECT_EQ(count(true), 73306 + 6 * (28000 + 243040));  // the same by the published formula
}

TEST(Nb201Mixed, DecodesTheLargestEntryOfEachRow) {
  const auto space = nas::nb201_mixed_space(tiny());
  const Arch arch = {3, 0, 1, 4, 2, 3};
  EXPECT_EQ(space->decode(one_path(*space, arch).tables), arch);
  EXPECT_EQ(space->path(arch), (std::vector<nas::RowChoices>{arch}));
  EXPECT_THROW(space->path({1, 2, 3, 4, 5, 0}), mixop::Error);
  EXPECT_THROW(space->decode(std::vector<nas::TableValues>{nas::TableValues{1, 2, 3}}), mixop::Error);
}

/// The supernet on one path is that cell's own network: outputs in training and in evaluation.
TEST(Nb201Mixed, IsTheStandaloneNetworkOnOnePath) {
  for (const bool affine : {true, false}) {
    for (const Arch& arch : kCells) {
      auto search = make(tiny(affine), Statistics::kRunning);
      const nas::Nb201Space space;
      nas::TrainOptions options;
      options.net.height = options.net.width = 8;
      options.net.image_channels = 2;
      options.lr = 0;
      options.drop_path_prob = 0;
      const nas::NetworkScale scale = tiny().scale;
      options.build = [&](autograd::Graph& g, autograd::Value x, nas::Stores& stores, bool training) {
        return space.build(g, x, stores, arch, scale, training);
      };
      nas::NetworkTraining alone(options, {4}, {4}, DType::kF64);
      // Without affine norms the supernet lacks the scales and shifts of the candidates: they stay 1 and 0.
      const size_t copied = copy_common(search->stores().weights, alone.stores().weights);
      EXPECT_EQ(copied == alone.stores().weights.entries().size(), affine || arch == kCells[3]);
      EXPECT_EQ(copy_common(search->stores().state, alone.stores().state), alone.stores().state.entries().size());

      const PathSample path = one_path(search->space(), arch);
      search->stores().optimizer.set("weights.lr", 0);
      for (uint64_t i = 0; i < 3; ++i) {
        const Images images(i);
        const nas::Score ours = search->step(images.batch(), path), theirs = alone.step(images.batch());
        EXPECT_NEAR(ours.loss, theirs.loss, 1e-12 * theirs.loss);
      }
      const Images images(9);
      const double want = alone.evaluate(images.batch()).loss;
      EXPECT_NEAR(search->scorer().score(images.batch(), path).loss, want, 1e-12 * want);
    }
  }
}

TEST(Nb201Mixed, WithoutTrackingEvaluationTakesBatchStatisticsInCells) {
  const auto state_of = [](bool track) {
    auto search = make(tiny(false, track));
    std::set<std::string> names;
    for (const auto& e : search->stores().state.entries()) names.insert(e.name.substr(0, e.name.find('.')));
    return names;
  };
  EXPECT_EQ(state_of(true), (std::set<std::string>{"last", "reductions", "stages", "stem"}));
  EXPECT_EQ(state_of(false), (std::set<std::string>{"last", "reductions", "stem"}));
  auto search = make(tiny(false, false), Statistics::kRunning);
  EXPECT_TRUE(std::isfinite(search->scorer().score(Images(1).batch(), one_path(search->space(), kCells[0])).loss));
}

TEST(PathSearch, MovesOnlyWeightsOfThePath) {
  nas::PathOptions options;
  options.weights = {.momentum = 0, .weight_decay = 0, .clip = 5};
  auto search = make(tiny(), Statistics::kBatch, DType::kF64, options);
  autograd::TensorStore& weights = search->stores().weights;
  std::vector<std::vector<double>> before;
  for (int i = 0; i < static_cast<int>(weights.entries().size()); ++i)
    before.push_back(numbers_of(weights.view(i)));
  const Arch arch = {3, 2, 0, 1, 2, 3};
  search->step(Images(1).batch(), one_path(search->space(), arch));
  EXPECT_GT(search->gradient_norm(), 0);
  int moved = 0, kept = 0;
  for (int i = 0; i < static_cast<int>(weights.entries().size()); ++i) {
    const std::string& name = weights.entry(i).name;
    bool on_path = true;
    const size_t at = name.find(".edge.");
    if (at != std::string::npos) {
      const auto edge = static_cast<size_t>(name[at + 6] - '0');
      on_path = name.find(nas::Nb201Space::kOps[static_cast<size_t>(arch[edge])]) != std::string::npos;
    }
    EXPECT_EQ(numbers_of(weights.view(i)) != before[static_cast<size_t>(i)], on_path) << name;
    ++(on_path ? moved : kept);
  }
  EXPECT_GT(moved, 10);
  EXPECT_EQ(kept, 3 * (12 - 4));
}

/// Chi-square over the five candidates of each edge; 18.5 is exceeded once in 1000 (4 degrees of freedom).
TEST(PathSearch, VisitsAllCandidatesEquallyOften) {
  const nas::Nb201Space space;
  nas::Random random(3);
  constexpr int kDraws = 5000;
  std::array<std::array<int, 5>, 6> visits{};
  for (int i = 0; i < kDraws; ++i) {
    const Arch arch = space.sample(random);
    for (size_t e = 0; e < 6; ++e) ++visits[e][static_cast<size_t>(arch[e])];
  }
  for (const auto& edge : visits) {
    double chi_square = 0;
    for (const int count : edge) chi_square += std::pow(count - kDraws / 5.0, 2) / (kDraws / 5.0);
    EXPECT_LT(chi_square, 18.5);
  }
}

/// Running statistics of the stem and of the norm behind it, from the tensors that enter the norms.
TEST(PathScorer, RecalibrationIsTheWeightedMeanOfTheBatches) {
  auto search = make(tiny(), Statistics::kRecalibrated);
  const PathSample path = one_path(search->space(), kCells[0]);
  search->step(Images(50).batch(), path);  // leaves statistics behind, which must not matter
  const std::vector<uint64_t> batches = {1, 2, 3};
  search->scorer().begin_recalibration();
  for (const uint64_t b : batches) search->scorer().recalibrate(Images(b).batch(), path);
  search->scorer().end_recalibration();

  autograd::TensorStore &weights = search->stores().weights, &state = search->stores().state;
  const std::vector<double> w = numbers_of(weights.view(weights.find("stem.conv.w")));  // [3,3,2,4]
  std::array<double, 4> mean{}, var{};
  double weight_sum = 0;
  for (size_t b = 0; b < batches.size(); ++b) {
    const Images images(batches[b]);
    const double weight = 0.1 * std::pow(0.9, static_cast<double>(batches.size() - 1 - b));
    weight_sum += weight;
    for (size_t k = 0; k < 4; ++k) {
      double sum = 0, squares = 0;
      constexpr int kCount = 4 * 8 * 8;
      for (int n = 0; n < 4; ++n)
        for (int y = 0; y < 8; ++y)
          for (int x = 0; x < 8; ++x) {
            double value = 0;
            for (int r = 0; r < 3; ++r)
              for (int s = 0; s < 3; ++s)
                for (int c = 0; c < 2; ++c) {
                  const int yy = y + r - 1, xx = x + s - 1;
                  if (yy < 0 || yy >= 8 || xx < 0 || xx >= 8) continue;
                  value += images.pixels[static_cast<size_t>(((n * 8 + yy) * 8 + xx) * 2 + c)] *
                           w[static_cast<size_t>(((r * 3 + s) * 2 + c) * 4) + k];
                }
            sum += value;
            squares += value * value;
          }
      mean[k] += weight * sum / kCount;
      var[k] += weight * (squares - sum * sum / kCount) / (kCount - 1);  // kept without bias, as PyTorch does
    }
  }
  const std::vector<double> got_mean = numbers_of(state.view(state.find("stem.bn.running_mean"))),
                            got_var = numbers_of(state.view(state.find("stem.bn.running_var")));
  for (size_t k = 0; k < 4; ++k) {
    EXPECT_NEAR(got_mean[k], mean[k] / weight_sum, 1e-9);
    EXPECT_NEAR(got_var[k], var[k] / weight_sum, 1e-9);
  }
  // Made anew, they are the same again; and the score is that of a network with these.
  const double score = search->scorer().score(Images(9).batch(), path).loss;
  search->step(Images(51).batch(), path);
  auto again = make(tiny(), Statistics::kRecalibrated);
  again->step(Images(50).batch(), path);
  again->scorer().begin_recalibration();
  for (const uint64_t b : batches) again->scorer().recalibrate(Images(b).batch(), path);
  again->scorer().end_recalibration();
  EXPECT_EQ(again->scorer().score(Images(9).batch(), path).loss, score);
  EXPECT_THROW(
      {
        again->scorer().begin_recalibration();
        again->scorer().end_recalibration();
      },
      mixop::Error);
}

/// With one candidate everywhere a search by paths is plain training.
TEST(PathSearch, OfOneArchitectureIsPlainTraining) {
  const Arch arch = kCells[1];
  nas::PathOptions options;
  options.weights = {.momentum = 0.9, .weight_decay = 3e-4, .clip = 5};
  options.epochs = 2;
  options.lr_min = 0;
  auto search = make(tiny(true), Statistics::kRunning, DType::kF64, options);
  nas::TrainOptions plain;
  plain.net.height = plain.net.width = 8;
  plain.net.image_channels = 2;
  plain.epochs = 2;
  plain.drop_path_prob = 0;
  const nas::Nb201Space space;
  const nas::NetworkScale scale = tiny().scale;
  plain.build = [&](autograd::Graph& g, autograd::Value x, nas::Stores& stores, bool training) {
    return space.build(g, x, stores, arch, scale, training);
  };
  nas::NetworkTraining alone(plain, {4}, {4}, DType::kF64);
  copy_common(search->stores().weights, alone.stores().weights);
  const PathSample path = one_path(search->space(), arch);
  for (int epoch = 0; epoch < 2; ++epoch) {
    search->begin_epoch(epoch);
    alone.begin_epoch(epoch);
    for (uint64_t i = 0; i < 5; ++i) {
      const Images images(10 + i);
      EXPECT_NEAR(search->step(images.batch(), path).loss, alone.step(images.batch()).loss, 1e-9);
    }
  }
  const Images images(99);
  EXPECT_NEAR(search->scorer().score(images.batch(), path).loss, alone.evaluate(images.batch()).loss, 1e-9);
}

TEST(PathDropout, DropsAllOfAnEdgeWithTheGivenProbability) {
  const auto space = nas::nb201_mixed_space(tiny());
  nas::Random random(1);
  constexpr int kDraws = 4000;
  constexpr double kRate = 0.2;
  int dropped = 0, all = 0;
  for (int i = 0; i < kDraws; ++i) {
    const nas::TableValues table = drop_paths(*space, kRate, random).tables[0];
    for (size_t row = 0; row < 6; ++row) {
      EXPECT_EQ(table[row * 5], 0);  // none is no candidate to be kept
      const auto kept = std::count(table.begin() + static_cast<std::ptrdiff_t>(row) * 5 + 1,
                                   table.begin() + static_cast<std::ptrdiff_t>(row) * 5 + 5, 1.0);
      dropped += static_cast<int>(4 - kept);
      all += kept == 0;
    }
  }
  const double rows = 6.0 * kDraws, each = std::pow(kRate, 0.25);
  EXPECT_NEAR(all / rows, kRate, 4 * std::sqrt(kRate * (1 - kRate) / rows));
  EXPECT_NEAR(dropped / (4 * rows), each, 4 * std::sqrt(each * (1 - each) / (4 * rows)));
  EXPECT_EQ(nas::path_dropout_rate(0.3, 0, 10), 0);
  EXPECT_EQ(nas::path_dropout_rate(0.3, 5, 10), 0.15);
  const nas::TableValues none = drop_paths(*space, 0, random).tables[0];
  EXPECT_EQ(std::count(none.begin(), none.end(), 1.0), 24);
}

std::unique_ptr<PathSearch> one_shot(double decay, int64_t batch) {
  nas::PathOptions options;
  options.weights = {.momentum = 0, .weight_decay = decay, .clip = 0};
  options.ghost = 4;
  return std::make_unique<PathSearch>(nas::nb201_mixed_space(tiny()), options, nas::PathScorer::Options{},
                                      PathSearch::BatchSizes{{batch}, {4}, {}}, DType::kF64);
}

TEST(PathDropout, GhostBatchesHaveTheirOwnNetworks) {
  auto search = one_shot(0, 8);
  const Images first(1), second(2);
  Images both = first;
  both.pixels.insert(both.pixels.end(), second.pixels.begin(), second.pixels.end());
  both.labels.insert(both.labels.end(), second.labels.begin(), second.labels.end());
  const std::vector<PathSample> paths = {one_path(search->space(), kCells[0]),
                                         one_path(search->space(), kCells[1])};
  const double want =
      search->scorer().score(first.batch(), paths[0]).loss + search->scorer().score(second.batch(), paths[1]).loss;
  EXPECT_EQ(search->samples(8), 2u);
  EXPECT_EQ(search->samples(9), 3u);
  EXPECT_NEAR(search->begin_step(both.batch(), paths).get().loss, want, 1e-9);
  EXPECT_THROW(search->begin_step(both.batch(), paths[0]), mixop::Error);
}

/// One step with and without weight decay: they differ by the decay of what was kept.
TEST(PathDropout, DecaysOnlyWhatIsKept) {
  auto plain = one_shot(0, 8), decaying = one_shot(0.5, 8);
  Images images(1, 8);
  const std::vector<PathSample> paths = {one_path(plain->space(), {3, 2, 0, 1, 2, 3}),
                                         one_path(plain->space(), {3, 3, 0, 1, 4, 2})};
  autograd::TensorStore &a = plain->stores().weights, &b = decaying->stores().weights;
  std::vector<std::vector<double>> start;
  for (int i = 0; i < static_cast<int>(a.entries().size()); ++i) start.push_back(numbers_of(a.view(i)));
  plain->begin_step(images.batch(), paths).get();
  decaying->begin_step(images.batch(), paths).get();
  const auto owners = nas::candidate_parameters(plain->space());
  EXPECT_EQ(owners.size(), 3u * 12u);
  const double lr = plain->learning_rate();
  int kept_half = 0;
  for (int i = 0; i < static_cast<int>(a.entries().size()); ++i) {
    double kept = 1;
    if (const auto owner = owners.find(a.entry(i).name); owner != owners.end())
      kept = 0.5 * (paths[0].tables[0][static_cast<size_t>(owner->second.index)] +
                    paths[1].tables[0][static_cast<size_t>(owner->second.index)]);
    kept_half += kept == 0.5;
    const std::vector<double> without = numbers_of(a.view(i)), with = numbers_of(b.view(i));
    for (size_t k = 0; k < without.size(); ++k)
      ASSERT_NEAR(with[k], without[k] - lr * 0.5 * kept * start[static_cast<size_t>(i)][k], 1e-12)
          << a.entry(i).name;
  }
  EXPECT_EQ(kept_half, 3 * 5);  // both convolutions of edges 1 and 5, and one of edge 4
}

}  // namespace
}  // namespace mixop::test
