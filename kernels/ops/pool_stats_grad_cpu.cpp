// pool_stats_grad on the CPU. With 3x3 windows of equal stride, as in DARTS, the candidates of a state walk down a
// band of its rows together: a row of windows of the arriving gradients and of z becomes a row of
//   dz = rstd sum a G + B z + D, B = -rstd^2 sum s2 / M, D = -rstd sum s1 / M - B mean
// in a line of a first-level cache, once for each pool, and the rows of dx that it completes get the skips' sum and
// what each pool spreads while they lie there too. Otherwise one candidate after the other takes the band.
#include "kernels/ops/pool_stats.h"

#include "kernels/ops/pool_stats_ref.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/ops/pool_stats_grad_cpu.cpp"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"
#include "kernels/ops/pool_grad_3x3.h"

#ifndef MIXOP_KERNELS_OPS_POOL_STATS_GRAD_CPU_ONCE
#define MIXOP_KERNELS_OPS_POOL_STATS_GRAD_CPU_ONCE
#include <hwy/cache_control.h>

#include <optional>
#include <tuple>

#include "kernels/ops/pool_stats_load.h"

namespace mixop::kernels {
namespace {

constexpr int kMostParts = 16;  ///< of a pool, and skips of a group

bool same_windows(const PoolAttrs& a, const PoolAttrs& b) {
  const auto all = [](const PoolAttrs& p) {
    return std::tie(p.kernel, p.stride, p.pad, p.dilation, p.include_pad, p.ceil_mode);
  };
  return all(a) == all(b);
}

/// A group and where its operands and constants begin.
struct GroupCall {
  const PoolGradGroup& group;
  size_t at, gradient_at;
  const Out& dx;
  int64_t constants;

  /// All pools of one geometry, and at most one of each kind.
  bool alike() const {
    int64_t n[2] = {0, 0};
    for (const PoolGradPool& p : group.pools)
      if (++n[p.max] > 1 || !same_windows(p.pool, group.pools[0].pool)) return false;
    return !group.pools.empty();
  }
  PoolPlan plan(const PoolGradPool& p) const { return {p.pool, group.x}; }
  /// Bands of rows of dx; those of the first pool are good for all.
  int64_t bands() const {
    return (group.pools.empty() ? PoolPlan({}, group.x) : plan(group.pools[0])).bands(group.x[1]);
  }
  /// Of B and D of a pool, and of the norm on load.
  int64_t vector() const { return PoolPlan::round_up(group.x.last()); }
};

/// Calls f(GroupCall) for every group; returns the floats of all constants.
template <class F>
int64_t for_groups(const Call& call, const F& f) {
  const auto& a = call.attr<PoolStatsGradAttrs>();
  size_t at = a.table ? 1 : 0;
  int64_t constants = 0;
  for (size_t i = 0; i < a.groups.size(); at += a.groups[i].inputs(), ++i) {
    const PoolGradGroup& group = a.groups[i];
    const GroupCall g{group, at, at + group.first_gradient(), call.out[i], constants};
    f(g);
    constants += load_floats(group.x.last()) + 2 * g.vector() * static_cast<int64_t>(group.pools.size());
  }
  return constants;
}

/// Calls f(pool, index of its z, its B) for every pool of a group.
template <class F>
void for_pools(const GroupCall& g, float* constants, const F& f) {
  size_t z_at = g.gradient_at + static_cast<size_t>(g.group.gradients);
  float* b = constants + g.constants + load_floats(g.group.x.last());
  for (const PoolGradPool& p : g.group.pools) {
    f(p, z_at, b);
    z_at += p.inputs();
    b += 2 * g.vector();
  }
}

void fold_constants(const Call& call, const GroupCall& g, float* constants) {
  if (g.group.reads_x) fold_load(call, g.group.load, g.at, constants + g.constants);
  for_pools(g, constants, [&](const PoolGradPool& p, size_t z_at, float* b) {
    const float *mean = call.in[z_at + 1].as<float>(), *rstd = call.in[z_at + 2].as<float>();
    const auto count = static_cast<double>(call.in[z_at].rows());
    float* d = b + g.vector();
    for (int64_t c = 0; c < g.group.x.last(); ++c) {
      double s1 = 0, s2 = 0;
      for (size_t i = 0; i < p.parts.size(); ++i) {
        s1 += call.in[z_at + 3 + 2 * i].as<float>()[c];
        s2 += call.in[z_at + 4 + 2 * i].as<float>()[c];
      }
      const double k2 = double{rstd[c]} * rstd[c] * (s2 / count);
      b[c] = static_cast<float>(-k2);
      d[c] = static_cast<float>(k2 * mean[c] - rstd[c] * (s1 / count));
    }
  });
}

/// Lines of a thread.
int64_t line_floats(const Call& call) {
  int64_t most = 0;
  for_groups(call, [&](const GroupCall& g) {
    int64_t all = 0;
    for (const PoolGradPool& p : g.group.pools)
      all += p.max ? g.plan(p).max_grad_floats() : g.plan(p).avg_grad_floats();
    most = std::max(most, all);
  });
  return most;
}
}  // namespace
}  // namespace mixop::kernels
#endif

