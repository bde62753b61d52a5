// separable and separable_grad as nodes of their own, in forms that passes make of whole networks only: units
// without a depthwise half beside others, several groups in a call, channels that are slices of a wider tensor.
#pragma once

#include <utility>

#include "autograd/ops/binary.h"
#include "autograd/ops/concat.h"
#include "autograd/ops/separable.h"
#include "tests/support/case.h"

namespace mixop::test {

/// One unit of a call: its window, channels and where its operands come from.
struct DirectUnit {
  kernels::Window window{3, 1, 1, 1};
  bool depthwise = true;
  int64_t out = 16;                                      ///< channels of z
  int x = 0;                                             ///< which of the call's inputs it reads
  kernels::OnLoad load{};                                ///< alike for all units of an input
  bool affine = false, scaled = false, sampled = false;  ///< of separable_grad
};

inline DirectUnit pointwise_unit(int64_t out, int stride = 1, int skipped = 0, int x = 0,
                                 kernels::OnLoad load = {}) {
  return {.window = {1, stride, -skipped, 1}, .depthwise = false, .out = out, .x = x, .load = load};
}

class DirectCase {
 public:
  DirectCase(const std::string& name, std::vector<kernels::Shape> xs, std::vector<DirectUnit> units)
      : xs_(std::move(xs)), units_(std::move(units)) {
    case_.name = name;
    for (const kernels::Shape& x : xs_) case_.name += kernels::text(" ", x);
    for (size_t i = 0, alike = 1; i < units_.size(); i += alike) {
      const std::string unit = name_of(units_[i]);
      for (alike = 1; i + alike < units_.size() && name_of(units_[i + alike]) == unit;) ++alike;
      case_.name += alike > 1 ? kernels::text(", ", alike, " times ", unit) : ", " + unit;
    }
    for (size_t i = 0; i < xs_.size(); ++i) x_at_.push_back(add(kernels::text("x", i), xs_[i]));
    for (size_t i = 0; i < xs_.size(); ++i) load_at_.push_back(norm(kernels::text("load", i), xs_[i].last(), true));
  }

  /// z and its statistics, of all units, or of those whose element of `active` is not 0; operands of the others are
  /// NaN.
  Case forward(bool stats, const std::vector<int>& active = {}) {
    case_.name = "separable" + case_.name + (stats ? " stats" : "");
    std::vector<int> weights;
    for (size_t i = 0; i < units_.size(); ++i) weights.push_back(add_weights(i));
    if (!active.empty()) add_active(active, weights);
    case_.build = [=, *this](autograd::Graph& g, const std::vector<autograd::Value>& in) {
      kernels::SeparableAttrs attrs{{}, stats, !active.empty()};
      std::vector<autograd::Value> operands;
      for (size_t i = 0; i < units_.size(); ++i) {
        const DirectUnit& u = units_[i];
        attrs.units.push_back({.window = u.window,
                               .load = u.load,
                               .depthwise = u.depthwise,
                               .same_input = i > 0 && units_[i - 1].x == u.x});
        push_unit(operands, in, u, weights[i]);
      }
      if (active.empty()) return g.add(autograd::kSeparable, operands, attrs);
      operands.push_back(in.back());
      const std::vector<autograd::Value> all = g.add(autograd::kSeparable, operands, attrs);
      std::vector<autograd::Value> out;
      for (size_t i = 0; i < all.size(); ++i)
        if (active[i / (stats ? 4 : 1)]) out.push_back(all[i]);
      return out;
    };
    return std::move(case_);
  }

