// The way back through a separable convolution, image by image; what is between dz and dx stays in the caches:
//   dz = A f dy + B z + D per channel (on load), f the factor of the image, dY = dz w_pw^T, dx = [t(x) > 0]
//   depthwise^T(dY), y = depthwise(t(x)) once more, dw_pw = y^T dz, dw_dw[r,s] = sum dY t(x) shifted.
// Composite: bn_grad, two conv2d_dgrad, two conv2d_wgrad, conv2d for y, bn_reduce.
// Traffic of a unit alone: reads dy, z, x; writes dx: 4T. Of n units that share x: reads x and once dy where that
// is shared, n times z; writes dx: (n + 3)T. The composite: 10T a unit, and 6T more for the weights.
#include <new>

#include "kernels/core/stencil.h"
#include "kernels/ops/separable_grad_plan.h"
#include "kernels/ops/separable_grad_prefetch.h"
#include "kernels/ops/separable_grad_rows.h"
#include "kernels/ops/separable_impls.h"

namespace mixop::kernels {
namespace {

constexpr int kMaxStride = 8;
constexpr int64_t kTasks = 16;  // a fixed number, so that sums do not depend on threads

/// Tables A, B, D of dz.
void fold_norm(const GradUnit& u, float* table) {
  const SeparableGradOperands& o = u.o;
  double scale = 1;
  if (o.table) {
    const int64_t i = o.unit->scale_index, last = o.table->last();
    scale = o.table->as<float>()[i / last * o.table->ld + i % last];
  }
  const auto rows = static_cast<double>(o.z->rows());
  std::fill(table, table + 3 * u.k_pitch, 0.0f);
  for (int64_t k = 0; k < u.k; ++k) {
    const double rstd = o.rstd->as<float>()[k], mean = o.mean->as<float>()[k];
    const double gain = rstd * (o.gamma ? o.gamma->as<float>()[k] : 1.0f);
    const double by_z = -gain * rstd * o.s2->as<float>()[k] / rows;
    table[k] = static_cast<float>(gain * scale);
    table[u.k_pitch + k] = static_cast<float>(by_z);
    table[2 * u.k_pitch + k] = static_cast<float>(-gain * o.s1->as<float>()[k] / rows - by_z * mean);
  }
}

/// w_dw as [block][tap of h, tap of w][lane]; the end of what was written.
float* pack_filter(const GradUnit& u, const Axis& h, const Axis& w, float* to) {
  const PixelLayout& layout = u.layout;
  for (int64_t b = 0; b < layout.blocks; ++b) {
    for (int r = 0; r < h.taps; ++r) {
      for (int s = 0; s < w.taps; ++s, to += layout.lanes) {
        const int64_t tap = h.filter[r] * u.window.kernel + w.filter[s];
        const float* from = u.o.w_dw->as<float>() + tap * u.channels;
        for (int64_t l = 0; l < layout.lanes; ++l) {
          const int64_t c = b * layout.lanes + l;
          to[l] = layout.flat ? from[c % u.channels] : c < u.channels ? from[c] : 0.0f;
        }
      }
    }
  }
  return to;
}

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

  /// `next` and `next_image` say what the next call works on.
  void run(const GradUnit& u, const RowTransform& t, int64_t image, const GradUnit* next, int64_t next_image,
           float* partial, double* sums) {
    u_ = &u, t_ = &t, image_ = image, partial_ = partial;
    prefetch_.start(u.out_h + (a_.dx ? u.in_h : 0));
    if (next) expect(*next, next_image);
    if (a_.dw) forward_ = Filter(u, u.forward(0), u.forward(1), u.x_tile.left);
    if (a_.dw && u.first) load_x(u, t, image);
    if (u.dy_tile != cleared_) u.dy_tile.clear_sides(dY_), cleared_ = u.dy_tile;
    done_ = 0;
    if (a_.dx) data_gradient();
    output_gradient_until(u.out_h);
    if (a_.dw) depthwise_weights(u, partial + u.dw_dw_at);
    if (!a_.dx || !a_.sums || !u.last) return;
    for (int64_t i = 0; i < 2 * u.row_lanes(); ++i) sums[u.sums_at + i] += sums_[i];
  }

 private:
  void load_x(const GradUnit& u, const RowTransform& t, int64_t image) {
    const View& x = *u.o.x;
    u.x_tile.clear_sides(x_);
    for (int64_t y = 0; y < u.in_h; ++y)
      rows_.load(x.as<float>() + (image * u.in_h + y) * u.in_w * x.ld, x.ld, u.in_w, u.channels, t,
                 x_ + y * u.x_tile.pitch() + u.column(u.x_tile.left), u.layout.pixel, !u.layout.flat);
  }

