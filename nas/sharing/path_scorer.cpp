#include "nas/sharing/path_scorer.h"

#include <cmath>

#include "autograd/ops/batch_norm.h"
#include "autograd/ops/cross_entropy.h"
#include "kernels/core/check.h"

namespace mixop::nas {
namespace {

constexpr std::array<std::string_view, 3> kNames = {"batch", "running", "recalibrated"};

PathPlan& find(std::map<int64_t, PathPlan>& plans, int64_t batch) {
  const auto it = plans.find(batch);
  MIXOP_CHECK(it != plans.end(), "scoring: no plan was compiled for a batch of ", batch);
  return it->second;
}

}  // namespace

std::string_view statistics_name(Statistics statistics) { return kNames[static_cast<size_t>(statistics)]; }

Statistics parse_statistics(const std::string& name) {
  for (size_t i = 0; i < kNames.size(); ++i)
    if (name == kNames[i]) return static_cast<Statistics>(i);
  kernels::fail("no statistics '", name, "'; there are: batch, running, recalibrated");
}

PathScorer::PathScorer(const MixedSpace& space, Stores& stores, const Options& options, const BatchSizes& sizes,
                       std::shared_ptr<autograd::Arena> arena, const autograd::CompileOptions& compile_options)
    : space_(space), stores_(stores), options_(options) {
  const bool batch = options_.statistics == Statistics::kBatch;
  for (const int64_t n : sizes.valid)
    scoring_.try_emplace(n, compile(batch, n, options_.valid_images, arena, compile_options));
  if (options_.statistics != Statistics::kRecalibrated) return;
  for (const int64_t n : sizes.recalibration)
    recalibration_.try_emplace(n, compile(true, n, options_.train_images, arena, compile_options));
}

PathPlan PathScorer::compile(bool training, int64_t batch, const ImageSource& source,
                             const std::shared_ptr<autograd::Arena>& arena,
                             const autograd::CompileOptions& options) {
  const auto [height, width, channels] = space_.image();
  Graph g(stores_.weights.dtype());
  const Value images = images_of(g, source, {batch, height, width, channels});
  const Value labels = g.input("labels", {batch}, kernels::DType::kI32);
  std::vector<Mixing> mixing = sampled_mixing(g, space_, options_.candidates);
  for (size_t t = 0; t < options_.kept.size(); ++t) mixing.at(t).kept = options_.kept[t];
  const Value logits = space_.build(g, images, stores_, mixing, training).logits;
  const Value loss = autograd::cross_entropy(g, logits, labels, 0.0, kernels::Reduction::kMean);
  const Value correct = autograd::top1(g, logits, labels);
  return {options_.candidates, loss, correct, {}, autograd::Plan(g, {loss, correct}, arena, options)};
}

Score PathScorer::score(const Batch& valid, const PathSample& sample) {
  return run(find(scoring_, valid.size), space_, valid, {&sample, 1}).get();
}

void PathScorer::begin_recalibration() {
  multiply_statistics(0);
  batches_seen_ = 0;
}

void PathScorer::recalibrate(const Batch& train, const PathSample& sample) {
  run(find(recalibration_, train.size), space_, train, {&sample, 1}).get();
  ++batches_seen_;
}

void PathScorer::end_recalibration() {
  MIXOP_CHECK(batches_seen_ > 0, "recalibration: it has seen no batch");
  const double left = std::pow(1 - autograd::BatchNorm{}.momentum, batches_seen_);
  multiply_statistics(1 / (1 - left));
}

void PathScorer::multiply_statistics(double factor) {
  for (int i = 0; i < static_cast<int>(stores_.state.entries().size()); ++i) {
    const std::string& name = stores_.state.entry(i).name;
    if (!name.ends_with(".running_mean") && !name.ends_with(".running_var")) continue;
    const kernels::View v = stores_.state.view(i);
    for (int64_t k = 0; k < v.shape.elements(); ++k) {
      if (v.dtype == kernels::DType::kF64) v.as<double>()[k] *= factor;
      else v.as<float>()[k] = static_cast<float>(v.as<float>()[k] * factor);
    }
  }
}

}  // namespace mixop::nas
