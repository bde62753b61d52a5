#include "nas/ledger.h"

#include <cstdio>
#include <nlohmann/json.hpp>

#include "kernels/core/check.h"

namespace mixop::nas {
namespace {

using json = nlohmann::ordered_json;

std::string row(const char* phase, const std::string& calls, const std::string& images, const std::string& gflop,
                double seconds, double wall) {
  char line[128];
  std::snprintf(line, sizeof line, "%-12s %10s %12s %14s %10.2f %6.1f %%\n", phase, calls.c_str(), images.c_str(),
                gflop.c_str(), seconds, wall > 0 ? 100 * seconds / wall : 0.0);
  return line;
}

}  // namespace

std::string_view phase_name(Phase phase) {
  constexpr std::array<std::string_view, kPhases> kNames = {"build",       "data",       "arch_step",
                                                            "weight_step", "evaluation", "checkpoint"};
  return kNames[static_cast<size_t>(phase)];
}

void Cost::operator+=(const Cost& o) {
  calls += o.calls;
  images += o.images;
  flops += o.flops;
  macs += o.macs;
  seconds += o.seconds;
}

Cost cost_of(const autograd::Plan& plan, int64_t images) {
  Cost cost{.calls = 1, .images = images};
  for (const auto& step : plan.steps()) {
    cost.flops += step.flops;
    cost.macs += step.macs;
  }
  return cost;
}

void Ledger::rewind_counts(const Ledger& earlier) {
  for (size_t i = 0; i < costs_.size(); ++i) {
    const double seconds = costs_[i].seconds;
    costs_[i] = earlier.costs_[i];
    costs_[i].seconds = seconds;
  }
}

std::string Ledger::to_json() const {
  json phases = json::object();
  for (int i = 0; i < kPhases; ++i) {
    const Cost& c = costs_[i];
    phases[std::string(phase_name(static_cast<Phase>(i)))] = {
        {"calls", c.calls}, {"images", c.images}, {"flops", c.flops}, {"macs", c.macs}, {"seconds", c.seconds}};
  }
  return json{{"wall_seconds", wall_seconds}, {"phases", phases}}.dump(2) + "\n";
}

Ledger Ledger::from_json(std::string_view text, const std::string& place) {
  Ledger ledger;
  try {
    const json all = json::parse(text);
    ledger.wall_seconds = all.at("wall_seconds");
    for (int i = 0; i < kPhases; ++i) {
      const json& c = all.at("phases").at(std::string(phase_name(static_cast<Phase>(i))));
      ledger.costs_[i] = {c.at("calls"), c.at("images"), c.at("flops"), c.at("macs"), c.at("seconds")};
    }
  } catch (const json::exception& e) {
    kernels::fail(place, ": not a cost ledger: ", e.what());
  }
  return ledger;
}

std::string Ledger::table() const {
  char line[128];
  std::snprintf(line, sizeof line, "%-12s %10s %12s %14s %10s %8s\n", "cost", "calls", "images", "GFLOP", "seconds",
                "share");
  std::string text = line;
  double inside = 0;
  for (int i = 0; i < kPhases; ++i) {
    const Cost& c = costs_[i];
    if (c.calls == 0 && c.seconds == 0) continue;
    inside += c.seconds;
    char gflop[32] = "-";
    if (c.flops > 0) std::snprintf(gflop, sizeof gflop, "%.3f", c.flops * 1e-9);
    text += row(std::string(phase_name(static_cast<Phase>(i))).c_str(), std::to_string(c.calls),
                c.images ? std::to_string(c.images) : "-", gflop, c.seconds, wall_seconds);
  }
  text += row("other", "-", "-", "-", std::max(0.0, wall_seconds - inside), wall_seconds);
  text += row("total", "-", "-", "-", wall_seconds, wall_seconds);
  return text;
}

}  // namespace mixop::nas