  void expect(const GradUnit& u, int64_t image) {
    const int64_t in = u.in_h * u.in_w, out = u.out_h * u.out_w;
    prefetch_.add(*u.o.z, image * out, out);
    if (u.first) prefetch_.add(*u.o.dy, image * out, out);
    if ((a_.dx && u.last) || (a_.dw && u.first)) prefetch_.add(*u.o.x, image * in, in);
    if (a_.dx && u.last) prefetch_.add(*u.o.dx, image * in, in);
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
    const SeparableGradOperands& o = u.o;
    const int64_t pixel = (image_ * u.out_h + y) * u.out_w;
    const float* norm = fixed_ + u.norm_at;
    ends_.norm_gradient({o.dy->as<float>() + pixel * o.dy->ld, o.z->as<float>() + pixel * o.z->ld, o.dy->ld,
                         o.z->ld, o.factor ? o.factor->as<float>()[image_] : 1.0f, norm, norm + u.k_pitch,
                         norm + 2 * u.k_pitch, rows * u.out_w, u.k, dz_, u.k_pitch});
    const GemmB w = gemm_packed(fixed_ + u.pointwise_at, u.k);
    const int64_t columns = u.layout.flat ? u.channels : u.layout.pixel;
    for (int64_t r = 0; r < rows; ++r) {
      prefetch_.run();
      gemm(u.out_w, columns, u.k, {dz_ + r * u.out_w * u.k_pitch, u.k_pitch, 1}, w, dY_row(u, y + r),
           u.layout.pixel, Write::kSet);
    }
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
    if (u.first) std::fill_n(sums_, 2 * u.row_lanes(), 0.0f);
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
        if (u.last) write_row(u, *t_, (image_ * u.in_h + y) * u.in_w);
      }
      for (int pw = 0; pw < stride; ++pw) filter += phase[pw].taps * u.row_lanes();
    }
  }

  void write_row(const GradUnit& u, const RowTransform& t, int64_t pixel) {
    const View& x = *u.o.x;
    const Out& dx = *u.o.dx;
    ends_.masked({line_, u.layout.pixel, x.as<float>() + pixel * x.ld, x.ld, t, u.in_w, u.channels,
                  dx.as<float>() + pixel * dx.ld, dx.ld, dx.write == Write::kAdd, a_.sums ? sums_ : nullptr,
                  a_.sums ? sums_ + u.row_lanes() : nullptr});
  }

  const SeparableGradAttrs& a_;
  const float* fixed_;
  const RowFunctions rows_ = row_functions();
  const StencilFunctions inner_ = stencil_functions();
  const SeparableGradRows ends_ = separable_grad_rows();
  float *x_, *dY_, *dx_[2], *line_, *dz_, *y_, *zero_, *sums_;
  // The unit and image in progress:
  const GradUnit* u_ = nullptr;
  const RowTransform* t_ = nullptr;
  int64_t image_ = 0, done_ = 0;  // rows of dY that are there
  float* partial_ = nullptr;
  Filter forward_;
  int tile_ = 0;
  TileShape cleared_;  // whose sides are zero in dY_
  Prefetch prefetch_;
};

/// A call: the tables and packed weights of all units first, then tasks of some images each, then the merge.
class SeparableGrad {
 public:
  explicit SeparableGrad(const Call& call)
      : call_(call),
        a_(call.attr<SeparableGradAttrs>()),
        images_(call.in[0].shape[0]),
        parts_(std::min(images_, kTasks)) {
    for (int64_t i = 0; i < unit_count(); ++i) scratch_.fit(GradUnit(call_, i, fixed_, partial_, sums_), a_);
  }

  size_t workspace() const {
    const int64_t doubles = parts_ * sums_.floats;
    return sizeof(float) * (header_floats() + fixed_.floats + parts_ * partial_.floats + 2 * doubles +
                            call_.exec->threads * scratch_.floats());
  }

  void run() const {
    auto* const units = call_.exec->scratch<Planned>();
    float* const fixed = call_.exec->scratch<float>() + header_floats();
    float* const partials = fixed + fixed_.floats;
    auto* const sums = reinterpret_cast<double*>(partials + parts_ * partial_.floats);
    float* const scratch = reinterpret_cast<float*>(sums + parts_ * sums_.floats);
    prepare(units, fixed);
    parallel_for(*call_.exec, parts_, [&](int64_t part, int thread) {
      ImagePass pass(a_, scratch_, fixed, scratch + thread * scratch_.floats());
      float* const partial = partials + part * partial_.floats;
      double* const own_sums = sums + part * sums_.floats;
      std::fill_n(partial, partial_.floats, 0.0f);
      std::fill_n(own_sums, sums_.floats, 0.0);
      const auto [begin, end] = part_of(images_, parts_, part);
      for (int64_t image = begin; image < end; ++image)
        for (int64_t i = 0; i < unit_count(); ++i) {
          const bool turn = i + 1 == unit_count();  // to the next image
          const GradUnit* next = turn && image + 1 == end ? nullptr : &units[turn ? 0 : i + 1].unit;
          pass.run(units[i].unit, units[i].t, image, next, image + turn, partial, own_sums);
        }
    });
    if (a_.dw)
      merge_partials(*call_.exec, partials + partial_.floats, parts_ - 1, partial_.floats, partials, Write::kAdd);
    for (int64_t i = 0; i < unit_count(); ++i) finish(units[i].unit, partials, sums);
  }

