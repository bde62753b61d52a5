#include "nas/cli/blackbox_front.h"

#include <fstream>

namespace mixop::cli {

void SearchFront::add(const nas::Evaluated& e) {
  if (!objectives_.empty() && !e.outcome.failed)
    archive_.add({e.candidate.id, e.candidate.arch, e.outcome.objectives});
}

void SearchFront::read(const std::filesystem::path& evaluations, const nas::Space& space) {
  if (objectives_.empty()) return;
  std::ifstream in(evaluations);
  for (std::string text; std::getline(in, text);) {
    const nas::Json line = nas::Json::parse(text);
    if (!line.contains("failed"))
      archive_.add({line.at("id"), space.parse(line.at("arch").get<std::string>()), line.at("objectives")});
  }
}

}  // namespace mixop::cli
