#include "nas/search/brackets.h"

#include <algorithm>

#include "kernels/core/check.h"

namespace mixop::nas {
namespace {

std::vector<Bracket> round_of(std::span<const double> epochs, int64_t eta,
                              int64_t (*starters)(int64_t, int64_t, int64_t)) {
  const auto rungs = static_cast<int64_t>(epochs.size());
  std::vector<Bracket> brackets;
  for (int64_t s = rungs - 1; s >= 0; --s) {
    int64_t power = 1;
    for (int64_t i = 0; i < s; ++i) power *= eta;
    brackets.push_back(
        successive_halving(starters(rungs, s, power), epochs.subspan(static_cast<size_t>(rungs - 1 - s)), eta));
  }
  return brackets;
}

}  // namespace

std::vector<double> fidelities(double least, double most, int64_t eta) {
  if (most <= 0) return {0};
  MIXOP_CHECK(least > 0 && least <= most, "min-epochs (", least, ") must be above 0 and at most max-epochs (", most,
              ")");
  std::vector<double> epochs;
  // A hair below, so that 81 / 3^4 counts as 1.
  for (double e = most; e >= least * (1 - 1e-12); e /= static_cast<double>(eta)) epochs.push_back(e);
  std::reverse(epochs.begin(), epochs.end());
  return epochs;
}

Bracket successive_halving(int64_t candidates, std::span<const double> epochs, int64_t eta) {
  Bracket bracket;
  for (const double e : epochs) {
    bracket.push_back({candidates, e});
    candidates = std::max<int64_t>(candidates / eta, 1);
  }
  return bracket;
}

std::vector<Bracket> hyperband(std::span<const double> epochs, int64_t eta) {
  return round_of(epochs, eta,
                  [](int64_t rungs, int64_t s, int64_t power) { return (rungs * power + s) / (s + 1); });
}

std::vector<Bracket> hpbandster(std::span<const double> epochs, int64_t eta) {
  return round_of(epochs, eta, [](int64_t rungs, int64_t s, int64_t power) { return rungs / (s + 1) * power; });
}

std::vector<Setting> fidelity_settings() {
  using Type = Setting::Type;
  return {{"min-epochs", Type::kReal, "1", "the shortest training", 1e-3, 1e6},
          {"max-epochs", Type::kReal, "12", "the longest training; 0: one fidelity, as the evaluator is set up to",
           0, 1e6},
          {"eta", Type::kInt, "3", "one in so many goes on, to so many times the epochs", 2, 1000}};
}

std::vector<double> fidelities(const Settings& s) {
  return fidelities(s.real("min-epochs"), s.real("max-epochs"), s.integer("eta"));
}

BracketSearch::BracketSearch(const Space& space, std::vector<Bracket> brackets, int64_t limit, uint64_t seed)
    : space_(space), random_(seed), brackets_(std::move(brackets)), limit_(limit) {}

std::optional<Candidate> BracketSearch::propose() {
  const auto wanted = [&] { return static_cast<size_t>(bracket()[rung_].candidates); };
  if (asked_ > 0 && told_ == wanted()) {
    asked_ = told_ = 0;
    if (++rung_ == bracket().size()) {
      ++bracket_;
      rung_ = 0;
      members_.clear();
    } else {
      std::stable_sort(members_.begin(), members_.end(),
                       [](const Member& a, const Member& b) { return a.accuracy > b.accuracy; });
      members_.resize(wanted());
    }
  }
  if (finished() || asked_ == wanted()) return {};
  if (rung_ == 0) members_.push_back({draw(), 0});
  return Candidate{.arch = members_[asked_++].arch, .epochs = bracket()[rung_].epochs};
}

void BracketSearch::learn(const Candidate&, const Outcome& outcome) {
  members_[told_++].accuracy = outcome.accuracy;
}

void BracketSearch::save_to(Json& state) const {
  state["random"] = random_.position();
  state["bracket"] = bracket_;
  state["rung"] = rung_;
  state["asked_here"] = asked_;
  state["told_here"] = told_;
  state["members"] = Json::array();
  for (const Member& m : members_) state["members"].push_back({m.arch, m.accuracy});
}

void BracketSearch::load_from(const Json& state) {
  random_.seek(state.at("random"));
  bracket_ = state.at("bracket");
  rung_ = state.at("rung");
  asked_ = state.at("asked_here");
  told_ = state.at("told_here");
  members_.clear();
  for (const Json& m : state.at("members")) members_.push_back({m.at(0), m.at(1)});
}

}  // namespace mixop::nas
