// What one thread does with one image on the way back through separable convolutions.
#pragma once

#include "kernels/core/stencil.h"
#include "kernels/core/stream.h"
#include "kernels/ops/separable_grad_plan.h"
#include "kernels/ops/separable_grad_rows.h"
#include "kernels/ops/separable_prefetch.h"

namespace mixop::kernels {

/// One gather over a tile whose images begin at column `left`, as the stencils want it.
struct Filter {
  Axis h, w;
  int64_t column[Axis::kMaxTaps];
  int64_t spacing, vectors, taps;

  Filter() = default;
  Filter(const GradUnit& u, const Axis& h_, const Axis& w_, int64_t left)
      : h(h_),
        w(w_),
        spacing(u.spacing(w, u.layout.step() * w.in_step)),
        vectors(u.layout.vectors(w.count)),
        taps(int64_t{h.taps} * w.taps) {
    for (int s = 0; s < w.taps; ++s) column[s] = u.column(left + w.offset[s]);
  }
};

/// One thread's work on one image, unit after unit.
class ImagePass {
 public:
  static constexpr int kMaxStride = 8;

  ImagePass(const SeparableGradAttrs& a, const GradScratch& sizes, const float* fixed, float* scratch)
      : a_(a), fixed_(fixed) {
    const auto take = [&](int64_t n) { return scratch += n, scratch - n; };
    x_ = take(sizes.x), dY_ = take(sizes.dy);
    dx_[0] = take(sizes.dx), dx_[1] = take(sizes.dx);
    line_ = take(sizes.line), dz_ = take(sizes.dz), y_ = take(sizes.y);
    zero_ = take(sizes.zero), sums_ = take(sizes.sums);
    std::fill_n(dz_, sizes.dz, 0.0f);
    std::fill_n(y_, sizes.y, 0.0f);
    std::fill_n(zero_, sizes.zero, 0.0f);
  }

  /// One unit, or those that go together. `next` and `next_image` say what the next call works on.
  void run(const GradUnit* units, int64_t image, const GradUnit* next, int64_t next_image, float* partial,
           double* sums) {
    const GradUnit& u = *units;
    u_ = &u, image_ = image, partial_ = partial;
    if (!u.pixelwise) {
      prefetch_.start(steps(u));
      if (next) expect(*next, next_image);
    }
    if (u.first) std::fill_n(sums_, 2 * u.row_lanes(), 0.0f);
    if (u.pixelwise) pixelwise_group(units);
    else run_unit(u);
    const GradUnit& last = units[u.together - 1];
    if (!a_.dx || !a_.sums || !last.last) return;
    for (int64_t i = 0; i < 2 * u.row_lanes(); ++i) sums[last.sums_at + i] += sums_[i];
  }

 private:
  static constexpr int64_t kChannels = 24;  // of dw_pw at a time, between two prefetches

  void run_unit(const GradUnit& u) {
    if (a_.dw && u.first) {
      u.x_tile.clear_sides(x_);
      for (int64_t y = 0; y < u.in_h; ++y)
        load_x(u, y * u.in_w, u.in_w, x_ + y * u.x_tile.pitch() + u.column(u.x_tile.left));
    }
    if (!u.depthwise) return pixel_unit(u);
    if (a_.dw) forward_ = Filter(u, u.forward(0), u.forward(1), u.x_tile.left);
    if (u.dy_tile != cleared_) u.dy_tile.clear_sides(dY_), cleared_ = u.dy_tile;
    done_ = 0;
    if (a_.dx) data_gradient();
    output_gradient_until(u.out_h);
    if (a_.dw) depthwise_weights(u, partial_ + u.dw_dw_at);
  }

  /// t of some pixels of the image.
  void load_x(const GradUnit& u, int64_t pixel, int64_t pixels, float* to) const {
    const View& x = *u.o.x;
    rows_.load(x.as<float>() + (image_ * u.in_h * u.in_w + pixel) * x.ld, x.ld, pixels, u.channels, u.t, to,
               u.layout.pixel, !u.layout.flat);
  }

  static bool stream_dx(const GradUnit& u) { return u.o.dx->write == Write::kSet && streams(*u.o.dx); }

  /// How often a unit calls prefetch_.run().
  int64_t steps(const GradUnit& u) const {
    return u.depthwise ? u.out_h + (a_.dx ? u.in_h : 0) : pieces(u, {0, u.out_h});
  }

