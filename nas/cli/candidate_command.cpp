// The hidden sub-command that a search starts for each candidate. For tests, MIXOP_CANDIDATE_FAULT=3:kill,5:hang,
// 6:fail,7:diverge makes the candidates of those numbers misbehave.
#include <signal.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <cstdlib>
#include <new>

#include "autograd/files.h"
#include "kernels/core/check.h"
#include "nas/cli/candidate_training.h"
#include "nas/cli/commands.h"
#include "nas/space/spaces.h"

namespace mixop::cli {
namespace {

std::string fault_of(int64_t id) {
  const char* list = std::getenv("MIXOP_CANDIDATE_FAULT");
  const std::string text = "," + std::string(list ? list : "") + ",", key = "," + std::to_string(id) + ":";
  const size_t at = text.find(key);
  if (at == std::string::npos) return "";
  const size_t begin = at + key.size();
  return text.substr(begin, text.find(',', begin) - begin);
}

void misbehave(const std::string& fault, int64_t id, Json& config) {
  if (fault == "kill") raise(SIGKILL);
  while (fault == "hang") pause();
  MIXOP_CHECK(fault != "fail", "candidate ", id, " fails on request");
  if (fault == "diverge") config["train"]["lr"] = 1e38;
}

struct Evaluate {
  std::filesystem::path folder;
  Config config{candidate_keys()};

  CandidateResult train(const CandidateJob& job) {
    const auto space = nas::find_space(config.text("search.space"));
    const CandidateData data = open_candidate_data(config);
    try {
      CandidateTraining training(config, *space, job.candidate, data);
      const int64_t inherited = job.inherit.empty() ? 0 : training.inherit(job.inherit);
      CandidateResult result = training.run();
      result.inherited = inherited;
      if (result.failed.empty() && !job.keep.empty()) training.keep(job.keep);
      return result;
    } catch (const Error& e) {  // this architecture cannot be built here
      return {.failed = e.what()};
    } catch (const std::bad_alloc&) {
      return {.failed = "out of memory"};
    }
  }

  int run() {
    auto job = candidate_job_from_json(nas::Json::parse(autograd::read_file(folder / "job.json")));
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != job.parent) return kFailed;  // the search ended before the line above
    misbehave(fault_of(job.candidate.id), job.candidate.id, job.config);
    config.collect();
    config.resolve(&job.config);
    const CandidateResult result = train(job);
    autograd::write_file(folder / "result.json", to_json(result).dump() + "\n");
    return kOk;
  }
};

}  // namespace

void add_evaluate_candidate(CLI::App& app, Action& action) {
  CLI::App* sub = app.add_subcommand("evaluate-candidate", "train one candidate of a search")->group("");
  const auto evaluate = std::make_shared<Evaluate>();
  sub->add_option("folder", evaluate->folder, "of the job")->required();
  evaluate->config.add_options(*sub);
  sub->callback([evaluate, &action] { action = [evaluate] { return evaluate->run(); }; });
}

}  // namespace mixop::cli
