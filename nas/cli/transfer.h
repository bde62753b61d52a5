// Weights of one training as the first ones of another (--from): fine-tuning on other data.
#pragma once

#include <string>

#include "nas/cli/config.h"
#include "nas/supernet.h"

namespace mixop::cli {

/// Makes the network of the run that `from` belongs to (architecture, space, sizes, drop path) the default of the
/// new one.
void suggest_network(const std::string& from, Config& config);

/// Fills the tensors that `from`, a run of `mixop train` or one of its checkpoints, has under the same name and
/// shape; stem, classifiers and the auxiliary head may differ, as other images and classes ask for. Counters start
/// anew. Returns a line about what was taken and what was not. Throws mixop::Error when it is no such thing, or
/// when any other tensor differs: a checkpoint of another network.
std::string transfer_weights(const std::string& from, nas::Stores& stores);

}  // namespace mixop::cli
