// Tensors of a store as text, for states that travel as JSON.
#pragma once

#include <string>

#include "autograd/params.h"

namespace mixop::nas {

/// All bytes of the store as hexadecimal digits.
std::string to_hex(autograd::TensorStore& store);
/// Fills the store with what to_hex() wrote. Throws mixop::Error when the text is of another size.
void from_hex(const std::string& text, autograd::TensorStore& store);

}  // namespace mixop::nas