HWY_BEFORE_NAMESPACE();
namespace mixop::kernels {
namespace HWY_NAMESPACE {
namespace {

struct Part {
  const float* g;
  int64_t ld;
  float a;
};

/// sum a G of some parts.
class WeightedSum {
 public:
  WeightedSum(const Call& call, size_t gradient_at, const std::vector<PoolGradPart>& parts)
      : n_(static_cast<int>(parts.size())) {
    for (int i = 0; i < n_; ++i) {
      const View& g = call.in[gradient_at + static_cast<size_t>(parts[i].gradient)];
      parts_[i] = {g.as<float>(), g.ld, factor_of<float>(call, parts[i])};
    }
  }
  bool empty() const { return n_ == 0; }

  /// store(io, c)(pixel, sum) for all channels c of `width` pixels from `first` on. So many streams in pieces as
  /// short as a row need to be asked for a row ahead.
  template <class Store>
  void row(int64_t first, int64_t width, int64_t channels, const Store& store) const {
    switch (n_) {
      case 1:
        return RowOfN<1>(first, width, channels, store);
      case 2:
        return RowOfN<2>(first, width, channels, store);
      case 3:
        return RowOfN<3>(first, width, channels, store);
      case 4:
        return RowOfN<4>(first, width, channels, store);
      default:
        return RowOfN<0>(first, width, channels, store);
    }
  }

 private:
  template <int kN, class Store>
  void RowOfN(int64_t first, int64_t width, int64_t channels, const Store& store) const {
    const Operands<kN, Part> parts(parts_);
    for_vectors(channels, [&](auto io, int64_t c) HWY_ATTR {
      const auto take = store(io, c);
      for (int64_t i = 0; i < width; ++i) {
        Vec32 sum = hn::Zero(F32());
        for (int k = 0; k < (kN ? kN : n_); ++k) {
          const float* g = parts[k].g + (first + i) * parts[k].ld + c;
          hwy::Prefetch(g + width * parts[k].ld);
          sum = hn::MulAdd(hn::Set(F32(), parts[k].a), io.load(g), sum);
        }
        take(i, sum);
      }
    });
  }

  int n_;
  Part parts_[kMostParts];
};

/// dz of a pool, evaluated one row of windows at a time.
struct NormGradient {
  const PoolPlan& p;
  WeightedSum sum;
  const View& z;
  const float *rstd, *b, *d;

  const float* operator()(int64_t row, float* line) const {
    const int64_t width = p.width, first = row * width, channels = p.channels, ldz = z.ld;
    const float* from = z.as<float>() + first * ldz;
    sum.row(first, width, channels, [=, this](auto io, int64_t c) HWY_ATTR {
      const Vec32 va = io.load(rstd + c), vb = io.load(b + c), vd = io.load(d + c);
      return [=](int64_t i, Vec32 g) HWY_ATTR {
        hwy::Prefetch(from + (i + width) * ldz + c);
        const Vec32 shifted = hn::MulAdd(vb, io.load(from + i * ldz + c), vd);
        io.store(hn::MulAdd(va, g, shifted), line + i * channels + c);
      };
    });
    return line;
  }
};

/// The part of the skips in a row of dx.
void AddSkips(const WeightedSum& sum, const Out& dx, int64_t row) {
  const int64_t width = dx.shape[2], ld = dx.ld;
  const bool add = dx.write == Write::kAdd;
  float* to = dx.as<float>() + row * width * ld;
  sum.row(row * width, width, dx.last(), [=](auto io, int64_t c) HWY_ATTR {
    return [=](int64_t i, Vec32 g) HWY_ATTR {
      float* at = to + i * ld + c;
      io.store(add ? hn::Add(io.load(at), g) : g, at);
    };
  });
}

/// A band of rows of dx of a group, and what makes it.
struct Band {
  const GroupCall& group;
  const WeightedSum& skips;
  const PoolInput& x;
  int64_t image;
  Range rows;
  float* scratch;

