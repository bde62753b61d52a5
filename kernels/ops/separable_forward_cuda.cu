// z = depthwise(t(x)) w_pw and the statistics of z, for all units of a node in one launch and a small one behind
// it.
//   composite   conv2d (depthwise), conv2d (1x1), bn_stats
//   traffic     reads T (of x, with a halo that the L2 cache serves), writes T; the composite reads 3 T, writes 2 T
// A block takes a tile of one image: t(x) goes to shared memory 16 channels at a time, y from registers to shared
// memory, and z, whose statistics are taken in registers, straight to memory. A unit that does not fit (channels
// not in fours, another window, ..) is left to a kernel with a warp for 16 pixels.
#include <algorithm>
#include <limits>

#include "kernels/ops/separable_forward_merge.cuh"
#include "kernels/ops/separable_forward_pointwise.cuh"
#include "kernels/ops/separable_forward_tile.cuh"
#include "kernels/ops/separable_impls_cuda.h"

namespace mixop::kernels {
namespace {

// ---- tiles --------------------------------------------------------------------------------------

template <bool kTf32>
__global__ void __launch_bounds__(kSeparableThreads, 6) separable_tiles(const SeparableForwardUnits units) {
  MIXOP_DYNAMIC_SHARED(float, shared);
  const int index = static_cast<int>(blockIdx.x) % units.count, tile = static_cast<int>(blockIdx.x) / units.count;
  const SeparableForwardUnit& u = units.unit[index];
  if (tile >= u.blocks || (units.active && !units.active[u.number])) return;
  const int across = (u.out_width + u.cells() - 1) / u.cells(), down = (u.out_height + u.cells() - 1) / u.cells();
  const int image = tile / (across * down), rest = tile % (across * down);
  const SeparablePlace place{image, rest / across * u.cells(), rest % across * u.cells()};

  const bool late = u.w_at == 0;  // the weights take the place of x
  if (!late) stage_pointwise(shared, u, 0);
  with_separable_tile(u.kernel, u.stride, u.dilation, u.large,
                      [&]<class Tile>() { depthwise_to_shared<Tile>(shared, u, place); });
  if (late) stage_pointwise(shared, u, 0);
  __syncthreads();
  if (u.large) pointwise_from_shared<16, kTf32>(shared, u, place, tile);
  else pointwise_from_shared<8, kTf32>(shared, u, place, tile);
}

// ---- any window, any channels -------------------------------------------------------------------

constexpr int kPlainThreads = 256, kPlainWarps = kPlainThreads / kWarp;
constexpr int kPlainPixels = 16;  ///< of a warp, one part of the statistics

/// A warp owns kPlainPixels pixels and 32 columns: a lane computes y of one channel, all channels of y pass by all
/// lanes.
__global__ void __launch_bounds__(kPlainThreads) separable_plain(const SeparableForwardUnits units) {
  const int index = static_cast<int>(blockIdx.x) % units.count, block = static_cast<int>(blockIdx.x) / units.count;
  const SeparableForwardUnit& u = units.unit[index];
  if (block >= u.blocks || (units.active && !units.active[u.number])) return;
  const int lane = static_cast<int>(threadIdx.x) % kWarp, tiles = (u.out_channels + kWarp - 1) / kWarp;
  const int part = block / tiles * kPlainWarps + static_cast<int>(threadIdx.x) / kWarp,
            k = block % tiles * kWarp + lane;
  const int begin = part * kPlainPixels, end = min(u.rows, begin + kPlainPixels),
            pixels = u.out_height * u.out_width;
  const bool present = k < u.out_channels;
  Moments moments{0, 0, 0};
  for (int pixel = begin; pixel < end; ++pixel) {
    const int64_t image = pixel / pixels;
    const int cell = pixel % pixels;
    const int top = cell / u.out_width * u.stride - u.pad, left = cell % u.out_width * u.stride - u.pad;
    float z = 0;
    for (int first = 0; first < u.channels; first += kWarp) {
      const int c = first + lane;
      float y = 0;
      for (int t = 0; c < u.channels && t < u.kernel * u.kernel; ++t) {
        const int h = top + t / u.kernel * u.dilation, w = left + t % u.kernel * u.dilation;
        if (h < 0 || h >= u.height || w < 0 || w >= u.width) continue;
        const float x = u.x[((image * u.height + h) * u.width + w) * u.x_ld + c];
        y = fmaf(u.load(x, c), u.w_dw[int64_t{t} * u.channels + c], y);
      }
      for (int j = 0; j < kWarp && first + j < u.channels; ++j) {
        const float of_j = __shfl_sync(0xFFFFFFFFu, y, j);
        if (present) z = fmaf(of_j, u.w_pw[int64_t{first + j} * u.out_channels + k], z);
      }
    }
    if (!present) continue;
    u.z[int64_t{pixel} * u.z_ld + k] = z;
    add(moments, z);
  }
  if (present && u.partial && begin < u.rows) u.partial[int64_t{part} * u.out_channels + k] = moments;
}

// ---- the host's side ----------------------------------------------------------------------------

constexpr int kSharedFloats = (48 << 10) / sizeof(float);  ///< what any device gives a block

/// How a unit is cut into tiles; no columns: it is not.
struct SeparableCut {
  bool large = false;
  int together = 1, columns = 0, y_at = 0, w_at = 0, floats = 0;
  int blocks = 0;
};

SeparableCut separable_cut(const SeparableOperands& o) {
  const Window& w = o.unit->window;
  const auto one_or_two = [](int v) { return v == 1 || v == 2; };
  const int64_t channels = o.x->last(), outputs = o.z->last(), height = o.z->shape[1], width = o.z->shape[2];
  SeparableCut cut;
  if ((w.kernel != 3 && w.kernel != 5) || !one_or_two(w.stride) || !one_or_two(w.dilation)) return cut;
  if (channels % 4 || outputs % 4 || channels > 1024 || outputs > 4096) return cut;
  if (o.x->shape[1] * o.x->shape[2] * o.x->ld > std::numeric_limits<int32_t>::max()) return cut;
  const int c = static_cast<int>(channels), groups = cuda::ceil_div(c, kSeparableGroup);
  cut.large = w.stride <= w.dilation && groups == 1 && (height > 8 || width > 8);
  const int cells = cut.large ? 16 : 8, y = cells * cells * separable_y_pitch(cut.large, c);
  const int most = cut.large || outputs <= kSeparableGroup ? kSeparableGroup : 2 * kSeparableGroup;
  int pixels = 0, most_together = 1;
  with_separable_tile(w.kernel, w.stride, w.dilation, cut.large, [&]<class Tile>() {
    pixels = Tile::kPixels;
    most_together = std::min(groups, kSeparableThreads / (kSeparableGroup / 2) / Tile::kStrips);
  });
  cut.blocks = static_cast<int>(o.z->shape[0] * cuda::ceil_div<int64_t>(height, cells) *
                                cuda::ceil_div<int64_t>(width, cells));
  for (cut.together = most_together; cut.together > 0; --cut.together)
    for (cut.columns = most; cut.columns > 0; cut.columns -= kSeparableGroup) {
      const int x = cut.together * pixels * kSeparableGroup;
      cut.y_at = cut.together == groups ? 0 : x;
      cut.w_at = cut.together == groups ? std::max(x, y) : x + y;
      cut.floats = cut.w_at + c * cut.columns;
      if (cut.floats <= kSharedFloats) return cut;
    }
  // The weights in the place of x.
  cut.together = 1, cut.columns = kSeparableGroup;
  cut.w_at = 0, cut.y_at = std::max(pixels, c) * kSeparableGroup;
  cut.floats = cut.y_at + y;
  return cut.floats <= kSharedFloats ? cut : SeparableCut();
}

int parts_of(const SeparableCut& cut) { return cut.blocks * (cut.large ? 2 : 1); }
int plain_parts(const SeparableOperands& o) {
  return static_cast<int>(cuda::ceil_div<int64_t>(o.z->rows(), kPlainPixels));
}
int64_t partial_bytes(const SeparableOperands& o) {
  const int64_t parts = std::max(parts_of(separable_cut(o)), plain_parts(o));
  return cuda::ceil_div<int64_t>(parts * o.z->last() * sizeof(Moments), 64) * 64;
}

/// Whether reads and writes of 16 bytes are possible.
bool is_aligned(const SeparableForwardUnit& u) {
  const auto aligned = [](const float* p) { return cuda::aligned4(p, 0, 0); };
  const cuda::DeviceLoader& t = u.load;
  return cuda::aligned4(u.x, u.x_ld, 0) && cuda::aligned4(u.z, u.z_ld, 0) && aligned(u.w_dw) && aligned(u.w_pw) &&
         aligned(t.mean) && aligned(t.rstd) && aligned(t.gamma) && aligned(t.beta);
}

/// Units of one kernel, which is started whenever they are many enough, and by the end.
class SeparableLaunches {
 public:
  SeparableLaunches(const Exec& exec, const char* name, void (*kernel)(SeparableForwardUnits), int threads)
      : exec_(exec), name_(name), kernel_(kernel), threads_(threads) {}

