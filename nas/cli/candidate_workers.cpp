#include "nas/cli/candidate_workers.h"

#include <fmt/format.h>
#include <unistd.h>

#include <chrono>
#include <sstream>
#include <thread>

#include "autograd/files.h"
#include "kernels/core/check.h"

namespace mixop::cli {
namespace fs = std::filesystem;

namespace {

constexpr auto kGlance = std::chrono::milliseconds(5);

// The last line that a process wrote, without the command's own name in front.
std::string last_line(const fs::path& log) {
  std::istringstream in(fs::exists(log) ? autograd::read_file(log) : "");
  std::string last;
  for (std::string line; std::getline(in, line);)
    if (!line.empty()) last = line;
  return last.starts_with("mixop: ") ? last.substr(7) : last;
}

}  // namespace

nas::Json to_json(const CandidateJob& job) {
  return {{"config", job.config},
          {"candidate", nas::to_json(job.candidate)},
          {"inherit", job.inherit},
          {"keep", job.keep},
          {"parent", job.parent}};
}

CandidateJob candidate_job_from_json(const nas::Json& json) {
  return {json.at("config"), nas::candidate_from_json(json.at("candidate")), json.at("inherit"), json.at("keep"),
          json.at("parent")};
}

nas::Json to_json(const CandidateResult& result) {
  nas::Json json = {{"accuracy", result.accuracy}, {"inherited", result.inherited}};
  if (!result.failed.empty()) json["failed"] = result.failed;
  return json;
}

CandidateResult candidate_result_from_json(const nas::Json& json) {
  return {json.at("accuracy"), json.value("failed", ""), json.value("inherited", int64_t{0})};
}

CandidateWorkers::CandidateWorkers(Options options) : options_(std::move(options)) {}

fs::path CandidateWorkers::job_folder(int64_t id) const { return options_.run / "jobs" / fmt::format("{:06}", id); }

fs::path CandidateWorkers::weights_file(int64_t id) const {
  return options_.run / "weights" / fmt::format("{:06}.safetensors", id);
}

void CandidateWorkers::start(const nas::Candidate& candidate) {
  under_way_.push_back({.candidate = candidate});
  ready();
}

void CandidateWorkers::launch(UnderWay& work) const {
  const nas::Candidate& c = work.candidate;
  const fs::path folder = job_folder(c.id);
  fs::remove_all(folder);  // of a search that was killed
  fs::create_directories(folder);
  CandidateJob job{.config = options_.config, .candidate = c, .inherit = {}, .keep = {}, .parent = getpid()};
  // A parent that failed has no weights: its children begin from scratch.
  if (c.parent >= 0 && fs::exists(weights_file(c.parent))) job.inherit = weights_file(c.parent);
  if (options_.keep_weights) {
    fs::create_directories(options_.run / "weights");
    job.keep = weights_file(c.id);
  }
  autograd::write_file(folder / "job.json", to_json(job).dump(2) + "\n");
  std::vector<std::string> argv = options_.command;
  argv.push_back(folder);
  work.since.lap();
  work.process = std::make_unique<CandidateProcess>(argv, folder / "log.txt");
}

nas::Outcome CandidateWorkers::outcome_of(const UnderWay& work, const std::string& ending) const {
  nas::Outcome outcome{.cost = work.since.elapsed()};
  const fs::path folder = job_folder(work.candidate.id), file = folder / "result.json";
  if (ending.empty() && fs::exists(file)) {
    const CandidateResult result = candidate_result_from_json(nas::Json::parse(autograd::read_file(file)));
    outcome.accuracy = result.accuracy;
    outcome.reason = result.failed;
  } else {
    const std::string line = last_line(folder / "log.txt");
    outcome.reason =
        "its process " + (ending.empty() ? "left no result" : ending) + (line.empty() ? "" : ": " + line);
  }
  outcome.failed = !outcome.reason.empty();
  if (outcome.failed) outcome.accuracy = 0;
  return outcome;
}

void CandidateWorkers::look_at(UnderWay& work) const {
  if (const auto& ending = work.process->ended()) {
    work.outcome = outcome_of(work, *ending);
  } else if (options_.limit > 0 && work.since.elapsed() > options_.limit) {
    work.process->kill();
    work.outcome = {.cost = work.since.elapsed(),
                    .failed = true,
                    .reason = fmt::format("took longer than {} s (--candidate-limit)", options_.limit)};
  } else {
    return;
  }
  work.process.reset();
  fs::remove_all(job_folder(work.candidate.id));
}

bool CandidateWorkers::ready() {
  int running = 0;
  for (UnderWay& work : under_way_) {
    if (work.process) look_at(work);
    running += work.process != nullptr;
  }
  for (UnderWay& work : under_way_) {
    if (running >= options_.workers) break;
    if (work.process || work.outcome) continue;
    launch(work);
    ++running;
  }
  return under_way_.empty() || under_way_.front().outcome;
}

nas::Outcome CandidateWorkers::finish() {
  while (!ready()) std::this_thread::sleep_for(kGlance);
  nas::Outcome outcome = std::move(*under_way_.front().outcome);
  under_way_.pop_front();
  return outcome;
}

void CandidateWorkers::keep_only(const std::set<int64_t>& ids) const {
  if (!fs::is_directory(options_.run / "weights")) return;
  std::set<fs::path> kept;
  for (const int64_t id : ids) kept.insert(weights_file(id));
  std::vector<fs::path> old;
  for (const auto& entry : fs::directory_iterator(options_.run / "weights"))
    if (entry.path().extension() == ".safetensors" && !kept.contains(entry.path())) old.push_back(entry.path());
  for (const fs::path& path : old) fs::remove(path);
}

}  // namespace mixop::cli
