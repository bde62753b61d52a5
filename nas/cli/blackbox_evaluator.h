// What judges the candidates of a run, as the configuration says.
#pragma once

#include "nas/cli/candidate_workers.h"
#include "nas/cli/config.h"
#include "nas/search/pareto.h"
#include "nas/space/space.h"

namespace mixop::cli {

class RunEvaluator {
 public:
  virtual ~RunEvaluator() = default;

  virtual nas::Evaluator& evaluator() = 0;
  /// The same where it trains candidates in processes; else null.
  virtual CandidateWorkers* workers() { return nullptr; }
  /// Names of Outcome::objectives; empty: one aim.
  virtual std::vector<std::string> objectives() const { return {}; }
  /// Of everything that could be found, where a table knows it; else empty.
  virtual std::vector<nas::Objectives> all_objectives() { return {}; }
  /// What Outcome::accuracy is here.
  virtual std::string score_name() const { return "validation accuracy"; }
  /// The "data" part of run.json.
  virtual Json data() const = 0;
  /// What candidates are judged by, and what their costs mean; one line each.
  virtual std::string describe() const = 0;
  /// More about the best architecture, lines for the report; may be empty.
  virtual std::string report(const nas::Arch& best) const = 0;
};

/// `inherits`: candidates may begin with the weights of others. Throws mixop::Error when the data or the table is
/// missing or does not fit the space. The configuration and the space must outlive the result.
std::unique_ptr<RunEvaluator> make_evaluator(const Config& config, const nas::Space& space,
                                             const std::filesystem::path& run, bool inherits);

}  // namespace mixop::cli
