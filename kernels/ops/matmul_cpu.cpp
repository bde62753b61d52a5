#include <algorithm>

#include "kernels/core/gemm.h"
#include "kernels/ops/matmul_ref.h"

namespace mixop::kernels {
namespace {

constexpr int64_t kRowBlock = 96, kDepthBlock = 512;  // rows and depth of a block of A: fits the second-level cache
constexpr int64_t kTasks = 16;                        // below that the depth is split as well

int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }

/// B packed once, then blocks of rows times blocks of columns, and with few of them ranges of the depth K, each
/// with a partial result of its own.
struct Product {
  const Call& call;
  Matrix<float> a, b;
  const Out& y;
  int64_t m, n, k, column_block, row_blocks, column_blocks, parts;

  explicit Product(const Call& c)
      : call(c),
        a(c.in[0], c.attr<MatmulAttrs>().transpose_a),
        b(c.in[1], c.attr<MatmulAttrs>().transpose_b),
        y(c.out[0]),
        m(a.rows),
        n(b.columns),
        k(a.columns),
        column_block(4 * gemm_panel()),
        row_blocks(ceil_div(m, kRowBlock)),
        column_blocks(ceil_div(n, column_block)),
        parts(
            std::clamp<int64_t>(k / kDepthBlock, 1, std::max<int64_t>(1, kTasks / (row_blocks * column_blocks)))) {}

  int64_t packed_floats() const { return gemm_packed_floats(k, n); }
  size_t workspace() const { return sizeof(float) * (packed_floats() + (parts > 1 ? parts * m * n : 0)); }

  void run() const {
    float* const packed = call.exec->scratch<float>();
    float* const partials = packed + packed_floats();
    const int64_t pieces = std::clamp<int64_t>(packed_floats() >> 13, 1, ceil_div(k, 16));
    parallel_for(*call.exec, pieces, [&](int64_t piece, int) {
      const auto [begin, end] = part_of(k, pieces, piece);
      gemm_pack(b.data + begin * b.row, b.row, b.column, begin, end - begin, k, n, packed);
    });
    parallel_for(*call.exec, parts * row_blocks * column_blocks, [&](int64_t task, int) {
      const int64_t part = task % parts, row_block = task / parts % row_blocks;
      const int64_t j = task / parts / row_blocks * column_block;
      const auto [i, i_end] = part_of(m, row_blocks, row_block);
      const auto [first, last] = part_of(k, parts, part);
      const bool partial = parts > 1;
      const int64_t ld = partial ? n : y.ld;
      float* const to = (partial ? partials + part * m * n : y.as<float>()) + i * ld + j;
      for (int64_t p = first; p < last || p == first; p += kDepthBlock) {
        const bool set = p == first && (partial || y.write == Write::kSet);
        GemmB right = gemm_packed(packed + j * k, k);
        right.data += p * right.row;
        gemm(i_end - i, std::min(column_block, n - j), std::min(kDepthBlock, last - p),
             {a.data + i * a.row + p * a.column, a.row, a.column}, right, to, ld, set ? Write::kSet : Write::kAdd);
      }
    });
    if (parts > 1) merge(partials);
  }

  void merge(const float* partials) const {
    const int64_t tasks = std::min(m, parts * m * n >> 16) + 1;
    parallel_for(*call.exec, tasks, [&](int64_t task, int) {
      const auto [begin, end] = part_of(m, tasks, task);
      for (int64_t i = begin; i < end; ++i) {
        float* const to = y.as<float>() + i * y.ld;
        if (y.write == Write::kSet) std::fill(to, to + n, 0.0f);
        for (int64_t part = 0; part < parts; ++part) {
          const float* from = partials + (part * m + i) * n;
          for (int64_t j = 0; j < n; ++j) to[j] += from[j];
        }
      }
    });
  }
};

void run_gemm(const Call& call) { Product(call).run(); }
size_t gemm_workspace(const Call& call) { return Product(call).workspace(); }
void run_ref(const Call& call) {
  with_float(call.out[0].dtype, [&]<class T>() { matmul_ref<T>(call); });
}

constexpr Impl kMatmul[] = {{"gemm", all_float32, run_gemm, gemm_workspace}, {"ref", any, run_ref}};

}  // namespace

std::span<const Impl> matmul_cpu() { return kMatmul; }

}  // namespace mixop::kernels
