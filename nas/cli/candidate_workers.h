// Trains several candidates at a time, each in a process started anew, so that one that crashes or hangs is a
// failed candidate and no more.
#pragma once

#include <deque>
#include <filesystem>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "nas/cli/candidate_process.h"
#include "nas/json.h"
#include "nas/ledger.h"
#include "nas/search/evaluator.h"

namespace mixop::cli {

/// What a process gets to do: the file JOB/job.json.
struct CandidateJob {
  nas::Json config;  ///< of candidate_keys()
  nas::Candidate candidate;
  std::string inherit;  ///< weights to begin with, or empty
  std::string keep;     ///< where its weights go, or empty
  int64_t parent = 0;   ///< process that waits for the result; without it there is nothing to do
};
nas::Json to_json(const CandidateJob& job);
CandidateJob candidate_job_from_json(const nas::Json& json);

/// What it answers: the file JOB/result.json.
struct CandidateResult {
  double accuracy = 0;    ///< per cent of the validation images
  std::string failed{};   ///< why there is none
  int64_t inherited = 0;  ///< tensors that came from the parent
};
nas::Json to_json(const CandidateResult& result);
CandidateResult candidate_result_from_json(const nas::Json& json);

class CandidateWorkers final : public nas::Evaluator {
 public:
  struct Options {
    std::filesystem::path run;  ///< of the jobs (run/jobs/ID) and of kept weights (run/weights/ID.safetensors)
    std::vector<std::string> command;  ///< the job's folder comes after it
    nas::Json config;
    int under_way = 1;          ///< candidates that may be started
    int workers = 1;            ///< processes at a time
    double limit = 0;           ///< seconds a candidate may take, 0: any
    bool keep_weights = false;  ///< for children that inherit them
  };
  explicit CandidateWorkers(Options options);

  int slots() const override { return options_.under_way; }
  void start(const nas::Candidate& candidate) override;
  nas::Outcome finish() override;
  bool ready() override;

  /// Removes the weights of all others. To be called once a checkpoint is safe, with all that a search resumed from
  /// it writes or may read: the candidates under way, their parents, and what the strategy may name as a parent.
  void keep_only(const std::set<int64_t>& ids) const;

 private:
  struct UnderWay {
    nas::Candidate candidate;
    std::unique_ptr<CandidateProcess> process{};
    nas::Stopwatch since{};
    std::optional<nas::Outcome> outcome{};
  };

  std::filesystem::path job_folder(int64_t id) const;
  std::filesystem::path weights_file(int64_t id) const;
  void launch(UnderWay& work) const;
  /// Takes the outcome of a process that has ended or must be.
  void look_at(UnderWay& work) const;
  nas::Outcome outcome_of(const UnderWay& work, const std::string& ending) const;

  Options options_;
  std::deque<UnderWay> under_way_;
};

}  // namespace mixop::cli
