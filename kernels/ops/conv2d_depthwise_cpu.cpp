// Depthwise convolutions: each task copies its input rows through the on-load transform into a small padded ring
// that stays in the first-level cache, and a stencil without any boundary test runs over it.
#include <algorithm>

#include "kernels/core/gemm.h"
#include "kernels/core/stencil.h"
#include "kernels/core/tile.h"
#include "kernels/ops/conv2d_gather.h"
#include "kernels/ops/conv2d_impls.h"

namespace mixop::kernels {
namespace {

constexpr int64_t kTasks =
    32;  // at least, where the shape allows; a fixed number, so that sums do not depend on threads

bool is_depthwise(const Call& call, const View& x, int64_t k) {
  const auto& a = call.attr<Conv2dAttrs>();
  const bool fits = conv2d_fits_axis(a) && std::max(a.stride[0], a.stride[1]) <= TileRows::kMaxStep;
  return all_float32(call) && fits && a.groups == x.last() && k == x.last();
}

/// conv2d or conv2d_dgrad: `in` is read through the filter, `out` is written.
struct Depthwise {
  const Call& call;
  const Conv2dAttrs& a;
  bool dgrad;
  const View &in, &w;
  const Out& out;
  PixelLayout layout;
  Gathers gathers;
  int64_t images, bands;

  Depthwise(const Call& c, bool is_dgrad)
      : call(c),
        a(c.attr<Conv2dAttrs>()),
        dgrad(is_dgrad),
        in(c.in[0]),
        w(c.in[1]),
        out(c.out[0]),
        layout(gemm_lanes(), out.last()),
        gathers{&a, dgrad, {in.shape[1], in.shape[2]}, {out.shape[1], out.shape[2]}},
        images(out.shape[0]),
        bands(std::min(out.shape[1], ceil_div(kTasks, images))) {}

  // Workspace: parameters of t, weights of all gathers, then per thread a ring and one output row.
  int64_t table_floats() const { return round_up(row_transform_floats(a.load, in.last()), 16); }
  int64_t weight_floats() const { return int64_t{a.kernel[0]} * a.kernel[1] * layout.blocks * layout.lanes; }
  int64_t ring_floats() const {
    int64_t most = 0;
    for (int64_t g = 0; g < gathers.size(); ++g) {
      const Axis h = gathers.axis(g, 0), w_axis = gathers.axis(g, 1);
      most = std::max(most, TileRows(h, w_axis, layout, 1).floats());
    }
    return round_up(most, 16);
  }
  int64_t line_floats() const { return round_up(layout.row_floats(out.shape[2]), 16); }

  void pack_weights(float* packed) const {
    const int64_t channels = layout.channels, lanes = layout.lanes;
    for (int64_t g = 0; g < gathers.size(); ++g) {
      const Axis h = gathers.axis(g, 0), ww = gathers.axis(g, 1);
      for (int64_t b = 0; b < layout.blocks; ++b) {
        for (int r = 0; r < h.taps; ++r) {
          for (int s = 0; s < ww.taps; ++s, packed += lanes) {
            const float* from = w.as<float>() + (h.filter[r] * a.kernel[1] + ww.filter[s]) * channels;
            for (int64_t l = 0; l < lanes; ++l) {
              const int64_t c = b * lanes + l;
              packed[l] = layout.flat ? from[c % channels] : c < channels ? from[c] : 0.0f;
            }
          }
        }
      }
    }
  }

  void run() const {
    float* const table = call.exec->scratch<float>();
    float* const weights = table + table_floats();
    float* const scratch = weights + weight_floats();
    const int64_t ring_size = ring_floats(), per_thread = ring_size + line_floats();
    const TileSource source = {in.as<float>(), in.ld,
                               dgrad ? RowTransform() : make_row_transform(call, a.load, 2, in.last(), table)};
    const MaskRows mask = dgrad ? make_mask(call, table) : MaskRows();
    pack_weights(weights);

    // A task runs all gathers of its rows, so that their interleaved outputs meet in the second-level cache.
    parallel_for(*call.exec, images * bands, [&](int64_t task, int thread) {
      float* const ring = scratch + thread * per_thread;
      const float* packed = weights;
      for (int64_t gather = 0; gather < gathers.size(); ++gather) {
        const Axis h = gathers.axis(gather, 0), ww = gathers.axis(gather, 1);
        const Range band = part_of(h.count, bands, task % bands);
        run_gather(h, ww, task / bands, band, source, packed, mask, ring, ring + ring_size);
        packed += int64_t{h.taps} * ww.taps * layout.blocks * layout.lanes;
      }
    });
  }

