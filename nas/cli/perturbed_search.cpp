#include "nas/cli/perturbed_search.h"

#include "autograd/ops/cross_entropy.h"

namespace mixop::cli {

using autograd::Graph;
using autograd::Value;

PerturbedSearch::PerturbedSearch(const nas::DartsOptions& options, int64_t train, int64_t valid,
                                 const Perturbation& perturbation)
    : options_(options),
      perturbation_(perturbation),
      stores_(kernels::DType::kF64, options.seed),
      arch_(compile(true, valid)),
      weight_(compile(false, train)) {
  for (autograd::TensorStore* store : stores_.all()) store->bind();
  stores_.optimizer.set("alphas.lr", options_.arch_lr);
}

PerturbedSearch::Step PerturbedSearch::compile(bool arch, int64_t batch) {
  const nas::SupernetOptions& o = options_.net;
  Graph g(kernels::DType::kF64);
  const Value images = g.input("images", {batch, o.height, o.width, o.image_channels});
  const Value labels = g.input("labels", {batch}, kernels::DType::kI32);
  const Value loss = autograd::cross_entropy(g, nas::build_supernet(g, images, stores_, o, true).logits, labels);
  std::vector<Value> asked = {loss};
  if (arch) {
    asked.push_back(autograd::adam(g, loss, stores_.alphas, stores_.optimizer, options_.arch).step);
  } else {
    const auto nodes = autograd::sgd(g, loss, stores_.weights, stores_.optimizer, options_.weights);
    asked.insert(asked.end(), {nodes.step, nodes.norm});
  }
  g = perturbable(g, asked);
  autograd::Plan plan(g, asked, nullptr, {.fuse = false});
  return {std::move(g), std::move(asked), std::move(plan)};
}

void PerturbedSearch::begin_epoch(int epoch) {
  stores_.optimizer.set("weights.lr", autograd::cosine_lr(options_.lr, options_.lr_min, epoch, options_.epochs));
}

nas::Score PerturbedSearch::run(Step& step, const nas::Batch& batch) {
  nas::feed(step.plan, batch);
  fill_perturbation(step.plan, step.graph, perturbation_);
  perturbation_.run += 2;  // an odd one stays odd: the kinks keep their side
  step.plan.run();
  if (step.asked.size() > 2) gradient_norm_ = step.plan.scalar(step.asked[2]);
  return {step.plan.scalar(step.asked[0]) * static_cast<double>(batch.size), 0, batch.size};
}

}  // namespace mixop::cli
