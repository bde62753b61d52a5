// Spaces and evaluators small enough to know the answer.
#pragma once

#include <algorithm>
#include <vector>

#include "nas/search/loop.h"
#include "nas/space/spaces.h"

namespace mixop::test {

/// `length` choices of one in `values`; text form: the digits.
class DigitSpace : public nas::Space {
 public:
  explicit DigitSpace(size_t length, int values = 2) : length_(length), values_(values) {}
  std::string name() const override { return "digits"; }
  std::string describe() const override { return "digits"; }
  nas::Arch parse(std::string_view text) const override {
    nas::Arch arch;
    for (const char c : text) arch.push_back(c - '0');
    return arch;
  }
  std::string format(const nas::Arch& arch) const override {
    std::string text;
    for (const int32_t v : arch) text += static_cast<char>('0' + v);
    return text;
  }
  bool next(const nas::Arch& prefix, nas::Decision& d) const override {
    if (prefix.size() == length_) return false;
    d = {};
    for (int v = 0; v < values_; ++v) d.legal.push_back(v);
    return true;
  }
  std::vector<int> kinds() const override { return {values_}; }
  double count() const override { return 0; }

 private:
  size_t length_;
  int values_;
};

/// Answers by a function, several candidates at a time where wanted.
class Answers final : public nas::ImmediateEvaluator {
 public:
  using Function = std::function<nas::Outcome(const nas::Candidate&)>;
  explicit Answers(Function answer, int slots = 1) : answer_(std::move(answer)), slots_(slots) {}
  int slots() const override { return slots_; }

 protected:
  nas::Outcome evaluate(const nas::Candidate& c) override { return answer_(c); }

 private:
  Function answer_;
  int slots_;
};

/// How many choices have the value.
inline double count_of(const nas::Arch& arch, int32_t value) {
  return static_cast<double>(std::count(arch.begin(), arch.end(), value));
}

inline std::unique_ptr<nas::Strategy> make_strategy(const std::string& name, const nas::Space& space, uint64_t seed,
                                                    const std::map<std::string, std::string>& values = {}) {
  const nas::StrategyInfo& info = nas::find_strategy(name);
  nas::Settings settings(info.settings);
  for (const auto& [key, value] : values) settings.set(key, value);
  return info.make(space, settings, seed);
}

/// All that were evaluated until the search ended.
inline std::vector<nas::Evaluated> history_of(nas::Strategy& strategy, nas::Evaluator& evaluator,
                                              int64_t evaluations) {
  std::vector<nas::Evaluated> history;
  nas::SearchLoop loop(strategy, evaluator, {.evaluations = evaluations},
                       [&](const nas::Evaluated& e, const nas::SearchLoop&) { history.push_back(e); });
  loop.run();
  return history;
}

inline double best_of(const std::vector<nas::Evaluated>& history) {
  double best = 0;
  for (const nas::Evaluated& e : history) best = std::max(best, e.outcome.accuracy);
  return best;
}

}  // namespace mixop::test
