// DrNAS (Chen et al. 2021, arXiv 2006.10355): the mixing weights of an edge are drawn from a Dirichlet distribution
// with concentrations elu(alpha) + 1, and the alphas follow the derivatives of the draws. In stages more channels
// go through fewer candidates. As in the paper alphas go on through the stages; weights begin anew in each, where
// the authors' code widens them.
#include <algorithm>
#include <cmath>

#include "autograd/ops/binary.h"
#include "autograd/ops/copy.h"
#include "autograd/ops/reduce.h"
#include "kernels/core/check.h"
#include "nas/search/alpha_methods.h"
#include "nas/search/dirichlet.h"
#include "nas/search/kept_candidates.h"

namespace mixop::nas {
namespace {

std::vector<double> values_of(Stores& stores, const std::string& name) {
  const kernels::View v = stores.alphas.view(stores.alphas.find(name));
  std::vector<double> values(static_cast<size_t>(v.shape.elements()));
  for (size_t i = 0; i < values.size(); ++i)
    values[i] = v.dtype == kernels::DType::kF64 ? v.as<double>()[i] : double{v.as<float>()[i]};
  return values;
}

double concentration(double alpha) { return alpha > 0 ? alpha + 1 : std::exp(alpha); }
double concentration_slope(double alpha) { return alpha > 0 ? 1 : std::exp(alpha); }

class DrNas final : public AlphaMethod {
 public:
  explicit DrNas(const Settings& s)
      : keep_(parse_stages("keep", s.text("keep"))),
        partial_(parse_stages("partial", s.text("partial"))),
        warmup_(static_cast<int>(s.integer("warmup"))),
        divergence_(s.real("kl")) {
    MIXOP_CHECK(keep_.size() == partial_.size(), "drnas: ", keep_.size(), " stages by --keep, ", partial_.size(),
                " by --partial; both list one number a stage");
    MIXOP_CHECK(std::is_sorted(keep_.rbegin(), keep_.rend()) && keep_.back() >= 2, "drnas: --keep ", s.text("keep"),
                ": every stage keeps at most as many candidates as the one before, and at least 2");
  }

  std::unique_ptr<MixedSpace> make_space(const SupernetOptions& options) const override {
    SupernetOptions partial = options;
    for (const double p : partial_) {  // of a later stage too: an error shows before any work
      partial.partial = static_cast<int64_t>(p);
      partial.check();
    }
    partial.partial = static_cast<int64_t>(partial_[stage()]);
    return darts_mixed_space(partial);
  }

  void check(const MixedSpace& space) const override {
    MIXOP_CHECK(space.space().name() == "darts", "drnas: the space ", space.space().name(),
                " has no partial channels; search darts");
  }

  /// Around the alphas of now the table is theta + d theta / d alpha (alpha - now): its value is the draw, its
  /// gradient that of the draw.
  std::vector<Mixing> mix(Graph& g, Stores& stores, const MixedSpace& space, StepKind kind) const override {
    const KeptCandidates kept = candidates(space);
    std::vector<Mixing> mixing;
    for (const AlphaTensor& a : alphas(space)) {
      const Value alpha = alpha_tensor(g, stores, a), theta = g.input(a.name + ".theta", a.shape);
      Mixing m{.table = theta, .kept = kept.table(mixing.size())};
      if (kind == StepKind::kAlphas) {
        const Value since = autograd::sub(g, alpha, g.input(a.name + ".now", a.shape));
        const Value change = autograd::mul(g, g.input(a.name + ".slope", a.shape), since);
        const Value common = autograd::mul(g, theta, autograd::reduce_sum(g, change, {1}, true));
        m.table = autograd::add(g, theta, autograd::sub(g, change, common));
      }
      mixing.push_back(std::move(m));
    }
    return mixing;
  }

  /// The divergence as its tangent at the alphas of now: only the gradient counts.
  Value alpha_loss(Graph& g, Stores& stores, const MixedSpace& space, Value loss) const override {
    if (divergence_ == 0) return loss;
    for (const AlphaTensor& a : alphas(space)) {
      const Value tangent = autograd::mul(g, g.input(a.name + ".kl", a.shape), alpha_tensor(g, stores, a));
      loss = autograd::add(g, loss, autograd::reduce_sum(g, tangent));
    }
    return loss;
  }

  bool moves_alphas(int epoch) const override { return epoch >= warmup_; }

