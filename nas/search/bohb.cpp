// BOHB (Falkner et al. 2018): Hyperband whose candidates come from a model of where the good architectures lie,
// relative to the bad ones, on the longest training that enough of them have had. As in HpBandSter, its code, whose
// bandwidth factor concerns continuous parameters only: there are none here.
#include <algorithm>
#include <optional>

#include "kernels/core/check.h"
#include "nas/search/brackets.h"
#include "nas/search/kde.h"
#include "nas/search/strategies.h"

namespace mixop::nas {
namespace {

using Type = Setting::Type;

class Bohb final : public BracketSearch {
 public:
  Bohb(const Space& space, const Settings& s, uint64_t seed)
      : BracketSearch(space, hpbandster(fidelities(s), s.integer("eta")), s.integer("brackets"), seed),
        min_points_(static_cast<size_t>(s.integer("min-points"))),
        samples_(s.integer("samples")),
        random_fraction_(s.real("random-fraction")),
        top_(static_cast<size_t>(s.integer("top"))),
        min_bandwidth_(s.real("min-bandwidth")),
        bounded_(s.text("bandwidth") == "bounded"),
        model_random_(seed, 1) {
    for (const double e : fidelities(s)) seen_.push_back({e, {}});
  }

 protected:
  Arch draw() override {
    if (!model_) fit();
    if (!model_ || model_random_.chance(random_fraction_)) return space_.sample(random_);
    // HpBandSter bounds both densities from below, so that no quotient is 0 / 0.
    constexpr double kTiny = 1e-32;
    Arch best;
    double best_ratio = -1;
    std::vector<int> values;
    for (int64_t i = 0; i < samples_; ++i) {
      Arch arch = model_->good.sample(space_, model_random_, values);
      const double ratio =
          std::max(model_->good.density(arch, values), kTiny) / std::max(model_->bad.density(arch, values), kTiny);
      if (ratio > best_ratio) {
        best = std::move(arch);
        best_ratio = ratio;
      }
    }
    return best;
  }

  void learn(const Candidate& candidate, const Outcome& outcome) override {
    BracketSearch::learn(candidate, outcome);
    for (Fidelity& f : seen_)
      if (f.epochs == candidate.epochs) f.told.push_back({candidate.arch, outcome.accuracy});
    model_.reset();
  }

  void save_to(Json& state) const override {
    BracketSearch::save_to(state);
    state["model_random"] = model_random_.position();
    state["seen"] = Json::array();
    for (const Fidelity& f : seen_) {
      state["seen"].push_back(Json::array());
      for (const Point& p : f.told) state["seen"].back().push_back({p.arch, p.accuracy});
    }
  }
  void load_from(const Json& state) override {
    BracketSearch::load_from(state);
    model_random_.seek(state.at("model_random"));
    for (size_t i = 0; i < seen_.size(); ++i) {
      seen_[i].told.clear();
      for (const Json& p : state.at("seen").at(i)) seen_[i].told.push_back({p.at(0), p.at(1)});
    }
    model_.reset();
  }

 private:
  struct Point {
    Arch arch;
    double accuracy;
  };
  struct Fidelity {
    double epochs;
    std::vector<Point> told;
  };
  struct Model {
    CategoricalKde good, bad;
  };

  /// Fits the model to the longest training with enough outcomes, if there is one. With d decisions, both sets need
  /// more than d points for a model to exist.
  void fit() {
    for (auto f = seen_.rbegin(); f != seen_.rend(); ++f) {
      size_t decisions = 0;
      for (const Point& p : f->told) decisions = std::max(decisions, p.arch.size());
      const size_t n = f->told.size(), least = std::max(min_points_, decisions + 1);
      const size_t good = std::max(least, top_ * n / 100), bad = std::max(least, (100 - top_) * n / 100);
      if (n < good + decisions + 1) continue;
      std::vector<const Point*> ranked;
      for (const Point& p : f->told) ranked.push_back(&p);
      std::stable_sort(ranked.begin(), ranked.end(),
                       [](const Point* a, const Point* b) { return a->accuracy > b->accuracy; });
      std::vector<Arch> sets[2];
      for (size_t i = 0; i < std::min(n, good + bad); ++i) sets[i >= good].push_back(ranked[i]->arch);
      model_ = {CategoricalKde(std::move(sets[0]), min_bandwidth_, bounded_),
                CategoricalKde(std::move(sets[1]), min_bandwidth_, bounded_)};
      return;
    }
  }

  const size_t min_points_;
  const int64_t samples_;
  const double random_fraction_;
  const size_t top_;
  const double min_bandwidth_;
  const bool bounded_;
  Random model_random_;  // uniform draws come from the other stream: with random-fraction 1 this is Hyperband
  std::vector<Fidelity> seen_;
  std::optional<Model> model_;  // of all that was told
};

std::vector<Setting> settings() {
  std::vector<Setting> all = fidelity_settings();
  for (Setting& s : std::vector<Setting>{
           {"samples", Type::kInt, "64", "draws from the good of which the likeliest is asked", 1, 1e6},
           {"random-fraction", Type::kReal, "0.3333333333333333", "candidates drawn uniformly", 0, 1},
           {"top", Type::kInt, "15", "per cent that count as good", 1, 99},
           {"min-bandwidth", Type::kReal, "0.001", "of the kernels", 0, 1},
           {"bandwidth",
            Type::kText,
            "hpbandster",
            "bounded: no wider than where all values are equally likely",
            0,
            0,
            {"hpbandster", "bounded"}},
           {"min-points", Type::kInt, "0", "good and bad needed for a model, at least decisions + 1", 0, 1e9},
           {"brackets", Type::kInt, "0", "end the search (n_iters); 0: round after round", 0, 1e9}})
    all.push_back(std::move(s));
  return all;
}

}  // namespace

const StrategyInfo kBohb{"bohb", "Hyperband with a model of the good and the bad (Falkner et al. 2018)", settings(),
                         [](const Space& space, const Settings& s, uint64_t seed) -> std::unique_ptr<Strategy> {
                           MIXOP_CHECK(
                               !space.kinds().empty(), "bohb: the space ", space.name(),
                               " is not built decision by decision; another strategy is needed, such as hyperband");
                           return std::make_unique<Bohb>(space, s, seed);
                         }};

}  // namespace mixop::nas
