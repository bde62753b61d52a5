// Which implementation a call uses: a key that tells calls apart, and a text form of recorded choices.
#pragma once

#include <map>
#include <string>

#include "kernels/core/impl.h"

namespace mixop::autograd {

/// The implementation of each kind of call, by its key.
using Choices = std::map<std::string, std::string>;

/// "conv2d [64,32,32,16]/16 [1,1,16,16]/16 -> [64,32,32,16]/16 set k1x1 s1x1 ...": operands with their row strides.
std::string call_key(const std::string& op, const kernels::Call& call, const std::string& detail);

/// One line a choice, "key<TAB>implementation", sorted. parse_choices() throws mixop::Error naming `place` and
/// line.
std::string format_choices(const Choices& choices);
Choices parse_choices(const std::string& text, const std::string& place);

}  // namespace mixop::autograd
