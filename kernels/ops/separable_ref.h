// The definition of separable and separable_grad in plain loops; sums are kept in double.
#pragma once

#include <algorithm>
#include <cmath>
#include <vector>

#include "kernels/ops/separable_call.h"

namespace mixop::kernels {

/// Calls f(x pixel, y pixel, filter element) for all that the window connects in image n; pixels are row numbers.
template <class F>
void window_connections(const Window& w, const Shape& x, const Shape& y, int64_t n, F&& f) {
  for (int64_t oh = 0; oh < y[1]; ++oh)
    for (int64_t ow = 0; ow < y[2]; ++ow)
      for (int t = 0; t < w.kernel * w.kernel; ++t) {
        const int64_t ih = oh * w.stride - w.pad + int64_t{t / w.kernel} * w.dilation;
        const int64_t iw = ow * w.stride - w.pad + int64_t{t % w.kernel} * w.dilation;
        if (ih >= 0 && ih < x[1] && iw >= 0 && iw < x[2])
          f((n * x[1] + ih) * x[2] + iw, (n * y[1] + oh) * y[2] + ow, int64_t{t});
      }
}

/// Element e of the filter for channel c; without a depthwise half the one element is 1.
template <class T>
T filter_of(const View* w_dw, int64_t e, int64_t c) {
  return w_dw ? w_dw->as<T>()[e * w_dw->last() + c] : T(1);
}

/// y = depthwise(t(x)), contiguous; y_shape is [N,H',W',C].
template <class T>
std::vector<T> depthwise_of(const Window& w, const Loader<T>& t, const View& x, const View* w_dw,
                            const Shape& y_shape) {
  const int64_t c_count = x.last();
  std::vector<T> y(y_shape.elements(), T(0));
  for (int64_t n = 0; n < x.shape[0]; ++n)
    window_connections(w, x.shape, y_shape, n, [&](int64_t px, int64_t py, int64_t e) {
      for (int64_t c = 0; c < c_count; ++c)
        y[py * c_count + c] += t(x.as<T>()[px * x.ld + c], c) * filter_of<T>(w_dw, e, c);
    });
  return y;
}

template <class T>
void write_stats(const SeparableOperands& o) {
  const int64_t rows = o.z->rows();
  for (int64_t k = 0; k < o.z->last(); ++k) {
    const T* p = o.z->template as<T>() + k;
    double sum = 0, squares = 0;
    for (int64_t r = 0; r < rows; ++r) sum += p[r * o.z->ld] - p[0];
    const double mean = p[0] + sum / rows;
    for (int64_t r = 0; r < rows; ++r) squares += (p[r * o.z->ld] - mean) * (p[r * o.z->ld] - mean);
    const double var = squares / rows;
    o.mean->template as<T>()[k] = static_cast<T>(mean);
    o.var->template as<T>()[k] = static_cast<T>(var);
    o.rstd->template as<T>()[k] = static_cast<T>(1 / std::sqrt(var + o.unit->eps));
    if (!o.unit->running) continue;
    T &m = o.running_mean->template as<T>()[k], &v = o.running_var->template as<T>()[k];
    const double unbiased = rows > 1 ? static_cast<double>(rows) / static_cast<double>(rows - 1) : 1;
    m = static_cast<T>((1 - o.unit->momentum) * m + o.unit->momentum * mean);
    v = static_cast<T>((1 - o.unit->momentum) * v + o.unit->momentum * unbiased * var);
  }
}

template <class T>
void separable_ref(const Call& call) {
  const auto& a = call.attr<SeparableAttrs>();
  for (size_t u = 0; u < a.units.size(); ++u) {
    if (!is_active<SeparableAttrs>(call, u)) continue;
    const SeparableOperands o = separable_operands(call, u);
    const int64_t channels = o.x->last(), k_count = o.z->last();
    Shape y_shape = o.z->shape;
    y_shape[3] = channels;
    const std::vector<T> y =
        depthwise_of<T>(o.unit->window, Loader<T>(call, o.unit->load, o.load_at), *o.x, o.w_dw, y_shape);
    for (int64_t p = 0; p < o.z->rows(); ++p)
      for (int64_t k = 0; k < k_count; ++k) {
        T sum = 0;
        for (int64_t c = 0; c < channels; ++c)
          sum += y[p * channels + c] * o.w_pw->template as<T>()[c * k_count + k];
        o.z->template as<T>()[p * o.z->ld + k] = sum;
      }
    if (a.stats) write_stats<T>(o);
  }
}

/// dz of one unit, contiguous.
template <class T>
std::vector<T> norm_gradient(const SeparableGradOperands& o) {
  const int64_t k_count = o.z->last(), rows = o.z->rows();
  T scale = 1;
  if (o.table) {
    const int64_t i = o.unit->scale_index;
    scale = o.table->template as<T>()[i / o.table->last() * o.table->ld + i % o.table->last()];
  }
  const int64_t pixels = o.z->shape[1] * o.z->shape[2];
  std::vector<T> dz(rows * k_count);
  for (int64_t p = 0; p < rows; ++p) {
    const T factor = o.factor ? scale * o.factor->template as<T>()[p / pixels] : scale;
    for (int64_t k = 0; k < k_count; ++k) {
      const T rstd = o.rstd->template as<T>()[k];
      const T zhat = (o.z->template as<T>()[p * o.z->ld + k] - o.mean->template as<T>()[k]) * rstd;
      const T g = factor * o.dy->template as<T>()[p * o.dy->ld + k] -
                  (o.s1->template as<T>()[k] + zhat * o.s2->template as<T>()[k]) / static_cast<T>(rows);
      dz[p * k_count + k] = g * rstd * (o.gamma ? o.gamma->template as<T>()[k] : T(1));
    }
  }
  return dz;
}

template <class T>
void weight_gradients(const SeparableGradOperands& o, const Loader<T>& t, const std::vector<T>& dz,
                      const std::vector<T>& dy, const Shape& y_shape) {
  const int64_t channels = o.x->last(), k_count = o.z->last();
  const std::vector<T> y = depthwise_of<T>(o.unit->window, t, *o.x, o.w_dw, y_shape);
  T* dw_pw = o.dw_pw->template as<T>();
  std::fill_n(dw_pw, channels * k_count, T(0));
  for (int64_t p = 0; p < o.z->rows(); ++p)
    for (int64_t c = 0; c < channels; ++c)
      for (int64_t k = 0; k < k_count; ++k) dw_pw[c * k_count + k] += y[p * channels + c] * dz[p * k_count + k];
  if (!o.dw_dw) return;
  T* dw_dw = o.dw_dw->template as<T>();
  std::fill_n(dw_dw, o.dw_dw->shape.elements(), T(0));
  for (int64_t n = 0; n < y_shape[0]; ++n)
    window_connections(o.unit->window, o.x->shape, y_shape, n, [&](int64_t px, int64_t py, int64_t e) {
      for (int64_t c = 0; c < channels; ++c)
        dw_dw[e * channels + c] += dy[py * channels + c] * t(o.x->template as<T>()[px * o.x->ld + c], c);
    });
}

/// Adds what one unit contributes to dx of its group.
template <class T>
void data_gradient(const SeparableGradOperands& o, const Loader<T>& t, const std::vector<T>& dy,
                   const Shape& y_shape, std::vector<T>& dx) {
  const int64_t channels = o.x->last();
  for (int64_t n = 0; n < y_shape[0]; ++n)
    window_connections(o.unit->window, o.x->shape, y_shape, n, [&](int64_t px, int64_t py, int64_t e) {
      for (int64_t c = 0; c < channels; ++c) {
        const bool open = !t.relu || t(o.x->template as<T>()[px * o.x->ld + c], c) > 0;
        if (open) dx[px * channels + c] += dy[py * channels + c] * filter_of<T>(o.w_dw, e, c);
      }
    });
}

/// Writes dx of a group and its sums; where no unit of it is active all of them are 0, whatever x is.
template <class T>
void finish_group(const SeparableGradOperands& o, const Loader<T>& t, const std::vector<T>& dx, bool active) {
  const int64_t channels = o.x->last();
  for (int64_t c = 0; c < channels; ++c) {
    double s1 = 0, s2 = 0;
    for (int64_t p = 0; p < o.x->rows(); ++p) {
      const T v = dx[p * channels + c];
      T& to = o.dx->template as<T>()[p * o.dx->ld + c];
      to = o.dx->write == Write::kAdd ? to + v : v;
      s1 += v;
      if (o.dx_s2 && active)
        s2 += static_cast<double>(v) * (o.x->template as<T>()[p * o.x->ld + c] - t.mean[c]) * t.rstd[c];
    }
    if (!o.dx_s1) continue;
    o.dx_s1->template as<T>()[c] = static_cast<T>(s1);
    o.dx_s2->template as<T>()[c] = static_cast<T>(s2);
  }
}

/// Writes the weight gradients of one unit and adds what it contributes to dx of its group, each where wanted.
template <class T>
void add_unit_gradients(const SeparableGradOperands& o, const Loader<T>& t, std::vector<T>& dx) {
  const int64_t channels = o.x->last(), k_count = o.z->last();
  Shape y_shape = o.z->shape;
  y_shape[3] = channels;
  const std::vector<T> dz = norm_gradient<T>(o);
  std::vector<T> dy(y_shape.elements(), T(0));
  for (int64_t p = 0; p < o.z->rows(); ++p)
    for (int64_t c = 0; c < channels; ++c)
      for (int64_t k = 0; k < k_count; ++k)
        dy[p * channels + c] += dz[p * k_count + k] * o.w_pw->template as<T>()[c * k_count + k];
  if (o.dw_pw) weight_gradients<T>(o, t, dz, dy, y_shape);
  if (o.dx) data_gradient<T>(o, t, dy, y_shape, dx);
}

template <class T>
void separable_grad_ref(const Call& call) {
  const auto& a = call.attr<SeparableGradAttrs>();
  std::vector<T> dx;
  bool group_active = false;
  for (size_t u = 0; u < a.units.size(); ++u) {
    const SeparableGradOperands o = separable_grad_operands(call, u);
    const Loader<T> t(call, o.unit->load, o.load_at);
    const bool active = is_active<SeparableGradAttrs>(call, u);
    if (!o.unit->same_input) dx.assign(a.dx ? o.x->shape.elements() : 0, T(0)), group_active = false;
    group_active |= active;
    if (active) {
      add_unit_gradients<T>(o, t, dx);
    } else {
      if (o.dw_dw) std::fill_n(o.dw_dw->template as<T>(), o.dw_dw->shape.elements(), T(0));
      if (o.dw_pw) std::fill_n(o.dw_pw->template as<T>(), o.dw_pw->shape.elements(), T(0));
    }
    const bool last = u + 1 == a.units.size() || !a.units[u + 1].same_input;
    if (a.dx && last) finish_group<T>(o, t, dx, group_active);
  }
}

}  // namespace mixop::kernels
