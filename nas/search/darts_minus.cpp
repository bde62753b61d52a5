// DARTS- (Chu et al. 2021, arXiv 2009.01027): an auxiliary skip connection on every edge, of weight beta, takes
// over what skip connections do for training, so that the searched ones compete as candidates only. beta falls from
// 1 to 0, and nothing is left of it in the end. At stride 2 it is a factorized reduction with weights of its own.
#include <cmath>

#include "autograd/ops/binary.h"
#include "autograd/ops/concat.h"
#include "autograd/ops/copy.h"
#include "autograd/ops/softmax.h"
#include "kernels/core/check.h"
#include "nas/search/alpha_methods.h"

namespace mixop::nas {
namespace {

constexpr const char* kBeta = "auxiliary_beta";

class DartsMinus final : public AlphaMethod {
 public:
  explicit DartsMinus(const Settings& s) : first_(s.real("beta")), cosine_(s.text("beta_schedule") == "cosine") {}

  /// The candidates and once more the skip connection.
  std::unique_ptr<MixedSpace> make_space(const SupernetOptions& options) const override {
    SupernetOptions with = options;
    with.operations.push_back(CellOp::skip_connect);
    return darts_mixed_space(with);
  }
  void check(const MixedSpace& space) const override {
    for (const MixTable& t : space.tables())
      MIXOP_CHECK(
          std::count(t.columns.begin(), t.columns.end(), "skip_connect") == 2 && t.columns.back() == "skip_connect",
          "darts-minus: the space ", space.space().name(), " has no auxiliary skip connections; search darts");
  }
  std::vector<AlphaTensor> alphas(const MixedSpace& space) const override {
    std::vector<AlphaTensor> tensors = AlphaMethod::alphas(space);
    for (AlphaTensor& a : tensors) a.shape = {a.shape[0], a.shape[1] - 1};
    return tensors;
  }
  std::vector<Mixing> mix(Graph& g, Stores& stores, const MixedSpace& space, StepKind) const override {
    std::vector<Mixing> mixing;
    const Value beta = g.input(kBeta, {1});
    for (const AlphaTensor& a : alphas(space)) {
      const Value column = autograd::mul(g, autograd::constant(g, {a.shape[0], 1}, 1), beta);
      mixing.push_back({autograd::concat(g, {autograd::softmax(g, alpha_tensor(g, stores, a)), column})});
    }
    return mixing;
  }

  void begin_epoch(int epoch, int epochs) override {
    const double t = linear_schedule(0, 1, epoch, epochs);
    feeds_[kBeta] = {first_ * (cosine_ ? (1 + std::cos(M_PI * t)) / 2 : 1 - t)};
  }

  /// The auxiliary column, which decoding leaves alone, is 0.
  std::vector<TableValues> strengths(const MixedSpace& space,
                                     const std::vector<TableValues>& alphas) const override {
    std::vector<TableValues> result;
    const std::vector<MixTable> tables = space.tables();
    for (size_t t = 0; t < tables.size(); ++t) {
      const size_t columns = tables[t].columns.size() - 1;
      const TableValues p = softmax_rows(alphas.at(t), static_cast<int>(columns));
      TableValues& with = result.emplace_back();
      for (size_t i = 0; i < p.size(); ++i) {
        with.push_back(p[i]);
        if ((i + 1) % columns == 0) with.push_back(0);
      }
    }
    return result;
  }

 private:
  double first_;
  bool cosine_;
};

}  // namespace

const AlphaMethodInfo kDartsMinus{
    "darts-minus",
    "DARTS with an auxiliary skip connection that fades (Chu et al. 2021)",
    {{"beta", Setting::Type::kReal, "1", "weight of the auxiliary skip connection in the first epoch", 0},
     {"beta_schedule", Setting::Type::kText, "linear", "how it falls to 0", 0, 0, {"linear", "cosine"}}},
    {.batch = 96},
    [](const Settings& s) -> std::unique_ptr<AlphaMethod> { return std::make_unique<DartsMinus>(s); }};

}  // namespace mixop::nas
