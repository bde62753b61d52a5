// The one JSON type of the project: keys keep their order, doubles come back bit for bit.
#pragma once

#include <nlohmann/json.hpp>

namespace mixop::nas {

using Json = nlohmann::ordered_json;

}  // namespace mixop::nas