  void expect(const GradUnit& u, int64_t image) {
    const int64_t in = u.in_h * u.in_w, out = u.out_h * u.out_w;
    prefetch_.add(*u.o.z, image * out, out);
    if (u.first) prefetch_.add(*u.o.dy, image * out, out);
    if ((a_.dx && u.last) || (a_.dw && u.first)) prefetch_.add(*u.o.x, image * in, in);
    if (a_.dx && u.last && !stream_dx(u)) prefetch_.add(*u.o.dx, image * in, in);
  }

  /// The pixels behind `rows` rows from row y on, as many as they are, and what belongs to them.
  void expect_pixels(const GradUnit* units, int64_t y, int64_t rows) {
    const GradUnit &u = *units, *const end = units + u.together;
    int64_t calls = 0;
    for (const GradUnit* v = units; v < end; ++v) calls += pieces(*v, v->met_by({y, y + rows}));
    prefetch_.start(calls);
    const int64_t at = (image_ * u.in_h + y + rows) * u.in_w;
    prefetch_.add(*u.o.x, at, rows * u.in_w);
    if (a_.dx && !stream_dx(u)) prefetch_.add(*u.o.dx, at, rows * u.in_w);
    for (const GradUnit* v = units; v < end; ++v) {
      const Range met = v->met_by({y, y + rows});
      const int64_t z = (image_ * v->out_h + met.end) * v->out_w, count = (met.end - met.begin) * v->out_w;
      prefetch_.add(*v->o.dy, z, count);
      prefetch_.add(*v->o.z, z, count);
    }
  }

  /// dz and, from it, dY up to a row; with them what they give dw_pw.
  void output_gradient_until(int64_t end) {
    for (; done_ < end; done_ += u_->chunk) {
      const int64_t rows = std::min(u_->chunk, u_->out_h - done_);
      output_gradient(*u_, done_, rows);
      if (a_.dw) pointwise_weights(*u_, done_, rows, partial_ + u_->dw_pw_at);
    }
  }

  void output_gradient(const GradUnit& u, int64_t y, int64_t rows) {
    norm_gradient(u, y, rows);
    const GemmB w = gemm_packed(fixed_ + u.pointwise_at, u.k);
    for (int64_t r = 0; r < rows; ++r) {
      prefetch_.run();
      gemm(u.out_w, u.columns(), u.k, {dz_ + r * u.out_w * u.k_pitch, u.k_pitch, 1}, w, dY_row(u, y + r),
           u.layout.pixel, Write::kSet);
    }
  }

  void norm_gradient(const GradUnit& u, int64_t y, int64_t rows) const {
    const SeparableGradOperands& o = u.o;
    const int64_t pixel = (image_ * u.out_h + y) * u.out_w;
    const float* norm = fixed_ + u.norm_at;
    ends_.norm_gradient({o.dy->as<float>() + pixel * o.dy->ld, o.z->as<float>() + pixel * o.z->ld, o.dy->ld,
                         o.z->ld, o.factor ? o.factor->as<float>()[image_] : 1.0f, norm, norm + u.k_pitch,
                         norm + 2 * u.k_pitch, rows * u.out_w, u.k, dz_, u.k_pitch});
  }

  float* dY_row(const GradUnit& u, int64_t y) const {
    return dY_ + y * u.dy_tile.pitch() + u.column(u.dy_tile.left);
  }

  /// y of some rows, and what they add to dw_pw [C][k_pitch].
  void pointwise_weights(const GradUnit& u, int64_t y, int64_t rows, float* dw) {
    const float* row[Axis::kMaxTaps];
    const int64_t step = u.layout.step();
    StencilRow g = {.row = row,
                    .column = forward_.column,
                    .filter_rows = forward_.h.taps,
                    .filter_columns = forward_.w.taps,
                    .spacing = forward_.spacing,
                    .w = fixed_ + u.filter_at,
                    .vectors = forward_.vectors,
                    .blocks = u.layout.blocks,
                    .step = step * forward_.w.in_step,
                    .out = y_,
                    .out_step = step};
    for (int64_t r = 0; r < rows; ++r, g.out += u.column(u.out_w)) {
      x_rows(u, y + r, row);
      inner_.stencil(g);
    }
    gemm(u.channels, u.k_pitch, rows * u.out_w, {y_, 1, u.layout.pixel}, gemm_row_major(dz_, u.k_pitch), dw,
         u.k_pitch, Write::kAdd);
  }

  void x_rows(const GradUnit& u, int64_t y, const float** row) const {
    const Axis& h = forward_.h;
    for (int r = 0; r < h.taps; ++r) row[r] = u.x_tile.row(x_, zero_, y * h.in_step + h.offset[r]);
  }

