// All spaces by name.
#pragma once

#include <map>
#include <memory>

#include "nas/space/space.h"

namespace mixop::nas {

/// The space of a text "NAME" or "NAME:KEY=VALUE,KEY=VALUE", such as "nb201" or "nasnet:blocks=5"; with "+training"
/// behind it learning rate, optimiser and augmentation are chosen too (nas/space/with_training.h). Throws
/// mixop::Error listing the known names, or the known keys of that space.
std::unique_ptr<Space> find_space(const std::string& text);

/// The names, in the order of the help.
std::vector<std::string> space_names();

/// Whole numbers by key, as given behind the name of a space.
class SpaceOptions {
 public:
  /// `known` are the keys with their defaults. Throws mixop::Error for any other key and for a text that is no
  /// number.
  SpaceOptions(const std::string& space, const std::string& text, std::map<std::string, int> known);
  int operator[](const std::string& key) const { return values_.at(key); }

 private:
  std::map<std::string, int> values_;
};

}  // namespace mixop::nas
