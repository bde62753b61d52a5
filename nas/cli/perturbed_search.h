// The steps of a DARTS search in float64 with perturbed intermediate results: how far rounding moves a search.
#pragma once

#include "nas/cli/perturb.h"
#include "nas/search/darts.h"

namespace mixop::cli {

/// Takes the place of nas::DartsSearch for one size of batches. The plans are those of DartsSearch, not fused, with
/// perturb.h applied; every run draws other noise.
class PerturbedSearch {
 public:
  PerturbedSearch(const nas::DartsOptions& options, int64_t train, int64_t valid, const Perturbation& perturbation);

  nas::Stores& stores() { return stores_; }
  void begin_epoch(int epoch);
  nas::Score arch_step(const nas::Batch& batch) { return run(arch_, batch); }
  nas::Score weight_step(const nas::Batch& batch) { return run(weight_, batch); }
  double gradient_norm() const { return gradient_norm_; }

 private:
  struct Step {
    autograd::Graph graph;
    std::vector<autograd::Value> asked;  ///< loss, the step, and of a weight step the gradient's norm
    autograd::Plan plan;
  };
  Step compile(bool arch, int64_t batch);
  nas::Score run(Step& step, const nas::Batch& batch);

  nas::DartsOptions options_;
  Perturbation perturbation_;
  nas::Stores stores_;
  Step arch_, weight_;
  double gradient_norm_ = 0;
};

}  // namespace mixop::cli
