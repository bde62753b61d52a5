#include "kernels/core/cuda/merge.cuh"
#include "kernels/core/cuda/reduce.cuh"
#include "kernels/core/cuda/vec.cuh"
#include "kernels/ops/optim.h"

namespace mixop::kernels {
namespace {
using cuda::load4;
using cuda::store4;

constexpr int kBlock = 256;
constexpr int64_t kMostPartials = 1024;

int partials(int64_t n) { return static_cast<int>(cuda::grid_for(n, 4 * kBlock, kMostPartials).x); }

__device__ __forceinline__ double square(float x) { return static_cast<double>(x) * static_cast<double>(x); }

// norm = sqrt(sum of x^2), in float64. A thread owns 4 elements at a time (`wide`: on 16 bytes), and one of the
// last n % 4; the block that comes last adds up the blocks' sums.
__global__ void __launch_bounds__(kBlock) norm_of_blocks(const float* x, int64_t n, bool wide, cuda::MergeTree tree,
                                                         double* partial, unsigned* tickets, float* norm) {
  cuda::wait_for_earlier();
  const int64_t threads = int64_t{kBlock} * gridDim.x, first = int64_t{blockIdx.x} * kBlock + threadIdx.x;
  double sum = 0;
  for (int64_t i = 4 * first; i + 3 < n; i += 4 * threads) {
    const float4 v = wide ? load4(x + i) : make_float4(x[i], x[i + 1], x[i + 2], x[i + 3]);
    sum += (square(v.x) + square(v.y)) + (square(v.z) + square(v.w));
  }
  if (first < n % 4) sum += square(x[n / 4 * 4 + first]);
  sum = cuda::block_sum<kBlock>(sum);
  if (threadIdx.x == 0) partial[blockIdx.x] = sum;
  cuda::merge_parts<kBlock>(tree, cuda::Addition(), static_cast<int>(blockIdx.x), partial, 1, 1, tickets,
                            [&](int, double total) { *norm = static_cast<float>(sqrt(total)); });
}

/// What clipping multiplies gradients with; norm is null where there is no clipping. A NaN norm gives NaN.
__device__ __forceinline__ float clip_factor(double clip, const float* norm) {
  if (!norm) return 1;
  const double factor = clip / (static_cast<double>(*norm) + 1e-6);
  return static_cast<float>(factor > 1 ? 1 : factor);
}

/// The elements of a step. Kernels read lr, step and norm on the device, in float64, and round once what comes of
/// them; thread 0 does so for its block.
struct Flat {
  float *param, *first, *second;  ///< the state tensors that the rule has
  const float *grad, *lr, *norm;
  int64_t n;
};

/// Calls update(param, grad, first, second) for each element, 4 neighbours a thread at a time (`kWidth` 4: on 16
/// bytes), and writes back param and the state tensors. Tensors that are null are neither read nor written.
template <int kWidth, class F>
__device__ __forceinline__ void each_element(const Flat& m, const F& update) {
  const int64_t threads = int64_t{kBlock} * gridDim.x, thread = int64_t{blockIdx.x} * kBlock + threadIdx.x;
  if constexpr (kWidth == 4) {
    for (int64_t i = 4 * thread; i + 3 < m.n; i += 4 * threads) {
      const float4 none = make_float4(0, 0, 0, 0), g = load4(m.grad + i);
      float4 p = load4(m.param + i), a = m.first ? load4(m.first + i) : none,
             b = m.second ? load4(m.second + i) : none;
      update(p.x, g.x, a.x, b.x);
      update(p.y, g.y, a.y, b.y);
      update(p.z, g.z, a.z, b.z);
      update(p.w, g.w, a.w, b.w);
      store4(m.param + i, p);
      if (m.first) store4(m.first + i, a);
      if (m.second) store4(m.second + i, b);
    }
  }
  for (int64_t i = (kWidth == 4 ? m.n / 4 * 4 : 0) + thread; i < m.n; i += threads) {
    float p = m.param[i], a = m.first ? m.first[i] : 0, b = m.second ? m.second[i] : 0;
    update(p, m.grad[i], a, b);
    m.param[i] = p;
    if (m.first) m.first[i] = a;
    if (m.second) m.second[i] = b;
  }
}

struct SgdScalars {
  float clip, decay, momentum, damp, lr;
};

// g += decay p, b = momentum b + damp g, p -= lr (nesterov ? g + momentum b : b). first: b.
template <int kWidth>
__global__ void __launch_bounds__(kBlock) sgd_update(Flat m, SgdAttrs attrs) {
  cuda::wait_for_earlier();
  MIXOP_SHARED(SgdScalars, scalars, 1);
  if (threadIdx.x == 0) {
    scalars[0] = SgdScalars{clip_factor(attrs.clip, m.norm), static_cast<float>(attrs.weight_decay),
                            static_cast<float>(attrs.momentum), static_cast<float>(1 - attrs.dampening), *m.lr};
  }
  __syncthreads();
  const SgdScalars s = scalars[0];
  each_element<kWidth>(m, [&](float& p, float grad, float& b, float&) {
    const float g = grad * s.clip + s.decay * p;
    b = s.momentum * b + s.damp * g;
    p -= s.lr * (!m.first ? g : attrs.nesterov ? g + s.momentum * b : b);
  });
}

struct AdamScalars {
  float clip, decay, shrink, beta1, beta2, rest1, rest2, eps, rate, root;
};

__device__ AdamScalars adam_scalars(const Flat& m, const AdamAttrs& a, float step) {
  const double t = static_cast<double>(step + 1.0f), lr = static_cast<double>(*m.lr);
  return {clip_factor(a.clip, m.norm),
          static_cast<float>(a.decoupled ? 0 : a.weight_decay),
          static_cast<float>(a.decoupled ? 1 - lr * a.weight_decay : 1),
          static_cast<float>(a.beta1),
          static_cast<float>(a.beta2),
          static_cast<float>(1 - a.beta1),
          static_cast<float>(1 - a.beta2),
          static_cast<float>(a.eps),
          static_cast<float>(lr / (1 - pow(a.beta1, t))),
          static_cast<float>(1 / sqrt(1 - pow(a.beta2, t)))};
}

// v = mean of g^2, a = mean of g, p -= rate a / (sqrt(v) root + eps) for step + 1. first: a, second: v. The block
// that comes last counts the step, when all have read the old count.
template <int kWidth>
__global__ void __launch_bounds__(kBlock) adam_update(Flat m, AdamAttrs attrs, float* step, unsigned* ticket) {
  cuda::wait_for_earlier();
  MIXOP_SHARED(AdamScalars, scalars, 1);
  if (threadIdx.x == 0) scalars[0] = adam_scalars(m, attrs, *step);
  __syncthreads();
  const AdamScalars s = scalars[0];
  each_element<kWidth>(m, [&](float& p, float grad, float& a, float& v) {
    const float g = grad * s.clip + s.decay * p;
    a = s.beta1 * a + s.rest1 * g;
    v = s.beta2 * v + s.rest2 * g * g;
    p = p * s.shrink - s.rate * (a / (sqrtf(v) * s.root + s.eps));
  });
  if (cuda::last_block(ticket, gridDim.x) && threadIdx.x == 0) *step += 1;
}

struct RmspropScalars {
  float clip, decay, alpha, rest, eps, momentum, lr;
};

// v = alpha v + (1 - alpha) g^2, b = momentum b + g / (sqrt(v) + eps), p -= lr b. first: v, second: b.
template <int kWidth>
__global__ void __launch_bounds__(kBlock) rmsprop_update(Flat m, RmspropAttrs a) {
  cuda::wait_for_earlier();
  MIXOP_SHARED(RmspropScalars, scalars, 1);
  if (threadIdx.x == 0) {
    scalars[0] = RmspropScalars{clip_factor(a.clip, m.norm),
                                static_cast<float>(a.weight_decay),
                                static_cast<float>(a.alpha),
                                static_cast<float>(1 - a.alpha),
                                static_cast<float>(a.eps),
                                static_cast<float>(a.momentum),
                                *m.lr};
  }
  __syncthreads();
  const RmspropScalars s = scalars[0];
  each_element<kWidth>(m, [&](float& p, float grad, float& v, float& b) {
    const float g = grad * s.clip + s.decay * p;
    v = s.alpha * v + s.rest * g * g;
    const float d = g / (sqrtf(v) + s.eps);
    b = s.momentum * b + d;  // without momentum b is a 0 that is not stored
    p -= s.lr * b;
  });
}

const float* norm_of(const Call& call, double clip, size_t at) {
  return clip > 0 && call.in.size() > at ? call.in[at].as<float>() : nullptr;
}

/// Starts the kernel for accesses of 16 bytes when all tensors of the step lie on them.
template <class Attrs, class... More>
void launch_step(const Call& call, const char* name, void (*wide)(Flat, Attrs, More...),
                 void (*narrow)(Flat, Attrs, More...), const Flat& m, More... more) {
  const auto on16 = [](const float* p) { return cuda::aligned4(p, 0, 0); };
  const bool aligned = on16(m.param) && on16(m.grad) && on16(m.first) && on16(m.second);
  const dim3 grid = cuda::grid_for(aligned ? cuda::ceil_div<int64_t>(m.n, 4) : m.n, kBlock);
  cuda::launch_dependent(*call.exec, name, aligned ? wide : narrow, grid, kBlock, 0, m, call.attr<Attrs>(),
                         more...);
}

size_t norm_workspace(const Call& call) { return sizeof(double) * partials(call.in[0].shape.elements()); }

void run_norm(const Call& call) {
  const View& x = call.in[0];
  const int64_t n = x.shape.elements();
  double* const partial = call.exec->scratch<double>();
  const cuda::MergeTree tree(partials(n), 1, kBlock);
  cuda::launch_dependent(*call.exec, "norm_of_blocks", norm_of_blocks, partials(n), kBlock, 0, x.as<float>(), n,
                         cuda::aligned4(x.data, 0, 0), tree, partial, call.exec->tickets, call.out[0].as<float>());
}

void run_sgd(const Call& call) {
  const auto in = call.in;
  const auto& attrs = call.attr<SgdAttrs>();
  launch_step<SgdAttrs>(call, "sgd_update", sgd_update<4>, sgd_update<1>,
                        {.param = in[0].as<float>(),
                         .first = attrs.momentum == 0 ? nullptr : in[2].as<float>(),
                         .second = nullptr,
                         .grad = in[1].as<float>(),
                         .lr = in[3].as<float>(),
                         .norm = norm_of(call, attrs.clip, 4),
                         .n = in[0].shape.elements()});
}

void run_adam(const Call& call) {
  const auto in = call.in;
  launch_step<AdamAttrs>(call, "adam_update", adam_update<4>, adam_update<1>,
                         {.param = in[0].as<float>(),
                          .first = in[2].as<float>(),
                          .second = in[3].as<float>(),
                          .grad = in[1].as<float>(),
                          .lr = in[5].as<float>(),
                          .norm = norm_of(call, call.attr<AdamAttrs>().clip, 6),
                          .n = in[0].shape.elements()},
                         in[4].as<float>(), call.exec->tickets);
}

void run_rmsprop(const Call& call) {
  const auto in = call.in;
  const auto& attrs = call.attr<RmspropAttrs>();
  launch_step<RmspropAttrs>(call, "rmsprop_update", rmsprop_update<4>, rmsprop_update<1>,
                            {.param = in[0].as<float>(),
                             .first = in[2].as<float>(),
                             .second = attrs.momentum == 0 ? nullptr : in[3].as<float>(),
                             .grad = in[1].as<float>(),
                             .lr = in[4].as<float>(),
                             .norm = norm_of(call, attrs.clip, 5),
                             .n = in[0].shape.elements()});
}

constexpr Impl kNorm[] = {{"blocks", all_float32, run_norm, norm_workspace}};
constexpr Impl kSgd[] = {{"flat", all_float32, run_sgd}};
constexpr Impl kAdam[] = {{"flat", all_float32, run_adam}};
constexpr Impl kRmsprop[] = {{"flat", all_float32, run_rmsprop}};
}  // namespace

std::span<const Impl> grad_norm_cuda() { return kNorm; }
std::span<const Impl> sgd_step_cuda() { return kSgd; }
std::span<const Impl> adam_step_cuda() { return kAdam; }
std::span<const Impl> rmsprop_step_cuda() { return kRmsprop; }
}  // namespace mixop::kernels