  void depthwise_weights(const GradUnit& u, float* dw) {
    constexpr int64_t kRows = 16;
    const float *row[kRows * Axis::kMaxTaps], *dy[kRows];
    const int64_t step = u.layout.step();
    WgradRows g = {.row = row,
                   .dy = dy,
                   .column = forward_.column,
                   .filter_rows = forward_.h.taps,
                   .filter_columns = forward_.w.taps,
                   .spacing = forward_.spacing,
                   .rows = 0,
                   .vectors = forward_.vectors,
                   .blocks = u.layout.blocks,
                   .step = step * forward_.w.in_step,
                   .dy_step = step,
                   .acc = dw};
    for (int64_t y = 0; y < u.out_h; y += kRows) {
      g.rows = std::min(kRows, u.out_h - y);
      for (int64_t r = 0; r < g.rows; ++r) {
        x_rows(u, y + r, row + r * g.filter_rows);
        dy[r] = dY_row(u, y + r);
      }
      inner_.wgrad(g);
    }
  }

  /// What the unit adds to dx of its group, row by row, each as soon as its dY is there; the last unit masks and
  /// writes. Sums of units before it alternate between two tiles, for a stencil may not add to its own output.
  void data_gradient() {
    const GradUnit& u = *u_;
    const int stride = u.window.stride;
    const int64_t pitch = GradScratch::dx_pitch(u), step = u.layout.step();
    const float* before = u.first ? nullptr : dx_[tile_];
    tile_ = u.first ? 0 : 1 - tile_;

    const float *row[Axis::kMaxTaps], *filter = fixed_ + u.reversed_at;
    for (int ph = 0; ph < stride; ++ph) {
      const Axis h = u.transposed(0, ph);
      Filter phase[kMaxStride];
      for (int pw = 0; pw < stride; ++pw) phase[pw] = Filter(u, h, u.transposed(1, pw), u.dy_tile.left);
      for (int64_t i = 0; i < h.count; ++i) {
        const int64_t y = ph + i * stride;
        prefetch_.run();
        if (h.taps) output_gradient_until(std::min(u.out_h, i + h.offset[h.taps - 1] + 1));
        for (int r = 0; r < h.taps; ++r) row[r] = u.dy_tile.row(dY_, zero_, i + h.offset[r]);
        float* const out = u.last ? line_ : dx_[tile_] + y * pitch;
        const float* w = filter;
        for (int pw = 0; pw < stride; ++pw) {
          const Filter& f = phase[pw];
          inner_.stencil({.row = row,
                          .column = f.column,
                          .filter_rows = h.taps,
                          .filter_columns = f.w.taps,
                          .spacing = f.spacing,
                          .w = w,
                          .vectors = f.vectors,
                          .blocks = u.layout.blocks,
                          .step = step,
                          .out = out + u.column(pw),
                          .out_step = step * stride,
                          .init = before ? before + y * pitch + u.column(pw) : nullptr});
          w += f.taps * u.row_lanes();
        }
        if (u.last) write_pixels(u, line_, y * u.in_w, u.in_w);
      }
      for (int pw = 0; pw < stride; ++pw) filter += phase[pw].taps * u.row_lanes();
    }
  }

  /// dx of some pixels of the image, all units summed.
  void write_pixels(const GradUnit& u, const float* from, int64_t pixel, int64_t pixels) {
    const View& x = *u.o.x;
    const Out& dx = *u.o.dx;
    pixel += image_ * u.in_h * u.in_w;
    ends_.masked({from, u.layout.pixel, x.as<float>() + pixel * x.ld, x.ld, u.t, pixels, u.channels,
                  dx.as<float>() + pixel * dx.ld, dx.ld, dx.write == Write::kAdd, stream_dx(u),
                  a_.sums ? sums_ : nullptr, a_.sums ? sums_ + u.row_lanes() : nullptr});
  }

  /// Rows of t(x) and of dx from row y of the image on, a pitch apart.
  struct PixelRows {
    int64_t y;
    const float* x;
    int64_t x_pitch;
    float* dx;
    int64_t dx_pitch;
  };

