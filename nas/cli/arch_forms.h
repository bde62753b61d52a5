// The forms in which architectures are read and written, space by space.
#pragma once

#include <string>
#include <vector>

#include "nas/space/space.h"

namespace mixop::cli {

/// What `convert --to` takes for a space; the first is the space's own text, "numbers" the list that searches log.
std::vector<std::string> arch_forms(const nas::Space& space);

/// Reads the text form of the space, a list of numbers such as "[3, 1, 0]" or "(3, 1, 0)", or "@file" with either.
/// `order` ("nats" or "naslib") says what the numbers mean for nb201, where they are refused without. Throws
/// UsageError or mixop::Error.
nas::Arch read_arch(const nas::Space& space, std::string spec, const std::string& order);

/// Throws UsageError listing the forms for any other than arch_forms().
std::string write_arch(const nas::Space& space, const nas::Arch& arch, const std::string& form);

}  // namespace mixop::cli
