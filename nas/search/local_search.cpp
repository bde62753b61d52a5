// Local search from random starts, as the baseline of BANANAS (White et al. 2021): go to a better neighbour until
// there is none, then start anew. No architecture is asked twice.
#include <algorithm>
#include <set>

#include "nas/search/strategies.h"

namespace mixop::nas {
namespace {

using Type = Setting::Type;

/// So many draws of known architectures in succession: all of the space has been seen, or nearly.
constexpr int kDraws = 1000;

class LocalSearch final : public Strategy {
 public:
  LocalSearch(const Space& space, const Settings& s, uint64_t seed)
      : space_(space), starts_(s.integer("starts")), take_best_(s.text("step") == "best"), random_(seed) {}

  bool finished() const override { return finished_; }

 protected:
  std::optional<Candidate> propose() override {
    while (!finished_) {
      if (starting_ < starts_) {
        ++starting_;
        if (auto arch = draw()) return hand_out(std::move(*arch));
        finished_ = starting_ == 1;  // else go on from the starts that there are
        starting_ = starts_;
      } else if (next_ < around_.size()) {
        Arch arch = std::move(around_[next_++]);
        if (seen_.insert(space_.key(arch)).second) return hand_out(std::move(arch));
      } else if (waiting_ > 0) {
        return {};
      } else if (leader_accuracy_ > here_accuracy_) {
        go_to(leader_, leader_accuracy_);
      } else {  // a local optimum
        starting_ = 0;
        here_accuracy_ = leader_accuracy_ = -1;
      }
    }
    return {};
  }

  void learn(const Candidate& candidate, const Outcome& outcome) override {
    --waiting_;
    if (outcome.accuracy > leader_accuracy_) {
      leader_ = candidate.arch;
      leader_accuracy_ = outcome.accuracy;
    }
    // The starts are all evaluated before the best of them becomes the place to search around.
    if (!take_best_ && here_accuracy_ >= 0 && leader_accuracy_ > here_accuracy_) go_to(leader_, leader_accuracy_);
  }

  void save_to(Json& state) const override {
    state["random"] = random_.position();
    state["starting"] = starting_;
    state["waiting"] = waiting_;
    state["here_accuracy"] = here_accuracy_;
    state["leader"] = leader_;
    state["leader_accuracy"] = leader_accuracy_;
    state["around"] = std::vector<Arch>(around_.begin() + static_cast<int64_t>(next_), around_.end());
    state["finished"] = finished_;
    state["seen"] = Json::array();
    for (const ArchKey& k : seen_) state["seen"].push_back({k.high, k.low});
  }
  void load_from(const Json& state) override {
    random_.seek(state.at("random"));
    starting_ = state.at("starting");
    waiting_ = state.at("waiting");
    here_accuracy_ = state.at("here_accuracy");
    leader_ = state.at("leader").get<Arch>();
    leader_accuracy_ = state.at("leader_accuracy");
    around_ = state.at("around").get<std::vector<Arch>>();
    next_ = 0;
    finished_ = state.at("finished");
    seen_.clear();
    for (const Json& k : state.at("seen")) seen_.insert({k.at(0), k.at(1)});
  }

 private:
  Candidate hand_out(Arch arch) {
    ++waiting_;
    return {.arch = std::move(arch)};
  }

  /// A random architecture that was not asked yet.
  std::optional<Arch> draw() {
    for (int i = 0; i < kDraws; ++i) {
      Arch arch = space_.sample(random_);
      if (seen_.insert(space_.key(arch)).second) return arch;
    }
    return {};
  }

  void go_to(const Arch& arch, double accuracy) {
    here_accuracy_ = accuracy;
    around_ = space_.neighbours(arch);
    random_.shuffle(around_);
    next_ = 0;
  }

  const Space& space_;
  const int64_t starts_;
  const bool take_best_;
  Random random_;

  int64_t starting_ = 0;       // starts asked for
  int64_t waiting_ = 0;        // asked, not told
  double here_accuracy_ = -1;  // of the place searched around; -1: none yet
  Arch leader_;                // best since the last random starts
  double leader_accuracy_ = -1;
  std::vector<Arch> around_;  // neighbours of that place, from next_ on to be asked
  size_t next_ = 0;
  std::set<ArchKey> seen_;
  bool finished_ = false;
};

}  // namespace

const StrategyInfo kLocalSearch{
    "local-search",
    "to better neighbours from random starts (White et al. 2021)",
    {{"starts", Type::kInt, "10", "random architectures of which the best is the start", 1, 1e6},
     {"step",
      Type::kText,
      "first",
      "go to the first better neighbour or to the best of all",
      0,
      0,
      {"first", "best"}}},
    [](const Space& space, const Settings& settings, uint64_t seed) -> std::unique_ptr<Strategy> {
      return std::make_unique<LocalSearch>(space, settings, seed);
    }};

}  // namespace mixop::nas
