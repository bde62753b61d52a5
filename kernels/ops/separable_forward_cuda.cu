// z = depthwise(t(x)) w_pw and the statistics of z, for all units of a node in one launch.
//   composite   conv2d (depthwise), conv2d (1x1), bn_stats
//   traffic     reads T (of x, with a halo that the L2 cache serves), writes T; the composite reads 3 T, writes 2 T
// A block takes a tile of one image: t(x) goes to shared memory 16 channels at a time, y from registers to shared
// memory, and z, whose statistics are taken in registers, straight to memory; the blocks that come last merge them.
// The statistics are those of z before it is rounded for storage.
// A unit without a depthwise half is a matrix product instead. A unit that does not fit (channels not in fours,
// another window, ..) is left to a kernel with a warp for 16 pixels.
#include <algorithm>
#include <cmath>
#include <limits>

#include "kernels/ops/separable_forward_merge.cuh"
#include "kernels/ops/separable_forward_pointwise.cuh"
#include "kernels/ops/separable_forward_product.cuh"
#include "kernels/ops/separable_forward_tile.cuh"
#include "kernels/ops/separable_impls_cuda.h"

namespace mixop::kernels {
namespace {

// ---- tiles --------------------------------------------------------------------------------------

template <bool kTf32, class S>
__device__ __forceinline__ void separable_tile(S shared, const SeparableForwardUnit& u, int tile) {
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

template <bool kTf32>
__global__ void __launch_bounds__(kSeparableThreads, 6) separable_tiles(const SeparableForwardUnits units) {
  cuda::wait_for_earlier();
  MIXOP_DYNAMIC_SHARED(float, shared);
  const int index = static_cast<int>(blockIdx.x) % units.count, block = static_cast<int>(blockIdx.x) / units.count;
  const SeparableForwardUnit& u = units.unit[index];
  if (block >= u.blocks || (units.active && !units.active[u.number])) return;
  const int tile = block / u.across;
  if (u.w_dw) separable_tile<kTf32>(shared, u, tile);
  else if (u.large) product_tile<false, kTf32>(shared, u, tile, block % u.across);
  else product_tile<true, kTf32>(shared, u, tile, block % u.across);
  finish_statistics<kSeparableThreads>(u, units.tickets, tile);
}

// ---- any window, any channels -------------------------------------------------------------------

constexpr int kPlainThreads = 256, kPlainWarps = kPlainThreads / kWarp;
constexpr int kPlainPixels = 16;  ///< of a warp, one part of the statistics

/// A warp owns kPlainPixels pixels and 32 columns: a lane computes y of one channel, all channels of y pass by all
/// lanes.
__global__ void __launch_bounds__(kPlainThreads) separable_plain(const SeparableForwardUnits units) {
  cuda::wait_for_earlier();
  const int index = static_cast<int>(blockIdx.x) % units.count, block = static_cast<int>(blockIdx.x) / units.count;
  const SeparableForwardUnit& u = units.unit[index];
  if (block >= u.blocks || (units.active && !units.active[u.number])) return;
  const int lane = static_cast<int>(threadIdx.x) % kWarp, tile = block / u.across;
  const int part = tile * kPlainWarps + static_cast<int>(threadIdx.x) / kWarp, k = block % u.across * kWarp + lane;
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
        const float x = u.x.load(((image * u.height + h) * u.width + w) * u.x_ld + c);
        y = fmaf(u.load(x, c), u.w_dw ? u.w_dw[int64_t{t} * u.channels + c] : 1.0f, y);
      }
      for (int j = 0; j < kWarp && first + j < u.channels; ++j) {
        const float of_j = __shfl_sync(0xFFFFFFFFu, y, j);
        if (present) z = fmaf(of_j, u.w_pw[int64_t{first + j} * u.out_channels + k], z);
      }
    }
    if (!present) continue;
    u.z.store(int64_t{pixel} * u.z_ld + k, z);
    add(moments, z);
  }
  if (present && u.statistics.part && begin < u.rows)
    u.statistics.part[int64_t{part} * u.out_channels + k] = moments;
  finish_statistics<kPlainThreads>(u, units.tickets, tile);
}

