// Dense and grouped convolutions as matrix products over blocks of pixels. A 1x1 convolution reads its pixels in
// place; others, and those with an on-load transform, gather a block of patches into scratch first.
#include <algorithm>

#include "kernels/ops/conv2d_impls.h"
#include "kernels/ops/conv2d_patches.h"

namespace mixop::kernels {
namespace {

constexpr int64_t kTasks = 64;  // about as many, where the shape allows

bool is_pointwise(const Conv2dAttrs& a) { return a.kernel == std::array{1, 1} && a.groups == 1; }

/// Output and input pixels are the same, so that all images are one long row.
bool keeps_pixels(const Conv2dAttrs& a) {
  constexpr std::array zero = {0, 0}, one = {1, 1};
  return a.kernel == one && a.stride == one && a.pad_begin == zero && a.pad_end == zero;
}

/// Pixels of a block of patches of k values: about 32 KB, in whole tiles of the product.
int64_t block_pixels(int64_t k) { return std::clamp<int64_t>(8192 / std::max<int64_t>(k, 1) / 48 * 48, 48, 192); }

/// [N,H,W] of a view, or one row of all pixels.
struct Pixels {
  int64_t images, height, width;
  Pixels(const Shape& s, bool one_row) : images(s[0]), height(s[1]), width(s[2]) {
    if (one_row) width *= height * images, images = height = 1;
  }
};

/// conv2d or conv2d_dgrad: out = patches of `in` times weights, for each gather and group.
struct GemmConv {
  const Call& call;
  const Conv2dAttrs& a;
  bool dgrad, one_row;
  const View &in, &w;
  const Out& out;
  Pixels in_pixels, out_pixels;
  Gathers gathers;
  int64_t in_channels, out_channels;  ///< of one group
  int64_t parts;                      ///< tasks per image

  GemmConv(const Call& c, bool is_dgrad)
      : call(c),
        a(c.attr<Conv2dAttrs>()),
        dgrad(is_dgrad),
        one_row(keeps_pixels(a)),
        in(c.in[0]),
        w(c.in[1]),
        out(c.out[0]),
        in_pixels(in.shape, one_row),
        out_pixels(out.shape, one_row),
        gathers{&a, dgrad, {in_pixels.height, in_pixels.width}, {out_pixels.height, out_pixels.width}},
        in_channels(in.last() / a.groups),
        out_channels(out.last() / a.groups),
        parts(ceil_div(kTasks, out_pixels.images)) {}

  // Workspace: parameters of t, packed weights, then per thread a block of patches and a block of results.
  int64_t table_floats() const {
    return round_up(row_transform_floats(a.load, dgrad ? out.last() : in.last()), 16);
  }
  int64_t weight_floats() const { return weight_floats(int64_t{a.kernel[0]} * a.kernel[1]); }
  int64_t weight_floats(int64_t taps) const {
    return a.groups * gemm_packed_floats(taps * in_channels, out_channels);
  }
  int64_t patch_floats() const {
    int64_t most = 0;
    for (int64_t g = 0; g < gathers.size(); ++g) {
      const int64_t k = gathers.taps(g) * in_channels;
      most = std::max(most, block_pixels(k) * k);
    }
    return round_up(most, 16);
  }
  int64_t result_floats() const { return round_up(block_pixels(0) * out_channels, 16); }
  size_t workspace() const {
    return sizeof(float) *
           (table_floats() + weight_floats() + call.exec->threads * (patch_floats() + result_floats()));
  }

  /// Weights of all gathers and groups: B((tap, channel in), channel out).
  void pack_weights(float* packed) const {
    const int64_t cg = w.shape[2], k = w.shape[3];
    const int64_t row = dgrad ? 1 : k, column = dgrad ? k : 1;  // strides in w of one channel in and one out
    const int64_t pieces = weight_floats() < (1 << 14) ? 1 : ceil_div(in_channels, 16);
    for (int64_t gather = 0; gather < gathers.size(); ++gather) {
      const Axis h = gathers.axis(gather, 0), ww = gathers.axis(gather, 1);
      const int64_t taps = int64_t{h.taps} * ww.taps;
      parallel_for(*call.exec, pieces, [&](int64_t piece, int) {
        const auto [begin, end] = part_of(in_channels, pieces, piece);
        for (int64_t g = 0; g < a.groups; ++g) {
          float* to = packed + g * gemm_packed_floats(taps * in_channels, out_channels);
          for (int64_t t = 0; t < taps; ++t) {
            const int64_t rs = int64_t{h.filter[t / ww.taps]} * a.kernel[1] + ww.filter[t % ww.taps];
            const float* from = w.as<float>() + rs * cg * k + g * (k / a.groups) + begin * row;
            gemm_pack(from, row, column, t * in_channels + begin, end - begin, taps * in_channels, out_channels,
                      to);
          }
        }
      });
      packed += weight_floats(taps);
    }
  }

