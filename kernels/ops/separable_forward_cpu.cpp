// separable: y = depthwise(t(x)), or pixels of t(x), z = y w_pw, statistics of z; units that share x at once.
//   composite: [conv2d (depthwise),] conv2d (1x1), bn_stats
//   traffic: reads T for a group of units that share x, writes T for each unit
// A task loads rows of t(x) once into a padded ring that all windows of the group read, as far as the next few
// output rows need them. Those rows of y go to a buffer, unit by unit, and the product reads them from there and
// sums z while it has it in registers: ring and buffer stay in the first-level cache. A unit without a depthwise
// half multiplies the pixels of the ring.
#include <algorithm>
#include <cmath>

#include "kernels/core/axis.h"
#include "kernels/core/gemm.h"
#include "kernels/core/norm.h"
#include "kernels/core/stencil.h"
#include "kernels/core/stream.h"
#include "kernels/ops/separable_call.h"
#include "kernels/ops/separable_forward_pointwise.h"
#include "kernels/ops/separable_impls.h"
#include "kernels/ops/separable_prefetch.h"
#include "kernels/ops/separable_tile.h"

namespace mixop::kernels {
namespace {

constexpr int64_t kParts = 32;        // tasks of a group where shapes allow; fixed, as sums depend on it
constexpr int64_t kLinePixels = 64;   // of y at a time: few, so that the first-level cache holds the rows they read
constexpr int64_t kRowPixels = 32;    // the same where no unit has a depthwise half: channels may be many
constexpr int64_t kSumPixels = 1024;  // summed in float32 around one centre

/// Takes pieces of a workspace, or with a null base counts them.
class Pieces {
 public:
  explicit Pieces(std::byte* base) : base_(base) {}
  template <class T>
  T* take(int64_t n) {
    T* const p = base_ ? reinterpret_cast<T*>(base_ + used_) : nullptr;
    used_ += round_up(n * static_cast<int64_t>(sizeof(T)), 64);
    return p;
  }
  int64_t used() const { return used_; }

 private:
  std::byte* base_;
  int64_t used_ = 0;
};

/// What tasks need of a unit.
struct UnitPlan {
  Window window;
  int64_t spacing, tail_spacing;                                ///< as in StencilRow
  int64_t column[Axis::kMaxTaps], tail_column[Axis::kMaxTaps];  ///< of the tile
  float *w_dw, *w_pw;                                           ///< packed; w_dw may be null
  float* z;
  bool stream;  ///< z
  int64_t ldz, columns, padded, sums_at;
  double* partials = nullptr;  ///< per task mean[K] and M2[K]; null: no statistics
};

/// Units that read one tile.
struct Group {
  size_t first, last;  ///< units
  const View* x;
  RowTransform t;
  ChannelLayout layout;
  GroupTile tile;
  int64_t image;          ///< floats of x from one image to the next
  int64_t height, width;  ///< of the outputs
  int64_t bands, parts, lines;
  int64_t items() const { return x->shape[0] * bands; }
};

class SeparableForward {
 public:
  explicit SeparableForward(const Call& call)
      : call_(call), a_(call.attr<SeparableAttrs>()), lanes_(gemm_lanes()), pieces_(call.exec->workspace) {
    for (size_t u = 0; u < a_.units.size(); u = group_end(u)) ++group_count_;
    units_ = pieces_.take<UnitPlan>(static_cast<int64_t>(a_.units.size()));
    groups_ = pieces_.take<Group>(group_count_);
  }

  size_t workspace() {
    plan(false);
    return static_cast<size_t>(pieces_.used());
  }
  void run() {
    plan(true);
    int64_t tasks = 0;
    for (int64_t g = 0; g < group_count_; ++g) tasks += groups_[g].parts;
    parallel_for(*call_.exec, tasks, [&](int64_t task, int thread) {
      const Group* g = groups_;
      for (; task >= g->parts; ++g) task -= g->parts;
      run_part(*g, task, scratch_ + thread * per_thread_);
    });
    for (const Group* g = groups_; a_.stats && g < groups_ + group_count_; ++g)
      for (size_t u = g->first; u < g->last; ++u) finish(*g, u);
  }

 private:
  bool one_tile(size_t u, size_t next) const {
    const SeparableOperands o = separable_operands(call_, u), n = separable_operands(call_, next);
    return n.unit->same_input && n.unit->window.stride == o.unit->window.stride && n.z->shape[1] == o.z->shape[1] &&
           n.z->shape[2] == o.z->shape[2];
  }
  size_t group_end(size_t first) const {
    size_t end = first + 1;
    while (end < a_.units.size() && one_tile(first, end)) ++end;
    return end;
  }

