#include <algorithm>
#include <functional>
#include <limits>
#include <vector>

#include "bench/ceilings.h"
#include "kernels/core/buffer.h"
#include "kernels/core/device.h"
#include "kernels/core/rng.h"
#include "kernels/ops/copy.h"
#include "kernels/ops/matmul.h"

namespace mixop::bench {
namespace {

using kernels::Buffer;
using kernels::Memory;
namespace cuda = kernels::cuda;

constexpr int kRuns = 7;
constexpr double kSlow = 20e-3;  // seconds; a device this slow at a size is not asked for larger ones
constexpr int64_t kLargestProduct = 4096;
constexpr size_t kLargestCopy = size_t{256} << 20;  // several times the cache of any device

struct Best {
  double seconds = std::numeric_limits<double>::infinity();
  std::string impl;
};

/// The shortest run of the call with any implementation that accepts it.
Best fastest(std::span<const kernels::Impl> list, std::span<const kernels::View> in, const kernels::Out& out,
             const void* attrs) {
  kernels::Exec exec;
  exec.stream = cuda::stream();
  exec.tickets = cuda::tickets();
  exec.dependent = cuda::dependent_launches();
  const kernels::Call call{&exec, in, {&out, 1}, attrs};
  Best best;
  cuda::Event start, stop;
  for (const kernels::Impl& impl : list) {
    if (!impl.accepts(call)) continue;
    const Buffer workspace(impl.workspace ? impl.workspace(call) : 0, Memory::kDevice);
    exec.workspace = workspace.data();
    for (int run = 0; run <= kRuns; ++run) {
      start.record();
      impl.run(call);
      stop.record();
      stop.wait();
      const double seconds = stop.seconds_since(start);
      if (run > 0 && seconds < best.seconds) best = {seconds, impl.name};  // the first may load code
    }
  }
  return best;
}

/// [n,n] times [n,n], of random numbers: zeros would let a device clock higher.
Best product(int64_t n) {
  std::vector<float> host(static_cast<size_t>(n * n));
  for (size_t i = 0; i < host.size(); i += 4) {
    const auto draws = kernels::philox(1, 0, i / 4);
    for (size_t k = 0; k < 4; ++k) host[i + k] = 2 * kernels::uniform24(draws[k]) - 1;
  }
  const size_t bytes = host.size() * sizeof(float);
  const Buffer a(bytes, Memory::kDevice), b(bytes, Memory::kDevice), y(bytes, Memory::kDevice);
  for (const Buffer* factor : {&a, &b}) cuda::upload(factor->data(), host.data(), bytes);
  cuda::synchronize();
  const auto view = [n](const Buffer& of) { return kernels::View{of.data(), kernels::DType::kF32, {n, n}, n}; };
  const kernels::View in[] = {view(a), view(b)};
  const kernels::MatmulAttrs attrs;
  return fastest(kernels::matmul_cuda(), in, {view(y), kernels::Write::kSet}, &attrs);
}

Best copy(size_t bytes) {
  const Buffer from(bytes, Memory::kDevice), to(bytes, Memory::kDevice);
  cuda::fill(from.data(), 1, bytes);
  constexpr int64_t kRow = 1024;
  const auto rows = static_cast<int64_t>(bytes / sizeof(float)) / kRow;
  const auto view = [rows](const Buffer& of) {
    return kernels::View{of.data(), kernels::DType::kF32, {rows, kRow}, kRow};
  };
  const kernels::View in[] = {view(from)};
  return fastest(kernels::copy_cuda(), in, {view(to), kernels::Write::kSet}, nullptr);
}

Ceilings measure() {
  int64_t n = 128;
  Best products = product(n);
  while (n < kLargestProduct && products.seconds < kSlow) products = product(n *= 2);
  size_t bytes = size_t{1} << 20;
  Best copies = copy(bytes);
  while (bytes < kLargestCopy && copies.seconds < kSlow) copies = copy(bytes *= 4);
  const auto size = static_cast<double>(n);
  return {2 * size * size * size / products.seconds / 1e9, 2 * static_cast<double>(bytes) / copies.seconds / 1e9,
          kernels::text("matmul of ", n, "x", n, " by '", products.impl, "', copy of ", bytes >> 20, " MiB by '",
                        copies.impl, "'")};
}

}  // namespace

const Ceilings& device_ceilings() {
  static const Ceilings ceilings = measure();
  return ceilings;
}

}  // namespace mixop::bench