  void run() const {
    float* const table = call.exec->scratch<float>();
    float* const weights = table + table_floats();
    float* const scratch = weights + weight_floats();
    const int64_t patch_size = patch_floats(), per_thread = patch_size + result_floats();
    const PatchSource source = {in.as<float>(), in.ld,
                                dgrad ? RowTransform() : make_row_transform(call, a.load, 2, in.last(), table)};
    const MaskRows mask = dgrad ? make_mask(call, table) : MaskRows();
    pack_weights(weights);

    // A task runs all gathers of its pixels, so that their interleaved outputs meet in the second-level cache.
    parallel_for(*call.exec, out_pixels.images * parts, [&](int64_t task, int thread) {
      float* const patches = scratch + thread * per_thread;
      const float* packed = weights;
      for (int64_t gather = 0; gather < gathers.size(); ++gather) {
        const Axis h = gathers.axis(gather, 0), ww = gathers.axis(gather, 1);
        run_gather(h, ww, task / parts, task % parts, source, packed, mask, patches, patches + patch_size);
        packed += weight_floats(int64_t{h.taps} * ww.taps);
      }
    });
  }

  /// Part `part` of the output pixels of one gather and image.
  void run_gather(const Axis& h, const Axis& ww, int64_t image, int64_t part, const PatchSource& source,
                  const float* packed, const MaskRows& mask, float* patches, float* results) const {
    const RowFunctions rows = row_functions();
    const Range taps = {0, int64_t{h.taps} * ww.taps};
    const bool add = out.write == Write::kAdd;
    const bool empty = taps.end == 0;  // positions that no filter element reaches: zero, masked or not
    if (empty && add) return;
    const int64_t k = taps.end * in_channels, pixels = h.count * ww.count, block = block_pixels(k);
    const bool direct = h.out_step == 1 && ww.out_step == 1 && !mask.data;  // then pixels of out follow each other
    const auto [first, last] = part_of(ceil_div(pixels, block), parts, part);
    for (int64_t b = first; b < last; ++b) {
      const Range range = {b * block, std::min(pixels, (b + 1) * block)};
      const int64_t m = range.end - range.begin;
      for (int64_t g = 0; g < a.groups; ++g) {
        GemmA left = {patches, k, 1};
        if (one_row && source.t.none()) left = {source.data + range.begin * in.ld + g * in_channels, in.ld, 1};
        else load_patches(rows, source, h, ww, image, range, taps, g * in_channels, in_channels, patches);
        const GemmB right = gemm_packed(packed + g * gemm_packed_floats(k, out_channels), k);
        float* const to = out.as<float>() + g * out_channels;
        if (direct) {
          gemm(m, out_channels, k, left, right, to + (image * pixels + range.begin) * out.ld, out.ld, out.write);
          continue;
        }
        gemm(m, out_channels, k, left, right, results, out_channels, Write::kSet);
        const RowTransform t = mask.t.from_channel(g * out_channels);
        for_row_segments(range, ww.count, [&](int64_t i, int64_t j, int64_t n, int64_t at) {
          const int64_t y = h.first + i * h.out_step, x = ww.first + j * ww.out_step;
          const int64_t pixel = (image * h.out + y) * ww.out + x;
          const float* from = mask.data && !empty ? mask.data + pixel * mask.ld + g * out_channels : nullptr;
          rows.store(results + at * out_channels, out_channels, n, out_channels, to + pixel * out.ld,
                     out.ld * ww.out_step, add, from, mask.ld * ww.out_step, t);
        });
      }
    }
  }
};

/// dw = patches of x, transposed, times dy: a partial per range of pixels; large filters are split into ranges of
/// filter elements instead.
struct GemmWgrad {
  const Call& call;
  const Conv2dAttrs& a;
  bool one_row;
  const View &dy, &x;
  const Out& dw;
  Pixels in_pixels, out_pixels;
  Axis h, w;
  int64_t taps, cg, kg, block, blocks, parts, splits;

  explicit GemmWgrad(const Call& c)
      : call(c),
        a(c.attr<Conv2dAttrs>()),
        one_row(keeps_pixels(a)),
        dy(c.in[0]),
        x(c.in[1]),
        dw(c.out[0]),
        in_pixels(x.shape, one_row),
        out_pixels(dy.shape, one_row),
        h(forward_axis(a, 0, in_pixels.height, out_pixels.height)),
        w(forward_axis(a, 1, in_pixels.width, out_pixels.width)),
        taps(int64_t{h.taps} * w.taps),
        cg(dw.shape[2]),
        kg(dw.shape[3] / a.groups),
        block(std::max<int64_t>(96, block_pixels(taps * cg))),
        blocks(out_pixels.images * ceil_div(h.count * w.count, block)) {
    constexpr int64_t kPartialFloats = 4 << 20;
    const int64_t size = dw.shape.elements(), most = size > (1 << 14) ? 16 : 32;
    parts = std::clamp<int64_t>(kPartialFloats / size, 1, std::min(most, blocks));
    splits = std::min(taps, ceil_div(16, parts));
  }