  /// dx of all inputs with their sums, and the gradients of the weights, as far as they are wanted. With `add` each
  /// dx goes into a sum with one more tensor. Operands of units whose element of `active` is 0 are NaN.
  Case backward(bool dx, bool sums, bool dw, bool add_to_dx = false, const std::vector<int>& active = {}) {
    case_.name = "separable_grad" + case_.name + (dx ? " dx" : "") + (sums ? " sums" : "") + (dw ? " dw" : "") +
                 (add_to_dx ? " added" : "");
    const int table = add("table", {3, 4});
    const size_t before = case_.inputs.size();
    for (size_t i = 0; add_to_dx && i < xs_.size(); ++i) add(kernels::text("before", i), xs_[i]);
    std::vector<int> weights, arriving;
    for (size_t i = 0; i < units_.size(); ++i) {
      const DirectUnit& u = units_[i];
      const kernels::Shape& x = xs_[static_cast<size_t>(u.x)];
      const kernels::Shape z{x[0], u.window.extent(x[1]), u.window.extent(x[2]), u.out};
      arriving.push_back(add(kernels::text("dy", i), z));
      add(kernels::text("z", i), z);
      norm(kernels::text("norm", i), u.out, false);
      add(kernels::text("s1.", i), {u.out});
      add(kernels::text("s2.", i), {u.out});
      add(kernels::text("gamma", i), {u.out});
      add(kernels::text("factor", i), {x[0]});
      weights.push_back(add_weights(i));
    }
    if (!active.empty()) add_active(active, arriving);
    case_.build = [=, *this](autograd::Graph& g, const std::vector<autograd::Value>& in) {
      kernels::SeparableGradAttrs attrs{{}, dx, sums, dw, !active.empty()};
      std::vector<autograd::Value> operands;
      for (size_t i = 0; i < units_.size(); ++i) {
        const DirectUnit& u = units_[i];
        kernels::SeparableGradUnit unit;
        unit.window = u.window, unit.load = u.load, unit.depthwise = u.depthwise;
        unit.same_input = i > 0 && units_[i - 1].x == u.x;
        unit.affine = u.affine, unit.scaled = u.scaled, unit.sampled = u.sampled;
        unit.scale_index = static_cast<int64_t>(i) % 12;
        attrs.units.push_back(unit);
        const auto first = in.begin() + arriving[i];
        operands.insert(operands.end(), first, first + 6);
        if (u.affine) operands.push_back(first[6]);
        if (u.scaled) operands.push_back(in[static_cast<size_t>(table)]);
        if (u.sampled) operands.push_back(first[7]);
        push_unit(operands, in, u, weights[i]);
      }
      if (!active.empty()) operands.push_back(in.back());
      std::vector<autograd::Value> out = g.add(autograd::kSeparableGrad, operands, attrs);
      if (add_to_dx) {  // each input's gradient adds to something that is there before
        const size_t step = attrs.outputs_of_group();
        for (size_t i = 0; i < xs_.size(); ++i)
          out[i * step] = autograd::sum(g, {autograd::add(g, in[before + i], in[before + i]), out[i * step]});
      }
      return out;
    };
    return std::move(case_);
  }

 private:
  static std::string name_of(const DirectUnit& u) {
    return kernels::text(u.depthwise ? "k" : "pointwise k", u.window.kernel, "s", u.window.stride, "p",
                         u.window.pad, "d", u.window.dilation, " to ", u.out, " of ", u.x, u.load.norm ? "n" : "",
                         u.load.affine ? "a" : "", u.load.relu ? "r" : "", u.affine ? " gamma" : "",
                         u.scaled ? " scaled" : "", u.sampled ? " sampled" : "");
  }
  int add(const std::string& name, const kernels::Shape& shape, CaseInput::Fill fill = CaseInput::Fill::kNormal) {
    case_.inputs.push_back({.name = name, .shape = shape, .fill = fill, .differentiate = false});
    return static_cast<int>(case_.inputs.size()) - 1;
  }
  /// mean, rstd [, gamma, beta].
  int norm(const std::string& name, int64_t channels, bool affine) {
    const int first = add(name + ".mean", {channels});
    add(name + ".rstd", {channels}, CaseInput::Fill::kPositive);
    if (affine) add(name + ".gamma", {channels}), add(name + ".beta", {channels});
    return first;
  }
  int add_weights(size_t i) {
    const DirectUnit& u = units_[i];
    const int64_t channels = xs_[static_cast<size_t>(u.x)].last();
    const int first = static_cast<int>(case_.inputs.size());
    if (u.depthwise) add(kernels::text("w_dw", i), {u.window.kernel, u.window.kernel, 1, channels});
    add(kernels::text("w_pw", i), {1, 1, channels, u.out});
    return first;
  }
  /// The table as the last input; unit i's own operands begin at first[i] and go on to those of the next, or the
  /// end.
  void add_active(const std::vector<int>& active, std::vector<int> first) {
    const auto undefine = [&](int begin, int end) {
      for (int i = begin; i < end; ++i) case_.inputs[static_cast<size_t>(i)].fill = CaseInput::Fill::kUndefined;
    };
    first.push_back(static_cast<int>(case_.inputs.size()));
    std::vector<bool> read(xs_.size());
    case_.name += " active";
    for (size_t i = 0; i < units_.size(); ++i) {
      case_.name += kernels::text(" ", active[i]);
      if (active[i]) read[static_cast<size_t>(units_[i].x)] = true;
      else undefine(first[i], first[i + 1]);
    }
    for (size_t i = 0; i < xs_.size(); ++i)
      if (!read[i]) undefine(x_at_[i], x_at_[i] + 1), undefine(load_at_[i], load_at_[i] + 4);
    const int table = add("active", {static_cast<int64_t>(units_.size())}, CaseInput::Fill::kLabels);
    case_.inputs[static_cast<size_t>(table)].labels = active;
  }
  void push_unit(std::vector<autograd::Value>& operands, const std::vector<autograd::Value>& in,
                 const DirectUnit& u, int weights) const {
    operands.push_back(in[static_cast<size_t>(x_at_[static_cast<size_t>(u.x)])]);
    const auto load = in.begin() + load_at_[static_cast<size_t>(u.x)];
    operands.insert(operands.end(), load, load + u.load.inputs());
    const auto w = in.begin() + weights;
    operands.insert(operands.end(), w, w + (u.depthwise ? 2 : 1));
  }

