// The way back through separable convolutions on CUDA: dx of all units of a call in one launch, their weight
// gradients in another. What does not fit tiles (channels not in fours, another window) goes unit by unit through
// plain kernels.
#include <algorithm>
#include <limits>
#include <numeric>
#include <vector>

#include "kernels/ops/separable_grad_merge.cuh"
#include "kernels/ops/separable_grad_units.cuh"
#include "kernels/ops/separable_impls_cuda.h"

namespace mixop::kernels {
namespace {

/// For either kernel; alignment is unknown, and taken for granted, before the operands have addresses.
bool fits_tiles(const SeparableGradArgs& u) {
  const auto one_or_two = [](int n) { return n == 1 || n == 2; };
  const bool points = !u.depthwise && u.kernel == 1 && u.dilation == 1 && u.pad <= 0;
  const bool window = u.depthwise && (u.kernel == 3 || u.kernel == 5) && one_or_two(u.dilation);
  const auto small = [](int64_t rows, int64_t ld) { return rows * ld <= std::numeric_limits<int32_t>::max(); };
  return (points || window) && one_or_two(u.stride) && small(int64_t{u.height} * u.width, u.x_ld) &&
         small(int64_t{u.out_height} * u.out_width, std::max(u.dy_ld, u.z_ld)) &&
         cuda::in_fours(u.dy, u.dy_ld, u.k) && cuda::in_fours(u.z, u.z_ld, u.k) &&
         cuda::in_fours(u.x, u.x_ld, u.channels) && cuda::aligned4(u.w_dw, 4, 4) && cuda::aligned4(u.w_pw, 4, 4) &&
         cuda::aligned4(u.load.mean, 4, 4) && cuda::aligned4(u.load.rstd, 4, 4) &&
         cuda::aligned4(u.load.gamma, 4, 4) && cuda::aligned4(u.load.beta, 4, 4);
}
bool data_fits(const SeparableGradArgs& u) {
  const bool paired = !u.depthwise || u.stride == 1 || (u.pad - u.kernel / 2 * u.dilation) % 2 == 0;
  return fits_tiles(u) && paired && u.k <= kMostGradDepth && cuda::in_fours(u.dx, u.dx_ld, u.channels);
}
bool weights_fit(const SeparableGradArgs& u) {
  constexpr int kMostFloats = 12288 - 4;  // 48 KB of shared memory, less what a ticket takes
  return fits_tiles(u) && u.k <= kMostGradWeightDepth && separable_grad_weight_floats(u) <= kMostFloats;
}

/// The launches of a call; without a workspace only its size is right.
class Plan {
 public:
  explicit Plan(const Call& call) : call_(call), a_(call.attr<SeparableGradAttrs>()), at_(call.exec->workspace) {
    for (size_t i = 0; i < a_.units.size(); ++i) units_.push_back(separable_grad_args(call, i));
    plain_.resize(units_.size());
    if (a_.dx) add_data();
    if (a_.dw) add_weights();
  }

  size_t bytes() const { return bytes_; }

  void run() {
    for (SeparableGradData& data : data_) separable_grad_data(*call_.exec, data);
    for (const SeparableGradWeights& weights : weights_) separable_grad_weights(*call_.exec, weights);
    separable_grad_plain(call_, plain_);
  }

 private:
  using Units = std::vector<SeparableGradArgs>;

  float* take(int64_t floats) {
    const size_t n = sizeof(float) * static_cast<size_t>(cuda::ceil_div<int64_t>(floats, 16) * 16);
    float* const taken = at_ ? reinterpret_cast<float*>(at_ + bytes_) : nullptr;
    bytes_ += n;
    return taken;
  }
  /// The launch that takes so many more units and tickets, a new one where the last is full.
  template <class Launch>
  Launch& launch_for(std::vector<Launch>& launches, int units, size_t more, int64_t tickets) {
    if (launches.empty() || units + more > kMostGradUnits || launches.back().tickets_used + tickets > kTickets) {
      launches.emplace_back();
      launches.back().tickets = call_.exec->tickets;
    }
    return launches.back();
  }

  void add_data() {
    struct Range {
      size_t begin, end;
    };
    std::vector<Range> groups;
    int64_t jobs = 0;
    for (size_t begin = 0, end = 0; begin < units_.size(); begin = end) {
      for (end = begin + 1; end < units_.size() && a_.units[end].same_input;) ++end;
      groups.push_back({begin, end});
      const SeparableGradCut cut = separable_grad_data_cut(units_[begin]);
      jobs += cut.tiles * cuda::ceil_div(units_[begin].channels, cut.channels);
    }
    constexpr int64_t kBlocks = 512;  // enough to fill a device
    for (const auto [begin, end] : groups)
      if (!add_group({units_.begin() + static_cast<int64_t>(begin), units_.begin() + static_cast<int64_t>(end)},
                     kBlocks / jobs))
        for (size_t i = begin; i < end; ++i) plain_[i].dx = true;
  }