// ---- the host's side ----------------------------------------------------------------------------

constexpr int kSharedFloats = cuda::kSharedBytes / sizeof(float),
              kMostSharedFloats = cuda::kMostSharedBytes / sizeof(float);

/// How a unit is cut into tiles; no columns: it is not.
struct SeparableCut {
  bool large = false;
  int together = 1, columns = 0, y_at = 0, w_at = 0, floats = 0;
  int tiles = 0, parts_of_tile = 1, parts = 0;
  int across = 1;  ///< blocks of a tile
};

/// Without a depthwise half.
SeparableCut product_cut(int rows, int outputs) {
  SeparableCut cut;
  cut.large = outputs <= kSeparableGroup;
  const auto fill = [&]<bool kWide>() {
    using P = SeparableProduct<kWide>;
    cut.columns = P::kColumns, cut.floats = P::kFloats, cut.parts_of_tile = P::kParts;
    cut.tiles = cuda::ceil_div(rows, P::kCells), cut.across = cuda::ceil_div(outputs, P::kColumns);
  };
  if (cut.large) fill.template operator()<false>();
  else fill.template operator()<true>();
  cut.parts = cut.tiles * cut.parts_of_tile;
  return cut;
}

/// The first of the cuts, from the roomiest on, that fits what any block has; else the least one if a block can
/// have that much.
SeparableCut separable_cut(const SeparableOperands& o) {
  const Window& w = o.unit->window;
  const auto one_or_two = [](int v) { return v == 1 || v == 2; };
  const int64_t channels = o.x->last(), outputs = o.z->last(), height = o.z->shape[1], width = o.z->shape[2];
  SeparableCut cut;
  if (channels % 4 || outputs % 4 || channels > (1 << 20) || outputs > 4096) return cut;
  constexpr int64_t kMostOffset = std::numeric_limits<int32_t>::max();
  if (!o.w_dw) {
    if (o.x->rows() * o.x->ld > kMostOffset) return cut;
    return product_cut(static_cast<int>(o.z->rows()), static_cast<int>(outputs));
  }
  if ((w.kernel != 3 && w.kernel != 5) || !one_or_two(w.stride) || !one_or_two(w.dilation)) return cut;
  if (channels > 1024) return cut;
  if (o.x->shape[1] * o.x->shape[2] * o.x->ld > kMostOffset) return cut;
  const int c = static_cast<int>(channels), groups = cuda::ceil_div(c, kSeparableGroup);
  cut.large = w.stride <= w.dilation && groups == 1 && (height > 8 || width > 8);
  const int cells = cut.large ? 16 : 8, y = cells * cells * separable_y_pitch(cut.large, c);
  const int most = cut.large || outputs <= kSeparableGroup ? kSeparableGroup : 2 * kSeparableGroup;
  int pixels = 0, most_together = 1;
  with_separable_tile(w.kernel, w.stride, w.dilation, cut.large, [&]<class Tile>() {
    pixels = Tile::kPixels;
    most_together = std::min(groups, kSeparableThreads / (kSeparableGroup / 2) / Tile::kStrips);
  });
  cut.tiles = static_cast<int>(o.z->shape[0] * cuda::ceil_div<int64_t>(height, cells) *
                               cuda::ceil_div<int64_t>(width, cells));
  cut.parts_of_tile = cut.large ? 2 : 1;
  cut.parts = cut.tiles * cut.parts_of_tile;
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
  return cut.floats <= kMostSharedFloats ? cut : SeparableCut();
}

/// For the kernel for anything.
SeparableCut plain_cut(const SeparableOperands& o) {
  SeparableCut cut;
  cut.parts = static_cast<int>(cuda::ceil_div<int64_t>(o.z->rows(), kPlainPixels));
  cut.parts_of_tile = kPlainWarps;
  cut.tiles = cuda::ceil_div(cut.parts, kPlainWarps);
  cut.across = static_cast<int>(cuda::ceil_div<int64_t>(o.z->last(), kWarp));
  return cut;
}