  Group make_group(size_t first) const {
    const SeparableOperands o = separable_operands(call_, first);
    const size_t last = group_end(first);
    Reach reach;
    bool pointwise = true, dense = true;  // no depthwise half, nor a stride: pixels may lie in rows of any width
    for (size_t u = first; u < last; ++u) {
      const SeparableUnit& unit = a_.units[u];
      reach.add(unit.window);
      pointwise &= !unit.depthwise;
      dense &= !unit.depthwise && unit.window == Window{1, 1, 0, 1};
    }
    const ChannelLayout layout(lanes_, o.x->last());
    const Shape &in = o.x->shape, &out = o.z->shape;
    int64_t in_height = in[1], in_width = in[2], height = out[1], width = out[2];
    if (dense) {
      width = in_width = row_of_pixels(height * width, kRowPixels);
      height = in_height = out[1] * out[2] / width;
    }
    const int64_t bands = std::min(height, ceil_div(kParts, in[0])), parts = std::min(in[0] * bands, kParts);
    const int64_t at_once = pointwise ? kRowPixels : kLinePixels;
    const int64_t lines = std::clamp<int64_t>(at_once / width, 1, ceil_div(height, bands));
    const GroupTile tile(layout, reach, in_height, in_width, width, lines);
    return {first, last, o.x, {}, layout, tile, in[1] * in[2] * o.x->ld, height, width, bands, parts, lines};
  }

  /// Lays out the workspace and, with `write`, fills what tasks read.
  void plan(bool write) {
    int64_t tile_floats = 0, line_floats = 0, sum_floats = 0;
    size_t first = 0;
    for (int64_t i = 0; i < group_count_; ++i) {
      Group g = make_group(first);
      const SeparableOperands o = separable_operands(call_, first);
      const int64_t channels = o.x->last(), pixels = g.lines * g.width;
      float* const table = pieces_.take<float>(row_transform_floats(o.unit->load, channels));
      if (write) g.t = make_row_transform(call_, o.unit->load, o.load_at, channels, table);
      int64_t sums = 0;
      for (size_t u = first; u < g.last; ++u) {
        plan_unit(g, u, write, sums);
        if (a_.units[u].depthwise) line_floats = std::max(line_floats, round_up(g.layout.row_floats(pixels), 16));
      }
      tile_floats = std::max(tile_floats, g.tile.floats());
      sum_floats = std::max(sum_floats, sums);
      if (write) groups_[i] = g;
      first = g.last;
    }
    line_at_ = round_up(tile_floats, 16);
    sums_at_ = line_at_ + line_floats;
    per_thread_ = sums_at_ + sum_floats;
    scratch_ = pieces_.take<float>(call_.exec->threads * per_thread_);
  }

  void plan_unit(const Group& g, size_t u, bool write, int64_t& sums) {
    const SeparableOperands o = separable_operands(call_, u);
    const Window& w = o.unit->window;
    UnitPlan p;
    p.window = w, p.z = o.z->as<float>(), p.ldz = o.z->ld, p.columns = o.z->last(), p.sums_at = sums,
    p.stream = streams(*o.z);
    p.padded = round_up(p.columns, 16);
    p.w_dw = o.w_dw ? pieces_.take<float>(tap_count(w) * (g.layout.pixel() + lanes_)) : nullptr;
    p.w_pw = pieces_.take<float>(g.layout.channels * p.padded);
    if (a_.stats) p.partials = pieces_.take<double>(g.parts * 2 * p.columns);
    sums += 3 * p.padded;
    if (!write) return;
    p.spacing = g.tile.spacing(w), p.tail_spacing = g.tile.tail_spacing(w);
    for (int s = 0; s < w.kernel; ++s)
      p.column[s] = g.tile.column(w, s), p.tail_column[s] = g.tile.tail_column(w, s);
    if (o.w_dw) pack_depthwise(g.layout, o.w_dw->as<float>(), tap_count(w), p.w_dw);
    pointwise_.pack(o.w_pw->as<float>(), g.layout.channels, p.columns, p.w_pw);
    units_[u] = p;
  }

  static int64_t tap_count(const Window& w) { return int64_t{w.kernel} * w.kernel; }

  /// [block][tap][lane], then [tap][lane] of the tail, whose channels repeat.
  static void pack_depthwise(const ChannelLayout& l, const float* w, int64_t taps, float* to) {
    for (int64_t b = 0; b < l.blocks; ++b)
      for (int64_t t = 0; t < taps; ++t)
        for (int64_t c = b * l.lanes; c < (b + 1) * l.lanes; ++c)
          *to++ = c < l.vector_channels() ? w[t * l.channels + c] : 0.0f;
    for (int64_t t = 0; l.tail && t < taps; ++t)
      for (int64_t i = 0; i < l.lanes; ++i) *to++ = w[t * l.channels + l.vector_channels() + i % l.tail];
  }