  /// Output rows `band` of one gather and image.
  void run_gather(const Axis& h, const Axis& ww, int64_t image, Range band, const TileSource& source,
                  const float* packed, const MaskRows& mask, float* ring, float* line) const {
    const RowFunctions rows = row_functions();
    const StencilFunctions inner = stencil_functions();
    const bool add = out.write == Write::kAdd;
    const bool empty = !h.taps || !ww.taps;  // positions that no filter element reaches: zero, masked or not
    if (!ww.count || band.begin == band.end || (empty && add)) return;
    TileRows tile(h, ww, layout, 1);
    tile.start(ring, source, image, band.begin);

    const float* row[Axis::kMaxTaps];
    int64_t column[Axis::kMaxTaps];
    for (int s = 0; s < ww.taps; ++s) column[s] = tile.column(s);
    const bool direct = !add && !mask.data && layout.in_place(out.ld, ww.out_step, ww.count);
    const bool pixel_is_vector = layout.channels % layout.lanes == 0;
    const int64_t out_pixel = ww.out_step * out.ld;
    StencilRow stencil = {row,
                          column,
                          h.taps,
                          ww.taps,
                          tile.spacing(),
                          packed,
                          layout.vectors(ww.count),
                          layout.blocks,
                          layout.step(),
                          line,
                          direct && pixel_is_vector ? out_pixel : layout.step()};
    for (int64_t i = band.begin; i < band.end; ++i) {
      tile.load_until(i, rows);
      tile.rows(i, row);
      const int64_t pixel = (image * h.out + h.first + i * h.out_step) * ww.out + ww.first;
      float* const to = out.as<float>() + pixel * out.ld;
      if (direct) stencil.out = to;
      inner.stencil(stencil);
      if (direct) continue;
      const float* m = mask.data && !empty ? mask.data + pixel * mask.ld : nullptr;
      rows.store(line, layout.pixel, ww.count, layout.channels, to, out_pixel, add, m, mask.ld * ww.out_step,
                 mask.t);
    }
  }

  size_t workspace() const {
    const int64_t per_thread = ring_floats() + line_floats();
    return sizeof(float) * (table_floats() + weight_floats() + call.exec->threads * per_thread);
  }
};

/// Each task sums its rows in registers and then in a partial of its own.
struct DepthwiseWgrad {
  const Call& call;
  const Conv2dAttrs& a;
  const View &dy, &x;
  const Out& dw;
  PixelLayout layout;
  Axis h, w;
  int64_t chunk, bands, units, parts;
  bool in_place;
  TileRows tile;

  explicit DepthwiseWgrad(const Call& c)
      : call(c),
        a(c.attr<Conv2dAttrs>()),
        dy(c.in[0]),
        x(c.in[1]),
        dw(c.out[0]),
        layout(gemm_lanes(), x.last()),
        h(forward_axis(a, 0, x.shape[1], dy.shape[1])),
        w(forward_axis(a, 1, x.shape[2], dy.shape[2])),
        chunk(best_chunk()),
        bands(std::min(dy.shape[1], ceil_div(kTasks, dy.shape[0]))),
        units(dy.shape[0] * bands),
        parts(std::min(units, kTasks)),
        in_place(layout.in_place(dy.ld, 1, w.count)),
        tile(h, w, layout, chunk) {}

  static constexpr int64_t kMaxChunk = 16;
  /// Output rows that share one pass over the accumulators; the ring should stay in the first-level cache.
  int64_t best_chunk() const {
    constexpr int64_t kRingFloats = 6 << 10;
    const int64_t rows = kRingFloats / TileRows(h, w, layout, 1).row_floats();
    return std::clamp<int64_t>((rows - h.span()) / h.in_step + 1, 1, std::min(kMaxChunk, h.count));
  }
  int64_t table_floats() const { return round_up(row_transform_floats(a.load, x.last()), 16); }
  int64_t partial_floats() const { return int64_t{h.taps} * w.taps * layout.blocks * layout.lanes; }
  int64_t line_floats() const { return in_place ? 0 : round_up(layout.row_floats(w.count), 16); }
  int64_t per_thread() const { return round_up(tile.floats(), 16) + chunk * line_floats(); }

