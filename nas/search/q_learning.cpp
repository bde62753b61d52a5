// Q-learning over the choices of a space (MetaQNN, Baker et al. 2017): epsilon-greedy episodes whose epsilon falls
// with the number of models trained, and replay of stored episodes after every new one.
#include <charconv>
#include <map>
#include <unordered_map>

#include "kernels/core/check.h"
#include "nas/search/strategies.h"

namespace mixop::nas {
namespace {

using Type = Setting::Type;

/// Episodes in a row that found nothing new, after which a search is over.
constexpr int kMostRepeats = 10000;

struct Phase {
  double epsilon;
  int64_t models;
};

/// "1.0:1500,0.9:100": epsilon and for how many new models it holds.
std::vector<Phase> parse_schedule(const std::string& text) {
  std::vector<Phase> phases;
  for (size_t at = 0; at <= text.size();) {
    const size_t end = std::min(text.find(',', at), text.size());
    const char *first = text.data() + at, *last = text.data() + end;
    Phase phase{};
    const auto [colon, bad_epsilon] = std::from_chars(first, last, phase.epsilon);
    const bool more = bad_epsilon == std::errc{} && colon < last && *colon == ':';
    const auto [stop, bad_models] = std::from_chars(more ? colon + 1 : last, last, phase.models);
    MIXOP_CHECK(more && bad_models == std::errc{} && stop == last && phase.epsilon >= 0 && phase.epsilon <= 1 &&
                    phase.models >= 1,
                "setting schedule: '", text.substr(at, end - at),
                "' should be EPSILON:MODELS, epsilon in 0 to 1 and at least one model");
    phases.push_back(phase);
    at = end + 1;
  }
  return phases;
}

/// Values of the choices in states; those never written are `initial`.
class QTable {
 public:
  explicit QTable(double initial) : initial_(initial) {}

  /// The state's row, made where there is none.
  size_t row(const ArchKey& state) {
    const auto [at, fresh] = index_.try_emplace(state, rows_.size());
    if (fresh) rows_.push_back({state, {}});
    return at->second;
  }
  double get(size_t row, int32_t choice) const {
    for (const auto& [known, value] : rows_[row].values)
      if (known == choice) return value;
    return initial_;
  }
  void set(size_t row, int32_t choice, double value) {
    for (auto& [known, old] : rows_[row].values)
      if (known == choice) {
        old = value;
        return;
      }
    rows_[row].values.emplace_back(choice, value);
  }
  double best(size_t row, const std::vector<int32_t>& legal) const {
    double best = get(row, legal[0]);
    for (const int32_t choice : legal) best = std::max(best, get(row, choice));
    return best;
  }

  Json save() const {
    Json json = Json::array();
    for (const Row& r : rows_) json.push_back({r.state.high, r.state.low, r.values});
    return json;
  }
  void load(const Json& json) {
    rows_.clear();
    index_.clear();
    for (const Json& r : json)
      rows_[row({r.at(0), r.at(1)})].values = r.at(2).get<std::vector<std::pair<int32_t, double>>>();
  }

 private:
  struct Row {
    ArchKey state;
    std::vector<std::pair<int32_t, double>> values;  // of the choices tried, few
  };
  double initial_;
  std::vector<Row> rows_;
  std::unordered_map<ArchKey, size_t, ArchKeyHash> index_;
};

class QLearning final : public Strategy {
 public:
  QLearning(const Space& space, const Settings& s, uint64_t seed)
      : space_(space),
        schedule_(parse_schedule(s.text("schedule"))),
        alpha_(s.real("alpha")),
        gamma_(s.real("gamma")),
        replays_(s.integer("replay")),
        random_(seed),
        q_(s.real("initial-q")) {
    Decision first;
    MIXOP_CHECK(space.next({}, first), "q-learning: space ", space.name(), " is not built step by step");
    for (const Phase& p : schedule_) models_ += p.models;
  }

  bool finished() const override { return asked() >= models_ || stuck_; }

 protected:
  /// Repeated architectures are learnt from at once and not asked for: every candidate is a new model.
  std::optional<Candidate> propose() override {
    for (int i = 0; i < kMostRepeats && !finished(); ++i) {
      Arch arch = episode();
      const auto [at, fresh] = rewards_.try_emplace(space_.key(arch), kWaiting);
      if (fresh) return Candidate{.arch = std::move(arch)};
      if (at->second != kWaiting) update(arch, at->second);
    }
    // With candidates under way what they teach may lead elsewhere.
    stuck_ = stuck_ || static_cast<int64_t>(memory_.size()) == asked();
    return {};
  }

