// Regularised (aging) evolution (Real et al. 2019, AmoebaNet): the best of a small random sample of the population
// has a mutated child; the child enters the population and the oldest member leaves it.
#include <algorithm>
#include <deque>
#include <numeric>

#include "nas/search/strategies.h"

namespace mixop::nas {
namespace {

using Type = Setting::Type;

class RegularizedEvolution final : public Strategy {
 public:
  RegularizedEvolution(const Space& space, const Settings& s, uint64_t seed)
      : space_(space),
        population_(s.integer("population")),
        sample_(s.integer("sample")),
        without_replacement_(s.text("replacement") == "without"),
        kill_worst_(s.text("kill") == "worst"),
        random_(seed) {}

 protected:
  std::optional<Candidate> propose() override {
    if (asked() < population_) return Candidate{.arch = space_.sample(random_)};
    // With parallel asks the first child waits until the whole population was told.
    if (static_cast<int64_t>(members_.size()) < population_) return {};
    return Candidate{.arch = space_.mutate(members_[parent()].arch, random_).arch};
  }

  void learn(const Candidate& candidate, const Outcome& outcome) override {
    members_.push_back({candidate.arch, outcome.accuracy});
    if (static_cast<int64_t>(members_.size()) <= population_) return;
    auto leaves = members_.begin();
    if (kill_worst_)
      for (auto m = members_.begin(); m != members_.end(); ++m)
        if (m->accuracy < leaves->accuracy) leaves = m;
    members_.erase(leaves);
  }

  void save_to(Json& state) const override {
    state["random"] = random_.position();
    for (const Member& m : members_) state["members"].push_back({m.arch, m.accuracy});
  }
  void load_from(const Json& state) override {
    random_.seek(state.at("random"));
    members_.clear();
    for (const Json& m : state.value("members", Json::array())) members_.push_back({m.at(0), m.at(1)});
  }

 private:
  struct Member {
    Arch arch;
    double accuracy;
  };

  /// The most accurate of a sample, the first drawn of equals.
  size_t parent() {
    const auto n = static_cast<int64_t>(members_.size());
    std::optional<size_t> best;
    const auto consider = [&](size_t i) {
      if (!best || members_[i].accuracy > members_[*best].accuracy) best = i;
    };
    if (without_replacement_) {
      order_.resize(members_.size());
      std::iota(order_.begin(), order_.end(), 0);
      for (int64_t i = 0; i < std::min(sample_, n); ++i) {
        std::swap(order_[static_cast<size_t>(i)], order_[static_cast<size_t>(i + random_.below(n - i))]);
        consider(order_[static_cast<size_t>(i)]);
      }
    } else {
      for (int64_t i = 0; i < sample_; ++i) consider(static_cast<size_t>(random_.below(n)));
    }
    return *best;
  }

  const Space& space_;
  int64_t population_, sample_;
  bool without_replacement_, kill_worst_;
  Random random_;
  std::deque<Member> members_;  // oldest first
  std::vector<size_t> order_;   // kept for its memory
};

}  // namespace

const StrategyInfo kRegularizedEvolution{
    "regularized-evolution",
    "aging evolution (Real et al. 2019, AmoebaNet)",
    {{"population", Type::kInt, "100", "members that live at a time", 1, 1e9},
     {"sample", Type::kInt, "25", "members of which the best has the next child", 1, 1e9},
     {"replacement", Type::kText, "with", "how the sample is drawn", 0, 0, {"with", "without"}},
     {"kill", Type::kText, "oldest", "who leaves; worst: not regularised", 0, 0, {"oldest", "worst"}}},
    [](const Space& space, const Settings& settings, uint64_t seed) -> std::unique_ptr<Strategy> {
      return std::make_unique<RegularizedEvolution>(space, settings, seed);
    }};

}  // namespace mixop::nas
