// Losses with every reduction, smoothing and ignored label, and counts of right answers.
#pragma once

#include "autograd/ops/cross_entropy.h"
#include "tests/support/case.h"

namespace mixop::test {

inline std::vector<Case> cross_entropy_cases() {
  using autograd::Graph;
  using autograd::Reduction;
  using autograd::Value;
  using Values = std::vector<Value>;
  using Fill = CaseInput::Fill;
  constexpr std::pair<const char*, Reduction> kReductions[] = {
      {"none", Reduction::kNone}, {"mean", Reduction::kMean}, {"sum", Reduction::kSum}};
  std::vector<Case> cases;
  for (const auto& [n, classes] : {std::pair{1, 1}, {1, 10}, {64, 10}, {7, 17}, {40, 100}, {5, 1000}, {3, 1300}}) {
    const CaseInput logits{"logits", {n, classes}};
    const CaseInput labels{"labels", {n}, Fill::kLabels, false, classes};
    for (const auto& [name, reduction] : kReductions) {
      for (const double smoothing : {0.0, 0.1}) {
        cases.push_back({kernels::text("cross_entropy", logits.shape, " ", name, " smoothing ", smoothing),
                         {logits, labels},
                         [smoothing, reduction = reduction](Graph& g, const Values& in) {
                           return Values{autograd::cross_entropy(g, in[0], in[1], smoothing, reduction)};
                         }});
      }
      cases.push_back({kernels::text("cross_entropy_soft", logits.shape, " ", name),
                       {logits, {"targets", logits.shape, Fill::kPositive}},
                       [reduction = reduction](Graph& g, const Values& in) {
                         return Values{autograd::cross_entropy_soft(g, in[0], in[1], reduction)};
                       }});
    }
    CaseInput fixed = logits;
    fixed.differentiate = false;
    cases.push_back(
        {kernels::text("top_k", logits.shape), {fixed, labels}, [k = classes](Graph& g, const Values& in) {
           return Values{autograd::top1(g, in[0], in[1]), autograd::top_k(g, in[0], in[1], (k + 1) / 2)};
         }});
  }
  for (const auto& [name, reduction] : kReductions) {
    cases.push_back({kernels::text("cross_entropy ignoring a label, ", name),
                     {{"logits", {30, 4}}, {"labels", {30}, Fill::kLabels, false, 4}},
                     [reduction = reduction](Graph& g, const Values& in) {
                       return Values{autograd::cross_entropy(g, in[0], in[1], 0.2, reduction, 2)};
                     }});
  }
  // The gradient of the loss itself, where 1 arrives.
  for (const std::optional<int>& ignored : {std::optional<int>(), std::optional<int>(2)})
    cases.push_back(
        {kernels::text("gradient of cross_entropy", ignored ? " ignoring a label" : ""),
         {{.name = "logits", .shape = {30, 4}, .differentiate = false}, {"labels", {30}, Fill::kLabels, false, 4}},
         [ignored](Graph& g, const Values& in) {
           return autograd::gradients(g, autograd::cross_entropy(g, in[0], in[1], 0.1, Reduction::kMean, ignored),
                                      {in[0]});
         }});
  return cases;
}

}  // namespace mixop::test