  void add(const SeparableForwardUnit& u, int floats) {
    units_.unit[static_cast<size_t>(units_.count++)] = u;
    blocks_ = std::max(blocks_, u.blocks);
    floats_ = std::max(floats_, floats);
    if (units_.count == kMostSeparableUnits) start();
  }
  void start() {
    cuda::launch(exec_, name_, kernel_, dim3(static_cast<unsigned>(blocks_ * units_.count)),
                 dim3(static_cast<unsigned>(threads_)), static_cast<size_t>(floats_) * sizeof(float), units_);
    units_.count = blocks_ = floats_ = 0;
  }

 private:
  const Exec& exec_;
  const char* name_;
  void (*kernel_)(SeparableForwardUnits);
  int threads_, blocks_ = 0, floats_ = 0;
  SeparableForwardUnits units_;
};

void merge(const Call& call, const std::vector<SeparableStatistics>& all) {
  for (size_t first = 0; first < all.size(); first += kMostSeparableUnits) {
    AllSeparableStatistics units;
    const size_t count = std::min(all.size() - first, size_t{kMostSeparableUnits});
    int channels = 0;
    for (size_t i = 0; i < count; ++i) {
      units.unit[i] = all[first + i];
      channels = std::max(channels, units.unit[i].channels);
    }
    cuda::launch(
        *call.exec, "separable_merge", separable_merge,
        dim3(static_cast<unsigned>(count), static_cast<unsigned>(cuda::ceil_div(channels, kSeparableGroup))),
        dim3(kMergeThreads), 0, units);
  }
}

/// Pixels are numbered in 32 bits.
bool accepts(const Call& call) {
  const auto fits = [](const View& v) {
    return std::max(v.rows(), v.ld) < std::numeric_limits<int32_t>::max() / 2;
  };
  return all_float32(call) && all_depthwise<SeparableAttrs>(call) &&
         std::all_of(call.in.begin(), call.in.end(), fits) && std::all_of(call.out.begin(), call.out.end(), fits);
}

template <bool kTiles>
void run(const Call& call) {
  const auto& a = call.attr<SeparableAttrs>();
  SeparableLaunches tiles(*call.exec, "separable_tiles",
                          call.exec->tf32 ? separable_tiles<true> : separable_tiles<false>, kSeparableThreads);
  SeparableLaunches plain(*call.exec, "separable_plain", separable_plain, kPlainThreads);
  std::vector<SeparableStatistics> statistics;
  int64_t partial_at = 0;
  for (size_t i = 0; i < a.units.size(); ++i) {
    const SeparableOperands o = separable_operands(call, i);
    const Window& w = o.unit->window;
    const SeparableCut cut = kTiles ? separable_cut(o) : SeparableCut();
    SeparableForwardUnit u{};
    u.number = static_cast<short>(i);
    u.x = o.x->as<float>(), u.load = cuda::device_loader(call, o.unit->load, o.load_at);
    u.w_dw = o.w_dw->as<float>(), u.w_pw = o.w_pw->as<float>(), u.z = o.z->as<float>();
    u.rows = static_cast<int>(o.z->rows()), u.x_ld = static_cast<int>(o.x->ld), u.z_ld = static_cast<int>(o.z->ld);
    u.height = static_cast<int>(o.x->shape[1]), u.width = static_cast<int>(o.x->shape[2]);
    u.out_height = static_cast<int>(o.z->shape[1]), u.out_width = static_cast<int>(o.z->shape[2]);
    u.channels = static_cast<int>(o.x->last()), u.out_channels = static_cast<int>(o.z->last());
    u.kernel = static_cast<short>(w.kernel), u.stride = static_cast<short>(w.stride);
    u.dilation = static_cast<short>(w.dilation), u.pad = w.pad;
    if (a.stats) u.partial = call.exec->scratch<Moments>(partial_at);
    const bool in_tiles = cut.columns > 0 && is_aligned(u);
    if (in_tiles) {
      u.large = cut.large, u.together = static_cast<signed char>(cut.together), u.blocks = cut.blocks;
      u.columns = static_cast<short>(cut.columns), u.y_at = cut.y_at, u.w_at = cut.w_at;
      tiles.add(u, cut.floats);
    } else {
      u.blocks = cuda::ceil_div(plain_parts(o), kPlainWarps) * cuda::ceil_div(u.out_channels, kWarp);
      plain.add(u, 0);
    }
    if (!a.stats) continue;
    partial_at += partial_bytes(o);
    statistics.push_back({u.partial, o.mean->as<float>(), o.var->as<float>(), o.rstd->as<float>(),
                          o.running_mean ? o.running_mean->as<float>() : nullptr,
                          o.running_var ? o.running_var->as<float>() : nullptr, o.unit->eps, o.unit->momentum,
                          in_tiles ? parts_of(cut) : plain_parts(o), u.out_channels, u.number});
  }
  tiles.start();
  plain.start();
  merge(call, statistics);
}

size_t workspace(const Call& call) {
  const auto& a = call.attr<SeparableAttrs>();
  int64_t bytes = 0;
  for (size_t i = 0; a.stats && i < a.units.size(); ++i) bytes += partial_bytes(separable_operands(call, i));
  return static_cast<size_t>(bytes);
}

}  // namespace

constinit const Impl kSeparableForwardCuda = {"tiles", accepts, run<true>, workspace};
constinit const Impl kSeparablePlainCuda = {"plain", accepts, run<false>, workspace};

}  // namespace mixop::kernels
