// Asynchronous successive halving (Li et al. 2020): whoever is among the best 1/eta of a rung is promoted at once,
// without waiting for the rest of it.
#include <algorithm>
#include <map>

#include "nas/search/brackets.h"
#include "nas/search/strategies.h"

namespace mixop::nas {
namespace {

using Type = Setting::Type;

class Asha final : public Strategy {
 public:
  Asha(const Space& space, const Settings& s, uint64_t seed)
      : space_(space), eta_(s.integer("eta")), random_(seed), epochs_(fidelities(s)), rungs_(epochs_.size()) {}

 protected:
  std::optional<Candidate> propose() override {
    for (size_t k = epochs_.size() - 1; k-- > 0;)
      if (promotable(rungs_[k])) return promote(k);
    return Candidate{.arch = space_.sample(random_), .epochs = epochs_[0]};
  }

  void learn(const Candidate& candidate, const Outcome& outcome) override {
    const auto k =
        static_cast<size_t>(std::find(epochs_.begin(), epochs_.end(), candidate.epochs) - epochs_.begin());
    if (k + 1 < rungs_.size()) rungs_[k].waiting.emplace(outcome.accuracy, candidate.arch);
  }

  void save_to(Json& state) const override {
    state["random"] = random_.position();
    for (const Rung& rung : rungs_) {
      Json json = {{"waiting", Json::array()}, {"promoted", rung.promoted}};
      for (const auto& [accuracy, arch] : rung.waiting) json["waiting"].push_back({accuracy, arch});
      state["rungs"].push_back(json);
    }
  }
  void load_from(const Json& state) override {
    random_.seek(state.at("random"));
    for (size_t k = 0; k < rungs_.size(); ++k) {
      const Json& json = state.at("rungs").at(k);
      rungs_[k] = {.waiting = {}, .promoted = json.at("promoted").get<std::vector<double>>()};
      for (const Json& w : json.at("waiting")) rungs_[k].waiting.emplace(w.at(0), w.at(1).get<Arch>());
    }
  }

 private:
  /// All who were told at one fidelity: any of them may be promoted yet, when the rung has grown.
  struct Rung {
    std::multimap<double, Arch, std::greater<>> waiting;  // best first, of equals the earliest
    std::vector<double> promoted;                         // accuracies, ascending
  };

  bool promotable(const Rung& rung) const {
    if (rung.waiting.empty()) return false;
    const auto ahead = rung.promoted.end() -
                       std::lower_bound(rung.promoted.begin(), rung.promoted.end(), rung.waiting.begin()->first);
    return ahead < static_cast<int64_t>(rung.waiting.size() + rung.promoted.size()) / eta_;
  }

  Candidate promote(size_t k) {
    Rung& rung = rungs_[k];
    const auto best = rung.waiting.begin();
    rung.promoted.insert(std::upper_bound(rung.promoted.begin(), rung.promoted.end(), best->first), best->first);
    Candidate candidate{.arch = std::move(best->second), .epochs = epochs_[k + 1]};
    rung.waiting.erase(best);
    return candidate;
  }

  const Space& space_;
  const int64_t eta_;
  Random random_;
  const std::vector<double> epochs_;
  std::vector<Rung> rungs_;
};

}  // namespace

const StrategyInfo kAsha{
    "asha", "successive halving without waiting (Li et al. 2020)", fidelity_settings(),
    [](const Space& space, const Settings& settings, uint64_t seed) -> std::unique_ptr<Strategy> {
      return std::make_unique<Asha>(space, settings, seed);
    }};

}  // namespace mixop::nas
