#include "kernels/ops/dropout.h"

#include "kernels/ops/dropout_ref.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/ops/dropout_cpu.cpp"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace mixop::kernels {
namespace HWY_NAMESPACE {
void MaskBlock(const MaskRows<float>& b, float factor, bool add) {
  if (add) mask_block<float, true>(b, factor);
  else mask_block<float, false>(b, factor);
}

/// First words of philox(seed, stream, first + i) for a block of i: the rounds of core/rng.h with the block
/// innermost, so that they vectorise.
void PhiloxBlock(uint64_t seed, uint64_t stream, uint64_t first, uint32_t* out) {
  uint32_t c[4][kPhiloxBlock];
  for (int i = 0; i < kPhiloxBlock; ++i) {
    const uint64_t index = first + static_cast<uint64_t>(i);
    c[0][i] = static_cast<uint32_t>(index);
    c[1][i] = static_cast<uint32_t>(index >> 32);
    c[2][i] = static_cast<uint32_t>(stream);
    c[3][i] = static_cast<uint32_t>(stream >> 32);
  }
  uint32_t k0 = static_cast<uint32_t>(seed), k1 = static_cast<uint32_t>(seed >> 32);
  for (int round = 0; round < 10; ++round, k0 += 0x9E3779B9, k1 += 0xBB67AE85) {
#pragma omp simd
    for (int i = 0; i < kPhiloxBlock; ++i) {
      const uint64_t p0 = uint64_t{0xD2511F53} * c[0][i], p1 = uint64_t{0xCD9E8D57} * c[2][i];
      c[0][i] = static_cast<uint32_t>(p1 >> 32) ^ c[1][i] ^ k0;
      c[1][i] = static_cast<uint32_t>(p1);
      c[2][i] = static_cast<uint32_t>(p0 >> 32) ^ c[3][i] ^ k1;
      c[3][i] = static_cast<uint32_t>(p0);
    }
  }
  std::copy(c[0], c[0] + kPhiloxBlock, out);
}
}  // namespace HWY_NAMESPACE
}  // namespace mixop::kernels
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace mixop::kernels {
HWY_EXPORT(MaskBlock);
HWY_EXPORT(PhiloxBlock);
namespace {

/// The mask of sample n: in [N] they are adjacent, in [N, 1, ...] a row apart.
float sample_mask(const View& mask, int64_t n) {
  return mask.as<float>()[mask.shape.rank() == 1 ? n : n * mask.ld];
}

/// Groups are what one mask number covers: the samples, or everything when each element has its own.
void run_rows(const Call& call) {
  const View &x = call.in[0], &mask = call.in[1];
  const Out& y = call.out[0];
  const bool add = y.write == Write::kAdd, sample = per_sample(x, mask);
  const bool flat = x.contiguous() && y.contiguous() && (sample || mask.contiguous());
  const auto factor = static_cast<float>(mask_factor(call));
  const int64_t groups = sample ? x.shape[0] : 1, n = x.shape.elements() / groups;
  const int64_t rows = flat ? n : n / x.last();  // of a group; flat: one long row, split anywhere
  const int64_t bands = std::clamp<int64_t>(n >> 15, 1, rows);
  const auto block = HWY_DYNAMIC_DISPATCH(MaskBlock);
  parallel_for(*call.exec, groups * bands, [&](int64_t task, int) {
    const int64_t group = task / bands;
    const auto [begin, end] = part_of(rows, bands, task % bands);
    MaskRows<float> b = {x.as<float>(), sample ? nullptr : mask.as<float>(), y.as<float>(), 1, 1, 1, 1,
                         end - begin};
    if (!flat) b = {b.x, b.mask, b.y, x.ld, mask.ld, y.ld, end - begin, x.last()};
    const int64_t row = group * rows + begin;
    b.x += row * b.ldx;
    b.y += row * b.ldy;
    if (b.mask) b.mask += row * b.ldmask;
    block(b, sample ? sample_mask(mask, group) * factor : factor, add);
  });
}

bool accepts_blocks(const Call& call) { return all_float32(call) && call.out[0].contiguous(); }

void run_blocks(const Call& call) {
  const Out& y = call.out[0];
  const auto& attrs = call.attr<BernoulliAttrs>();
  const uint64_t first = bernoulli_first(call);
  const float keep = bernoulli_keep(call);
  const int64_t n = y.shape.elements(), blocks = (n + kPhiloxBlock - 1) / kPhiloxBlock;
  const int64_t tasks = std::clamp<int64_t>(blocks >> 6, 1, blocks);
  const auto philox_block = HWY_DYNAMIC_DISPATCH(PhiloxBlock);
  parallel_for(*call.exec, tasks, [&](int64_t task, int) {
    const auto [begin, end] = part_of(blocks, tasks, task);
    for (int64_t b = begin; b < end; ++b) {
      uint32_t bits[kPhiloxBlock];
      philox_block(attrs.seed, attrs.stream, first + static_cast<uint64_t>(b * kPhiloxBlock), bits);
      float* to = y.as<float>() + b * kPhiloxBlock;
      for (int64_t i = 0, m = std::min<int64_t>(kPhiloxBlock, n - b * kPhiloxBlock); i < m; ++i)
        to[i] = uniform24(bits[i]) < keep ? 1.0f : 0.0f;
    }
  });
}

void run_bernoulli_ref(const Call& call) {
  with_float(call.out[0].dtype, [&]<class T>() { bernoulli_ref<T>(call); });
}
void run_mask_scale_ref(const Call& call) {
  with_float(call.out[0].dtype, [&]<class T>() { mask_scale_ref<T>(call); });
}

constexpr Impl kBernoulli[] = {{"blocks", accepts_blocks, run_blocks}, {"ref", any, run_bernoulli_ref}};
constexpr Impl kMaskScale[] = {{"rows", all_float32, run_rows}, {"ref", any, run_mask_scale_ref}};
}  // namespace

std::span<const Impl> bernoulli_cpu() { return kBernoulli; }
std::span<const Impl> mask_scale_cpu() { return kMaskScale; }
}  // namespace mixop::kernels
#endif
