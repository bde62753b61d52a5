#include "nas/sharing/path_search.h"

#include <algorithm>

#include "autograd/ops/concat.h"
#include "autograd/ops/cross_entropy.h"
#include "kernels/core/check.h"

namespace mixop::nas {

PathSearch::PathSearch(std::shared_ptr<const MixedSpace> space, const PathOptions& options,
                       PathScorer::Options scoring, const BatchSizes& sizes, kernels::DType real,
                       const autograd::CompileOptions& compile_options)
    : space_(std::move(space)),
      options_(options),
      stores_(real, options.seed),
      arena_(std::make_shared<autograd::Arena>(compile_options.device)) {
  for (const int64_t n : sizes.train) train_.try_emplace(n, compile(n, scoring.train_images, compile_options));
  scoring.candidates = options_.candidates;
  scorer_ = std::make_unique<PathScorer>(
      *space_, stores_, scoring, PathScorer::BatchSizes{sizes.valid, sizes.recalibration}, arena_, compile_options);
  for (TensorStore* store : stores_.all()) store->bind();
  if (!train_.empty()) begin_epoch(0);
}

PathPlan PathSearch::compile(int64_t batch, const ImageSource& source, const autograd::CompileOptions& options) {
  const auto [height, width, channels] = space_->image();
  Graph g(stores_.weights.dtype());
  const Value images = images_of(g, source, {batch, height, width, channels});
  const Value labels = g.input("labels", {batch}, kernels::DType::kI32);
  std::vector<std::vector<Value>> tables;
  const Value logits = build(g, images, tables);
  const Value loss =
      autograd::cross_entropy(g, logits, labels, options_.label_smoothing, kernels::Reduction::kMean);
  const Value correct = autograd::top1(g, logits, labels);
  const auto nodes = options_.ghost ? sgd_on_kept(g, loss, *space_, tables, stores_, options_.weights)
                                    : autograd::sgd(g, loss, stores_.weights, stores_.optimizer, options_.weights);
  return {options_.ghost ? Candidates::kAll : options_.candidates, loss, correct, nodes.norm,
          autograd::Plan(g, {loss, correct, nodes.norm, nodes.step}, arena_, options)};
}

size_t PathSearch::samples(int64_t batch) const {
  return options_.ghost ? static_cast<size_t>((batch + options_.ghost - 1) / options_.ghost) : 1;
}

Value PathSearch::build(Graph& g, Value images, std::vector<std::vector<Value>>& tables) {
  const int64_t batch = g.shape(images)[0];
  const size_t count = samples(batch);
  std::vector<Value> logits;
  for (size_t i = 0; i < count; ++i) {
    const std::vector<Mixing> mixing =
        sampled_mixing(g, *space_, options_.ghost ? Candidates::kAll : options_.candidates, i);
    Value part = images;
    if (count > 1) {
      const int64_t begin = static_cast<int64_t>(i) * options_.ghost;
      part = autograd::slice_axis(g, images, 0, begin, std::min(options_.ghost, batch - begin));
    }
    logits.push_back(space_->build(g, part, stores_, mixing, true).logits);
    tables.emplace_back();
    for (const Mixing& m : mixing) tables.back().push_back(m.table);
  }
  return autograd::concat(g, logits, 0);
}

void PathSearch::begin_epoch(int epoch) {
  const PathOptions& o = options_;
  const double share = static_cast<double>(epoch) / o.epochs;
  stores_.optimizer.set("weights.lr", o.schedule == PathOptions::Schedule::kLinear
                                          ? o.lr + (o.lr_min - o.lr) * share
                                          : autograd::cosine_lr(o.lr, o.lr_min, epoch, o.epochs));
}

PendingScore PathSearch::begin_step(const Batch& train, std::span<const PathSample> samples) {
  const auto it = train_.find(train.size);
  MIXOP_CHECK(it != train_.end(), "path search: no plan was compiled for a batch of ", train.size);
  MIXOP_CHECK(samples.size() == this->samples(train.size), "path search: ", samples.size(), " samples for ",
              this->samples(train.size), " ghost batches");
  return last_step_ = run(it->second, *space_, train, samples);
}

double PathSearch::gradient_norm() const {
  return last_step_.plan ? last_step_.plan->scalar(train_.at(last_step_.images).norm, last_step_.run) : 0;
}

}  // namespace mixop::nas
