// cuDNN, loaded at run time: dense convolutions through its graph interface. No CUDA header is needed here; a build
// without cuDNN's headers compiles kernels/core/no_cudnn.cpp in place of cudnn.cpp and cudnn_graph.cpp, and the
// library is then never available.
#pragma once

#include <array>
#include <compare>
#include <optional>
#include <string>

#include "kernels/core/exec.h"

namespace mixop::kernels::cuda {

/// The library is there and works with the current device. The first call loads it (some 0.5 s), with the device
/// selected and no capture under way; later calls only look.
bool cudnn_available();

/// One line for people: "cuDNN 9.19.0 (file)", or why it is not used.
std::string cudnn_report();

/// What a plan of cuDNN depends on: a convolution without groups of x [N,H,W,C] with a filter [K,R,S,C]
/// (contiguous, not the [R,S,C,K] of our weights: cuDNN has kernels for that order only) that gives y [N,OH,OW,K],
/// or one of its two gradients. Spatial pairs are in [height, width] order.
struct CudnnConv {
  enum class Kind : uint8_t { kForward, kDataGrad, kWeightGrad };
  Kind kind = Kind::kForward;
  bool add = false;   ///< to what the result holds
  bool tf32 = false;  ///< factors may be rounded to TF32
  std::array<int64_t, 4> x{}, y{};
  int64_t x_ld = 0, y_ld = 0;  ///< distance of neighbouring pixels
  std::array<int64_t, 2> kernel{}, stride{}, pad_begin{}, pad_end{}, dilation{};

  auto operator<=>(const CudnnConv&) const = default;
};

/// Bytes of scratch memory of the plan for this convolution; nothing when cuDNN has no deterministic, precompiled
/// engine for it that keeps to float32 (or TF32) and to 64 MiB. The first call for a convolution makes the plan,
/// which can take a tenth of a second and must not happen while a graph is captured.
std::optional<size_t> cudnn_workspace(const CudnnConv& conv);

/// Runs the plan on exec.stream: forward reads x and w, the data gradient y and w, the weight gradient x and y;
/// each writes the third. `workspace` is as large as cudnn_workspace() says. x and y begin on 16 bytes unless they
/// are slices of channels. Throws when there is no plan and when cuDNN reports an error.
void cudnn_convolve(const Exec& exec, const CudnnConv& conv, float* x, float* w, float* y, std::byte* workspace);

}  // namespace mixop::kernels::cuda
