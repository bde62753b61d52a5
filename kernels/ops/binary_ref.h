// The block loops are forced inline: binary_cpu.cpp compiles them once more for each instruction set.
#pragma once

#include <algorithm>

#include "kernels/core/parallel.h"
#include "kernels/ops/binary.h"

namespace mixop::kernels {

template <Binary kKind, class T>
[[gnu::always_inline]] inline T binary_value(T a, T b) {
  return kKind == Binary::kAdd ? a + b : kKind == Binary::kSub ? a - b : kKind == Binary::kMul ? a * b : a / b;
}

/// An operand aligned at the last axis of a shape of kMaxRank axes; its stride is 0 where it repeats.
struct BroadcastAxes {
  std::array<int64_t, kMaxRank> extent{}, stride{};
  explicit BroadcastAxes(const View& v) {
    extent.fill(1);
    int64_t step = 1;
    for (int k = kMaxRank - 1, a = v.shape.rank() - 1; a >= 0; --a, --k) {
      extent[k] = v.shape[a];
      stride[k] = extent[k] == 1 ? 0 : step;
      step = k == kMaxRank - 1 ? v.ld : step * extent[k];
    }
  }
};

template <class T>
void binary_ref(const Call& call) {
  const Out& y = call.out[0];
  const bool add = y.write == Write::kAdd;
  const BroadcastAxes ya(y), aa(call.in[0]), ba(call.in[1]);
  const Binary kind = call.attr<BinaryAttrs>().kind;
  const int64_t rows = y.rows(), tasks = std::clamp<int64_t>(y.shape.elements() >> 12, 1, rows);
  parallel_for(*call.exec, tasks, [&](int64_t task, int) {
    const auto [begin, end] = part_of(rows, tasks, task);
    for (int64_t r = begin; r < end; ++r) {
      const T *a = call.in[0].as<T>(), *b = call.in[1].as<T>();
      int64_t rest = r;
      for (int k = kMaxRank - 2; k >= 0; --k) {
        const int64_t i = rest % ya.extent[k];
        rest /= ya.extent[k];
        a += i * aa.stride[k];
        b += i * ba.stride[k];
      }
      T* out = y.as<T>() + r * y.ld;
      for (int64_t c = 0; c < y.last(); ++c, a += aa.stride.back(), b += ba.stride.back()) {
        const T v = kind == Binary::kAdd   ? binary_value<Binary::kAdd>(*a, *b)
                    : kind == Binary::kSub ? binary_value<Binary::kSub>(*a, *b)
                    : kind == Binary::kMul ? binary_value<Binary::kMul>(*a, *b)
                                           : binary_value<Binary::kDiv>(*a, *b);
        out[c] = add ? out[c] + v : v;
      }
    }
  });
}

template <class T>
void reduce_to_ref(const Call& call) {
  const View& dy = call.in[0];
  const Out& out = call.out[0];
  const T scale = static_cast<T>(call.attr<ReduceToAttrs>().scale);
  const BroadcastAxes from(dy), to(out);
  auto repeat = from.extent;  // how often each axis was repeated
  for (int k = 0; k < kMaxRank; ++k) repeat[k] /= to.extent[k];
  parallel_for(*call.exec, out.rows(), [&](int64_t r, int) {
    for (int64_t c = 0; c < out.last(); ++c) {
      const T* p = dy.as<T>() + c * from.stride.back() * (to.extent.back() > 1);
      int64_t rest = r;
      for (int k = kMaxRank - 2; k >= 0; --k) {
        p += (rest % to.extent[k]) * from.stride[k];
        rest /= to.extent[k];
      }
      const auto& s = from.stride;
      double sum = 0;
      for (int64_t i0 = 0; i0 < repeat[0]; ++i0)
        for (int64_t i1 = 0; i1 < repeat[1]; ++i1)
          for (int64_t i2 = 0; i2 < repeat[2]; ++i2)
            for (int64_t i3 = 0; i3 < repeat[3]; ++i3)
              for (int64_t i4 = 0; i4 < repeat[4]; ++i4)
                sum += p[i0 * s[0] + i1 * s[1] + i2 * s[2] + i3 * s[3] + i4 * s[4]];
      T& y = out.as<T>()[r * out.ld + c];
      y = static_cast<T>(sum) * scale + (out.write == Write::kAdd ? y : T(0));
    }
  });
}

/// Rows of y, a and b; a row stride of 0 repeats a vector.
template <class T>
struct BinaryRows {
  const T *a, *b;
  T* y;
  int64_t lda, ldb, ldy, rows, last;
};

/// y (+)= a op b.
template <class T, Binary kKind, bool kAdd>
[[gnu::always_inline]] inline void binary_block(BinaryRows<T> s) {
  for (int64_t r = 0; r < s.rows; ++r, s.a += s.lda, s.b += s.ldb, s.y += s.ldy) {
#pragma omp simd
    for (int64_t c = 0; c < s.last; ++c) s.y[c] = (kAdd ? s.y[c] : T(0)) + binary_value<kKind>(s.a[c], s.b[c]);
  }
}

/// sums[c] = sum over rows of x[r, c], a block of columns at a time so that the sums stay in registers.
template <class T>
[[gnu::always_inline]] inline void sum_rows_block(const T* x, int64_t ldx, int64_t rows, int64_t last,
                                                  double* sums) {
  constexpr int kBlock = 16;
  for (int64_t begin = 0; begin < last; begin += kBlock) {
    double block[kBlock] = {};
    const T* p = x + begin;
    const int64_t n = std::min<int64_t>(kBlock, last - begin);
    for (int64_t r = 0; r < rows; ++r, p += ldx) {
      if (n == kBlock) {
#pragma omp simd
        for (int c = 0; c < kBlock; ++c) block[c] += p[c];
      } else {
        for (int64_t c = 0; c < n; ++c) block[c] += p[c];
      }
    }
    std::copy(block, block + n, sums + begin);
  }
}

}  // namespace mixop::kernels
