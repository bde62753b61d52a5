#include "nas/cli/blackbox_session.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <thread>

#include "kernels/core/check.h"
#include "nas/cli/blackbox_keys.h"
#include "nas/cli/signals.h"

namespace mixop::cli {

constexpr auto kGlance = std::chrono::milliseconds(5);

BlackboxSession::BlackboxSession(const Config& config, const nas::Space& space, nas::Strategy& strategy,
                                 RunEvaluator& judge, RunDirectory& directory, Progress& progress,
                                 const nas::Stopwatch& clock)
    : config_(config),
      space_(space),
      strategy_(strategy),
      judge_(judge),
      directory_(directory),
      progress_(progress),
      clock_(clock),
      checkpoints_(directory.path() / "ckpt", config.integer("run.keep")),
      budget_(budget_of(config)),
      front_(judge.objectives()),
      loop_(strategy, judge.evaluator(), budget_,
            [this](const nas::Evaluated& evaluated, const nas::SearchLoop&) { record(evaluated); }) {}

bool BlackboxSession::restore() {
  checkpoints_.prepare();
  const auto found = checkpoints_.newest([&](const std::string& text) { progress_.warn(text); });
  if (!found) {
    directory_.cut(Json::object());
    return false;
  }
  try {
    const Json state = Json::parse(found->file("state.json"));
    directory_.cut(state.at("files"));
    wall_before_ = state.at("wall_seconds");
    const Json search = Json::parse(found->file("search.json"));
    loop_.load(search);
    needed_ = needed_weights(search);
  } catch (const Json::exception& e) {
    kernels::fail(found->path.string(), ": not the state of this kind of search: ", e.what());
  }
  written_ = evaluations();
  done_before_ = share_done();
  front_.read(directory_.path() / "evaluations.jsonl", space_);
  progress_.say(fmt::format("going on after evaluation {} from {}", evaluations(), found->path.string()));
  return true;
}

bool BlackboxSession::run() {
  bool over = false;
  while (!over && !stop_requested()) {
    if (loop_.ready()) over = !loop_.step();
    else std::this_thread::sleep_for(kGlance);
    show();
    if (!over && evaluations() > written_ && since_checkpoint_.elapsed() >= config_.real("run.ckpt_seconds"))
      checkpoint();
  }
  checkpoint();
  return over;
}

void BlackboxSession::record(const nas::Evaluated& evaluated) {
  const auto& [candidate, outcome] = evaluated;
  const nas::Evaluated& best = loop_.best();
  Json line = {{"id", candidate.id},           {"arch", space_.format(candidate.arch)},
               {"accuracy", outcome.accuracy}, {"cost", outcome.cost},
               {"seconds", loop_.seconds()},   {"best", best.outcome.accuracy}};
  if (candidate.epochs > 0) line["epochs"] = candidate.epochs;
  if (candidate.parent >= 0) line["parent"] = candidate.parent;
  if (!outcome.objectives.empty()) line["objectives"] = outcome.objectives;
  if (outcome.failed) line["failed"] = outcome.reason;
  directory_.file("evaluations.jsonl").line(line.dump());
  front_.add(evaluated);
  if (best.candidate.id == candidate.id)
    directory_.metrics().line(Json{
        {"kind", "best"},
        {"evaluations", evaluations()},
        {"seconds", loop_.seconds()},
        {"top1", outcome.accuracy},
        {"wall_s",
         wall_seconds()}}.dump());
}

void BlackboxSession::checkpoint() {
  const Json state = loop_.save();
  directory_.sync();
  checkpoints_.write(
      evaluations(),
      {{"search.json", state.dump() + "\n"},
       {"state.json", Json{{"files", directory_.offsets()}, {"wall_seconds", wall_seconds()}}.dump() + "\n"}});
  const nas::Evaluated& best = loop_.best();
  if (best.candidate.id != best_written_) directory_.write("best.txt", space_.format(best.candidate.arch) + "\n");
  best_written_ = best.candidate.id;
  if (!front_.empty()) directory_.write("front.csv", front_.csv(space_));
  written_ = evaluations();
  since_checkpoint_.lap();

  if (CandidateWorkers* workers = judge_.workers()) {
    // The checkpoint before takes over should this one be damaged.
    std::set<int64_t> kept = needed_;
    needed_ = needed_weights(state);
    kept.insert(needed_.begin(), needed_.end());
    workers->keep_only(kept);
  }
}

std::set<int64_t> BlackboxSession::needed_weights(const Json& state) const {
  std::set<int64_t> ids;
  for (const Json& json : state.at("under_way")) {
    const nas::Candidate c = nas::candidate_from_json(json);
    ids.insert({c.id, c.parent});
  }
  if (const auto parents = strategy_.parents()) ids.insert(parents->begin(), parents->end());
  return ids;
}

double BlackboxSession::share_done() const {
  double share = 0;
  if (budget_.evaluations > 0)
    share = static_cast<double>(evaluations()) / static_cast<double>(budget_.evaluations);
  if (budget_.seconds > 0) share = std::max(share, loop_.seconds() / budget_.seconds);
  return std::min(1.0, share);
}

void BlackboxSession::show() {
  const double done = share_done(), here = done - done_before_;
  const std::string left = here > 0 ? format_duration(since_start_.elapsed() * (1 - done) / here) : "?";
  const nas::Evaluated& best = loop_.best();
  std::string line = fmt::format("evaluation {}", evaluations());
  if (budget_.evaluations > 0) line += fmt::format("/{}", budget_.evaluations);
  line += fmt::format(" best {:.2f} % of candidate {}, {} failed, {:.0f} s", best.outcome.accuracy,
                      best.candidate.id, loop_.failures(), loop_.seconds());
  if (budget_.seconds > 0) line += fmt::format(" of {:.0f}", budget_.seconds);
  progress_.show(line + ", " + left + " left", Json{{"evaluations", evaluations()},
                                                    {"best", best.outcome.accuracy},
                                                    {"failed", loop_.failures()},
                                                    {"seconds", loop_.seconds()},
                                                    {"share_done", done}}
                                                   .dump());
}

std::string BlackboxSession::report() const {
  const nas::Evaluated& best = loop_.best();
  std::string text;
  if (best.candidate.id < 0) text = "no candidate could be evaluated\n";
  else
    text = fmt::format("best architecture: {}\n{} {:.2f} % (candidate {})\n{}", space_.format(best.candidate.arch),
                       judge_.score_name(), best.outcome.accuracy, best.candidate.id,
                       judge_.report(best.candidate.arch));
  if (!front_.empty()) {
    const std::vector<nas::Objectives> all = judge_.all_objectives();
    text += "front:\n" + front_.table(space_) + front_.coverage(all);
    directory_.write("front.svg", front_.svg(all));
  }
  return text + fmt::format("{} evaluations, {} failed; {:.1f} s of candidates, {} wall\n", evaluations(),
                            loop_.failures(), loop_.seconds(), format_duration(wall_seconds()));
}

}  // namespace mixop::cli
