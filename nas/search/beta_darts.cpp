// beta-DARTS (Ye et al. 2022, eq. 15): the loss of the alphas also has lambda times the mean over all rows of
// logsumexp(alphas of the row). Its gradient, lambda softmax(alphas) / rows, shrinks the largest alphas most.
#include "autograd/ops/binary.h"
#include "autograd/ops/copy.h"
#include "autograd/ops/reduce.h"
#include "autograd/ops/softmax.h"
#include "nas/search/alpha_methods.h"

namespace mixop::nas {
namespace {

constexpr const char* kLambda = "beta_lambda";

class BetaDarts final : public AlphaMethod {
 public:
  explicit BetaDarts(const Settings& s) : last_(s.real("lambda")) {}

  Value alpha_loss(Graph& g, Stores& stores, const MixedSpace& space, Value loss) const override {
    std::vector<Value> terms;
    int64_t rows = 0;
    for (const AlphaTensor& a : alphas(space)) {
      // x - log_softmax(x) is the row's logsumexp in every column.
      const Value x = alpha_tensor(g, stores, a);
      const Value by_row = autograd::reduce_mean(g, autograd::sub(g, x, autograd::log_softmax(g, x)), {1});
      terms.push_back(autograd::reduce_sum(g, by_row));
      rows += a.shape[0];
    }
    const Value mean =
        autograd::mul(g, autograd::sum(g, terms), autograd::constant(g, {1}, 1 / static_cast<double>(rows)));
    return autograd::add(g, loss, autograd::mul(g, g.input(kLambda, {1}), mean));
  }

  void begin_epoch(int epoch, int epochs) override { feeds_[kLambda] = {last_ * epoch / epochs}; }

 private:
  double last_;
};

}  // namespace

// lambda(e) = 50 e / epochs, from 0 towards 50, as in the authors' code.
const AlphaMethodInfo kBetaDarts{
    "beta-darts",
    "DARTS with decayed mixing weights (Ye et al. 2022)",
    {{"lambda", Setting::Type::kReal, "50", "factor of the decay, reached linearly at the end", 0}},
    {},
    [](const Settings& s) -> std::unique_ptr<AlphaMethod> { return std::make_unique<BetaDarts>(s); }};

}  // namespace mixop::nas
