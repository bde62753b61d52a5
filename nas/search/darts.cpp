#include "nas/search/darts.h"

#include <algorithm>

#include "autograd/ops/cross_entropy.h"
#include "nas/ledger.h"

namespace mixop::nas {

using autograd::Plan;

namespace {

constexpr uint64_t kDraws = 0x616c706861;  // the stream of the method's random numbers

}  // namespace

DartsSearch::DartsSearch(const DartsOptions& options, const BatchSizes& sizes, kernels::DType real,
                         const autograd::CompileOptions& compile_options, ImageSource images,
                         std::unique_ptr<AlphaMethod> method, std::unique_ptr<MixedSpace> space)
    : options_(options),
      sizes_(sizes),
      method_(method ? std::move(method) : std::make_unique<AlphaMethod>()),
      space_(space ? std::move(space) : method_->make_space(options.net)),
      random_(options.seed, kDraws),
      images_(std::move(images)),
      stores_(real, options.seed),
      compile_(compile_options),
      arena_(std::make_shared<autograd::Arena>(compile_options.device)) {
  build();
  begin_epoch(0);
}

void DartsSearch::build() {
  method_->check(*space_);
  for (const int64_t n : sizes_.valid) arch_.try_emplace(n, compile(StepKind::kAlphas, n));
  for (const int64_t n : sizes_.train) weight_.try_emplace(n, compile(weight_kind(), n));
  for (const int64_t n : sizes_.eval) eval_.try_emplace(n, compile(StepKind::kEvaluation, n));
  const auto network = [this](Graph& g, Stores& net, bool validation, int64_t batch) {
    return loss_of(g, net, validation ? StepKind::kAlphas : StepKind::kWeights, batch);
  };
  if (options_.order == 2) {
    MIXOP_CHECK(!method_->single_level(), "search: order 2 needs steps of the alphas of their own");
    second_ = std::make_unique<SecondOrder>(stores_, network,
                                            SecondOrder::Options{options_.hessian, options_.weights, options_.arch},
                                            sizes_.train, sizes_.valid, compile_, arena_);
  }
  if (options_.eigenvalue_batch)
    eigenvalue_ =
        std::make_unique<DominantEigenvalue>(stores_, network, options_.eigenvalue_batch, compile_, arena_);
  for (TensorStore* store : stores_.all()) store->bind();
  if (!arch_.empty() || method_->single_level()) stores_.optimizer.set("alphas.lr", options_.arch_lr);
}

void DartsSearch::rebuild() {
  last_weight_step_ = {};
  second_.reset();
  eigenvalue_.reset();
  for (auto* steps : {&arch_, &weight_, &eval_}) steps->clear();
  space_ = method_->make_space(options_.net);
  // Every stage starts from numbers of its own.
  stores_ = Stores(stores_.weights.dtype(), options_.seed + (static_cast<uint64_t>(stage_) << 32));
  arena_ = std::make_shared<autograd::Arena>(compile_.device);
  build();
}

void DartsSearch::next_stage() {
  const std::vector<TableValues> before = alphas();
  method_->next_stage(*space_, before);
  ++stage_;
  rebuild();
  if (!method_->carries_alphas()) return;
  const std::vector<AlphaTensor> tensors = alpha_tensors();
  for (size_t t = 0; t < tensors.size(); ++t) {
    const kernels::View to = stores_.alphas.view(stores_.alphas.find(tensors[t].name));
    for (size_t i = 0; i < before[t].size(); ++i)
      if (to.dtype == kernels::DType::kF64) to.as<double>()[i] = before[t][i];
      else to.as<float>()[i] = static_cast<float>(before[t][i]);
  }
}

void DartsSearch::resume(int stage, const Json& method) {
  method_->load(method);
  if (stage == stage_) return;
  stage_ = stage;
  rebuild();
}

BilevelLoss DartsSearch::loss_of(Graph& g, Stores& net, StepKind kind, int64_t batch) {
  const auto [height, width, channels] = space_->image();
  const Value images = images_of(g, images_, {batch, height, width, channels});
  const Value labels = g.input("labels", {batch}, kernels::DType::kI32);
  const std::vector<Mixing> mixing = method_->mix(g, stores_, *space_, kind);
  const Value logits = space_->build(g, images, net, mixing, kind != StepKind::kEvaluation).logits;
  const Value loss = autograd::cross_entropy(g, logits, labels, 0.0, kernels::Reduction::kMean);
  const bool plain = kind == StepKind::kWeights || kind == StepKind::kEvaluation;
  const Value minimised = plain ? loss : method_->alpha_loss(g, stores_, *space_, loss);
  return {loss, autograd::top1(g, logits, labels), minimised};
}

DartsSearch::Step DartsSearch::compile(StepKind kind, int64_t batch) {
  Graph g(stores_.weights.dtype());
  const auto [loss, correct, minimised] = loss_of(g, stores_, kind, batch);
  std::vector<Value> asked = {loss, correct};
  Value norm;
  if (kind != StepKind::kEvaluation) {
    std::vector<TensorStore*> moved;
    if (kind != StepKind::kWeights) moved.push_back(&stores_.alphas);
    if (kind != StepKind::kAlphas) moved.push_back(&stores_.weights);
    const std::vector<Value> gradients = autograd::packed_gradients(g, minimised, moved);
    if (kind != StepKind::kWeights)
      asked.push_back(
          autograd::adam_update(g, gradients.front(), stores_.alphas, stores_.optimizer, options_.arch).step);
    if (kind != StepKind::kAlphas) {
      const auto nodes =
          autograd::sgd_update(g, gradients.back(), stores_.weights, stores_.optimizer, options_.weights);
      norm = nodes.norm;
      asked.push_back(norm);
      asked.push_back(nodes.step);
    }
  }
  return {loss, correct, norm, Plan(g, asked, arena_, compile_)};
}

void DartsSearch::begin_epoch(int epoch) {
  while (stage_ < std::min(epoch / options_.epochs, method_->stages() - 1)) next_stage();
  epoch -= stage_ * options_.epochs;
  if (!weight_.empty())
    stores_.optimizer.set("weights.lr", autograd::cosine_lr(options_.lr, options_.lr_min, epoch, options_.epochs));
  method_->begin_epoch(epoch, options_.epochs);
}

void DartsSearch::prepare(StepKind kind, Plan& plan) {
  const std::vector<int32_t> choices = method_->begin_step(kind, stores_, *space_, random_);
  if (!choices.empty()) plan.choose(choices);
  for (const auto& [name, values] : method_->feeds()) {
    if (!plan.has_input(name)) continue;
    const kernels::View input = plan.input(name);
    MIXOP_CHECK(input.shape.elements() == static_cast<int64_t>(values.size()), "search: ", values.size(),
                " values given to ", name, " ", input.shape);
    if (input.dtype == kernels::DType::kF64) std::copy(values.begin(), values.end(), input.as<double>());
    else std::copy(values.begin(), values.end(), input.as<float>());
  }
}

PendingScore DartsSearch::run(StepKind kind, std::map<int64_t, Step>& steps, const Batch& batch) {
  const auto it = steps.find(batch.size);
  MIXOP_CHECK(it != steps.end(), "search: no plan was compiled for a batch of ", batch.size);
  Step& step = it->second;
  const Stopwatch watch;
  prepare(kind, step.plan);
  feed(step.plan, batch);
  const int64_t number = step.plan.run();
  return {&step.plan, step.loss, step.correct, number, batch.size, watch.elapsed()};
}

PendingScore DartsSearch::begin_weight_step(const Batch& train) {
  return last_weight_step_ = run(weight_kind(), weight_, train);
}

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

NetworkSize DartsSearch::size() const {
  const auto [height, width, channels] = space_->image();
  const NetworkBuilder build = [this](Graph& g, Value images, Stores& stores, bool training) {
    const auto mixing = method_->mix(g, stores, *space_, training ? StepKind::kWeights : StepKind::kEvaluation);
    return space_->build(g, images, stores, mixing, training);
  };
  return measure_network(build, height, width, channels);
}

std::vector<TableValues> DartsSearch::alphas() {
  std::vector<TableValues> all;
  for (const AlphaTensor& a : alpha_tensors()) all.push_back(alphas(a.name));
  return all;
}

}  // namespace mixop::nas