int tiles_of_group(const SeparableCut& cut) {
  return static_cast<int>(std::ceil(std::sqrt(static_cast<double>(cut.tiles))));
}

/// What the statistics of a unit take of the workspace: merged moments, then those of the parts.
int64_t merged_bytes(const SeparableCut& cut, int64_t channels) {
  const int groups = cut.tiles ? cuda::ceil_div(cut.tiles, tiles_of_group(cut)) : 0;
  return cuda::ceil_div<int64_t>(groups * channels * int64_t{sizeof(MergedMoments)}, 64) * 64;
}
int64_t statistics_bytes(const SeparableCut& cut, int64_t channels) {
  return merged_bytes(cut, channels) +
         cuda::ceil_div<int64_t>(cut.parts * channels * int64_t{sizeof(Moments)}, 64) * 64;
}
/// However it is cut: that also depends on addresses.
int64_t statistics_bytes(const SeparableOperands& o) {
  const int64_t channels = o.z->last();
  return std::max(statistics_bytes(separable_cut(o), channels), statistics_bytes(plain_cut(o), channels));
}

/// Whether fours of channels can be read and written at a time.
bool is_aligned(const SeparableOperands& o, const SeparableForwardUnit& u) {
  const auto aligned = [](const float* p) { return cuda::aligned4(p, 0, 0); };
  const cuda::DeviceLoader& t = u.load;
  return cuda::in_fours(*o.x) && cuda::in_fours(*o.z) && aligned(u.w_dw) && aligned(u.w_pw) && aligned(t.mean) &&
         aligned(t.rstd) && aligned(t.gamma) && aligned(t.beta);
}

/// Units of one kernel, which is started whenever they are many enough, and by the end.
class SeparableLaunches {
 public:
  SeparableLaunches(const Call& call, const char* name, void (*kernel)(SeparableForwardUnits), int threads)
      : exec_(*call.exec), name_(name), kernel_(kernel), threads_(threads) {
    if (call.attr<SeparableAttrs>().active) units_.active = call.in.back().as<int32_t>();
    units_.tickets = exec_.tickets;
  }

  void add(SeparableForwardUnit u, int floats) {
    const int tickets = u.statistics.part ? 1 + u.statistics.groups() : 0;
    if (units_.count == kMostSeparableUnits || tickets_ + tickets > kTickets) start();
    u.statistics.ticket = tickets_;
    units_.unit[static_cast<size_t>(units_.count++)] = u;
    tickets_ += tickets;
    blocks_ = std::max(blocks_, u.blocks);
    floats_ = std::max(floats_, floats);
  }
  void start() {
    const size_t bytes = static_cast<size_t>(floats_) * sizeof(float);
    if (bytes > cuda::kSharedBytes) cuda::opt_in_to_shared(kernel_);
    cuda::launch_dependent(exec_, name_, kernel_, dim3(static_cast<unsigned>(blocks_ * units_.count)),
                           dim3(static_cast<unsigned>(threads_)), bytes, units_);
    units_.count = tickets_ = blocks_ = floats_ = 0;
  }

 private:
  const Exec& exec_;
  const char* name_;
  void (*kernel_)(SeparableForwardUnits);
  int threads_, tickets_ = 0, blocks_ = 0, floats_ = 0;
  SeparableForwardUnits units_;
};

/// Pixels are numbered in 32 bits.
bool accepts(const Call& call) {
  const auto fits = [](const View& v) {
    return std::max(v.rows(), v.ld) < std::numeric_limits<int32_t>::max() / 2;
  };
  return all_float32_or_bf16(call) && std::all_of(call.in.begin(), call.in.end(), fits) &&
         std::all_of(call.out.begin(), call.out.end(), fits);
}

