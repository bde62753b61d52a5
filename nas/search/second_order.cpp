#include "nas/search/second_order.h"

#include "autograd/ops/binary.h"
#include "autograd/ops/concat.h"
#include "autograd/ops/copy.h"
#include "autograd/ops/optim.h"
#include "kernels/core/check.h"
#include "nas/ledger.h"

namespace mixop::nas {

using autograd::Plan;
using Values = std::vector<Value>;

namespace {

constexpr double kRadius = 0.01;  // of the differences, over |v| (Liu et al. 2019, footnote 2)
constexpr double kTiny = 1e-30;   // keeps the radius finite where the loss is flat

/// Nodes added while it lives belong to the way back.
class Backward {
 public:
  explicit Backward(Graph& g) : g_(g) { g_.set_backward(true); }
  ~Backward() { g_.set_backward(false); }
  Backward(const Backward&) = delete;
  Backward& operator=(const Backward&) = delete;

 private:
  Graph& g_;
};

/// Gradients of the tensors of a store in one piece, zeros where there is none.
Value packed(Graph& g, const TensorStore& store, Values gradients) {
  for (size_t i = 0; i < gradients.size(); ++i)
    if (!gradients[i]) gradients[i] = autograd::zeros(g, store.entry(static_cast<int>(i)).shape);
  return autograd::pack(g, gradients);
}

Value packed_gradient(Graph& g, Value loss, TensorStore& store) {
  return packed(g, store, autograd::gradients(g, loss, tensors(g, store)));
}

}  // namespace

Values tensors(Graph& g, TensorStore& store) {
  Values all;
  for (const auto& e : store.entries()) all.push_back(g.tensor(store, e.name, e.shape));
  return all;
}

std::string_view hessian_product_name(HessianProduct product) {
  return product == HessianProduct::kExact ? "exact" : "finite-difference";
}

HessianProduct parse_hessian_product(const std::string& name) {
  for (const HessianProduct p : {HessianProduct::kFiniteDifference, HessianProduct::kExact})
    if (name == hessian_product_name(p)) return p;
  kernels::fail("second order: no Hessian product '", name, "'; there are: finite-difference, exact");
}

void NetworkCopy::follow(const TensorStore& weights) {
  for (const auto& e : weights.entries()) net_.weights.find_or_create(e.name, e.shape, autograd::Init::zeros());
}

SecondOrder::SecondOrder(Stores& stores, BilevelNetwork network, const Options& options,
                         const std::vector<int64_t>& train, const std::vector<int64_t>& valid,
                         const autograd::CompileOptions& compile, std::shared_ptr<autograd::Arena> arena)
    : stores_(stores),
      network_(std::move(network)),
      options_(options),
      compile_(compile),
      arena_(std::move(arena)),
      copy_(stores.weights.dtype()),
      direction_("direction", stores.weights.dtype()),
      kept_("second_order", stores.weights.dtype()) {
  MIXOP_CHECK(!train.empty() && !valid.empty(), "second order: it needs training and validation batches");
  for (const int64_t n : train) unroll_.try_emplace(n, unroll(n));
  for (const int64_t n : valid) descend_.try_emplace(n, descend(n));
  for (const int64_t n : train) {
    if (options_.product == HessianProduct::kFiniteDifference) rise_.try_emplace(n, rise(n));
    finish_.try_emplace(n, finish(n));
  }
}

Value SecondOrder::kept(Graph& g, const char* name, int64_t elements) { return g.tensor(kept_, name, {elements}); }

SecondOrder::Step SecondOrder::unroll(int64_t batch) {
  Graph g(kept_.dtype());
  const BilevelLoss train = network_(g, stores_, false, batch);
  const Value gradient = packed_gradient(g, train.minimised, stores_.weights);
  copy_.follow(stores_.weights);
  for (const auto& e : stores_.weights.entries())
    direction_.find_or_create(e.name, e.shape, autograd::Init::zeros());
  const Backward backward(g);
  const int64_t weights = stores_.weights.elements();
  const Value momentum = g.tensor(stores_.optimizer, "weights.momentum", {weights});
  const Value lr = g.tensor(stores_.optimizer, "weights.lr", {1});
  const Value unrolled = g.flat(copy_.weights()), buffer = kept(g, "momentum", weights);
  const autograd::Sgd& o = options_.weights;
  const Values effects = {
      autograd::assign(g, unrolled, g.flat(stores_.weights)), autograd::assign(g, buffer, momentum),
      autograd::sgd_step(g, unrolled, gradient, buffer, lr, {},
                         {.momentum = o.momentum, .weight_decay = o.weight_decay, .nesterov = o.nesterov})};
  return {{}, {}, Plan(g, effects, arena_, compile_)};
}

SecondOrder::Step SecondOrder::descend(int64_t batch) {
  Graph g(kept_.dtype());
  const BilevelLoss valid = network_(g, copy_.net(), true, batch);
  Values wrt = tensors(g, stores_.alphas);
  const auto alphas = static_cast<std::ptrdiff_t>(wrt.size());
  const Values weights = tensors(g, copy_.weights());
  wrt.insert(wrt.end(), weights.begin(), weights.end());
  const Values gradients = autograd::gradients(g, valid.minimised, wrt);
  const Backward backward(g);
  const Value by_alphas = packed(g, stores_.alphas, {gradients.begin(), gradients.begin() + alphas});
  const Value v = packed(g, copy_.weights(), {gradients.begin() + alphas, gradients.end()});
  Values effects = {autograd::assign(g, kept(g, "loss", 1), valid.loss),
                    autograd::assign(g, kept(g, "correct", 1), valid.correct),
                    autograd::assign(g, kept(g, "valid_gradient", stores_.alphas.elements()), by_alphas),
                    autograd::assign(g, g.flat(direction_), v)};
  Value at = g.flat(stores_.weights);
  if (options_.product == HessianProduct::kFiniteDifference) {
    const Value norm = autograd::add(g, autograd::grad_norm(g, v), autograd::constant(g, {1}, kTiny));
    const Value radius = autograd::div(g, autograd::constant(g, {1}, kRadius), norm);
    effects.push_back(autograd::assign(g, kept(g, "radius", 1), radius));
    at = autograd::add(g, at, autograd::mul(g, v, radius));
  }
  effects.push_back(autograd::assign(g, g.flat(copy_.weights()), at));
  return {{}, {}, Plan(g, effects, arena_, compile_)};
}

SecondOrder::Step SecondOrder::rise(int64_t batch) {
  Graph g(kept_.dtype());
  const BilevelLoss train = network_(g, copy_.net(), false, batch);
  const Value by_alphas = packed_gradient(g, train.minimised, stores_.alphas);
  const Backward backward(g);
  const Value step = autograd::mul(g, g.flat(direction_), kept(g, "radius", 1));
  const Values effects = {
      autograd::assign(g, kept(g, "gradient_above", stores_.alphas.elements()), by_alphas),
      autograd::assign(g, g.flat(copy_.weights()), autograd::sub(g, g.flat(stores_.weights), step))};
  return {{}, {}, Plan(g, effects, arena_, compile_)};
}

Value SecondOrder::product(Graph& g, const BilevelLoss& train) {
  if (options_.product == HessianProduct::kFiniteDifference) {
    const Value below = packed_gradient(g, train.minimised, stores_.alphas);
    const Backward backward(g);
    const Value difference = autograd::sub(g, kept(g, "gradient_above", stores_.alphas.elements()), below);
    return autograd::div(g, difference, autograd::times(g, kept(g, "radius", 1), 2));
  }
  const Values all = autograd::gradients(g, train.minimised, tensors(g, copy_.weights()));
  const Values directions = tensors(g, direction_);
  Values gradients, v;
  for (size_t i = 0; i < all.size(); ++i) {
    if (!all[i]) continue;
    gradients.push_back(all[i]);
    v.push_back(directions[i]);
  }
  const Values by_alphas = autograd::vector_jacobian(g, gradients, v, tensors(g, stores_.alphas));
  const Backward backward(g);
  return packed(g, stores_.alphas, by_alphas);
}

SecondOrder::Step SecondOrder::finish(int64_t batch) {
  Graph g(kept_.dtype());
  const Value implicit = product(g, network_(g, copy_.net(), false, batch));
  const Backward backward(g);
  TensorStore& optimizer = stores_.optimizer;
  const int64_t alphas = stores_.alphas.elements();
  const auto state = [&](const char* name, int64_t n) { return g.tensor(optimizer, name, {n}); };
  const Value xi = state("weights.lr", 1);
  const Value gradient = autograd::sub(g, kept(g, "valid_gradient", alphas), autograd::mul(g, xi, implicit));
  const Value loss = autograd::copy(g, kept(g, "loss", 1)), correct = autograd::copy(g, kept(g, "correct", 1));
  const autograd::Adam& o = options_.arch;
  const Value norm = o.clip > 0 ? autograd::grad_norm(g, gradient) : Value();
  const Value step =
      autograd::adam_step(g, g.flat(stores_.alphas), gradient, state("alphas.m", alphas), state("alphas.v", alphas),
                          state("alphas.step", 1), state("alphas.lr", 1), norm,
                          {.beta1 = o.beta1,
                           .beta2 = o.beta2,
                           .eps = o.eps,
                           .weight_decay = o.weight_decay,
                           .clip = o.clip,
                           .decoupled = o.decoupled});
  const Value noted = autograd::assign(g, kept(g, "gradient", alphas), gradient);
  return {loss, correct, Plan(g, {loss, correct, noted, step}, arena_, compile_)};
}

PendingScore SecondOrder::begin(const Batch& valid, const Batch& train) {
  const Stopwatch watch;
  PendingScore score;
  Step* last = nullptr;
  const auto run = [&](Steps& steps, const Batch& batch) {
    const auto it = steps.find(batch.size);
    MIXOP_CHECK(it != steps.end(), "second order: no plan was compiled for a batch of ", batch.size);
    if (last) score.before.push_back({&last->plan, score.run});
    last = &it->second;
    feed(last->plan, batch);
    score.run = last->plan.run();
  };
  run(unroll_, train);
  run(descend_, valid);
  if (!rise_.empty()) run(rise_, train);
  run(finish_, train);
  score.plan = &last->plan;
  score.loss = last->loss;
  score.correct = last->correct;
  score.images = valid.size;
  score.host_seconds = watch.elapsed();
  return score;
}

std::vector<double> SecondOrder::gradient() {
  const kernels::View v = kept_.view(kept_.find("gradient"));
  std::vector<double> values;
  for (int64_t i = 0; i < v.last(); ++i)
    values.push_back(v.dtype == kernels::DType::kF64 ? v.as<double>()[i] : double{v.as<float>()[i]});
  return values;
}

std::vector<const Plan*> SecondOrder::plans(int64_t valid, int64_t train) const {
  std::vector<const Plan*> all = {&unroll_.at(train).plan, &descend_.at(valid).plan};
  if (!rise_.empty()) all.push_back(&rise_.at(train).plan);
  all.push_back(&finish_.at(train).plan);
  return all;
}

}  // namespace mixop::nas