  std::vector<int32_t> begin_step(StepKind kind, Stores& stores, const MixedSpace& space, Random& random) override {
    const KeptCandidates kept = candidates(space);
    for (size_t t = 0; t < kept.tables(); ++t) draw(kind, t, space.tables()[t].name, stores, kept, random);
    return {};
  }

  int stages() const override { return static_cast<int>(keep_.size()); }
  void next_stage(const MixedSpace& space, const std::vector<TableValues>& alphas) override {
    KeptCandidates kept = candidates(space);
    ++stage_;
    kept.keep_strongest(strengths(space, alphas), static_cast<int>(keep_[stage()]));
    kept_ = kept.save();
  }
  bool carries_alphas() const override { return true; }

  /// The means of the distributions.
  std::vector<TableValues> strengths(const MixedSpace& space,
                                     const std::vector<TableValues>& alphas) const override {
    const KeptCandidates kept = candidates(space);
    std::vector<TableValues> result;
    for (size_t t = 0; t < alphas.size(); ++t) result.push_back(means(kept, t, alphas[t]));
    return result;
  }

  Json save() const override { return {{"stage", stage_}, {"kept", kept_}}; }
  void load(const Json& json) override {
    stage_ = json.at("stage");
    kept_ = json.at("kept");
  }

 private:
  size_t stage() const { return static_cast<size_t>(stage_); }

  /// As long as nothing was pruned, 7 of the 8 are all but `none`.
  KeptCandidates candidates(const MixedSpace& space) const {
    KeptCandidates kept(space.tables());
    if (!kept_.empty()) kept.load(kept_);
    else if (keep_[0] < static_cast<double>(kept.columns())) kept.drop("none");
    return kept;
  }

  static TableValues means(const KeptCandidates& kept, size_t t, const TableValues& alphas) {
    TableValues result(alphas.size(), 0.0);
    for (const std::vector<size_t>& row : kept.entries(t)) {
      double sum = 0;
      for (const size_t i : row) sum += result[i] = concentration(alphas[i]);
      for (const size_t i : row) result[i] /= sum;
    }
    return result;
  }

  void draw(StepKind kind, size_t t, const std::string& name, Stores& stores, const KeptCandidates& kept,
            Random& random) {
    const std::vector<double> alphas = values_of(stores, name);
    if (kind == StepKind::kEvaluation) {
      feeds_[name + ".theta"] = means(kept, t, alphas);
      return;
    }
    std::vector<double>&theta = feeds_[name + ".theta"], &slope = feeds_[name + ".slope"],
    &kl = feeds_[name + ".kl"];
    theta.assign(alphas.size(), 0);
    slope.assign(alphas.size(), 0);
    kl.assign(alphas.size(), 0);
    feeds_[name + ".now"] = alphas;
    for (const std::vector<size_t>& row : kept.entries(t)) {
      std::vector<double> concentrations;
      for (const size_t i : row) concentrations.push_back(concentration(alphas[i]));
      const DirichletDraw draw = draw_dirichlet(concentrations, random);
      const std::vector<double> gradient = dirichlet_divergence_gradient(concentrations);
      for (size_t k = 0; k < row.size(); ++k) {
        const double inner = concentration_slope(alphas[row[k]]);
        theta[row[k]] = draw.theta[k];
        slope[row[k]] = draw.slope[k] * inner;
        kl[row[k]] = divergence_ * gradient[k] * inner;
      }
    }
  }

  std::vector<double> keep_, partial_;  // by stage
  int warmup_;
  double divergence_;
  int stage_ = 0;
  Json kept_ = Json::array();  // empty: as at the start
};

}  // namespace

const AlphaMethodInfo kDrNas{
    "drnas",
    "Dirichlet-distributed mixing weights on partial channels (Chen et al. 2021)",
    {{"keep", Setting::Type::kText, "7,4", "candidates of an edge, by stage; 7 of 8: without none"},
     {"partial", Setting::Type::kText, "6,4", "one in so many channels goes through the candidates, by stage"},
     {"warmup", Setting::Type::kInt, "10", "epochs of a stage before the alphas move", 0},
     {"kl", Setting::Type::kReal, "0", "factor of the divergence from the uniform distribution, in place of decay",
      0}},
    {.epochs = 25, .cells = 20, .channels = 36, .lr = 0.1, .lr_min = 0, .arch_lr = 6e-4},
    [](const Settings& s) -> std::unique_ptr<AlphaMethod> { return std::make_unique<DrNas>(s); }};

}  // namespace mixop::nas