 private:
  struct Planned {
    GradUnit unit;
    RowTransform t;
  };
  int64_t unit_count() const { return static_cast<int64_t>(a_.units.size()); }
  int64_t header_floats() const { return round_up(unit_count() * static_cast<int64_t>(sizeof(Planned)), 64) / 4; }

  void prepare(Planned* units, float* fixed) const {
    Pieces pieces, partial, sums;
    for (int64_t i = 0; i < unit_count(); ++i) {
      const GradUnit& u =
          (new (units + i) Planned{GradUnit(call_, i, pieces, partial, sums), RowTransform()})->unit;
      units[i].t = make_row_transform(call_, u.o.unit->load, u.o.load_at, u.channels, fixed + u.transform_at);
      fold_norm(u, fixed + u.norm_at);
      gemm_pack(u.o.w_pw->as<float>(), 1, u.k, 0, u.k, u.k, u.channels, fixed + u.pointwise_at);
      if (a_.dw) pack_filter(u, u.forward(0), u.forward(1), fixed + u.filter_at);
      if (!a_.dx) continue;
      float* to = fixed + u.reversed_at;
      for (int ph = 0; ph < u.window.stride; ++ph)
        for (int pw = 0; pw < u.window.stride; ++pw)
          to = pack_filter(u, u.transposed(0, ph), u.transposed(1, pw), to);
    }
  }

  /// From lanes to channels. `merged` is the sum of the partials, `sums` are those of each task.
  void finish(const GradUnit& u, const float* merged, const double* sums) const {
    const PixelLayout& layout = u.layout;
    // A channel has several lanes where C divides the vector; in the padded layout it has one.
    const int64_t repeats = layout.flat ? layout.lanes / u.channels : 1;
    const int64_t taps = int64_t{u.window.kernel} * u.window.kernel;
    for (int64_t t = 0; a_.dw && t < taps; ++t) {
      for (int64_t c = 0; c < u.channels; ++c) {
        const float* from = merged + u.dw_dw_at + (c / layout.lanes * taps + t) * layout.lanes + c % layout.lanes;
        float sum = *from;
        for (int64_t i = 1; i < repeats; ++i) sum += from[i * u.channels];
        u.o.dw_dw->as<float>()[t * u.channels + c] = sum;
      }
    }
    for (int64_t c = 0; a_.dw && c < u.channels; ++c)
      std::copy_n(merged + u.dw_pw_at + c * u.k_pitch, u.k, u.o.dw_pw->as<float>() + c * u.k);
    if (!a_.dx || !a_.sums || !u.last) return;
    for (int64_t c = 0; c < u.channels; ++c) {
      double s1 = 0, s2 = 0;
      for (int64_t part = 0; part < parts_; ++part) {
        const double* own = sums + part * sums_.floats + u.sums_at;
        for (int64_t i = 0; i < repeats; ++i) {
          s1 += own[c + i * u.channels];
          s2 += own[u.row_lanes() + c + i * u.channels];
        }
      }
      u.o.dx_s1->as<float>()[c] = static_cast<float>(s1);
      u.o.dx_s2->as<float>()[c] = static_cast<float>(s2 * call_.in[u.o.load_at + 1].as<float>()[c]);
    }
  }

  const Call& call_;
  const SeparableGradAttrs& a_;
  int64_t images_, parts_;
  Pieces fixed_, partial_, sums_;
  GradScratch scratch_;
};

bool accepts(const Call& call) {
  const auto& a = call.attr<SeparableGradAttrs>();
  return all_float32(call) && all_depthwise<SeparableGradAttrs>(call) &&
         std::all_of(a.units.begin(), a.units.end(), [](const SeparableGradUnit& u) {
           return u.window.kernel <= Axis::kMaxTaps && u.window.stride <= kMaxStride;
         });
}
void run(const Call& call) { SeparableGrad(call).run(); }
size_t workspace(const Call& call) { return SeparableGrad(call).workspace(); }

}  // namespace
constinit const Impl kSeparableGradTiles = {"tiles", accepts, run, workspace};
}  // namespace mixop::kernels
