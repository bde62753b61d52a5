#include "kernels/ops/mix_terms.cuh"

namespace mixop::kernels {
namespace {
using namespace cuda;

/// y (+)= sum_t table[weight_t] factor_t[sample] t_t(z_t), every weight 1 without a table; a thread owns kLanes
/// channels of kRows rows at a time. The terms are the inner loop so that the sums stay in registers and y is
/// written once.
template <int kLanes, int kRows>
__global__ void mix_rows(MixTerms terms, const float* table, StoredRows y, Extent e, int64_t sample_rows,
                         bool add) {
  wait_for_earlier();
  for (int64_t c = first_column<kLanes>(); c < e.last; c += column_step<kLanes>())
    for (int64_t first = first_row(); first < e.rows; first += kRows * row_step()) {
      const auto patch = [&](int t) {
        return load_patch<kLanes, kRows>(terms.term[t].z, e.rows, first, row_step(), c);
      };
      Lanes<kLanes> sum[kRows]{};
      Patch<kLanes, kRows> next{};
      if (terms.count > 0) next = patch(0);
      for (int t = 0; t < terms.count; ++t) {
        const Patch<kLanes, kRows> z = next;
        if (t + 1 < terms.count) next = patch(t + 1);
        const OwnTransform<kLanes> transform = own_transform<kLanes>(terms.term[t].load, c);
        const Stored stored = terms.term[t].z;
        const float weight = table ? table[terms.term[t].weight] : 1.0f;
        const float* const factor = terms.term[t].factor;
#pragma unroll
        for (int i = 0; i < kRows; ++i) {
          const int64_t r = first + i * row_step();
          const float w = factor ? weight * factor[(r < e.rows ? r : first) / sample_rows] : weight;
#pragma unroll
          for (int l = 0; l < kLanes; ++l)
            sum[i].v[l] = fmaf(w, transform(stored.value(z.row[i], l), l), sum[i].v[l]);
        }
      }
#pragma unroll
      for (int i = 0; i < kRows; ++i)
        if (const int64_t r = first + i * row_step(); r < e.rows) write_lanes(y, r * y.ld + c, sum[i], add);
    }
}

/// y (+)= table[weight] x; a thread owns kLanes columns of some rows.
template <int kLanes>
__global__ void scale_rows(const float* table, int64_t weight, StoredRows x, StoredRows y, Extent e, bool add) {
  wait_for_earlier();
  const float w = table[weight];
  for_elements<kLanes>(e, [&](int64_t r, int64_t c) {
    const Bits<kLanes> bits = x.template bits<kLanes>(r * x.ld + c);
    Lanes<kLanes> v;
#pragma unroll
    for (int l = 0; l < kLanes; ++l) v.v[l] = w * x.value(bits, l);
    write_lanes(y, r * y.ld + c, v, add);
  });
}

void run_mix(const Call& call) {
  const auto& attrs = call.attr<MixAttrs>();
  const View* table = attrs.plain ? nullptr : &call.in[0];
  const Out& out = call.out[0];
  const Extent e = {out.rows(), out.last()};
  const size_t present = present_terms(call, attrs.first_term());
  for (size_t begin = 0; begin < std::max<size_t>(present, 1); begin += kMaxTerms) {
    const MixTerms terms = mix_terms(call, table, attrs.first_term(), begin);
    const bool add = begin > 0 || out.write == Write::kAdd;
    with_lanes(in_fours(out, terms), [&]<int kLanes>() {
      const bool four = four_rows(e, kLanes);
      const auto [grid, block] = rows_grid(e, kLanes, four ? 4 : 1);
      launch_dependent(*call.exec, "mix_rows", four ? mix_rows<kLanes, 4> : mix_rows<kLanes, 1>, grid, block, 0,
                       terms, table ? table->as<float>() : nullptr, StoredRows(out), e, rows_per_sample(out), add);
    });
  }
}

void run_scale(const Call& call) {
  const View &table = call.in[0], &in = call.in[1];
  const Out& out = call.out[0];
  const int64_t weight = table_offset(table, call.attr<ScaleAttrs>().index);
  const Extent e = flat_extent({&in, &out});
  const StoredRows x(in, e), y(out, e);
  with_lanes(in_fours(x, x.ld, e.last) && in_fours(y, y.ld, e.last), [&]<int kLanes>() {
    const auto [grid, block] = rows_grid(e, kLanes);
    launch_dependent(*call.exec, "scale_rows", scale_rows<kLanes>, grid, block, 0, table.as<float>(), weight, x, y,
                     e, out.write == Write::kAdd);
  });
}

constexpr Impl kMix[] = {{"rows", all_float32_or_bf16, run_mix}};
constexpr Impl kScale[] = {{"rows", all_float32_or_bf16, run_scale}};
}  // namespace

std::span<const Impl> mix_cuda() { return kMix; }
std::span<const Impl> scale_cuda() { return kScale; }
}  // namespace mixop::kernels
