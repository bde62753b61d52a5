// A case object: inputs and a graph. One generic runner (runner.h) checks gradients in float64, compares the
// float32 back end with the float64 reference, poisons memory; the same objects drive the benches.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "autograd/graph.h"

namespace mixop::test {

struct CaseInput {
  enum class Fill : uint8_t {
    kNormal,
    kPositive,
    kLabels,
    kMask,
    kPixels,
    kUndefined
  };  ///< kLabels: integers in [0, limit); kMask: 0 or 1; kPixels: uint8 in [0, 256); kUndefined: NaN
  std::string name;
  kernels::Shape shape;
  Fill fill = Fill::kNormal;
  bool differentiate = true;
  int limit = 0;
  std::vector<int> labels = {};  ///< for kLabels: these in place of random ones
};

struct Case {
  std::string name;
  std::vector<CaseInput> inputs;
  /// Adds the op; returns its outputs. Each float output gets a random upstream gradient.
  std::function<std::vector<autograd::Value>(autograd::Graph&, const std::vector<autograd::Value>&)> build;
};

}  // namespace mixop::test
