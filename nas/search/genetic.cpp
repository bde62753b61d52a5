// The classic genetic algorithm: an initial population, then generations of selection, crossover, mutation and
// update. The values are those of Genetic CNN (Xie and Yuille 2017), whose 0.05 for each of 19 bits is one in the
// mean.
#include <algorithm>
#include <deque>
#include <unordered_map>

#include "kernels/core/check.h"
#include "nas/search/strategies.h"

namespace mixop::nas {
namespace {

using Type = Setting::Type;

/// A population that bred nothing new this many times in succession has converged.
constexpr int kBarrenGenerations = 100;

class GeneticAlgorithm final : public Strategy {
 public:
  GeneticAlgorithm(const Space& space, const Settings& s, uint64_t seed)
      : space_(space),
        population_(static_cast<size_t>(s.integer("population"))),
        selection_(s.text("selection")),
        tournament_(s.integer("tournament")),
        crossover_(s.real("crossover")),
        mutation_(s.real("mutation")),
        gene_mutation_(s.real("gene-mutation")),
        plus_(s.text("update") == "plus"),
        elites_(static_cast<size_t>(s.integer("elites"))),
        patience_(s.integer("patience")),
        generations_(s.integer("generations")),
        cache_limit_(static_cast<size_t>(s.integer("cache"))),
        random_(seed) {
    MIXOP_CHECK(plus_ || elites_ < population_, "ga: elites (", elites_, ") must be fewer than the population (",
                population_, ")");
  }

  bool finished() const override { return finished_; }

 protected:
  std::optional<Candidate> propose() override {
    while (!finished_) {
      if (asked_ < to_evaluate_.size()) return Candidate{.arch = brood_[to_evaluate_[asked_++]].arch};
      if (told_ < asked_) return {};
      if (!brood_.empty()) update();
      if (!finished_) breed();
    }
    return {};
  }

  void learn(const Candidate&, const Outcome& outcome) override {
    const ArchKey key = brood_[to_evaluate_[told_++]].key;
    for (Member& m : brood_)
      if (m.key == key) m.fitness = outcome.accuracy;
    remember(key, outcome.accuracy);
  }

  void save_to(Json& state) const override {
    state["random"] = random_.position();
    state["parents"] = to_json(parents_);
    state["brood"] = to_json(brood_);
    state["to_evaluate"] = to_evaluate_;
    state["asked_here"] = asked_;
    state["told_here"] = told_;
    state["generation"] = generation_;
    state["best"] = best_;
    state["without_gain"] = without_gain_;
    state["barren"] = barren_;
    state["finished"] = finished_;
    state["cache"] = Json::array();
    for (const ArchKey& k : cache_order_) state["cache"].push_back({k.high, k.low, cache_.at(k)});
  }
  void load_from(const Json& state) override {
    random_.seek(state.at("random"));
    parents_ = members_from_json(state.at("parents"));
    brood_ = members_from_json(state.at("brood"));
    to_evaluate_ = state.at("to_evaluate").get<std::vector<size_t>>();
    asked_ = state.at("asked_here");
    told_ = state.at("told_here");
    generation_ = state.at("generation");
    best_ = state.at("best");
    without_gain_ = state.at("without_gain");
    barren_ = state.at("barren");
    finished_ = state.at("finished");
    cache_.clear();
    cache_order_.clear();
    for (const Json& entry : state.at("cache")) remember({entry.at(0), entry.at(1)}, entry.at(2));
  }

 private:
  struct Member {
    Arch arch;
    ArchKey key;
    double fitness;
  };

  static Json to_json(const std::vector<Member>& members) {
    Json json = Json::array();
    for (const Member& m : members) json.push_back({m.arch, m.fitness});
    return json;
  }
  std::vector<Member> members_from_json(const Json& json) const {
    std::vector<Member> members;
    for (const Json& m : json) {
      const Arch arch = m.at(0);
      members.push_back({arch, space_.key(arch), m.at(1)});
    }
    return members;
  }

  void remember(const ArchKey& key, double fitness) {
    if (!cache_.emplace(key, fitness).second) return;
    cache_order_.push_back(key);
    if (cache_order_.size() <= cache_limit_) return;
    cache_.erase(cache_order_.front());
    cache_order_.pop_front();
  }

  /// Adds to the brood; what is neither remembered nor a sibling's double has to be evaluated.
  void bear(Arch arch) {
    const ArchKey key = space_.key(arch);
    double fitness = 0;
    const auto known = cache_.find(key);
    const auto sibling = std::find_if(brood_.begin(), brood_.end(), [&](const Member& m) { return m.key == key; });
    if (known != cache_.end()) {
      fitness = known->second;
    } else if (sibling != brood_.end()) {
      fitness = sibling->fitness;
    } else {
      to_evaluate_.push_back(brood_.size());
    }
    brood_.push_back({std::move(arch), key, fitness});
  }

