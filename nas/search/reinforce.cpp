// REINFORCE (Williams 1992) with the factorised policy that the tables of NAS-Bench-201 were searched with: every
// position of an architecture has logits of its own, no decision sees another.
#include <algorithm>
#include <cmath>
#include <map>

#include "kernels/core/check.h"
#include "nas/search/baseline.h"
#include "nas/search/strategies.h"

namespace mixop::nas {
namespace {

using Type = Setting::Type;

// Logits of one position, and Adam's means of their gradient (Kingma and Ba 2015).
struct Logits {
  std::vector<double> value, m, v;
  int64_t steps = 0;

  void ascend(const std::vector<double>& gradient, double lr) {
    constexpr double kBeta1 = 0.9, kBeta2 = 0.999, kEps = 1e-8;
    ++steps;
    const double correct1 = 1 - std::pow(kBeta1, steps), correct2 = 1 - std::pow(kBeta2, steps);
    for (size_t i = 0; i < value.size(); ++i) {
      m[i] = kBeta1 * m[i] + (1 - kBeta1) * gradient[i];
      v[i] = kBeta2 * v[i] + (1 - kBeta2) * gradient[i] * gradient[i];
      value[i] += lr * (m[i] / correct1) / (std::sqrt(v[i] / correct2) + kEps);
    }
  }
};

class Reinforce final : public Strategy {
 public:
  Reinforce(const Space& space, const Settings& s, uint64_t seed)
      : space_(space), kinds_(space.kinds()), lr_(s.real("lr")), baseline_(s.real("baseline")), random_(seed) {
    MIXOP_CHECK(!kinds_.empty(), "reinforce: ", space.name(),
                " is not built step by step; evolution or random search take it");
  }

 protected:
  std::optional<Candidate> propose() override {
    Candidate c;
    for (Decision d; space_.next(c.arch, d);)
      c.arch.push_back(static_cast<int32_t>(random_.pick(probabilities(at(c.arch.size(), d), d))));
    return c;
  }

  void learn(const Candidate& c, const Outcome& outcome) override {
    // As in the reference code the baseline knows the reward that it is subtracted from.
    baseline_.update(outcome.accuracy);
    const double advantage = outcome.accuracy - baseline_.value();
    Arch prefix;
    for (Decision d; space_.next(prefix, d);) {
      Logits& logits = at(prefix.size(), d);
      const int32_t chosen = c.arch[prefix.size()];
      std::vector<double> gradient = probabilities(logits, d);
      for (double& g : gradient) g *= -advantage;
      gradient[static_cast<size_t>(chosen)] += advantage;
      logits.ascend(gradient, lr_);
      prefix.push_back(chosen);
    }
  }

  void save_to(Json& state) const override {
    state["random"] = random_.position();
    state["baseline"] = baseline_.save();
    state["policy"] = Json::array();
    for (const auto& [place, l] : policy_)
      state["policy"].push_back({place.first, place.second, l.value, l.m, l.v, l.steps});
  }
  void load_from(const Json& state) override {
    random_.seek(state.at("random"));
    baseline_.load(state.at("baseline"));
    policy_.clear();
    for (const Json& l : state.at("policy"))
      policy_[{l.at(0), l.at(1)}] = {l.at(2).get<std::vector<double>>(), l.at(3).get<std::vector<double>>(),
                                     l.at(4).get<std::vector<double>>(), l.at(5).get<int64_t>()};
  }

 private:
  // Where lengths differ within a space, decisions of several kinds meet at one position.
  Logits& at(size_t position, const Decision& d) {
    const auto [place, added] = policy_.try_emplace({position, d.kind});
    Logits& logits = place->second;
    if (added) {
      const auto n = static_cast<size_t>(kinds_[static_cast<size_t>(d.kind)]);
      logits.m.resize(n);
      logits.v.resize(n);
      for (size_t i = 0; i < n; ++i) logits.value.push_back(1e-3 * random_.normal());
    }
    return logits;
  }

  // Softmax over the legal values; the others have probability 0.
  static std::vector<double> probabilities(const Logits& logits, const Decision& d) {
    std::vector<double> p(logits.value.size());
    double top = -HUGE_VAL, sum = 0;
    for (const int32_t v : d.legal) top = std::max(top, logits.value[static_cast<size_t>(v)]);
    for (const int32_t v : d.legal) {
      const auto i = static_cast<size_t>(v);
      sum += p[i] = std::exp(logits.value[i] - top);
    }
    for (double& x : p) x /= sum;
    return p;
  }

  const Space& space_;
  std::vector<int> kinds_;
  double lr_;
  Baseline baseline_;
  Random random_;
  std::map<std::pair<size_t, int>, Logits> policy_;  // by position and kind of decision
};

}  // namespace

const StrategyInfo kReinforce{
    "reinforce",
    "policy gradient, independent logits per decision (Williams 1992, as in NAS-Bench-201)",
    {{"lr", Type::kReal, "0.05",
      "of Adam; the published row of NAS-Bench-201 needs 0.05 to 0.1, the 0.5 of its README cannot reproduce it", 0,
      1e3},
     {"baseline", Type::kReal, "0.9", "decay of the moving average of rewards", 0, 0.999999}},
    [](const Space& space, const Settings& settings, uint64_t seed) -> std::unique_ptr<Strategy> {
      return std::make_unique<Reinforce>(space, settings, seed);
    }};

}  // namespace mixop::nas