  void run() const {
    const RowFunctions rows = row_functions();
    const StencilFunctions inner = stencil_functions();
    float* const table = call.exec->scratch<float>();
    float* const partials = table + table_floats();
    float* const scratch = partials + parts * partial_floats();
    const TileSource source = {x.as<float>(), x.ld, make_row_transform(call, a.load, 2, x.last(), table)};

    parallel_for(*call.exec, parts, [&](int64_t part, int thread) {
      float* const ring = scratch + thread * per_thread();
      float* const lines = ring + round_up(tile.floats(), 16);
      float* const acc = partials + part * partial_floats();
      std::fill(acc, acc + partial_floats(), 0.0f);
      TileRows own = tile;
      int64_t column[Axis::kMaxTaps];
      for (int s = 0; s < w.taps; ++s) column[s] = own.column(s);
      const float *row[kMaxChunk * Axis::kMaxTaps], *dys[kMaxChunk];
      WgradRows g = {row,           dys,           column, h.taps,
                     w.taps,        own.spacing(), 0,      layout.vectors(w.count),
                     layout.blocks, layout.step(), 0,      acc};
      g.dy_step = !in_place || (layout.flat && layout.channels != layout.lanes) ? layout.step() : dy.ld;
      const auto [first, last] = part_of(units, parts, part);
      for (int64_t unit = first; unit < last; ++unit) {
        const int64_t image = unit / bands;
        const auto [begin, end] = part_of(h.count, bands, unit % bands);
        own.start(ring, source, image, begin);
        for (int64_t i = begin; i < end; i += chunk) {
          g.rows = std::min(chunk, end - i);
          own.load_until(i + g.rows - 1, rows);
          for (int64_t o = 0; o < g.rows; ++o) {
            own.rows(i + o, row + o * h.taps);
            const float* from = dy.as<float>() + (image * h.count + i + o) * w.count * dy.ld;
            dys[o] = in_place ? from : load_line(rows, from, lines + o * line_floats());
          }
          inner.wgrad(g);
        }
      }
    });
    merge(partials);
  }

  /// A copy of one row of dy in the tile's layout, zero in the lanes past the row's end.
  const float* load_line(const RowFunctions& rows, const float* from, float* line) const {
    const int64_t size = layout.row_floats(w.count), used = w.count * layout.pixel;
    rows.load(from, dy.ld, w.count, layout.channels, RowTransform(), line, layout.pixel, !layout.flat);
    std::fill(line + used, line + std::max(size, used), 0.0f);
    return line;
  }

  /// Partials [part][block][tap][lane] to dw [tap][channel]; lanes that hold the same channel are added.
  void merge(float* partials) const {
    const int64_t size = partial_floats(), taps = int64_t{h.taps} * w.taps, lanes = layout.lanes;
    merge_partials(*call.exec, partials + size, parts - 1, size, partials, Write::kAdd);
    for (int64_t t = 0; t < taps; ++t) {
      for (int64_t c = 0; c < layout.channels; ++c) {
        const float* from = partials + (c / lanes * taps + t) * lanes;
        float sum = from[c % lanes];
        if (layout.flat)
          for (int64_t l = c + layout.channels; l < lanes; l += layout.channels) sum += from[l];
        float& to = dw.as<float>()[t * layout.channels + c];
        to = dw.write == Write::kAdd ? to + sum : sum;
      }
    }
  }

  size_t workspace() const {
    return sizeof(float) * (table_floats() + parts * partial_floats() + call.exec->threads * per_thread());
  }
};

bool accepts_forward(const Call& call) { return is_depthwise(call, call.in[0], call.out[0].last()); }
bool accepts_dgrad(const Call& call) { return is_depthwise(call, call.out[0], call.in[0].last()); }
bool accepts_wgrad(const Call& call) { return is_depthwise(call, call.in[1], call.in[0].last()); }

void run_forward(const Call& call) { Depthwise(call, false).run(); }
void run_dgrad(const Call& call) { Depthwise(call, true).run(); }
void run_wgrad(const Call& call) { DepthwiseWgrad(call).run(); }

size_t forward_workspace(const Call& call) { return Depthwise(call, false).workspace(); }
size_t dgrad_workspace(const Call& call) { return Depthwise(call, true).workspace(); }
size_t wgrad_workspace(const Call& call) { return DepthwiseWgrad(call).workspace(); }

}  // namespace

constinit const Impl kConv2dDepthwise = {"depthwise", accepts_forward, run_forward, forward_workspace};
constinit const Impl kConv2dDgradDepthwise = {"depthwise", accepts_dgrad, run_dgrad, dgrad_workspace};
constinit const Impl kConv2dWgradDepthwise = {"depthwise", accepts_wgrad, run_wgrad, wgrad_workspace};

}  // namespace mixop::kernels