  /// The images or bands of one task.
  void run_part(const Group& g, int64_t part, float* scratch) const {
    float* const sums = scratch + sums_at_;
    int64_t before = 0, pixels = 0;  // in the partials and in the sums
    Prefetch prefetch;
    g.tile.start(scratch);
    const auto [begin, end] = part_of(g.items(), g.parts, part);
    for (int64_t item = begin; item < end; ++item) {
      const int64_t image = item / g.bands;
      const Range band = part_of(g.height, g.bands, item % g.bands);
      const float* x = g.x->as<float>() + image * g.image;
      int64_t loaded = 0;
      for (int64_t i = band.begin; i < band.end; i += g.lines) {
        const int64_t lines = std::min(g.lines, band.end - i), rows = g.tile.rows(i - band.begin + lines);
        g.tile.load(x, g.x->ld, g.t, band.begin, {loaded, rows}, scratch, rows_);
        loaded = rows;
        prefetch.start(lines * static_cast<int64_t>(g.last - g.first));
        prefetch.add(*g.x, (image * g.x->shape[1] + g.tile.image_row(band.begin, rows)) * g.x->shape[2],
                     (g.tile.rows(i - band.begin + 2 * lines) - rows) * g.x->shape[2]);
        for (size_t u = g.first; u < g.last; ++u) {
          const ColumnSums s = sums_of(units_[u], sums, before + pixels == 0);
          if (!pixels) start_sums(units_[u], s, part, before);
          const int64_t pixel = (image * g.height + i) * g.width;
          if (units_[u].w_dw) run_lines(g, units_[u], i - band.begin, lines, pixel, s, scratch, prefetch);
          else run_pixels(g, units_[u], i - band.begin, lines, pixel, s, scratch, prefetch);
        }
        pixels += lines * g.width;
        if (pixels < kSumPixels && !(item + 1 == end && i + lines == band.end)) continue;
        for (size_t u = g.first; a_.stats && u < g.last; ++u)
          merge_sums(sums_of(units_[u], sums, false), units_[u], part, before, pixels);
        before += pixels, pixels = 0;
      }
    }
  }

  ColumnSums sums_of(const UnitPlan& u, float* sums, bool set_centre) const {
    if (!a_.stats) return {};
    float* const at = sums + u.sums_at;
    return {at, at + u.padded, at + 2 * u.padded, set_centre};
  }
  /// Clears the sums and centres them on what the task's pixels so far had as mean.
  static void start_sums(const UnitPlan& u, const ColumnSums& s, int64_t part, int64_t before) {
    if (!s.sum) return;
    std::fill(s.sum, s.sum + 2 * u.padded, 0.0f);
    if (before) std::copy_n(u.partials + part * 2 * u.columns, u.columns, s.centre);
  }

  /// Output rows of one unit from row i of a band on; pixel is that of the first.
  void run_lines(const Group& g, const UnitPlan& u, int64_t i, int64_t lines, int64_t pixel, const ColumnSums& sums,
                 float* scratch, Prefetch& prefetch) const {
    const Window& w = u.window;
    const ChannelLayout& c = g.layout;
    float* const y = scratch + line_at_;
    float* const y_tail = y + g.lines * g.width * c.pixel();
    const float* row[Axis::kMaxTaps];
    StencilRow vectors = {row,     u.column, w.kernel,  w.kernel, u.spacing, u.w_dw,
                          g.width, c.blocks, c.pixel(), y,        c.pixel()};
    StencilRow tail = {row,
                       u.tail_column,
                       w.kernel,
                       w.kernel,
                       u.tail_spacing,
                       u.w_dw + tap_count(w) * c.pixel(),
                       c.tail_vectors(g.width),
                       1,
                       c.lanes,
                       y_tail,
                       c.lanes};
    for (int64_t l = 0; l < lines; ++l) {
      prefetch.run();
      g.tile.rows_of(w, i + l, scratch, row);
      if (c.blocks) stencil_(vectors);
      if (c.tail) stencil_(tail);
      vectors.out += g.width * c.pixel(), tail.out += g.width * c.tail;
    }
    pointwise_.run({lines * g.width,
                    u.columns,
                    {{y, c.pixel(), c.vector_channels()}, {y_tail, c.tail, c.tail}},
                    u.w_pw,
                    u.z + pixel * u.ldz,
                    u.ldz,
                    u.stream,
                    sums});
  }

  /// The same without a depthwise half: y is in the tile.
  void run_pixels(const Group& g, const UnitPlan& u, int64_t i, int64_t lines, int64_t pixel, ColumnSums sums,
                  const float* tile, Prefetch& prefetch) const {
    const ChannelLayout& c = g.layout;
    for (int64_t l = 0; l < lines; ++l, pixel += g.width) {
      const float* row;
      prefetch.run();
      g.tile.rows_of(u.window, i + l, tile, &row);
      pointwise_.run(
          {g.width,
           u.columns,
           {{row + u.column[0], c.pixel(), c.vector_channels()}, {row + u.tail_column[0], c.tail, c.tail}},
           u.w_pw,
           u.z + pixel * u.ldz,
           u.ldz,
           u.stream,
           sums});
      sums.set_centre = false;
    }
  }

