// The definition of the mixed operation in plain loops.
#pragma once

#include "kernels/ops/mix.h"

namespace mixop::kernels {

template <class T>
void mix_ref(const Call& call) {
  const View& table = call.in[0];
  const Out& y = call.out[0];
  for (int64_t r = 0; r < y.rows(); ++r)
    for (int64_t c = 0; c < y.last(); ++c) {
      double sum = 0;
      size_t at = 1;
      for (const MixAttrs::Term& term : call.attr<MixAttrs>().terms) {
        const View& z = call.in[at];
        const Loader<T> load(call, term.load, at + 1);
        const double weight = table.as<T>()[table_offset(table, term.index)];
        sum += weight * load(z.as<T>()[r * z.ld + c], c);
        at += 1 + term.load.inputs();
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
    for (int64_t r = 0; r < g.rows(); ++r)
      for (int64_t c = 0; c < g.last(); ++c)
        sum += static_cast<double>(g.as<T>()[r * g.ld + c]) * load(z.as<T>()[r * z.ld + c], c);
    T& out = dtable.as<T>()[table_offset(dtable, term.index)];
    out = static_cast<T>(out + sum);
    at += 1 + term.load.inputs();
  }
}

}  // namespace mixop::kernels