  /// dx for those who come after the first.
  Out added() const {
    Out dx = group.dx;
    dx.write = Write::kAdd;
    return dx;
  }
};

/// The candidates together; null where there is none of the kind.
template <int kStride>
void Together3x3(const PoolPlan& p, const Band& band, const NormGradient* of_max, const NormGradient* of_avg) {
  const Out &dx = band.group.dx, added = band.added();
  const Out& dx_avg = band.skips.empty() ? dx : added;
  const Out& dx_max = of_avg ? added : dx_avg;
  float* behind = band.scratch + p.max_grad_floats();
  std::optional<MaxGrad3x3<kStride>> max;
  std::optional<AvgGrad3x3<kStride>> avg;
  if (of_avg) avg.emplace(p, dx_avg, band.image, band.rows, of_max ? behind : band.scratch);
  if (of_max) max.emplace(p, band.x, dx_max, band.image, band.rows, band.scratch);
  int64_t made = of_max ? band.rows.end : 0;  // rows to which the maxima have given theirs
  for (int64_t yo = p.windows(band.rows.begin).begin; p.v.begin(yo) < band.rows.end; ++yo) {
    const int64_t first = std::max(p.v.begin(yo), band.rows.begin);
    if (!band.skips.empty())
      for (int64_t r = first; r < std::min(p.v.begin(yo) + kStride, band.rows.end); ++r)
        AddSkips(band.skips, dx, band.image * p.v.size + r);
    if (avg) avg->take(yo, *of_avg);
    if (max && !max->take(yo, *of_max)) {
      made = first;
      max.reset();
    }
  }
  if (of_max && made < band.rows.end)
    MaxGradTask(p, *of_max, band.x, dx_max, band.image, {made, band.rows.end}, band.scratch);
}

/// One after the other.
void Apart(const Call& call, const Band& band, float* constants) {
  const auto& group = band.group;
  if (!band.skips.empty())
    for (int64_t r = band.rows.begin; r < band.rows.end; ++r)
      AddSkips(band.skips, group.dx, band.image * group.dx.shape[1] + r);
  Out dx = band.skips.empty() ? group.dx : band.added();
  for_pools(group, constants, [&](const PoolGradPool& pool, size_t z_at, const float* b) {
    const PoolPlan p = group.plan(pool);
    const NormGradient dz{p,
                          {call, group.gradient_at, pool.parts},
                          call.in[z_at],
                          call.in[z_at + 2].as<float>(),
                          b,
                          b + group.vector()};
    if (pool.max) MaxGradBand(p, dz, band.x, dx, band.image, band.rows, band.scratch);
    else AvgGradBand(p, dz, dx, band.image, band.rows, band.scratch);
    dx.write = Write::kAdd;
  });
}

void RunBand(const Call& call, const GroupCall& g, int64_t task, float* constants, float* scratch) {
  const int64_t bands = g.bands();
  const WeightedSum skips(call, g.gradient_at, g.group.skips);
  const PoolInput x = loaded_input(g.group.load, call.in[g.at], constants + g.constants);
  const Band band{g, skips, x, task / bands, part_of(g.group.x[1], bands, task % bands), scratch};
  if (!g.alike() || !Is3x3(g.plan(g.group.pools[0]), g.dx.ld)) return Apart(call, band, constants);
  const PoolPlan p = g.plan(g.group.pools[0]);
  std::optional<NormGradient> dz[2];
  for_pools(g, constants, [&](const PoolGradPool& pool, size_t z_at, const float* b) {
    dz[pool.max].emplace(NormGradient{
        p, {call, g.gradient_at, pool.parts}, call.in[z_at], call.in[z_at + 2].as<float>(), b, b + g.vector()});
  });
  const auto f = p.v.stride == 1 ? Together3x3<1> : Together3x3<2>;
  f(p, band, dz[true] ? &*dz[true] : nullptr, dz[false] ? &*dz[false] : nullptr);
}

void Grad(const Call& call) {
  auto* constants = call.exec->scratch<float>();
  int64_t bands = 0;
  float* lines = constants + for_groups(call, [&](const GroupCall& g) {
                   fold_constants(call, g, constants);
                   bands += g.group.x[0] * g.bands();
                 });
  const int64_t line = line_floats(call);
  parallel_for(*call.exec, bands, [&](int64_t task, int thread) {
    for_groups(call, [&](const GroupCall& g) {
      const int64_t mine = g.group.x[0] * g.bands();
      if (task >= 0 && task < mine) RunBand(call, g, task, constants, lines + thread * line);
      task -= mine;
    });
  });
}

}  // namespace
}  // namespace HWY_NAMESPACE
}  // namespace mixop::kernels
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace mixop::kernels {
HWY_EXPORT(Grad);
namespace {

void grad(const Call& call) { HWY_DYNAMIC_DISPATCH(Grad)(call); }

bool accepts(const Call& call) {
  const auto few = [](const std::vector<PoolGradPart>& parts) { return parts.size() <= kMostParts; };
  const auto fits = [&](const PoolGradPool& p) { return PoolPlan::takes(p.pool) && few(p.parts); };
  const auto& groups = call.attr<PoolStatsGradAttrs>().groups;
  return all_float32(call) && std::all_of(groups.begin(), groups.end(), [&](const PoolGradGroup& g) {
           return !g.load.relu && few(g.skips) && !(g.pools.empty() && g.skips.empty()) &&
                  std::all_of(g.pools.begin(), g.pools.end(), fits);
         });
}
size_t workspace(const Call& call) {
  const int64_t constants = for_groups(call, [](const GroupCall&) {});
  return static_cast<size_t>(constants + call.exec->threads * line_floats(call)) * sizeof(float);
}
void reference(const Call& call) {
  with_float(call.out[0].dtype, [&]<class T>() { pool_stats_grad_ref<T>(call); });
}

constexpr Impl kGrad[] = {{"separable", accepts, grad, workspace}, {"ref", any, reference}};
}  // namespace

std::span<const Impl> pool_stats_grad_cpu() { return kGrad; }
}  // namespace mixop::kernels
#endif
