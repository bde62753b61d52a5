#include "nas/search/gumbel.h"

#include <cmath>

#include "autograd/ops/gumbel_softmax.h"
#include "kernels/core/check.h"

namespace mixop::nas {
namespace {

constexpr const char* kTemperature = "temperature";

double gumbel(Random& random) {
  double g;
  do g = -std::log(-std::log1p(-random.uniform()));
  while (!std::isfinite(g));  // u = 0
  return g;
}

}  // namespace

std::vector<int32_t> GumbelMethod::begin_step(StepKind kind, Stores&, const MixedSpace& space, Random& random) {
  for (const AlphaTensor& a : alphas(space)) {
    std::vector<double>& noise = feeds_[noise_of(a)];
    noise.assign(static_cast<size_t>(a.shape.elements()), 0);
    if (kind == StepKind::kEvaluation) continue;
    for (double& v : noise) v = gumbel(random);
  }
  return {};
}

std::vector<Value> GumbelMethod::draw(Graph& g, Stores& stores, const MixedSpace& space, bool hard) const {
  std::vector<Value> tables;
  const Value temperature = g.input(kTemperature, {1});
  for (const AlphaTensor& a : alphas(space))
    tables.push_back(
        autograd::gumbel_softmax(g, alpha_tensor(g, stores, a), g.input(noise_of(a), a.shape), temperature, hard));
  return tables;
}

void GumbelMethod::set_temperature(double value) { feeds_[kTemperature] = {value}; }

void check_temperatures(const char* method, double first, double last) {
  MIXOP_CHECK(first > 0 && last > 0, method, ": temperatures ", first, " to ", last, " must be above 0");
}

}  // namespace mixop::nas
