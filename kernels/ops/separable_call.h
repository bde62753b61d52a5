// The operands of a separable or separable_grad call by name, one unit at a time.
#pragma once

#include "kernels/ops/separable.h"

namespace mixop::kernels {

struct SeparableOperands {
  const SeparableUnit* unit;
  size_t load_at;                          ///< index of the mean of t among the inputs, if it has one
  const View *x, *w_dw, *w_pw;             ///< x also where it is that of the unit before
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
  o.w_dw = &call.in[w], o.w_pw = &call.in[w + 1];
  if (unit.running) o.running_mean = &call.in[w + 2], o.running_var = &call.in[w + 3];
  const Out* out = &call.out[i * (a.stats ? 4 : 1)];
  o.z = out;
  if (a.stats) o.mean = out + 1, o.var = out + 2, o.rstd = out + 3;
  return o;
}

struct SeparableGradOperands {
  const SeparableGradUnit* unit;
  const View *dy, *z, *mean, *rstd, *s1, *s2;
  const View *gamma, *table, *factor;  ///< or null
  const View *x, *w_dw, *w_pw;
  size_t load_at;                 ///< index of the mean of t among the inputs, if it has one
  const Out *dx, *dx_s1, *dx_s2;  ///< of the unit's group, or null; shared by its units
  const Out *dw_dw, *dw_pw;       ///< or null
};

/// Of unit i.
inline SeparableGradOperands separable_grad_operands(const Call& call, size_t i) {
  const auto& a = call.attr<SeparableGradAttrs>();
  size_t at = 0, groups = 0, group_of = 0;
  for (size_t u = 0; u < a.units.size(); ++u) {
    if (!a.units[u].same_input) ++groups;
    if (u < i) at += a.units[u].inputs();
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
  o.w_dw = &call.in[next], o.w_pw = &call.in[next + 1];
  const size_t per_group = a.outputs_of_group();
  if (a.dx) o.dx = &call.out[group_of * per_group];
  if (a.dx && a.sums) o.dx_s1 = o.dx + 1, o.dx_s2 = o.dx + 2;
  if (a.dw) o.dw_dw = &call.out[groups * per_group + 2 * i], o.dw_pw = o.dw_dw + 1;
  return o;
}

}  // namespace mixop::kernels
