// NSGA-II (Deb et al. 2002), as NSGA-Net searches with it (Lu et al. 2019): of parents and children those on the
// best fronts live on, and on the last front that fits in part those with most room around them.
#include <algorithm>

#include "kernels/core/check.h"
#include "nas/search/pareto.h"
#include "nas/search/strategies.h"

namespace mixop::nas {
namespace {

using Type = Setting::Type;

/// Children bred until one is new; after that a double is as good as it gets.
constexpr int kTries = 100;

class Nsga2 final : public Strategy {
 public:
  Nsga2(const Space& space, const Settings& s, uint64_t seed)
      : space_(space),
        population_(static_cast<size_t>(s.integer("population"))),
        offspring_(static_cast<size_t>(s.integer("offspring"))),
        crossover_(s.real("crossover")),
        mutation_(s.real("mutation")),
        random_(seed) {}

 protected:
  std::optional<Candidate> propose() override {
    if (asked_ == brood_.size()) {
      if (told_ < asked_) return {};
      if (!brood_.empty()) select();
      breed();
    }
    return Candidate{.arch = brood_[asked_++].arch};
  }

  void learn(const Candidate&, const Outcome& outcome) override {
    Member& child = brood_[told_++];
    if (outcome.failed) return;
    child.objectives = outcome.objectives.empty() ? Objectives{100 - outcome.accuracy} : outcome.objectives;
  }

  void save_to(Json& state) const override {
    state["random"] = random_.position();
    state["parents"] = to_json(parents_);
    state["brood"] = to_json(brood_);
    state["asked_here"] = asked_;
    state["told_here"] = told_;
  }
  void load_from(const Json& state) override {
    random_.seek(state.at("random"));
    parents_ = members_from_json(state.at("parents"));
    brood_ = members_from_json(state.at("brood"));
    asked_ = state.at("asked_here");
    told_ = state.at("told_here");
  }

 private:
  struct Member {
    Arch arch;
    Objectives objectives{};  // empty: not told yet, or failed
  };

  static Json to_json(const std::vector<Member>& members) {
    Json json = Json::array();
    for (const Member& m : members) json.push_back({m.arch, m.objectives});
    return json;
  }
  std::vector<Member> members_from_json(const Json& json) const {
    std::vector<Member> members;
    for (const Json& m : json) members.push_back({m.at(0).get<Arch>(), m.at(1).get<Objectives>()});
    return members;
  }

  /// The parents of the next generation, best first: by front, then by room; those that failed last.
  void select() {
    std::vector<Member> all = std::move(parents_);
    all.insert(all.end(), std::make_move_iterator(brood_.begin()), std::make_move_iterator(brood_.end()));
    brood_.clear();
    asked_ = told_ = 0;
    parents_.clear();
    const auto failed =
        std::stable_partition(all.begin(), all.end(), [](const Member& m) { return !m.objectives.empty(); });
    std::vector<Objectives> points;
    for (auto m = all.begin(); m != failed; ++m) {
      MIXOP_CHECK(m->objectives.size() == all[0].objectives.size(), "nsga2: an outcome has ", m->objectives.size(),
                  " objectives, another ", all[0].objectives.size());
      points.push_back(m->objectives);
    }
    for (std::vector<size_t>& front : non_dominated_sort(points)) {
      std::vector<Objectives> members;
      for (const size_t i : front) members.push_back(points[i]);
      const std::vector<double> room = crowding_distances(members);
      std::vector<size_t> order(front.size());
      for (size_t i = 0; i < order.size(); ++i) order[i] = i;
      std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) { return room[a] > room[b]; });
      for (const size_t i : order) parents_.push_back(std::move(all[front[i]]));
    }
    parents_.insert(parents_.end(), std::make_move_iterator(failed), std::make_move_iterator(all.end()));
    if (parents_.size() > population_) parents_.resize(population_);
  }

  void breed() {
    const size_t wanted = parents_.empty() ? population_ : offspring_;
    while (brood_.size() < wanted) {
      Member child;
      for (int i = 0; i < kTries && (i == 0 || is_double(child.arch)); ++i)
        child.arch = parents_.empty() ? space_.sample(random_) : bear();
      brood_.push_back(std::move(child));
    }
  }

  Arch bear() {
    const Arch &a = winner(), &b = winner();
    const Arch child = random_.chance(crossover_) ? space_.crossover(a, b, random_) : a;
    // One choice in the mean.
    return space_.redraw(child, mutation_ > 0 ? mutation_ : 1.0 / static_cast<double>(child.size()), random_);
  }

  /// Of a binary tournament; the parents are sorted.
  const Arch& winner() {
    const auto n = static_cast<int64_t>(parents_.size());
    const int64_t a = random_.below(n), b = random_.below(n);
    return parents_[static_cast<size_t>(std::min(a, b))].arch;
  }

  /// By its choices, not by Space::key(): what is one network may be two in measured latency.
  bool is_double(const Arch& arch) const {
    const auto same = [&](const Member& m) { return m.arch == arch; };
    return std::any_of(parents_.begin(), parents_.end(), same) || std::any_of(brood_.begin(), brood_.end(), same);
  }

  const Space& space_;
  const size_t population_, offspring_;
  const double crossover_, mutation_;
  Random random_;
  std::vector<Member> parents_, brood_;  // parents: the best first
  size_t asked_ = 0, told_ = 0;          // of the brood
};

}  // namespace

const StrategyInfo kNsga2{
    "nsga2",
    "evolution for several aims at a time (Deb et al. 2002; Lu et al. 2019, NSGA-Net)",
    {{"population", Type::kInt, "40", "members that live at a time", 1, 1e5},
     {"offspring", Type::kInt, "40", "children of a generation", 1, 1e5},
     {"crossover", Type::kReal, "0.9", "probability that a child has two parents", 0, 1},
     {"mutation", Type::kReal, "0", "probability that a choice is drawn anew; 0: one in the mean", 0, 1}},
    [](const Space& space, const Settings& settings, uint64_t seed) -> std::unique_ptr<Strategy> {
      return std::make_unique<Nsga2>(space, settings, seed);
    }};

}  // namespace mixop::nas