  /// Merges the sums of `count` pixels into a partial of `before` ones.
  static void merge_sums(const ColumnSums& s, const UnitPlan& u, int64_t part, int64_t before, int64_t count) {
    double *mean = u.partials + part * 2 * u.columns, *m2 = mean + u.columns;
    const double per_pixel = 1.0 / static_cast<double>(count);
    for (int64_t k = 0; k < u.columns; ++k) {
      const double shift = s.sum[k] * per_pixel;
      const double mean_b = s.centre[k] + shift, m2_b = s.squares[k] - shift * s.sum[k];
      merge(before ? mean[k] : mean_b, before ? m2[k] : 0.0, mean_b, m2_b, before, count, mean[k], m2[k]);
    }
  }
  /// Of a and b numbers (Chan, Golub and LeVeque 1979).
  static void merge(double mean_a, double m2_a, double mean_b, double m2_b, int64_t a, int64_t b, double& mean,
                    double& m2) {
    const double part = static_cast<double>(b) / static_cast<double>(a + b), delta = mean_b - mean_a;
    mean = mean_a + delta * part;
    m2 = m2_a + m2_b + delta * delta * static_cast<double>(a) * part;
  }

  /// Merges the partials of a unit in order and moves its running statistics.
  void finish(const Group& g, size_t u) const {
    const SeparableOperands o = separable_operands(call_, u);
    const UnitPlan& p = units_[u];
    double *mean = p.partials, *m2 = mean + p.columns;
    const int64_t rows = o.z->rows();
    for (int64_t part = 1; part < g.parts; ++part) {
      const double *mean_b = mean + part * 2 * p.columns, *m2_b = mean_b + p.columns;
      const int64_t before = pixels_before(g, part), count = pixels_before(g, part + 1) - before;
      for (int64_t k = 0; k < p.columns; ++k)
        merge(mean[k], m2[k], mean_b[k], m2_b[k], before, count, mean[k], m2[k]);
    }
    for (int64_t k = 0; k < p.columns; ++k) {
      const double var = std::max(0.0, m2[k] / static_cast<double>(rows));
      const auto m = static_cast<float>(mean[k]), v = static_cast<float>(var);
      o.mean->as<float>()[k] = m;
      o.var->as<float>()[k] = v;
      o.rstd->as<float>()[k] = static_cast<float>(1 / std::sqrt(var + o.unit->eps));
      if (!o.unit->running) continue;
      float &rm = o.running_mean->as<float>()[k], &rv = o.running_var->as<float>()[k];
      const double momentum = o.unit->momentum;
      rm = static_cast<float>((1 - momentum) * rm + momentum * m);
      rv = static_cast<float>((1 - momentum) * rv + momentum * unbiased_factor(rows) * v);
    }
  }
  /// Pixels of a unit in the tasks before this one.
  static int64_t pixels_before(const Group& g, int64_t part) {
    const int64_t item = part_of(g.items(), g.parts, part).begin;
    return (item / g.bands * g.height + part_of(g.height, g.bands, item % g.bands).begin) * g.width;
  }

  const Call& call_;
  const SeparableAttrs& a_;
  int64_t lanes_;
  Pieces pieces_;
  UnitPlan* units_;
  Group* groups_;
  int64_t group_count_ = 0;
  float* scratch_ = nullptr;  ///< per thread a ring, lines of y, and sums of each unit
  int64_t line_at_ = 0, sums_at_ = 0, per_thread_ = 0;
  RowFunctions rows_ = row_functions();
  void (*stencil_)(const StencilRow&) = stencil_functions().stencil;
  PointwiseFunctions pointwise_ = pointwise_functions();
};

bool accepts(const Call& call) {
  if (call.attr<SeparableAttrs>().active) return false;
  const auto& units = call.attr<SeparableAttrs>().units;
  return all_float32(call) && std::all_of(units.begin(), units.end(), [](const SeparableUnit& u) {
           const Window& w = u.window;
           return w.stride <= Reach::kMaxStride &&
                  (u.depthwise ? w.kernel <= Axis::kMaxTaps && w.pad >= 0 : w.kernel == 1 && w.pad <= 0);
         });
}
void run(const Call& call) { SeparableForward(call).run(); }
size_t workspace(const Call& call) { return SeparableForward(call).workspace(); }

}  // namespace

constinit const Impl kSeparableTiles = {"tiles", accepts, run, workspace};

}  // namespace mixop::kernels
