#include "kernels/ops/shuffle.h"

#include "kernels/ops/shuffle_ref.h"

namespace mixop::kernels {
namespace {
void run_shuffle(const Call& call) {
  with_float(call.out[0].dtype, [&]<class T>() { channel_shuffle_ref<T>(call); });
}
constexpr Impl kShuffle[] = {{"ref", any, run_shuffle}};
}  // namespace

std::span<const Impl> channel_shuffle_cpu() { return kShuffle; }
}  // namespace mixop::kernels
