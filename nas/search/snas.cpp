// SNAS (Xie et al. 2019, arXiv 1812.09926): the network is mixed with relaxed one-hot draws, one for each edge, and
// alphas and weights follow the same loss on the same training images (single-level). The temperature falls
// geometrically; the paper gives its ends, not its course.
#include <algorithm>
#include <cmath>

#include "autograd/ops/binary.h"
#include "autograd/ops/concat.h"
#include "autograd/ops/copy.h"
#include "autograd/ops/reduce.h"
#include "autograd/ops/softmax.h"
#include "nas/search/alpha_methods.h"
#include "nas/search/gumbel.h"
#include "nas/sharing/candidate_macs.h"

namespace mixop::nas {
namespace {

class Snas final : public GumbelMethod {
 public:
  explicit Snas(const Settings& s)
      : first_(s.real("temperature")), last_(s.real("temperature_last")), cost_(s.real("cost")) {
    check_temperatures("snas", first_, last_);
  }

  bool single_level() const override { return true; }
  /// The paper's mean of 1 shifts all alphas of a row alike, which changes no draw.
  std::vector<AlphaTensor> alphas(const MixedSpace& space) const override {
    std::vector<AlphaTensor> tensors = GumbelMethod::alphas(space);
    for (AlphaTensor& a : tensors) a.init = autograd::Init::normal(0.01);
    return tensors;
  }
  std::vector<Mixing> mix(Graph& g, Stores& stores, const MixedSpace& space, StepKind) const override {
    std::vector<Mixing> mixing;
    for (const Value table : draw(g, stores, space, false)) mixing.push_back({table});
    return mixing;
  }
  /// L + cost log(expected multiply-adds of the edges). As logsumexp(log p + log c) over all candidates; one
  /// without any costs 1, which is nothing beside the others.
  Value alpha_loss(Graph& g, Stores& stores, const MixedSpace& space, Value loss) const override {
    if (cost_ == 0) return loss;
    const std::vector<AlphaTensor> tensors = alphas(space);
    std::vector<Value> logs;
    for (const AlphaTensor& a : tensors) {
      const Value log_p = autograd::log_softmax(g, alpha_tensor(g, stores, a));
      const Value log_c = g.input(cost_of(a), a.shape);
      logs.push_back(autograd::reshape(g, autograd::add(g, log_p, log_c), {1, a.shape.elements()}));
    }
    const Value all = autograd::concat(g, logs);
    const Value log_cost = autograd::reduce_mean(g, autograd::sub(g, all, autograd::log_softmax(g, all)));
    return autograd::add(g, loss, autograd::mul(g, log_cost, autograd::constant(g, {1}, cost_)));
  }
  std::vector<int32_t> begin_step(StepKind kind, Stores& stores, const MixedSpace& space, Random& random) override {
    if (cost_ != 0 && !feeds_.contains(cost_of(alphas(space)[0]))) {
      const std::vector<TableValues> macs = candidate_macs(space);
      for (size_t t = 0; t < macs.size(); ++t)
        for (const double c : macs[t]) feeds_[cost_of(alphas(space)[t])].push_back(std::log(std::max(c, 1.0)));
    }
    return GumbelMethod::begin_step(kind, stores, space, random);
  }
  void begin_epoch(int epoch, int epochs) override {
    set_temperature(std::exp(linear_schedule(std::log(first_), std::log(last_), epoch, epochs)));
  }

 private:
  static std::string cost_of(const AlphaTensor& a) { return a.name + ".log_macs"; }
  double first_, last_, cost_;
};

}  // namespace

const AlphaMethodInfo kSnas{
    "snas",
    "relaxed draws of candidates, learnt with the weights (Xie et al. 2019)",
    {{"temperature", Setting::Type::kReal, "1", "of the draws in the first epoch", 0},
     {"temperature_last", Setting::Type::kReal, "0.03", "in the last epoch", 0},
     {"cost", Setting::Type::kReal, "0", "weight of the logarithm of the expected multiply-adds; the paper: 0.01",
      0}},
    {.epochs = 150, .train_portion = 0.9},
    [](const Settings& s) -> std::unique_ptr<AlphaMethod> { return std::make_unique<Snas>(s); }};

}  // namespace mixop::nas
