#include "kernels/ops/pool_stats.h"

namespace mixop::kernels {
std::span<const Impl> pool_stats_cuda() { return {}; }
}  // namespace mixop::kernels
