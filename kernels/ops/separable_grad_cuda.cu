// The way back through separable convolutions on CUDA: dx of all units of a node in one launch, partial weight
// gradients in another, and what merges their partial results. Units that do not fit tiles (channels not in fours,
// another window) go one by one through plain kernels.
#include <algorithm>
#include <limits>
#include <map>
#include <vector>

#include "kernels/core/cuda/reduce.cuh"
#include "kernels/ops/separable_grad_units.cuh"
#include "kernels/ops/separable_impls_cuda.h"

namespace mixop::kernels {
namespace {

// ---- merging ------------------------------------------------------------------------------------

/// dx of a group from the shares of its parts.
struct ShareMerge {
  const float *shares, *x;
  float* dx;
  cuda::DeviceLoader load;
  int64_t rows;
  int channels, x_ld, dx_ld, parts;
  bool add;
};
struct ShareMerges {
  ShareMerge group[kMostGradUnits];
};

constexpr int kShareThreads = 256;

/// dx = or += [t(x) > 0] sum of the shares, in their order: a thread owns quads of group blockIdx.y.
__global__ void __launch_bounds__(kShareThreads) separable_grad_merge_shares(const ShareMerges groups) {
  const ShareMerge& g = groups.group[blockIdx.y];
  const int64_t elements = g.rows * g.channels, step = int64_t{gridDim.x} * kShareThreads * 4;
  for (int64_t e = (int64_t{blockIdx.x} * kShareThreads + threadIdx.x) * 4; e < elements; e += step) {
    const int64_t pixel = e / g.channels;
    const int c = static_cast<int>(e - pixel * g.channels);
    float4 v = cuda::load4(g.shares + e);
    for (int part = 1; part < g.parts; ++part) v = cuda::add4(v, cuda::load4(g.shares + part * elements + e));
    if (g.load.relu) v = GradLoadQuad(g.load, c).masked(v, cuda::load4(g.x + pixel * g.x_ld + c));
    float* const to = g.dx + pixel * g.dx_ld + c;
    cuda::store4(to, g.add ? cuda::add4(v, cuda::load4(to)) : v);
  }
}

/// Columns of partial sums [parts][size]: the first ones make up one result, the others another.
struct ColumnMerge {
  const float* partial;
  float *first, *second;
  const float* factor;  ///< of the second, or null
  int parts, size, first_size;
};
constexpr int kMostColumnMerges = 64;
struct ColumnMerges {
  ColumnMerge sums[kMostColumnMerges];
};

constexpr int kMergeColumns = 32, kMergeRows = 8;

/// Columns blockIdx.x * 32 and on of sums blockIdx.y: kMergeRows threads share a column, each with every so many
/// parts.
__global__ void __launch_bounds__(kMergeColumns* kMergeRows)
    separable_grad_merge_columns(const ColumnMerges merges) {
  MIXOP_SHARED(double, rows, kMergeColumns* kMergeRows);
  const ColumnMerge& m = merges.sums[blockIdx.y];
  const int thread = static_cast<int>(threadIdx.x);
  const int e = static_cast<int>(blockIdx.x) * kMergeColumns + thread % kMergeColumns;
  double sum = 0;
  for (int p = thread / kMergeColumns; e < m.size && p < m.parts; p += kMergeRows)
    sum += m.partial[int64_t{p} * m.size + e];
  rows[thread] = sum;
  __syncthreads();
  if (e >= m.size || thread >= kMergeColumns) return;
  for (int row = 1; row < kMergeRows; ++row) sum += rows[row * kMergeColumns + thread];
  if (e < m.first_size) m.first[e] = static_cast<float>(sum);
  else m.second[e - m.first_size] = static_cast<float>(m.factor ? sum * m.factor[e - m.first_size] : sum);
}

// ---- what a call consists of --------------------------------------------------------------------

bool fits_tiles(const SeparableGradArgs& u, bool dx, bool dw) {
  const auto one_or_two = [](int n) { return n == 1 || n == 2; };
  const bool window = (u.kernel == 3 || u.kernel == 5) && one_or_two(u.stride) && one_or_two(u.dilation);
  const bool paired = u.stride == 1 || (u.pad - u.kernel / 2 * u.dilation) % 2 == 0;
  constexpr int kMostDepth = 128, kMostFloats = 12288;  // 48 KB of shared memory
  const auto small = [](int64_t rows, int64_t ld) { return rows * ld <= std::numeric_limits<int32_t>::max(); };
  return window && (paired || !dx) && u.k <= kMostDepth &&
         (!dw || separable_grad_weight_floats(u) <= kMostFloats) && small(int64_t{u.height} * u.width, u.x_ld) &&
         small(int64_t{u.out_height} * u.out_width, std::max(u.dy_ld, u.z_ld)) &&
         cuda::aligned4(u.dy, u.dy_ld, u.k) && cuda::aligned4(u.z, u.z_ld, u.k) &&
         cuda::aligned4(u.x, u.x_ld, u.channels) && cuda::aligned4(u.dx, u.dx_ld, u.channels) &&
         cuda::aligned4(u.w_dw, 4, 4) && cuda::aligned4(u.w_pw, 4, 4) && cuda::aligned4(u.load.mean, 4, 4) &&
         cuda::aligned4(u.load.rstd, 4, 4) && cuda::aligned4(u.load.gamma, 4, 4) &&
         cuda::aligned4(u.load.beta, 4, 4);
}

/// The launches of a call; without a workspace only its size is right.
class Plan {
 public:
  explicit Plan(const Call& call) : call_(call), a_(call.attr<SeparableGradAttrs>()), at_(call.exec->workspace) {
    for (size_t i = 0; i < a_.units.size(); ++i) units_.push_back(separable_grad_args(call, i));
    size_t end = 0;
    for (size_t begin = 0; begin < units_.size(); begin = end) {
      for (end = begin + 1; end < units_.size() && a_.units[end].same_input;) ++end;
      add_group(begin, end);
    }
    if (a_.dw) add_weights();
  }