  /// Units that share x, cut into `wanted` parts as long as each has two of them. False: they do not fit.
  bool add_group(Units group, int64_t wanted) {
    const SeparableGradArgs& g = group[0];
    const auto n = static_cast<int64_t>(group.size());
    const SeparableGradCut cut = separable_grad_data_cut(g);
    const int64_t channel_groups = cuda::ceil_div(g.channels, cut.channels), jobs = cut.tiles * channel_groups;
    const int64_t parts = std::clamp<int64_t>(wanted, 1, std::max<int64_t>(n / 2, 1));
    const int64_t share_tickets = parts > 1 ? jobs : 0;
    const int64_t tickets = share_tickets + (a_.sums ? channel_groups * merge_tickets(cut.tiles) : 0);
    if (n > kMostGradUnits || tickets > kTickets) return false;
    for (const SeparableGradArgs& u : group)
      if (!data_fits(u) || u.stride != g.stride) return false;
    std::stable_partition(group.begin(), group.end(), [](const SeparableGradArgs& u) { return u.dilation == 2; });
    SeparableGradData& to =
        launch_for(data_, data_.empty() ? 0 : data_.back().first[data_.back().parts], group.size(), tickets);
    const int first_unit = to.first[to.parts];
    to.group[to.groups++] = {.shares = parts > 1 ? take(parts * g.rows() * g.channels) : nullptr,
                             .sums = a_.sums ? take(jobs * 2 * cut.channels) : nullptr,
                             .first_block = to.blocks,
                             .tiles = static_cast<int>(cut.tiles),
                             .first_part = to.parts,
                             .parts = static_cast<int>(parts),
                             .ticket = to.tickets_used,
                             .sums_ticket = to.tickets_used + static_cast<int>(share_tickets)};
    std::copy(group.begin(), group.end(), to.unit + first_unit);
    for (int64_t p = 1; p <= parts; ++p) to.first[++to.parts] = static_cast<short>(first_unit + n * p / parts);
    to.blocks += static_cast<int>(jobs * parts);
    to.tickets_used += static_cast<int>(tickets);
    return true;
  }

  /// Units of one kernel after the other, so that neighbouring blocks run the same code, those that take longest
  /// first.
  void add_weights() {
    int64_t work = 0;
    for (const SeparableGradArgs& u : units_)
      work += separable_grad_weight_tiles_of(u) * cuda::ceil_div(u.channels, kGradWeightChannels);
    // Blocks to fill a device a few times over, each with tiles enough to be worth merging.
    constexpr int64_t kBlocks = 2048, kLeastTiles = 4;
    const int64_t tiles_of_block = std::max(kLeastTiles, cuda::ceil_div(work, kBlocks));
    std::vector<size_t> order(units_.size());
    std::iota(order.begin(), order.end(), size_t{0});
    std::stable_sort(order.begin(), order.end(),
                     [&](size_t a, size_t b) { return units_[a].kernel > units_[b].kernel; });
    for (const size_t i : order) {
      const SeparableGradArgs& u = units_[i];
      const int64_t groups = cuda::ceil_div(u.channels, kGradWeightChannels);
      const int64_t blocks = cuda::ceil_div(separable_grad_weight_tiles_of(u), tiles_of_block);
      const int64_t tickets = groups * merge_tickets(blocks);
      plain_[i].dw = tickets > kTickets || !weights_fit(u);
      if (plain_[i].dw) continue;
      SeparableGradWeights& to = launch_for(weights_, weights_.empty() ? 0 : weights_.back().units, 1, tickets);
      to.work[to.units] = {.partial = take(groups * blocks * separable_grad_weight_partial(u)),
                           .first_block = to.blocks,
                           .blocks = static_cast<int>(blocks),
                           .ticket = to.tickets_used};
      to.unit[to.units++] = u;
      to.blocks += static_cast<int>(groups * blocks);
      to.tickets_used += static_cast<int>(tickets);
    }
  }

  const Call& call_;
  const SeparableGradAttrs& a_;
  std::byte* at_;
  size_t bytes_ = 0;
  Units units_;
  std::vector<SeparableGradPlain> plain_;  ///< of each unit
  std::vector<SeparableGradData> data_;
  std::vector<SeparableGradWeights> weights_;
};

void run(const Call& call) { Plan(call).run(); }

/// For both ways, as the operands' addresses may be unknown yet. One after the other they use the same bytes.
size_t workspace(const Call& call) { return std::max(Plan(call).bytes(), separable_grad_plain_bytes(call)); }

}  // namespace

constinit const Impl kSeparableGradCuda = {"tiles", all_float32_or_bf16, run, workspace};

}  // namespace mixop::kernels