  Case case_;
  std::vector<kernels::Shape> xs_;
  std::vector<DirectUnit> units_;
  std::vector<int> x_at_, load_at_;
};

/// Four units of one input, of all kinds, and one of another.
inline DirectCase skipped_units(int64_t channels, int stride) {
  const kernels::OnLoad affine{.norm = true, .affine = true, .relu = true};
  DirectUnit three{.window = {3, stride, 1, 1}, .out = channels, .load = affine}, five = three, other = three;
  five.window = {5, stride, 4, 2}, other.x = 1;
  return DirectCase("", {{2, 10, 8, channels}, {2, 10, 8, channels}},
                    {five, three, pointwise_unit(8, stride, 0, 0, affine), five, other});
}

inline std::vector<Case> separable_direct_cases() {
  using kernels::OnLoad;
  const OnLoad relu{.relu = true}, normed{.norm = true, .relu = true},
      affine{.norm = true, .affine = true, .relu = true};
  std::vector<Case> cases;
  const auto add = [&](const std::vector<kernels::Shape>& xs, const std::vector<DirectUnit>& units, bool sums) {
    cases.push_back(DirectCase("", xs, units).forward(true));
    cases.push_back(DirectCase("", xs, units).backward(true, sums, true));
    cases.push_back(DirectCase("", xs, units).backward(true, false, false, true));
    cases.push_back(DirectCase("", xs, units).backward(false, false, true));
  };
  // The preprocessing of a cell: 1x1 of channels, and of a strided grid with and without the first pixel.
  for (const int64_t c : {4, 16, 17, 36, 64, 144})
    for (const int64_t k : {4, 16, 20, 64}) {
      add({{2, 5, 6, c}}, {pointwise_unit(k, 1, 0, 0, relu)}, false);
      add({{2, 6, 8, c}}, {pointwise_unit(k, 2, 0, 0, relu), pointwise_unit(k, 2, 1, 0, relu)}, false);
    }
  add({{1, 4, 4, 256}}, {pointwise_unit(64, 1, 0, 0, relu)}, false);
  add({{2, 19, 18, 48}}, {pointwise_unit(16, 1, 0, 0, affine)}, true);
  add({{3, 7, 7, 16}}, {pointwise_unit(16, 1, 0, 0, normed)}, true);
  // Both inputs of a cell at once.
  add({{2, 8, 8, 64}, {2, 8, 8, 48}}, {pointwise_unit(16, 1, 0, 0, relu), pointwise_unit(16, 1, 0, 1, affine)},
      false);
  add({{2, 8, 8, 32}, {2, 4, 4, 64}},
      {pointwise_unit(16, 2, 0, 0, relu), pointwise_unit(16, 2, 1, 0, relu), pointwise_unit(32, 1, 0, 1, relu)},
      false);
  // Beside separable convolutions of the same input, of stride 2 as in a reduction cell.
  for (const int64_t c : {16, 20}) {
    DirectUnit three{.window = {3, 2, 1, 1}, .out = c, .load = relu},
        five{.window = {5, 2, 4, 2}, .out = c, .load = relu};
    add({{2, 8, 10, c}}, {three, five, pointwise_unit(c / 2, 2, 0, 0, relu), pointwise_unit(c / 2, 2, 1, 0, relu)},
        false);
    DirectUnit second = three;
    second.x = 1;
    add({{2, 8, 8, c}, {2, 8, 8, c}}, {three, pointwise_unit(c / 2, 2, 1, 0, relu), second}, false);
    // Units that are skipped, of two kinds.
    const DirectCase kinds("", {{2, 9, 10, c}},
                           {three, pointwise_unit(c / 2 + 1, 2), pointwise_unit(c / 2, 2), five});
    cases.push_back(DirectCase(kinds).forward(c == 16, {0, 1, 1, 0}));
    cases.push_back(DirectCase(kinds).forward(true, {1, 0, 0, 1}));
  }
  // Gradients of which some, all or none are skipped, also all of one input; 17 channels take plain kernels.
  for (const auto& [c, stride] : {std::pair<int64_t, int>{17, 2}, {20, 1}, {20, 2}}) {
    const DirectCase units = skipped_units(c, stride);
    for (const std::vector<int>& active :
         std::vector<std::vector<int>>{{0, 1, 0, 1, 1}, {0, 0, 0, 0, 1}, {0, 0, 0, 0, 0}, {1, 1, 1, 1, 1}})
      cases.push_back(DirectCase(units).backward(true, true, true, false, active));
    cases.push_back(DirectCase(units).backward(true, false, false, true, {0, 0, 1, 0, 0}));
    cases.push_back(DirectCase(units).backward(false, false, true, false, {1, 0, 0, 1, 0}));
  }
  // Many units of a small input, with the sums of what they add up to.
  for (const int stride : {1, 2}) {
    std::vector<DirectUnit> units{pointwise_unit(8, stride, stride - 1, 0, affine)};
    for (const int kernel : {3, 5})
      for (const int dilation : {1, 2})
        units.push_back({.window = {kernel, stride, kernel / 2 * dilation, dilation}, .out = 20, .load = affine});
    add({{2, 6, 8, 20}}, units, true);
    add({{1, 12, 9, 36}}, units, true);
  }
  // Groups of which only one fits tiles, and a depth that only those of dx take.
  add({{2, 8, 8, 16}, {2, 8, 8, 17}}, {{.out = 16, .load = relu}, {.out = 16, .x = 1, .load = relu}}, false);
  add({{1, 10, 9, 20}}, {{.out = 20, .load = relu}, {.window = {5, 1, 4, 2}, .out = 144, .load = relu}}, false);
  // More units than a launch takes; more shared memory than any kernel has; several pixels left out.
  cases.push_back(
      DirectCase(" many", {{1, 2, 3, 4}}, std::vector<DirectUnit>(130, pointwise_unit(4, 1, 0, 0, relu)))
          .forward(true));
  cases.push_back(DirectCase("", {{1, 5, 6, 144}},
                             {{.window = {5, 1, 4, 2}, .out = 36, .load = affine},
                              {.window = {3, 1, 1, 1}, .out = 16, .load = affine}})
                      .forward(true));
  cases.push_back(
      DirectCase("", {{2, 17, 11, 40}}, {pointwise_unit(100, 1, 2, 0, affine), pointwise_unit(12, 2, 3, 0, affine)})
          .forward(false));
  // Large tiles.
  cases.push_back(DirectCase("", {{2, 19, 18, 12}},
                             {{.out = 20, .load = affine}, {.window = {5, 1, 4, 2}, .out = 8, .load = affine}})
                      .forward(true));
  // The same of stride 1, and pixels left out.
  for (const int64_t c : {4, 16, 20}) {
    const DirectUnit three{.window = {3, 1, 1, 1}, .out = c, .load = affine};
    add({{2, 5, 6, c}}, {pointwise_unit(16, 1, 0, 0, affine), three, pointwise_unit(8, 1, 0, 0, affine)}, true);
    add({{2, 5, 7, c}}, {pointwise_unit(16, 1, 2, 0, relu), pointwise_unit(8, 1, 0, 0, relu)}, false);
  }
  // What arrives is scaled, sampled, behind an affine norm.
  DirectUnit all = pointwise_unit(16, 1, 0, 0, affine);
  all.affine = all.scaled = all.sampled = true;
  add({{3, 6, 5, 32}}, {all}, true);
  return cases;
}

}  // namespace mixop::test