  bool fits() const {
    return fits_ && std::all_of(units_.begin(), units_.end(),
                                [&](const SeparableGradArgs& u) { return fits_tiles(u, a_.dx, a_.dw); });
  }
  size_t bytes() const { return bytes_; }

  void run() const {
    const Exec& exec = *call_.exec;
    for (const auto& [kind, launches] : data_)
      for (const SeparableGradParts& parts : launches) separable_grad_data(exec, parts, kind.second);
    merge_shares();
    for (const auto& [kernel, launches] : weights_)
      for (const SeparableGradParts& units : launches) separable_grad_weights(exec, units, weight_blocks_);
    merge_columns();
  }

 private:
  // Enough blocks to fill a device, few enough that merging what they leave costs little.
  static constexpr int64_t kBlocks = 512;
  using Launches = std::vector<SeparableGradParts>;

  float* take(int64_t floats) {
    const size_t n = sizeof(float) * static_cast<size_t>(cuda::ceil_div<int64_t>(floats, 16) * 16);
    float* const taken = at_ ? reinterpret_cast<float*>(at_ + bytes_) : nullptr;
    bytes_ += n;
    return taken;
  }
  static void add(Launches& to, std::span<const SeparableGradArgs> part) {
    if (to.empty() || to.back().first[to.back().parts] + static_cast<int>(part.size()) > kMostGradUnits)
      to.emplace_back();
    SeparableGradParts& p = to.back();
    std::copy(part.begin(), part.end(), p.unit + p.first[p.parts]);
    ++p.parts;
    p.first[p.parts] = static_cast<short>(p.first[p.parts - 1] + static_cast<int>(part.size()));
  }

  /// Units begin to end - 1 share x. Those of each dilation are cut into parts.
  void add_group(size_t begin, size_t end) {
    if (!a_.dx) return;
    const SeparableGradArgs& g = units_[begin];
    const int64_t images = separable_grad_data_blocks(g), blocks = images * cuda::ceil_div(g.channels, 16);
    std::vector<std::vector<SeparableGradArgs>> parts;
    for (const int dilation : {1, 2}) {
      std::vector<SeparableGradArgs> same;
      for (size_t i = begin; i < end; ++i)
        if (units_[i].dilation == dilation) same.push_back(units_[i]);
      const auto n = static_cast<int64_t>(same.size());
      const int64_t wanted = a_.sums ? 1 : std::clamp<int64_t>(kBlocks / blocks, 1, std::max<int64_t>(n / 2, 1));
      const int64_t count = std::max(wanted, cuda::ceil_div<int64_t>(n, kMostGradUnits));
      for (int64_t p = 0; n > 0 && p < count; ++p)
        parts.emplace_back(same.begin() + n * p / count, same.begin() + n * (p + 1) / count);
    }
    const auto count = static_cast<int64_t>(parts.size());
    if (a_.sums && count > 1) fits_ = false;
    const int64_t elements = g.rows() * g.channels;
    float* const shares = count > 1 ? take(count * elements) : nullptr;
    if (count > 1)
      shares_.push_back(
          {shares, g.x, g.dx, g.load, g.rows(), g.channels, g.x_ld, g.dx_ld, static_cast<int>(count), g.add});
    float* const sums = a_.sums ? take(images * 2 * g.channels) : nullptr;
    if (a_.sums)
      columns_.push_back(
          {sums, g.dx_s1, g.dx_s2, g.load.rstd, static_cast<int>(images), 2 * g.channels, g.channels});
    for (int64_t p = 0; p < count; ++p) {
      SeparableGradArgs& first = parts[p][0];
      first.sums = sums;
      if (shares) {  // dense, masked and added when they are merged
        first.dx = shares + p * elements;
        first.dx_ld = first.channels;
        first.load.relu = first.add = false;
      }
      add(data_[{first.stride, separable_grad_large(first)}], parts[p]);
    }
  }