  bool pack_dy() const { return kg % gemm_lanes() != 0; }
  int64_t dy_row() const { return round_up(kg, gemm_lanes()); }
  int64_t table_floats() const { return round_up(row_transform_floats(a.load, x.last()), 16); }
  int64_t partial_floats() const { return round_up(parts * dw.shape.elements(), 16); }
  int64_t patch_floats() const { return round_up(block * ceil_div(taps, splits) * cg, 16); }
  int64_t per_thread() const { return patch_floats() + (pack_dy() ? block * dy_row() : 0); }
  size_t workspace() const {
    return sizeof(float) * (table_floats() + partial_floats() + call.exec->threads * per_thread());
  }

  void run() const {
    const RowFunctions rows = row_functions();
    float* const table = call.exec->scratch<float>();
    float* const partials = table + table_floats();
    const int64_t size = dw.shape.elements();
    float* const scratch = partials + partial_floats();
    const PatchSource source = {x.as<float>(), x.ld, make_row_transform(call, a.load, 2, x.last(), table)};
    const int64_t pixels = h.count * w.count, blocks_per_image = ceil_div(pixels, block), k = a.groups * kg;

    parallel_for(*call.exec, parts * splits, [&](int64_t task, int thread) {
      const int64_t part = task / splits;
      const Range some = part_of(taps, splits, task % splits);
      const int64_t values = (some.end - some.begin) * cg;
      float* const patches = scratch + thread * per_thread();
      float* const packed = patches + patch_floats();
      float* const partial = partials + part * size + some.begin * cg * k;
      const auto [first, last] = part_of(blocks, parts, part);
      for (int64_t b = first; b < last; ++b) {
        const int64_t image = b / blocks_per_image, begin = b % blocks_per_image * block;
        const Range range = {begin, std::min(pixels, begin + block)};
        const int64_t m = range.end - range.begin;
        for (int64_t g = 0; g < a.groups; ++g) {
          GemmA left = {patches, 1, values};  // transposed: a row per value, a column per pixel
          if (one_row && source.t.none()) left = {source.data + begin * x.ld + g * cg, 1, x.ld};
          else load_patches(rows, source, h, w, image, range, some, g * cg, cg, patches);
          const float* from = dy.as<float>() + (image * pixels + begin) * dy.ld + g * kg;
          GemmB right = gemm_row_major(from, dy.ld);
          if (pack_dy()) {
            rows.load(from, dy.ld, m, kg, RowTransform(), packed, dy_row(), true);
            right = gemm_row_major(packed, dy_row());
          }
          gemm(values, kg, m, left, right, partial + g * kg, k, b == first ? Write::kSet : Write::kAdd);
        }
      }
    });
    merge_partials(*call.exec, partials, parts, size, dw.as<float>(), dw.write);
  }
};

bool fits(const Call& call) { return all_float32(call) && conv2d_fits_axis(call.attr<Conv2dAttrs>()); }
bool fits_pointwise(const Call& call) { return all_float32(call) && is_pointwise(call.attr<Conv2dAttrs>()); }

void run_forward(const Call& call) { GemmConv(call, false).run(); }
void run_dgrad(const Call& call) { GemmConv(call, true).run(); }
void run_wgrad(const Call& call) { GemmWgrad(call).run(); }

size_t forward_workspace(const Call& call) { return GemmConv(call, false).workspace(); }
size_t dgrad_workspace(const Call& call) { return GemmConv(call, true).workspace(); }
size_t wgrad_workspace(const Call& call) { return GemmWgrad(call).workspace(); }

}  // namespace

constinit const Impl kConv2dPointwise = {"pointwise", fits_pointwise, run_forward, forward_workspace};
constinit const Impl kConv2dDgradPointwise = {"pointwise", fits_pointwise, run_dgrad, dgrad_workspace};
constinit const Impl kConv2dWgradPointwise = {"pointwise", fits_pointwise, run_wgrad, wgrad_workspace};
constinit const Impl kConv2dIm2col = {"im2col", fits, run_forward, forward_workspace};
constinit const Impl kConv2dDgradIm2col = {"im2col", fits, run_dgrad, dgrad_workspace};
constinit const Impl kConv2dWgradIm2col = {"im2col", fits, run_wgrad, wgrad_workspace};

}  // namespace mixop::kernels
