// What a kernel runs with: threads and workspace. It allocates nothing itself.
#pragma once

#include <cstddef>
#include <cstdint>

namespace mixop::kernels {

constexpr int kTickets = 1 << 16;

struct Exec {
  int threads = 1;
  std::byte* workspace = nullptr;  ///< 64-byte aligned, as large as the Impl's workspace() asked for
  void* stream = nullptr;          ///< of a CUDA device: the cudaStream_t on which its kernels run
  unsigned* tickets = nullptr;     ///< on a CUDA device: kTickets counters, 0 between kernels (cuda/tickets.cuh)
  bool dependent = false;  ///< on a CUDA device: kernels may start before the one ahead is done (cuda/launch.cuh)
  bool tf32 = false;       ///< matrix products of float32 may round their factors to TF32

  template <class T>
  T* scratch(int64_t offset_bytes = 0) const {
    return reinterpret_cast<T*>(workspace + offset_bytes);
  }
};

/// The number of threads that a new Exec uses: OMP_NUM_THREADS or the machine's cores.
int default_threads();

}  // namespace mixop::kernels