  void add_weights() {
    int64_t work = 0, tiles = 0;
    for (const SeparableGradArgs& u : units_) {
      work += cuda::ceil_div(u.channels, 16);
      tiles = std::max(tiles, separable_grad_weight_tiles_of(u));
    }
    weight_blocks_ = static_cast<int>(std::clamp<int64_t>(kBlocks / work, 1, tiles));
    for (SeparableGradArgs& u : units_) {
      const int taps = u.kernel * u.kernel * u.channels, size = taps + u.channels * u.k;
      u.weights = take(int64_t{weight_blocks_} * size);
      columns_.push_back({u.weights, u.dw_dw, u.dw_pw, nullptr, weight_blocks_, size, taps});
      add(weights_[u.kernel], {&u, 1});
    }
  }

  void merge_shares() const {
    for (size_t begin = 0; begin < shares_.size(); begin += kMostGradUnits) {
      const size_t count = std::min<size_t>(shares_.size() - begin, kMostGradUnits);
      ShareMerges merges{};
      std::copy_n(shares_.begin() + static_cast<int64_t>(begin), count, merges.group);
      int64_t quads = 0;
      for (size_t i = 0; i < count; ++i)
        quads = std::max(quads, merges.group[i].rows * merges.group[i].channels / 4);
      dim3 grid = cuda::grid_for(quads, kShareThreads);
      grid.y = static_cast<unsigned>(count);
      cuda::launch(*call_.exec, "separable_grad_merge_shares", separable_grad_merge_shares, grid,
                   dim3(kShareThreads), 0, merges);
    }
  }
  void merge_columns() const {
    for (size_t begin = 0; begin < columns_.size(); begin += kMostColumnMerges) {
      const size_t count = std::min<size_t>(columns_.size() - begin, kMostColumnMerges);
      ColumnMerges merges{};
      std::copy_n(columns_.begin() + static_cast<int64_t>(begin), count, merges.sums);
      int size = 0;
      for (size_t i = 0; i < count; ++i) size = std::max(size, merges.sums[i].size);
      cuda::launch(*call_.exec, "separable_grad_merge_columns", separable_grad_merge_columns,
                   dim3(static_cast<unsigned>(cuda::ceil_div(size, kMergeColumns)), static_cast<unsigned>(count)),
                   dim3(kMergeColumns * kMergeRows), 0, merges);
    }
  }

  const Call& call_;
  const SeparableGradAttrs& a_;
  std::byte* at_;
  size_t bytes_ = 0;
  bool fits_ = true;
  std::vector<SeparableGradArgs> units_;
  std::map<std::pair<int, bool>, Launches> data_;  ///< by stride and size of tiles
  std::map<int, Launches> weights_;                ///< by kernel
  int weight_blocks_ = 0;
  std::vector<ShareMerge> shares_;
  std::vector<ColumnMerge> columns_;
};
static_assert(sizeof(ShareMerges) <= 4096 && sizeof(ColumnMerges) <= 4096);

bool accepts(const Call& call) { return all_float32(call) && all_depthwise<SeparableGradAttrs>(call); }

void run(const Call& call) {
  const Plan plan(call);
  if (plan.fits()) plan.run();
  else separable_grad_plain(call);
}

/// For either way, as the operands' addresses may be unknown yet.
size_t workspace(const Call& call) { return std::max(Plan(call).bytes(), separable_grad_plain_bytes(call)); }

}  // namespace

constinit const Impl kSeparableGradCuda = {"tiles", accepts, run, workspace};

}  // namespace mixop::kernels
