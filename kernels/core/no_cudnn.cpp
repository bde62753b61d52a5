// In place of cuda/cudnn.cpp and cuda/cudnn_graph.cpp where cuDNN's headers are not installed.
#include "kernels/core/check.h"
#include "kernels/core/cuda/cudnn.h"
#include "kernels/core/cuda/library.h"

namespace mixop::kernels::cuda {

bool cudnn_available() { return false; }
std::string cudnn_report() { return text("cuDNN is not in this build: ", kOwnKernelsServe); }
std::optional<size_t> cudnn_workspace(const CudnnConv&) { return std::nullopt; }
void cudnn_convolve(const Exec&, const CudnnConv&, float*, float*, float*, std::byte*) { fail(cudnn_report()); }

}  // namespace mixop::kernels::cuda
