// pool_stats_grad on CUDA, all states of a call at once: a gather, so that every element of dx is written once. A
// state with more pools or parts than an argument holds comes again in further launches, which add.
#include <algorithm>
#include <vector>

#include "kernels/ops/pool_stats_grad_tiles.cuh"

namespace mixop::kernels {
namespace {
using namespace cuda;

/// Any windows: a thread owns a pack of channels of one pixel of x.
template <int kWidth>
__global__ void __launch_bounds__(kPoolThreads, 4) pool_stats_grad_plain(const GradTasks tasks) {
  wait_for_earlier();
  const GradTask& t = tasks.task[blockIdx.z];
  const int packs = t.channels / kWidth;
  const int item = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x);
  const int pixel = item / packs, c = item % packs * kWidth, yi = pixel / t.width, xi = pixel % t.width;
  if (pixel >= t.pixels()) return;
  const NormOnLoad<kWidth> load(t.load, c);
  for (int n = static_cast<int>(blockIdx.y); n < t.images; n += static_cast<int>(gridDim.y)) {
    auto total = filled<kWidth>(0);
    for (int k = 0; k < t.pools; ++k) {
      const GradPool& p = t.pool[k];
      const PoolShape& s = p.shape;
      const NormGradient<kWidth> gradient(p, c);
      for (int yo = s.v.first_window(yi); yo <= s.v.last_window(yi); ++yo)
        for (int xo = s.h.first_window(xi); xo <= s.h.last_window(xi); ++xo) {
          const int ky = s.v.tap(yi, yo), kx = s.h.tap(xi, xo);
          if (ky < 0 || kx < 0) continue;
          const auto g = norm_gradient<0>(p, gradient, n, yo * s.h.outputs + xo, c);
          if (p.max) {
            int taps[kWidth];
            with_type(t.x, [&](const auto* x) {
              find_maximum<1>(s, image_of(x, n, t.pixels(), t.x.ld) + c, t.x.ld, yo, xo, taps, load);
            });
            for (int j = 0; j < kWidth; ++j) total[j] += taps[j] == ky * s.h.kernel + kx ? g[j] : 0.0f;
          } else {
            add_scaled(total, g, 1.0f / static_cast<float>(s.v.divisor(yo) * s.h.divisor(xo)));
          }
        }
    }
    add_skips(t, n, pixel, c, total);
    write_pack(t.dx, t.dx.at(n, t.pixels(), pixel) + c, total, t.add);
  }
}

GradTerm term_of(const Call& call, const PoolGradPart& part, size_t first_gradient) {
  const View& g = call.in[first_gradient + static_cast<size_t>(part.gradient)];
  return {Images(g), part.index < 0 ? nullptr : &flat_element<float>(call.in[0], part.index)};
}

/// Parts from `first` on of pool p.
GradPool pool_of(const Call& call, const PoolGradOperands& o, size_t p, size_t first) {
  const PoolGradPool& pool = o.group->pools[p];
  const View* const in = call.in.data() + o.pool_at[p];  // z, mean, rstd, then two sums a part
  const size_t parts = std::min(kMostGradParts, pool.parts.size() - first);
  GradPool out;
  out.shape = PoolShape(pool.pool, o.group->x);
  for (size_t i = 0; i < parts; ++i) {
    out.part[i] = term_of(call, pool.parts[first + i], o.gradient_at);
    out.s1[i] = in[3 + 2 * (first + i)].as<float>();
    out.s2[i] = in[4 + 2 * (first + i)].as<float>();
  }
  out.z = Images(in[0]);
  out.mean = in[1].as<float>();
  out.rstd = in[2].as<float>();
  out.share = 1 / static_cast<float>(in[0].rows());
  out.parts = static_cast<int>(parts);
  out.max = pool.max;
  return out;
}

/// A group as one task after the other, the later ones adding to dx.
std::vector<GradTask> tasks_of(const Call& call, const PoolGradOperands& o) {
  const PoolGradGroup& group = *o.group;
  std::vector<GradPool> pools;
  for (size_t p = 0; p < group.pools.size(); ++p)
    for (size_t first = 0; first < group.pools[p].parts.size(); first += kMostGradParts)
      pools.push_back(pool_of(call, o, p, first));
  std::vector<GradTask> tasks;
  for (size_t pool = 0, skip = 0; tasks.empty() || pool < pools.size() || skip < group.skips.size();) {
    GradTask t;
    for (; pool < pools.size() && t.pools < static_cast<int>(kMostGradPools); ++pool)
      t.pool[t.pools++] = pools[pool];
    for (; skip < group.skips.size() && t.skips < static_cast<int>(kMostGradParts); ++skip)
      t.skip[t.skips++] = term_of(call, group.skips[skip], o.gradient_at);
    if (group.reads_x) {
      t.load = device_loader(call, group.load, o.x_at + 1);
      t.x = Images(call.in[o.x_at]);
    }
    t.dx = Images(*o.dx);
    t.images = static_cast<int>(group.x[0]);
    t.height = static_cast<int>(group.x[1]);
    t.width = static_cast<int>(group.x[2]);
    t.channels = static_cast<int>(group.x.last());
    t.add = !tasks.empty() || o.dx->write == Write::kAdd;
    tasks.push_back(t);
  }
  return tasks;
}

bool fits_tiles(const PoolGradGroup& group) {
  return group.x.last() % 4 == 0 &&
         std::all_of(group.pools.begin(), group.pools.end(), [](const auto& p) { return is_3x3(p.pool); });
}
bool accepts_3x3(const Call& call) {
  const auto& groups = call.attr<PoolStatsGradAttrs>().groups;
  return all_float32_or_bf16(call) && std::any_of(groups.begin(), groups.end(), fits_tiles);
}

/// All that a group reads and writes by channels, so not the table.
bool aligned(const Call& call, const PoolGradOperands& o) {
  const auto in = call.in.subspan(o.group->reads_x ? o.x_at : o.gradient_at);
  const auto end = in.begin() + static_cast<std::ptrdiff_t>(o.group->inputs());
  return in_fours(*o.dx) && std::all_of(in.begin(), end, [](const View& v) { return in_fours(v); });
}

/// Tasks that one kernel takes together; blocks(task) are along x.
template <class Blocks>
void launch_tasks(const Call& call, const char* name, void (*kernel)(GradTasks), int threads,
                  const std::vector<GradTask>& all, Blocks blocks) {
  for (size_t begin = 0; begin < all.size(); begin += kMostGradTasks) {
    GradTasks tasks;
    const size_t count = std::min(kMostGradTasks, all.size() - begin);
    dim3 grid(0, 0, static_cast<unsigned>(count));
    for (size_t i = 0; i < count; ++i) {
      GradTask& t = tasks.task[i] = all[begin + i];
      grid.x = std::max(grid.x, static_cast<unsigned>(blocks(t)));
      grid.y = std::max(grid.y, static_cast<unsigned>(std::min(t.images, kMostImages)));
    }
    launch_dependent(*call.exec, name, kernel, grid, static_cast<unsigned>(threads), 0, tasks);
  }
}

void run(const Call& call, bool tiles) {
  struct Launches {
    std::vector<GradTask> tiles, packs, channels;
  };
  std::vector<Launches> rounds;
  for (size_t g = 0; g < call.out.size(); ++g) {
    const PoolGradOperands o = pool_grad_operands(call, g);
    const bool wide = aligned(call, o);
    const auto list = wide && tiles && fits_tiles(*o.group) ? &Launches::tiles
                      : wide                                ? &Launches::packs
                                                            : &Launches::channels;
    const std::vector<GradTask> tasks = tasks_of(call, o);
    if (rounds.size() < tasks.size()) rounds.resize(tasks.size());
    for (size_t r = 0; r < tasks.size(); ++r) (rounds[r].*list).push_back(tasks[r]);
  }
  const auto plain = [&](void (*kernel)(GradTasks), int width, const std::vector<GradTask>& all) {
    launch_tasks(call, "pool_stats_grad_plain", kernel, kPoolThreads, all, [&](const GradTask& t) {
      return ceil_div(t.height * t.width * (t.channels / width), kPoolThreads);
    });
  };
  for (const Launches& round : rounds) {
    launch_tasks(call, "pool_stats_grad_3x3", pool_stats_grad_3x3, kGradTileThreads, round.tiles, make_tiles);
    plain(pool_stats_grad_plain<4>, 4, round.packs);
    plain(pool_stats_grad_plain<1>, 1, round.channels);
  }
}
void plain(const Call& call) { run(call, false); }
void tiled(const Call& call) { run(call, true); }

constexpr Impl kPoolStatsGrad[] = {{"3x3", accepts_3x3, tiled}, {"plain", all_float32_or_bf16, plain}};
}  // namespace

std::span<const Impl> pool_stats_grad_cuda() { return kPoolStatsGrad; }
}  // namespace mixop::kernels
