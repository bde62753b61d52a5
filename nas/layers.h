// The layers that cells are composed of, as graph nodes with named parameters (reference: DARTS, Liu et al. 2019).
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "autograd/graph.h"
#include "autograd/ops/conv2d.h"
#include "nas/genotype.h"

namespace mixop::nas {

using autograd::Graph;
using autograd::TensorStore;
using autograd::Value;

/// Builds layers into one graph. Names: scope path + parameter, e.g. "cells.0.edge.3.sep_conv_3x3.dw1".
struct Layers {
  Graph& g;
  TensorStore& weights;
  TensorStore* state = nullptr;  ///< running statistics; null: none are kept (training graphs only)
  bool training = true;          ///< batch statistics; false: running statistics
  bool affine = false;           ///< batch norm with learnt scale and shift

  /// Convolution of x [N,H,W,C] with a new weight [kh,kw,C/groups,out], no bias; uniform(+-1/sqrt(fan_in)) at the
  /// start.
  Value conv(Value x, const std::string& name, int64_t out, int kernel, int stride = 1, int padding = 0,
             int dilation = 1, int64_t groups = 1);
  /// The same with a kernel, stride and padding per direction.
  Value conv(Value x, const std::string& name, int64_t out, const kernels::Conv2dAttrs& attrs);
  /// Batch norm, eps 1e-5, momentum 0.1; parameters "<name>.gamma", "<name>.beta" when affine.
  Value batch_norm(Value x, const std::string& name, bool with_affine);
  Value batch_norm(Value x, const std::string& name = "bn") { return batch_norm(x, name, affine); }
  /// One norm without scale and shift in the place of several of the same x: training moves the running statistics
  /// of each, at most kernels::kMostRunning; evaluation takes one norm, as only training knows them to agree.
  /// `paths` are full: "cells.0.edge.3.max_pool_3x3.bn".
  Value shared_batch_norm(Value x, const std::vector<std::string>& paths);
  /// x [N,K] times a new weight [out,K] plus bias [out]; uniform(+-1/sqrt(K)).
  Value linear(Value x, const std::string& name, int64_t out);

  /// conv k x k ("w", padded to keep the size at stride 1), batch norm, relu.
  Value conv_bn_relu(Value x, int64_t out, int kernel, int stride = 1, int64_t groups = 1);
  /// relu, conv 1x1, batch norm.
  Value relu_conv_bn(Value x, int64_t out);
  /// relu; concat(conv 1x1 stride 2 of x, conv 1x1 stride 2 of x[1:,1:]); batch norm. Throws when H or W or out is
  /// odd.
  Value factorized_reduce(Value x, int64_t out);
  /// What follows its relu.
  Value factorized_reduce_rectified(Value y, int64_t out);
  /// (relu, depthwise k stride s, pointwise, bn) then the same with stride 1.
  Value separable(Value x, int kernel, int stride);
  /// relu, depthwise k dilation 2, pointwise, bn.
  Value dilated(Value x, int kernel, int stride);
  /// relu, conv 1x7 stride (1,s), conv 7x1 stride (s,1), bn.
  Value conv_7x1_1x7(Value x, int stride);
  /// max_pool_3x3 or avg_pool_3x3 alone.
  Value pool(CellOp op, Value x, int stride);
  /// The operation on x; pools are followed by an affine-free batch norm when `pool_norm`. An empty value for
  /// `none`.
  Value operation(CellOp op, Value x, int stride, bool pool_norm);

  std::string path(const std::string& name) const { return g.scope().empty() ? name : g.scope() + "." + name; }
  /// Mean and variance [channels] that a norm keeps in `state`; `path` is full.
  std::pair<Value, Value> running_statistics(const std::string& path, int64_t channels);
};

}  // namespace mixop::nas
