#include "nas/sharing/path_selection.h"

#include <algorithm>
#include <numeric>
#include <set>

#include "kernels/core/check.h"

namespace mixop::nas {
namespace {

/// Draws that a limit may refuse before it counts as impossible.
constexpr int kMostDraws = 10000;

/// Indices of the history that `counts` says yes to, the best first; of equal ones the earliest.
std::vector<size_t> ranked(const std::vector<ScoredPath>& history,
                           const std::function<bool(const ScoredPath&)>& counts) {
  std::vector<size_t> order;
  for (size_t i = 0; i < history.size(); ++i)
    if (counts(history[i])) order.push_back(i);
  std::stable_sort(order.begin(), order.end(),
                   [&](size_t a, size_t b) { return history[a].accuracy > history[b].accuracy; });
  return order;
}

std::vector<Arch> best_archs(const std::vector<ScoredPath>& history, const std::vector<size_t>& order, int most) {
  std::vector<Arch> archs;
  for (size_t i = 0; i < std::min(order.size(), static_cast<size_t>(most)); ++i)
    archs.push_back(history[order[i]].arch);
  return archs;
}

class RandomSelection final : public PathSelection {
 public:
  RandomSelection(const Space& space, const RandomSelectionOptions& options, Admits admits)
      : space_(space), o_(options), admits_(std::move(admits)) {
    MIXOP_CHECK(o_.repetitions >= 1 && o_.samples >= 1 && o_.top >= 1 && o_.batches >= 0,
                "random selection: repetitions, samples and top must be at least 1");
  }

  int rounds() const override { return 2 * o_.repetitions; }

  SelectionRound plan(int round, const std::vector<ScoredPath>& history, Random& random) const override {
    if (round % 2 == 1) {
      const auto order = ranked(history, [&](const ScoredPath& s) { return s.round == round - 1; });
      return {best_archs(history, order, o_.top), 0};
    }
    SelectionRound drawn{{}, o_.batches};
    for (int i = 0; i < o_.samples; ++i) drawn.archs.push_back(draw(random));
    return drawn;
  }

  /// Scores on some batches only are worth less than any on all.
  Arch answer(const std::vector<ScoredPath>& history) const override {
    auto order = ranked(history, [](const ScoredPath& s) { return s.round % 2 == 1; });
    if (order.empty()) order = ranked(history, [](const ScoredPath&) { return true; });
    return history[order.front()].arch;
  }

 private:
  Arch draw(Random& random) const {
    for (int i = 0; i < kMostDraws; ++i) {
      Arch arch = space_.sample(random);
      if (!admits_ || admits_(arch)) return arch;
    }
    kernels::fail("search: none of ", kMostDraws, " architectures drawn keeps within the limits; raise them");
  }

  const Space& space_;
  RandomSelectionOptions o_;
  Admits admits_;
};

class PathEvolution final : public PathSelection {
 public:
  PathEvolution(const Space& space, const EvolutionOptions& options, Admits admits)
      : space_(space), o_(options), admits_(std::move(admits)) {
    MIXOP_CHECK(o_.population >= 1 && o_.generations >= 1 && o_.top >= 1 && o_.crossovers >= 0 && o_.mutants >= 0,
                "evolution: population, generations and top must be at least 1");
    MIXOP_CHECK(o_.crossovers + o_.mutants <= o_.population, "evolution: ", o_.crossovers, " crossings and ",
                o_.mutants, " mutants do not fit into a population of ", o_.population);
  }

  int rounds() const override { return o_.generations; }

  SelectionRound plan(int round, const std::vector<ScoredPath>& history, Random& random) const override {
    SelectionRound next;
    std::set<Arch> known;
    for (const ScoredPath& s : history) known.insert(s.arch);
    // As in the reference code: a bounded number of attempts, as children of few parents may all be known.
    const auto add = [&](int count, int attempts, const auto& make) {
      for (int i = 0, added = 0; added < count && i < attempts; ++i) {
        Arch arch = make();
        if (known.count(arch) || (admits_ && !admits_(arch))) continue;
        known.insert(arch);
        next.archs.push_back(std::move(arch));
        ++added;
      }
    };
    if (round > 0) {
      const auto order = ranked(history, [](const ScoredPath&) { return true; });
      const std::vector<Arch> parents = best_archs(history, order, o_.top);
      add(o_.mutants, 10 * o_.mutants,
          [&] { return space_.redraw(random.one_of(parents), o_.mutation_rate, random); });
      add(o_.crossovers, 10 * o_.crossovers, [&] {
        const Arch &a = random.one_of(parents), &b = random.one_of(parents);
        return space_.crossover(a, b, random);
      });
    }
    add(o_.population - static_cast<int>(next.archs.size()), kMostDraws, [&] { return space_.sample(random); });
    MIXOP_CHECK(round > 0 || !next.archs.empty(), "search: none of ", kMostDraws,
                " architectures drawn keeps within the limits; raise them");
    return next;
  }

  Arch answer(const std::vector<ScoredPath>& history) const override {
    return history[ranked(history, [](const ScoredPath&) { return true; }).front()].arch;
  }

 private:
  const Space& space_;
  EvolutionOptions o_;
  Admits admits_;
};

}  // namespace

std::unique_ptr<PathSelection> random_selection(const Space& space, const RandomSelectionOptions& options,
                                                Admits admits) {
  return std::make_unique<RandomSelection>(space, options, std::move(admits));
}

std::unique_ptr<PathSelection> path_evolution(const Space& space, const EvolutionOptions& options, Admits admits) {
  return std::make_unique<PathEvolution>(space, options, std::move(admits));
}

}  // namespace mixop::nas