  void learn(const Candidate& candidate, const Outcome& outcome) override {
    const double reward = outcome.accuracy / 100;
    rewards_[space_.key(candidate.arch)] = reward;
    memory_.push_back({candidate.arch, reward});
    update(candidate.arch, reward);
    for (int64_t i = 0; i < replays_; ++i) {
      const Episode& e = random_.one_of(memory_);
      update(e.arch, e.reward);
    }
  }

  void save_to(Json& state) const override {
    state["random"] = random_.position();
    state["stuck"] = stuck_;
    state["q"] = q_.save();
    for (const Episode& e : memory_) state["memory"].push_back({e.arch, e.reward});
    for (const auto& [key, reward] : rewards_)
      if (reward == kWaiting) state["waiting"].push_back({key.high, key.low});
  }
  void load_from(const Json& state) override {
    random_.seek(state.at("random"));
    stuck_ = state.at("stuck");
    q_.load(state.at("q"));
    memory_.clear();
    rewards_.clear();
    for (const Json& e : state.value("memory", Json::array())) {
      memory_.push_back({e.at(0), e.at(1)});
      rewards_[space_.key(memory_.back().arch)] = memory_.back().reward;
    }
    for (const Json& k : state.value("waiting", Json::array())) rewards_[{k.at(0), k.at(1)}] = kWaiting;
  }

 private:
  static constexpr double kWaiting = -1;  ///< the reward of what was asked and not told
  struct Episode {
    Arch arch;
    double reward;
  };

  double epsilon() const {
    int64_t end = 0;
    for (const Phase& p : schedule_)
      if (asked() < (end += p.models)) return p.epsilon;
    return schedule_.back().epsilon;
  }

  size_t row(const Arch& prefix) { return q_.row(hash_numbers(space_.state(prefix))); }

  Arch episode() {
    const double epsilon = this->epsilon();
    Arch arch;
    for (Decision d; space_.next(arch, d);)
      arch.push_back(random_.chance(epsilon) ? random_.one_of(d.legal) : greedy(arch, d));
    return arch;
  }

  /// The best choice, of equal ones any.
  int32_t greedy(const Arch& prefix, const Decision& d) {
    const size_t at = row(prefix);
    const double best = q_.best(at, d.legal);
    std::vector<int32_t> equal;
    for (const int32_t choice : d.legal)
      if (q_.get(at, choice) == best) equal.push_back(choice);
    return random_.one_of(equal);
  }

  /// From the last transition to the first, so that the reward goes all the way back at once.
  void update(const Arch& arch, double reward) {
    steps_.clear();
    prefix_.clear();
    double after = reward;
    for (Decision d; space_.next(prefix_, d); prefix_.push_back(arch[prefix_.size()]))
      steps_.push_back({row(prefix_), d.legal});
    for (size_t i = steps_.size(); i-- > 0;) {
      const double old = q_.get(steps_[i].row, arch[i]);
      q_.set(steps_[i].row, arch[i], (1 - alpha_) * old + alpha_ * after);
      after = gamma_ * q_.best(steps_[i].row, steps_[i].legal);
    }
  }

  struct Step {
    size_t row;
    std::vector<int32_t> legal;
  };

  const Space& space_;
  std::vector<Phase> schedule_;
  double alpha_, gamma_;
  int64_t replays_, models_ = 0;
  Random random_;
  QTable q_;
  bool stuck_ = false;
  std::vector<Episode> memory_;
  std::map<ArchKey, double> rewards_;
  std::vector<Step> steps_;
  Arch prefix_;
};

}  // namespace

const StrategyInfo kQLearning{
    "q-learning",
    "tabular Q-learning with replay (MetaQNN, Baker et al. 2017)",
    {{"schedule", Type::kText, "1.0:1500,0.9:100,0.8:100,0.7:100,0.6:150,0.5:150,0.4:150,0.3:150,0.2:150,0.1:150",
      "epsilon:models,...: the share of random choices and for how many new models it holds"},
     {"alpha", Type::kReal, "0.01", "learning rate", 0, 1},
     {"gamma", Type::kReal, "1", "discount", 0, 1},
     {"replay", Type::kInt, "128", "stored episodes learnt from after each new one (100 in the paper's text)", 0,
      1e6},
     {"initial-q", Type::kReal, "0.5", "value of what was never tried (0 in the paper's text)"}},
    [](const Space& space, const Settings& settings, uint64_t seed) -> std::unique_ptr<Strategy> {
      return std::make_unique<QLearning>(space, settings, seed);
    }};

}  // namespace mixop::nas
