#include "nas/search/strategy.h"

namespace mixop::nas {

std::optional<Candidate> Strategy::ask() {
  std::optional<Candidate> candidate = propose();
  if (candidate) candidate->id = asked_++;
  return candidate;
}

void Strategy::tell(const Candidate& candidate, const Outcome& outcome) { learn(candidate, outcome); }

Json Strategy::save() const {
  Json state = {{"asked", asked_}};
  save_to(state);
  return state;
}

void Strategy::load(const Json& state) {
  asked_ = state.at("asked");
  load_from(state);
}

Json to_json(const Candidate& c) {
  Json json = {{"id", c.id}, {"arch", c.arch}};
  if (c.epochs > 0) json["epochs"] = c.epochs;
  if (c.parent >= 0) json["parent"] = c.parent;
  return json;
}

Candidate candidate_from_json(const Json& json) {
  return {json.at("id"), json.at("arch").get<Arch>(), json.value("epochs", 0.0), json.value("parent", int64_t{-1})};
}

Json to_json(const Outcome& o) {
  Json json = {{"accuracy", o.accuracy}, {"cost", o.cost}};
  if (!o.objectives.empty()) json["objectives"] = o.objectives;
  if (o.failed) json["failed"] = o.reason;
  return json;
}

Outcome outcome_from_json(const Json& json) {
  Outcome o{.accuracy = json.at("accuracy"), .cost = json.at("cost")};
  if (json.contains("objectives")) o.objectives = json["objectives"].get<std::vector<double>>();
  o.failed = json.contains("failed");
  if (o.failed) o.reason = json["failed"];
  return o;
}

}  // namespace mixop::nas
