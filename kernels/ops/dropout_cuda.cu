#include "kernels/core/cuda/launch.cuh"
#include "kernels/core/cuda/vec.cuh"
#include "kernels/core/rng.h"
#include "kernels/ops/dropout.h"

namespace mixop::kernels {
namespace {
using cuda::load4;
using cuda::store4;

constexpr int kBlock = 256;

/// A number that kernels read on the device, or a fixed one.
struct Scalar {
  const void* data;  ///< null: fixed
  DType type;
  double fixed;

  __device__ double operator()() const {
    if (!data) return fixed;
    if (type == DType::kF64) return *static_cast<const double*>(data);
    if (type == DType::kF32) return static_cast<double>(*static_cast<const float*>(data));
    return static_cast<double>(*static_cast<const int32_t*>(data));
  }
};

/// Input i of the call where there is one, else the fixed number.
Scalar scalar_of(const Call& call, size_t i, double fixed) {
  if (call.in.size() <= i) return {nullptr, DType::kF64, fixed};
  return {call.in[i].data, call.in[i].dtype, fixed};
}

struct Draw {
  float* y;
  int64_t ld, last, elements;
  uint64_t seed, stream;
  Scalar counter, keep;
};

// y[i] = uniform24(philox(seed, stream, counter elements + i)) < keep. A thread owns an element at a time.
__global__ void draw_mask(Draw m) {
  cuda::wait_for_earlier();
  const uint64_t first = static_cast<uint64_t>(m.counter()) * static_cast<uint64_t>(m.elements);
  const auto keep = static_cast<float>(m.keep());
  const int64_t threads = int64_t{blockDim.x} * gridDim.x;
  for (int64_t i = int64_t{blockIdx.x} * blockDim.x + threadIdx.x; i < m.elements; i += threads) {
    const uint32_t bits = philox(m.seed, m.stream, first + static_cast<uint64_t>(i))[0];
    m.y[i / m.last * m.ld + i % m.last] = uniform24(bits) < keep ? 1.0f : 0.0f;
  }
}

/// Rows of x and y. A full mask has the same rows; else `sample_rows` rows share mask[sample * ld_mask].
struct Masked {
  const float *x, *mask;
  float* y;
  int64_t ldx, ld_mask, ldy, rows, last;
  int64_t sample_rows;  ///< 0: full mask
  Scalar keep;
};

// y (+)= x mask / keep, 0 when keep is 0. A thread owns kWidth neighbouring elements at a time.
template <int kWidth, bool kAdd>
__global__ void scale_by_mask(Masked m) {
  cuda::wait_for_earlier();
  const double keep = m.keep();
  const float factor = keep == 0 ? 0.0f : static_cast<float>(1 / keep);
  const int64_t columns = m.last / kWidth, items = m.rows * columns, threads = int64_t{blockDim.x} * gridDim.x;
  for (int64_t i = int64_t{blockIdx.x} * blockDim.x + threadIdx.x; i < items; i += threads) {
    const int64_t r = i / columns, c = (i - r * columns) * kWidth;
    const float* from = m.x + r * m.ldx + c;
    const float* mask = m.mask + (m.sample_rows ? r / m.sample_rows * m.ld_mask : r * m.ld_mask + c);
    float* to = m.y + r * m.ldy + c;
    if constexpr (kWidth == 4) {
      const float4 v = load4(from), k = m.sample_rows ? make_float4(*mask, *mask, *mask, *mask) : load4(mask);
      const float4 f = make_float4(k.x * factor, k.y * factor, k.z * factor, k.w * factor);
      store4(to, cuda::fma4(kAdd ? load4(to) : make_float4(0, 0, 0, 0), v, f));
    } else {
      const float v = *from * (*mask * factor);
      *to = kAdd ? *to + v : v;
    }
  }
}

void run_bernoulli(const Call& call) {
  const Out& y = call.out[0];
  const auto& attrs = call.attr<BernoulliAttrs>();
  const Draw m{y.as<float>(),
               y.ld,
               y.last(),
               y.shape.elements(),
               attrs.seed,
               attrs.stream,
               scalar_of(call, 0, 0),
               scalar_of(call, 1, attrs.keep)};
  cuda::launch_dependent(*call.exec, "draw_mask", draw_mask, cuda::grid_for(m.elements, kBlock), kBlock, 0, m);
}

template <int kWidth>
void launch_masked(const Call& call, const Masked& m) {
  const auto kernel = call.out[0].write == Write::kAdd ? scale_by_mask<kWidth, true> : scale_by_mask<kWidth, false>;
  cuda::launch_dependent(*call.exec, "scale_by_mask", kernel, cuda::grid_for(m.rows * m.last / kWidth, kBlock),
                         kBlock, 0, m);
}

void run_mask_scale(const Call& call) {
  const View &x = call.in[0], &mask = call.in[1];
  const Out& y = call.out[0];
  const bool full = mask.shape == x.shape;
  Masked m{
      x.as<float>(), mask.as<float>(), y.as<float>(), x.ld, mask.ld,
      y.ld,          x.rows(),         x.last(),      0,    scalar_of(call, 2, call.attr<MaskScaleAttrs>().keep)};
  if (!full) {
    m.ld_mask = mask.shape.rank() == 1 ? 1 : mask.ld;  // in [N] they are adjacent, in [N, 1, ...] a row apart
    m.sample_rows = m.rows / x.shape[0];
  }
  if (x.contiguous() && y.contiguous() && (!full || mask.contiguous())) {  // one long row a sample, or in all
    const int64_t rows = full ? 1 : x.shape[0];
    m.last = m.rows * m.last / rows;
    m.rows = rows;
    m.ldx = m.ldy = m.last;
    if (full) m.ld_mask = m.last;
    else m.sample_rows = 1;
  }
  const bool aligned = cuda::aligned4(m.x, m.ldx, m.last) && cuda::aligned4(m.y, m.ldy, m.last) &&
                       (!full || cuda::aligned4(m.mask, m.ld_mask, m.last));
  if (aligned) launch_masked<4>(call, m);
  else launch_masked<1>(call, m);
}

/// The counter and keep may have any type.
bool mask_is_float32(const Call& call) { return call.out[0].dtype == DType::kF32; }

constexpr Impl kBernoulli[] = {{"elements", mask_is_float32, run_bernoulli}};
constexpr Impl kMaskScale[] = {{"rows", all_float32, run_mask_scale}};
}  // namespace

std::span<const Impl> bernoulli_cuda() { return kBernoulli; }
std::span<const Impl> mask_scale_cuda() { return kMaskScale; }
}  // namespace mixop::kernels
