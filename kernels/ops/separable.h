// A depthwise convolution, the 1x1 convolution behind it and the statistics of the result as one operation, for one
// or many units of a cell at a time; and the whole way back through them. Nothing between x and z is stored. A unit
// may lack the depthwise half: a 1x1 convolution, maybe with a stride.
//
// separable, per unit           composite: [conv2d (depthwise),] conv2d (1x1), bn_stats
//   x [N,H,W,C] [, mean, rstd [, gamma, beta]] [, w_dw [k,k,1,C]], w_pw [1,1,C,K] [, running_mean, running_var]
//     [, for all units together: active [units] of int32]
//   -> z [N,H',W',K] [, mean, var, rstd (of z, as bn_stats)]
//        y = depthwise(t(x)), or the pixels of t(x) that the stride meets; z = y w_pw, with t as in
//        kernels/core/on_load.h; padding is 0 after t. A unit whose element of `active` is 0 is skipped: its
//        results and running statistics keep what they had, which a plan does not define
//
// separable_grad, per unit      composite: [mask_scale,] bn_grad, conv2d_dgrad (1x1), conv2d_dgrad (depthwise,
//                               masked), conv2d_wgrad (both), conv2d (depthwise, for y), bn_reduce
//   dy, z, mean, rstd, s1, s2 [, gamma] [, table] [, factor [N]],  x [, mean, rstd [, gamma, beta]] [, w_dw], w_pw
//     [, for all units together: active [units] of int32]
//   -> per group of units that share x: [dx [, s1, s2]], then per unit: [[dw_dw,] dw_pw]
//        dz = gamma rstd (a dy - s1/M - zhat s2/M) with zhat = (z - mean) rstd and M = N H' W'; a is
//             table[scale_index] and the factor of the sample (drop path: mask / keep), 1 where there is none
//        dY = dz w_pw^T, dx = sum over the group [t(x) > 0] depthwise^T(dY), masked only where t has a relu
//        dw_pw = y^T dz, dw_dw[r,s,c] = sum dY t(x) shifted; y is computed again
//        s1 = sum dx, s2 = sum dx xhat with xhat = (x - mean) rstd: what bn_reduce gives for the norm of t
//        A unit whose element of `active` is 0 adds nothing to dx and has weight gradients of 0; none of its
//        operands is read, nor x where no unit of the group is active
//   dx accumulate; dw never.
#pragma once

#include <span>
#include <vector>

#include "kernels/core/on_load.h"

namespace mixop::kernels {

/// A square depthwise filter, the same along both axes. A negative pad leaves out pixels at the beginning, which
/// only units without a depthwise half have.
struct Window {
  int kernel = 3, stride = 1, pad = 1, dilation = 1;
  int64_t span() const { return int64_t{dilation} * (kernel - 1) + 1; }
  /// Output extent for an input extent; below 1 when the filter does not fit.
  int64_t extent(int64_t in) const {
    const int64_t padded = in + pad + (pad > 0 ? pad : 0);
    return padded < span() ? 0 : (padded - span()) / stride + 1;
  }
  bool operator==(const Window&) const = default;
};

struct SeparableUnit {
  Window window;  ///< without a depthwise half: kernel and dilation 1
  OnLoad load;
  bool depthwise = true;    ///< w_dw is among the inputs
  bool same_input = false;  ///< reads the x of the unit before it through the same t
  bool running = false;     ///< the running statistics are among the inputs
  double eps = 1e-5, momentum = 0.1;

  size_t weights() const { return depthwise ? 2 : 1; }
  size_t inputs() const { return 1 + static_cast<size_t>(load.inputs()) + weights() + (running ? 2 : 0); }
};

struct SeparableAttrs {
  std::vector<SeparableUnit> units;
  bool stats = true;    ///< statistics are computed
  bool active = false;  ///< a table [units] of int32 is the last input; units whose element is 0 are skipped

  size_t outputs() const { return units.size() * (stats ? 4 : 1); }
};

struct SeparableGradUnit {
  Window window;
  OnLoad load;
  bool depthwise = true;  ///< as in SeparableUnit; then dw_dw is among the outputs too
  bool same_input = false;
  bool affine = false;      ///< gamma of the norm of z is among the inputs
  bool scaled = false;      ///< the arriving gradient is table[scale_index] * dy
  int64_t scale_index = 0;  ///< element of the flattened table
  bool sampled = false;     ///< the arriving gradient is multiplied by a factor for each sample

  /// Operands from dy up to w_pw; x is operand x_at().
  size_t x_at() const { return 6 + (affine ? 1 : 0) + (scaled ? 1 : 0) + (sampled ? 1 : 0); }
  size_t weights() const { return depthwise ? 2 : 1; }
  size_t inputs() const { return x_at() + 1 + static_cast<size_t>(load.inputs()) + weights(); }
};

struct SeparableGradAttrs {
  std::vector<SeparableGradUnit> units;
  bool dx = true;       ///< wanted
  bool sums = false;    ///< s1 and s2 of each dx are wanted; every unit's load has a norm then
  bool dw = true;       ///< wanted
  bool active = false;  ///< a table [units] of int32 is the last input; units whose element is 0 are skipped

  size_t outputs_of_group() const { return dx ? (sums ? 3 : 1) : 0; }
};

std::span<const Impl> separable_cpu();
std::span<const Impl> separable_cuda();
std::span<const Impl> separable_grad_cpu();
std::span<const Impl> separable_grad_cuda();

}  // namespace mixop::kernels
