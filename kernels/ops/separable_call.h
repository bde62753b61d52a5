// The operands of a separable or separable_grad call by name, one unit at a time.
#pragma once

#include <algorithm>

#include "kernels/ops/separable.h"

namespace mixop::kernels {

struct SeparableOperands {
  const SeparableUnit* unit;
  size_t load_at;                          ///< index of the mean of t among the inputs, if it has one
  const View *x, *w_dw, *w_pw;             ///< x also where it is that of the unit before; w_dw may be null
  const View *running_mean, *running_var;  ///< or null
  const Out *z, *mean, *var, *rstd;        ///< the last three null without statistics
};

/// Of unit i.
inline SeparableOperands separable_operands(const Call& call, size_t i) {
  const auto& a = call.attr<SeparableAttrs>();
  size_t at = 0;
  for (size_t u = 0; u < i; ++u) at += a.units[u].inputs();
  const SeparableUnit& unit = a.units[i];
  SeparableOperands o{&unit,   at + 1,  &call.in[at], nullptr, nullptr, nullptr,
                      nullptr, nullptr, nullptr,      nullptr, nullptr};
  const size_t w = at + 1 + static_cast<size_t>(unit.load.inputs());
  const size_t behind = w + unit.weights();
  if (unit.depthwise) o.w_dw = &call.in[w];
  o.w_pw = &call.in[behind - 1];
  if (unit.running) o.running_mean = &call.in[behind], o.running_var = &call.in[behind + 1];
  const Out* out = &call.out[i * (a.stats ? 4 : 1)];
  o.z = out;
  if (a.stats) o.mean = out + 1, o.var = out + 2, o.rstd = out + 3;
  return o;
}

/// Whether unit i is computed, as the call's table says; host memory.
template <class Attrs>
bool is_active(const Call& call, size_t i) {
  return !call.attr<Attrs>().active || call.in.back().as<int32_t>()[i] != 0;
}

struct SeparableGradOperands {
  const SeparableGradUnit* unit;
  const View *dy, *z, *mean, *rstd, *s1, *s2;
  const View *gamma, *table, *factor;  ///< or null
  const View *x, *w_dw, *w_pw;         ///< w_dw may be null
  size_t load_at;                      ///< index of the mean of t among the inputs, if it has one
  const Out *dx, *dx_s1, *dx_s2;       ///< of the unit's group, or null; shared by its units
  const Out *dw_dw, *dw_pw;            ///< each or null
};

/// Of unit i.
inline SeparableGradOperands separable_grad_operands(const Call& call, size_t i) {
  const auto& a = call.attr<SeparableGradAttrs>();
  size_t at = 0, groups = 0, group_of = 0, weights = 0;
  for (size_t u = 0; u < a.units.size(); ++u) {
    if (!a.units[u].same_input) ++groups;
    if (u < i) at += a.units[u].inputs(), weights += a.units[u].weights();
    if (u == i) group_of = groups - 1;
  }
  const SeparableGradUnit& unit = a.units[i];
  SeparableGradOperands o{};
  o.unit = &unit;
  o.dy = &call.in[at], o.z = o.dy + 1, o.mean = o.dy + 2, o.rstd = o.dy + 3, o.s1 = o.dy + 4, o.s2 = o.dy + 5;
  size_t next = at + 6;
  if (unit.affine) o.gamma = &call.in[next++];
  if (unit.scaled) o.table = &call.in[next++];
  if (unit.sampled) o.factor = &call.in[next++];
  o.x = &call.in[next];
  o.load_at = next + 1;
  next += 1 + static_cast<size_t>(unit.load.inputs());
  if (unit.depthwise) o.w_dw = &call.in[next++];
  o.w_pw = &call.in[next];
  const size_t per_group = a.outputs_of_group();
  if (a.dx) o.dx = &call.out[group_of * per_group];
  if (a.dx && a.sums) o.dx_s1 = o.dx + 1, o.dx_s2 = o.dx + 2;
  const Out* const dw = call.out.data() + groups * per_group + weights;
  if (a.dw && unit.depthwise) o.dw_dw = dw;
  if (a.dw) o.dw_pw = dw + unit.weights() - 1;
  return o;
}

/// Every unit has a depthwise half.
template <class Attrs>
bool all_depthwise(const Call& call) {
  const auto& units = call.attr<Attrs>().units;
  return std::all_of(units.begin(), units.end(), [](const auto& u) { return u.depthwise; });
}

}  // namespace mixop::kernels
