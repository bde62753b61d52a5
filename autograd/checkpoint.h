// Stores as safetensors files (u64 header length, JSON header, raw little-endian data).
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "autograd/params.h"

namespace mixop::autograd {

/// The bytes of a safetensors file with every tensor of the stores, named "<store>/<tensor>".
std::string to_safetensors(const std::vector<TensorStore*>& stores);
/// Fills the stores from such bytes. `place` names the file in errors. Throws when the data is truncated or a
/// tensor is missing, left over, or of another shape or type (a checkpoint of another configuration); nothing is
/// changed then.
void from_safetensors(const std::string& bytes, const std::string& place, const std::vector<TensorStore*>& stores);
/// Full names ("<store>/<tensor>") of the tensors of stores that were filled and left, and of those that only the
/// file has.
struct Inherited {
  std::vector<std::string> taken, left, unused;
};
/// Fills those tensors of the stores that the bytes hold under the same name, shape and type, and leaves the
/// others. Throws when the data is truncated.
Inherited inherit_safetensors(const std::string& bytes, const std::string& place,
                              const std::vector<TensorStore*>& stores);

}  // namespace mixop::autograd
