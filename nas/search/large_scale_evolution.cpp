// Large-Scale Evolution of Image Classifiers (Real et al. 2017): two members of the population meet at random; when
// it is too large the worse of them dies, else the better has a mutated child, which begins with its weights.
#include "nas/search/strategies.h"

namespace mixop::nas {
namespace {

using Type = Setting::Type;

class LargeScaleEvolution final : public Strategy {
 public:
  LargeScaleEvolution(const Space& space, const Settings& s, uint64_t seed)
      : space_(space), population_(s.integer("population")), inherit_(s.text("inherit") == "yes"), random_(seed) {}

  std::optional<std::vector<int64_t>> parents() const override {
    if (!inherit_) return {};
    std::vector<int64_t> ids;
    for (const Member& m : members_)
      if (!m.failed) ids.push_back(m.id);
    return ids;
  }

 protected:
  std::optional<Candidate> propose() override {
    if (asked() < population_) return Candidate{.arch = space_.start(random_)};
    while (members_.size() >= 2) {
      const auto n = static_cast<int64_t>(members_.size());
      auto worse = static_cast<size_t>(random_.below(n));
      auto better = (worse + 1 + static_cast<size_t>(random_.below(n - 1))) % members_.size();
      if (members_[better].accuracy < members_[worse].accuracy) std::swap(worse, better);
      if (n > population_) {
        std::swap(members_[worse], members_.back());
        members_.pop_back();
        continue;
      }
      const Member& parent = members_[better];
      Child child = space_.mutate(parent.arch, random_);
      const bool inherits = inherit_ && child.inherits && !parent.failed;
      return Candidate{.arch = std::move(child.arch), .parent = inherits ? parent.id : -1};
    }
    return {};  // the first must be told before anybody can meet
  }

  void learn(const Candidate& candidate, const Outcome& outcome) override {
    members_.push_back({candidate.arch, outcome.accuracy, candidate.id, outcome.failed});
  }

  void save_to(Json& state) const override {
    state["random"] = random_.position();
    for (const Member& m : members_) state["members"].push_back({m.arch, m.accuracy, m.id, m.failed});
  }
  void load_from(const Json& state) override {
    random_.seek(state.at("random"));
    members_.clear();
    for (const Json& m : state.value("members", Json::array()))
      members_.push_back({m.at(0), m.at(1), m.at(2), m.at(3)});
  }

 private:
  struct Member {
    Arch arch;
    double accuracy;
    int64_t id;
    bool failed;  ///< has no weights to pass on
  };

  const Space& space_;
  int64_t population_;
  bool inherit_;
  Random random_;
  std::vector<Member> members_;
};

}  // namespace

const StrategyInfo kLargeScaleEvolution{
    "large-scale-evolution",
    "pairwise tournaments with weight inheritance (Real et al. 2017)",
    {{"population", Type::kInt, "1000", "members around which their number hovers", 2, 1e9},
     {"inherit", Type::kText, "yes", "whether children begin with their parent's weights", 0, 0, {"yes", "no"}}},
    [](const Space& space, const Settings& settings, uint64_t seed) -> std::unique_ptr<Strategy> {
      return std::make_unique<LargeScaleEvolution>(space, settings, seed);
    }};

}  // namespace mixop::nas
