#include "nas/search/eigenvalue_stop.h"

#include <cmath>

#include "autograd/ops/binary.h"
#include "autograd/ops/concat.h"
#include "autograd/ops/copy.h"
#include "autograd/ops/optim.h"
#include "kernels/core/check.h"

namespace mixop::nas {

using autograd::Plan;
using Values = std::vector<Value>;

namespace {

constexpr int kMostProducts = 100;
constexpr double kTolerance = 1e-4, kTiny = 1e-30;
constexpr uint64_t kStart = 0x6569676e;  // seed of the vector that the iteration starts from

}  // namespace

DominantEigenvalue::DominantEigenvalue(Stores& stores, const BilevelNetwork& network, int64_t batch,
                                       const autograd::CompileOptions& compile,
                                       std::shared_ptr<autograd::Arena> arena)
    : stores_(stores),
      batch_(batch),
      arena_(std::move(arena)),
      copy_(stores.weights.dtype()),
      start_("start", stores.weights.dtype(), kStart),
      x_("x", stores.weights.dtype()),
      kept_("eigenvector", stores.weights.dtype()) {
  product_ = std::make_unique<Plan>(compile_product(network, compile));
  begin_ = std::make_unique<Plan>(compile_start(compile));
}

Plan DominantEigenvalue::compile_product(const BilevelNetwork& network, const autograd::CompileOptions& compile) {
  {
    Graph g(stores_.weights.dtype());  // only for the order of its tensors
    network(g, stores_, true, batch_);
    copy_.follow(stores_.weights);
  }
  Graph g(stores_.weights.dtype());
  const BilevelLoss valid = network(g, copy_.net(), true, batch_);
  for (const auto& e : stores_.alphas.entries()) {
    start_.find_or_create(e.name, e.shape, autograd::Init::normal(1));
    x_.find_or_create(e.name, e.shape, autograd::Init::zeros());
  }
  const Values alphas = tensors(g, stores_.alphas), x = tensors(g, x_);
  const Values all = autograd::gradients(g, valid.loss, alphas);
  Values gradients, upstream;
  for (size_t i = 0; i < all.size(); ++i) {
    if (!all[i]) continue;
    gradients.push_back(all[i]);
    upstream.push_back(x[i]);
  }
  Values products = autograd::vector_jacobian(g, gradients, upstream, alphas);
  for (size_t i = 0; i < products.size(); ++i)
    if (!products[i]) products[i] = autograd::zeros(g, g.shape(alphas[i]));
  image_ = autograd::pack(g, products);
  norm_ = autograd::grad_norm(g, image_);
  const Value length = autograd::add(g, norm_, autograd::constant(g, {1}, kTiny));
  const Value next = autograd::assign(g, g.flat(x_), autograd::div(g, image_, length));
  return Plan(g, {norm_, image_, next}, arena_, compile);
}

/// The weights into the copy, and x to where it starts.
Plan DominantEigenvalue::compile_start(const autograd::CompileOptions& compile) {
  Graph g(stores_.weights.dtype());
  const Value start = g.flat(start_);
  const Value unit = autograd::div(g, start, autograd::grad_norm(g, start));
  return Plan(g,
              {autograd::assign(g, g.flat(copy_.weights()), g.flat(stores_.weights)),
               autograd::assign(g, g.flat(x_), unit)},
              arena_, compile);
}

double DominantEigenvalue::measure(const Batch& valid) {
  begin_->run();
  double before = 0;
  for (int i = 0; i < kMostProducts; ++i) {
    feed(*product_, valid);
    product_->run();
    const double now = product_->scalar(norm_);  // of H x, x being of length 1
    if (std::abs(now - before) <= kTolerance * now) return now;
    before = now;
  }
  return before;
}

std::vector<double> DominantEigenvalue::product(const Batch& valid, const std::vector<double>& x) {
  begin_->run();
  const kernels::View to = x_.flat();
  MIXOP_CHECK(static_cast<int64_t>(x.size()) == to.last(), "eigenvalue: a vector of ", x.size(), " for ", to.last(),
              " alphas");
  const bool exact = to.dtype == kernels::DType::kF64;
  for (size_t i = 0; i < x.size(); ++i)
    if (exact) to.as<double>()[i] = x[i];
    else to.as<float>()[i] = static_cast<float>(x[i]);
  feed(*product_, valid);
  product_->run();
  const kernels::View y = product_->output(image_);
  std::vector<double> values;
  for (int64_t i = 0; i < y.last(); ++i) values.push_back(exact ? y.as<double>()[i] : double{y.as<float>()[i]});
  return values;
}

void EigenvalueStop::add(int epoch, double value) {
  values_.push_back({epoch, value});
  const auto n = static_cast<std::ptrdiff_t>(values_.size());
  if (stopped_ || epoch < kFirstEpoch || n < kWindow + kLag) return;
  const auto mean_until = [&](std::ptrdiff_t end) {
    double sum = 0;
    for (auto i = end - kWindow; i < end; ++i) sum += values_[static_cast<size_t>(i)].second;
    return sum / kWindow;
  };
  if (mean_until(n) > factor_ * mean_until(n - kLag))
    stopped_ = values_[static_cast<size_t>(n - kLag - 1 - kWindow / 2)].first;
}

Json EigenvalueStop::save() const { return {{"values", values_}, {"stopped", stopped_.value_or(-1)}}; }

void EigenvalueStop::load(const Json& state) {
  values_ = state.at("values").get<std::vector<std::pair<int, double>>>();
  const int epoch = state.at("stopped");
  stopped_ = epoch < 0 ? std::nullopt : std::optional(epoch);
}

}  // namespace mixop::nas
