// What methods share that draw candidates with Gumbel noise -log(-log(u)) and a temperature that falls: the largest
// alpha + noise of a row is a draw from softmax(alphas), and a softmax of their quotient by the temperature relaxes
// it. One draw serves all cells of a type; evaluation takes the noise away.
#pragma once

#include "nas/search/alpha_method.h"

namespace mixop::nas {

class GumbelMethod : public AlphaMethod {
 public:
  std::vector<int32_t> begin_step(StepKind kind, Stores& stores, const MixedSpace& space, Random& random) override;

 protected:
  /// The gumbel_softmax of each tensor of alphas with the noise and the temperature that are fed.
  std::vector<Value> draw(Graph& g, Stores& stores, const MixedSpace& space, bool hard) const;
  void set_temperature(double value);
  /// Name of the input of a tensor's noise.
  static std::string noise_of(const AlphaTensor& a) { return a.name + ".noise"; }
};

/// Temperatures must be above 0; throws naming the method.
void check_temperatures(const char* method, double first, double last);

}  // namespace mixop::nas