SeparableStatistics statistics_of(const SeparableOperands& o, const SeparableCut& cut, std::byte* workspace) {
  const auto data = [](const auto* v) { return v ? v->template as<float>() : nullptr; };
  SeparableStatistics s{};
  s.merged = reinterpret_cast<MergedMoments*>(workspace);
  s.part = reinterpret_cast<Moments*>(workspace + merged_bytes(cut, o.z->last()));
  s.mean = data(o.mean), s.var = data(o.var), s.rstd = data(o.rstd);
  s.running_mean = data(o.running_mean), s.running_var = data(o.running_var);
  s.eps = o.unit->eps, s.momentum = o.unit->momentum;
  s.parts = cut.parts, s.parts_of_tile = cut.parts_of_tile, s.tiles = cut.tiles;
  s.tiles_of_group = tiles_of_group(cut);
  return s;
}

template <bool kTiles>
void run(const Call& call) {
  const auto& a = call.attr<SeparableAttrs>();
  const auto kernel = call.exec->tf32 ? separable_tiles<true> : separable_tiles<false>;
  SeparableLaunches tiles(call, "separable_tiles", kernel, kSeparableThreads);
  SeparableLaunches roomy(call, "separable_tiles", kernel, kSeparableThreads);  // fewer blocks at a time
  SeparableLaunches plain(call, "separable_plain", separable_plain, kPlainThreads);
  int64_t used = 0;
  for (size_t i = 0; i < a.units.size(); ++i) {
    const SeparableOperands o = separable_operands(call, i);
    const Window& w = o.unit->window;
    SeparableForwardUnit u{};
    u.number = static_cast<short>(i);
    u.x = cuda::Stored(*o.x), u.load = cuda::device_loader(call, o.unit->load, o.load_at);
    u.w_dw = o.w_dw ? o.w_dw->as<float>() : nullptr, u.w_pw = o.w_pw->as<float>(), u.z = cuda::Stored(*o.z);
    u.rows = static_cast<int>(o.z->rows()), u.x_ld = static_cast<int>(o.x->ld), u.z_ld = static_cast<int>(o.z->ld);
    u.height = static_cast<int>(o.x->shape[1]), u.width = static_cast<int>(o.x->shape[2]);
    u.out_height = static_cast<int>(o.z->shape[1]), u.out_width = static_cast<int>(o.z->shape[2]);
    u.channels = static_cast<int>(o.x->last()), u.out_channels = static_cast<int>(o.z->last());
    u.kernel = static_cast<short>(w.kernel), u.stride = static_cast<short>(w.stride);
    u.dilation = static_cast<short>(w.dilation), u.pad = w.pad;
    SeparableCut cut = kTiles && is_aligned(o, u) ? separable_cut(o) : SeparableCut();
    const bool in_tiles = cut.columns > 0;
    if (!in_tiles) cut = plain_cut(o);
    u.blocks = cut.tiles * cut.across, u.across = cut.across;
    u.large = cut.large, u.together = static_cast<signed char>(cut.together);
    u.columns = static_cast<short>(cut.columns), u.y_at = cut.y_at, u.w_at = cut.w_at;
    if (a.stats) {
      u.statistics = statistics_of(o, cut, call.exec->workspace + used);
      used += statistics_bytes(o);
    }
    (!in_tiles ? plain : cut.floats > kSharedFloats ? roomy : tiles).add(u, cut.floats);
  }
  tiles.start();
  roomy.start();
  plain.start();
}

size_t workspace(const Call& call) {
  const auto& a = call.attr<SeparableAttrs>();
  int64_t bytes = 0;
  for (size_t i = 0; a.stats && i < a.units.size(); ++i) bytes += statistics_bytes(separable_operands(call, i));
  return static_cast<size_t>(bytes);
}

}  // namespace

constinit const Impl kSeparableForwardCuda = {"tiles", accepts, run<true>, workspace};
constinit const Impl kSeparablePlainCuda = {"plain", accepts, run<false>, workspace};

}  // namespace mixop::kernels
