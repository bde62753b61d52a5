#include "kernels/ops/separable_call.h"
#include "kernels/ops/separable_impls.h"

namespace mixop::kernels {
namespace {
bool accepts(const Call&) { return false; }
void run(const Call&) {}
}  // namespace
constinit const Impl kSeparableTiles = {"tiles", accepts, run};
}  // namespace mixop::kernels