  /// Output rows of a unit without a depthwise half as `count` runs of pixels that lie evenly in x.
  struct Runs {
    int64_t count, pixels;
  };
  static Runs runs(const GradUnit& u, Range rows) {
    const int64_t n = rows.end - rows.begin;
    return u.dense ? Runs{1, n * u.out_w} : Runs{n, u.out_w};
  }
  /// Products with n columns or rows, in pieces that are short beside the time that memory takes.
  template <class F>
  void in_pieces(int64_t n, int64_t piece, F&& f) {
    for (int64_t i = 0; i < n; i += piece) {
      prefetch_.run();
      f(i, std::min(piece, n - i));
    }
  }
  int64_t pieces(const GradUnit& u, Range rows) const {
    return runs(u, rows).count *
           ((a_.dx ? ceil_div(u.columns(), gemm_panel()) : 0) + (a_.dw ? ceil_div(u.channels, kChannels) : 0));
  }

  /// What output rows of such a unit give dw_pw and add to dx.
  void pixel_gradients(const GradUnit& u, Range rows, const PixelRows& at, Write write) {
    const int64_t count = runs(u, rows).count, pixels = runs(u, rows).pixels;
    norm_gradient(u, rows.begin, rows.end - rows.begin);
    const GemmB w = gemm_packed(fixed_ + u.pointwise_at, u.k);
    const int64_t stride = u.window.stride, step = u.column(stride);
    for (int64_t r = 0; r < count; ++r) {
      const int64_t y = (rows.begin + r) * stride - u.window.pad - at.y, column = u.column(-u.window.pad);
      const float *dz = dz_ + r * pixels * u.k_pitch, *x = at.x + y * at.x_pitch + column;
      float *const dx = at.dx + y * at.dx_pitch + column, *const dw = partial_ + u.dw_pw_at;
      if (a_.dx)
        in_pieces(u.columns(), gemm_panel(), [&](int64_t c, int64_t n) {
          const GemmB panel = {w.data + c / gemm_panel() * w.panel, w.row, w.panel};
          gemm(pixels, n, u.k, {dz, u.k_pitch, 1}, panel, dx + c, step, write);
        });
      if (a_.dw)
        in_pieces(u.channels, kChannels, [&](int64_t c, int64_t n) {
          gemm(n, u.k_pitch, pixels, {x + c, 1, step}, gemm_row_major(dz, u.k_pitch), dw + c * u.k_pitch, u.k_pitch,
               Write::kAdd);
        });
    }
  }

  /// Such a unit among others that have a depthwise half.
  void pixel_unit(const GradUnit& u) {
    const int64_t pitch = GradScratch::dx_pitch(u);
    if (u.first && a_.dx) tile_ = 0, std::fill_n(dx_[0], GradScratch::dx_floats(u), 0.0f);
    for (int64_t y = 0; y < u.out_h; y += u.chunk)
      pixel_gradients(u, {y, std::min(u.out_h, y + u.chunk)},
                      {0, x_ + u.column(u.x_tile.left), u.x_tile.pitch(), dx_[tile_], pitch}, Write::kAdd);
    for (int64_t y = 0; a_.dx && u.last && y < u.in_h; ++y)
      write_pixels(u, dx_[tile_] + y * pitch, y * u.in_w, u.in_w);
  }

  /// A group of such units alone: what is between dz and dx stays in the first-level cache.
  void pixelwise_group(const GradUnit* units) {
    const GradUnit& u = *units;
    const int64_t pitch = u.column(u.in_w);
    for (int64_t y = 0; y < u.in_h; y += u.chunk) {
      const int64_t rows = std::min(u.chunk, u.in_h - y);
      expect_pixels(units, y, rows);
      if (a_.dw) load_x(u, y * u.in_w, rows * u.in_w, x_);
      if (a_.dx && !u.dense) std::fill_n(line_, rows * pitch, 0.0f);
      for (const GradUnit* v = units; v < units + u.together; ++v)
        pixel_gradients(*v, v->met_by({y, y + rows}), {y, x_, pitch, line_, pitch},
                        u.dense && v == units ? Write::kSet : Write::kAdd);
      if (a_.dx) write_pixels(u, line_, y * u.in_w, rows * u.in_w);
    }
  }

  const SeparableGradAttrs& a_;
  const float* fixed_;
  const RowFunctions rows_ = row_functions();
  const StencilFunctions inner_ = stencil_functions();
  const SeparableGradRows ends_ = separable_grad_rows();
  float *x_, *dY_, *dx_[2], *line_, *dz_, *y_, *zero_, *sums_;
  // The unit and image in progress:
  const GradUnit* u_ = nullptr;
  int64_t image_ = 0, done_ = 0;  // rows of dY that are there
  float* partial_ = nullptr;
  Filter forward_;
  int tile_ = 0;
  TileShape cleared_;  // whose sides are zero in dY_
  Prefetch prefetch_;
};

}  // namespace mixop::kernels
