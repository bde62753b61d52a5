// The definition of the mixed operation in plain loops.
#pragma once

#include "kernels/ops/mix.h"

namespace mixop::kernels {

template <class T>
void mix_ref(const Call& call) {
  const Out& y = call.out[0];
  for (int64_t r = 0; r < y.rows(); ++r)
    for (int64_t c = 0; c < y.last(); ++c) {
      double sum = 0;
      size_t at = call.attr<MixAttrs>().first_term();
      for (const MixAttrs::Term& term : call.attr<MixAttrs>().terms) {
        const View& z = call.in[at];
        if (!z.data) {
          at += term.inputs();
          continue;
        }
        const Loader<T> load(call, term.load, at + 1);
        double weight = weight_of<T>(call, term.index);
        if (term.sampled) weight *= call.in[at + term.inputs() - 1].as<T>()[r / rows_per_sample(y)];
        sum += weight * load(z.as<T>()[r * z.ld + c], c);
        at += term.inputs();
      }
      T& out = y.as<T>()[r * y.ld + c];
      out = static_cast<T>(y.write == Write::kAdd ? out + sum : sum);
    }
}

template <class T>
void scale_ref(const Call& call) {
  const View &table = call.in[0], &x = call.in[1];
  const Out& y = call.out[0];
  const T weight = table.as<T>()[table_offset(table, call.attr<ScaleAttrs>().index)];
  for (int64_t r = 0; r < x.rows(); ++r)
    for (int64_t c = 0; c < x.last(); ++c) {
      T& out = y.as<T>()[r * y.ld + c];
      const T value = weight * x.as<T>()[r * x.ld + c];
      out = y.write == Write::kAdd ? out + value : value;
    }
}

template <class T>
void mix_weight_grad_ref(const Call& call) {
  const View& g = call.in[0];
  const Out& dtable = call.out[0];
  if (dtable.write == Write::kSet)
    for (int64_t i = 0; i < dtable.shape.elements(); ++i) dtable.as<T>()[table_offset(dtable, i)] = 0;
  size_t at = 2;
  for (const MixAttrs::Term& term : call.attr<MixAttrs>().terms) {
    const View& z = call.in[at];
    const Loader<T> load(call, term.load, at + 1);
    double sum = 0;
    for (int64_t r = 0; z.data && r < g.rows(); ++r)
      for (int64_t c = 0; c < g.last(); ++c)
        sum += static_cast<double>(g.as<T>()[r * g.ld + c]) * load(z.as<T>()[r * z.ld + c], c);
    T& out = dtable.as<T>()[table_offset(dtable, term.index)];
    out = static_cast<T>(out + sum);
    at += term.inputs();
  }
}

template <class T>
void mix_reduce_ref(const Call& call) {
  const auto& a = call.attr<MixReduceAttrs>();
  const View& g = call.in[0];
  const auto put = [](const Out& out, int64_t at, double value) {
    T& v = out.as<T>()[at];
    v = static_cast<T>(out.write == Write::kAdd ? v + value : value);
  };
  std::vector<double> dtable(a.dtable ? static_cast<size_t>(call.out[0].shape.elements()) : 0);
  size_t at = a.first_term(), out = a.first_sums();
  for (const MixReduceAttrs::Term& term : a.terms) {
    const View& z = call.in[at];
    const Loader<T> norm(call, term.load, at + 1);
    const double scale = term.scaled ? call.in[1].as<T>()[table_offset(call.in[1], term.index)] : T(1);
    const T* const factor = term.sampled ? call.in[at + term.inputs() - 1].as<T>() : nullptr;
    for (int64_t c = 0; z.data && c < g.last(); ++c) {
      double s1 = 0, s2 = 0;
      for (int64_t r = 0; r < g.rows(); ++r) {
        double v = g.as<T>()[r * g.ld + c];
        if (factor) v *= factor[r / rows_per_sample(g)];
        s1 += v;
        s2 += v * (static_cast<double>(z.as<T>()[r * z.ld + c]) - (norm.mean ? norm.mean[c] : 0));
      }
      if (norm.mean) s2 *= norm.rstd[c];
      if (term.weighted)
        dtable[static_cast<size_t>(term.index)] += norm.gamma ? norm.gamma[c] * s2 + norm.beta[c] * s1 : s2;
      if (!term.sums) continue;
      put(call.out[out], c, scale * s1);
      put(call.out[out + 1], c, scale * s2);
    }
    at += term.inputs();
    out += term.sums ? 2 : 0;
  }
  for (size_t i = 0; i < dtable.size(); ++i)
    put(call.out[0], table_offset(call.out[0], static_cast<int64_t>(i)), dtable[i]);
}

}  // namespace mixop::kernels
