#include "nas/search/darts.h"

#include "autograd/ops/cross_entropy.h"
#include "nas/decode.h"
#include "nas/ledger.h"

namespace mixop::nas {

using autograd::Plan;

DartsSearch::DartsSearch(const DartsOptions& options, const BatchSizes& sizes, kernels::DType real,
                         const autograd::CompileOptions& compile_options, ImageSource images)
    : options_(options),
      images_(std::move(images)),
      stores_(real, options.seed),
      compile_(compile_options),
      arena_(std::make_shared<autograd::Arena>(compile_options.device)) {
  for (const int64_t n : sizes.valid) arch_.try_emplace(n, compile(Kind::kArch, n));
  for (const int64_t n : sizes.train) weight_.try_emplace(n, compile(Kind::kWeight, n));
  for (const int64_t n : sizes.eval) eval_.try_emplace(n, compile(Kind::kEval, n));
  for (TensorStore* store : stores_.all()) store->bind();
  if (!arch_.empty()) stores_.optimizer.set("alphas.lr", options_.arch_lr);
  if (!weight_.empty()) begin_epoch(0);
}

DartsSearch::Step DartsSearch::compile(Kind kind, int64_t batch) {
  const SupernetOptions& o = options_.net;
  Graph g(stores_.weights.dtype());
  const Value images = images_of(g, images_, {batch, o.height, o.width, o.image_channels});
  const Value labels = g.input("labels", {batch}, kernels::DType::kI32);
  const Value logits = build_supernet(g, images, stores_, o, kind != Kind::kEval).logits;
  const Value loss = autograd::cross_entropy(g, logits, labels, 0.0, kernels::Reduction::kMean);
  const Value correct = autograd::top1(g, logits, labels);
  std::vector<Value> asked = {loss, correct};
  Value norm;
  if (kind == Kind::kArch) {
    asked.push_back(autograd::adam(g, loss, stores_.alphas, stores_.optimizer, options_.arch).step);
  } else if (kind == Kind::kWeight) {
    const auto nodes = autograd::sgd(g, loss, stores_.weights, stores_.optimizer, options_.weights);
    norm = nodes.norm;
    asked.push_back(norm);
    asked.push_back(nodes.step);
  }
  return {loss, correct, norm, Plan(g, asked, arena_, compile_)};
}

void DartsSearch::begin_epoch(int epoch) {
  stores_.optimizer.set("weights.lr", autograd::cosine_lr(options_.lr, options_.lr_min, epoch, options_.epochs));
}

PendingScore DartsSearch::run(std::map<int64_t, Step>& steps, const Batch& batch) {
  const auto it = steps.find(batch.size);
  MIXOP_CHECK(it != steps.end(), "search: no plan was compiled for a batch of ", batch.size);
  Step& step = it->second;
  const Stopwatch watch;
  feed(step.plan, batch);
  const int64_t number = step.plan.run();
  return {&step.plan, step.loss, step.correct, number, batch.size, watch.elapsed()};
}

PendingScore DartsSearch::begin_weight_step(const Batch& train) { return last_weight_step_ = run(weight_, train); }

double DartsSearch::gradient_norm() const {
  if (!last_weight_step_.plan) return 0;
  return last_weight_step_.plan->scalar(weight_.at(last_weight_step_.images).norm, last_weight_step_.run);
}

std::vector<double> DartsSearch::alphas(const std::string& table) {
  const int entry = stores_.alphas.find(table);
  MIXOP_CHECK(entry >= 0, "search: no table '", table, "'");
  const kernels::View v = stores_.alphas.view(entry);
  std::vector<double> result(static_cast<size_t>(v.shape.elements()));
  for (size_t i = 0; i < result.size(); ++i)
    result[i] = v.dtype == kernels::DType::kF64 ? v.as<double>()[i] : double{v.as<float>()[i]};
  return result;
}

Genotype DartsSearch::genotype() {
  return decode(alphas("alphas_normal"), alphas("alphas_reduce"), options_.net.nodes);
}

}  // namespace mixop::nas