  /// The brood becomes, or joins, the population.
  void update() {
    const auto fitter = [](const Member& a, const Member& b) { return a.fitness > b.fitness; };
    std::stable_sort(parents_.begin(), parents_.end(), fitter);
    if (!plus_ && parents_.size() > elites_) parents_.resize(elites_);
    for (Member& child : brood_) {
      // Copies of the fittest would soon be the whole of a (mu + lambda) population.
      const auto same = [&](const Member& m) { return m.key == child.key; };
      if (!plus_ || std::none_of(parents_.begin(), parents_.end(), same)) parents_.push_back(std::move(child));
    }
    std::stable_sort(parents_.begin(), parents_.end(), fitter);
    if (parents_.size() > population_) parents_.resize(population_);

    const double best = parents_.front().fitness;
    without_gain_ = generation_ > 0 && best <= best_ ? without_gain_ + 1 : 0;
    best_ = generation_ > 0 ? std::max(best, best_) : best;
    barren_ = to_evaluate_.empty() ? barren_ + 1 : 0;
    ++generation_;
    finished_ = barren_ >= kBarrenGenerations || (patience_ > 0 && without_gain_ >= patience_) ||
                (generations_ > 0 && generation_ >= generations_);
    brood_.clear();
    to_evaluate_.clear();
    asked_ = told_ = 0;
  }

  void breed() {
    if (parents_.empty()) {
      for (size_t i = 0; i < population_; ++i) bear(space_.sample(random_));
      return;
    }
    const size_t children = plus_ ? population_ : population_ - elites_;
    std::vector<double> weights;  // the population is sorted, the best first
    for (size_t i = 0; i < parents_.size(); ++i)
      weights.push_back(selection_ == "rank" ? static_cast<double>(parents_.size() - i)
                                             : parents_[i].fitness - parents_.back().fitness);
    if (weights.front() <= 0) weights.assign(parents_.size(), 1.0);
    while (brood_.size() < children) {
      const Arch &a = select(weights), &b = select(weights);
      const bool cross = random_.chance(crossover_);
      bear(mutate(cross ? space_.crossover(a, b, random_) : a));
      if (brood_.size() < children) bear(mutate(cross ? space_.crossover(b, a, random_) : b));
    }
  }

  const Arch& select(const std::vector<double>& weights) {
    if (selection_ != "tournament") return parents_[random_.pick(weights)].arch;
    auto best = static_cast<int64_t>(parents_.size());
    for (int64_t i = 0; i < tournament_; ++i)
      best = std::min(best, random_.below(static_cast<int64_t>(parents_.size())));
    return parents_[static_cast<size_t>(best)].arch;
  }

  Arch mutate(Arch arch) {
    if (!random_.chance(mutation_)) return arch;
    const double rate = gene_mutation_ > 0 ? gene_mutation_ : 1 / static_cast<double>(arch.size());
    return space_.redraw(arch, rate, random_);
  }

  const Space& space_;
  const size_t population_;
  const std::string selection_;
  const int64_t tournament_;
  const double crossover_, mutation_, gene_mutation_;
  const bool plus_;
  const size_t elites_;
  const int64_t patience_, generations_;
  const size_t cache_limit_;
  Random random_;

  std::vector<Member> parents_, brood_;  // parents: the best first
  std::vector<size_t> to_evaluate_;      // of the brood, in the order asked
  size_t asked_ = 0, told_ = 0;          // of those
  std::unordered_map<ArchKey, double, ArchKeyHash> cache_;
  std::deque<ArchKey> cache_order_;  // oldest first
  int64_t generation_ = 0, without_gain_ = 0;
  double best_ = 0;
  int barren_ = 0;
  bool finished_ = false;
};

}  // namespace

const StrategyInfo kGeneticAlgorithm{
    "ga",
    "genetic algorithm: selection, crossover, mutation (Xie and Yuille 2017, Genetic CNN)",
    {{"population", Type::kInt, "20", "members of a generation", 1, 1e6},
     {"selection",
      Type::kText,
      "roulette",
      "how parents are drawn; roulette: in proportion to the fitness above the "
      "worst",
      0,
      0,
      {"roulette", "tournament", "rank"}},
     {"tournament", Type::kInt, "2", "members of which a tournament takes the best", 1, 1e6},
     {"crossover", Type::kReal, "0.2", "probability that a pair of parents is crossed", 0, 1},
     {"mutation", Type::kReal, "0.8", "probability that a child is mutated", 0, 1},
     {"gene-mutation", Type::kReal, "0", "probability that a mutation draws a choice anew; 0: one in the mean", 0,
      1},
     {"update",
      Type::kText,
      "generational",
      "children replace all but the elite, or join their parents of whom the "
      "best stay (mu + lambda)",
      0,
      0,
      {"generational", "plus"}},
     {"elites", Type::kInt, "1", "best members that stay, of generational", 0, 1e6},
     {"patience", Type::kInt, "0", "generations without improvement that end the search; 0: never", 0, 1e9},
     {"generations", Type::kInt, "0", "end the search; 0: without bound", 0, 1e9},
     {"cache", Type::kInt, "1000", "architectures whose fitness is remembered, oldest forgotten first", 0, 1e7}},
    [](const Space& space, const Settings& settings, uint64_t seed) -> std::unique_ptr<Strategy> {
      return std::make_unique<GeneticAlgorithm>(space, settings, seed);
    }};

}  // namespace mixop::nas
