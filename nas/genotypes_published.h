// Cells known by name, and the one way in which a user names a cell.
#pragma once

#include <string_view>
#include <vector>

#include "nas/genotype.h"

namespace mixop::nas {

/// Every published genotype in the order of the list of names; the field `name` is set.
const std::vector<Genotype>& published_genotypes();

/// The published genotype of that name or alias (DARTS = DARTS_V2, PC_DARTS_cifar = PC_DARTS), or null. Letter case
/// does not matter and '-' equals '_'; both count, however: NASNet and NASNet-A are different lists.
const Genotype* find_published(std::string_view name);

/// What a user means by `spec`: a published name, a genotype text (see parse_genotype), or `@file`. Of a file with
/// several genotypes, such as a search log or lines of `epoch<TAB>genotype`, the last one counts. Throws
/// mixop::Error; for an unknown name it lists the names.
Genotype load_genotype(std::string_view spec);

}  // namespace mixop::nas
