// A peer of step_bench in a process of its own, which keeps its model and does one step when it is told.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

namespace mixop::bench {

/// Speaks with bench/peers/*.py --serve: lines of JSON from it, lines "step" to it. Other lines of its are printed.
class Peer {
 public:
  /// Starts the command and waits until the peer is ready. Throws when it ends before. `environment` ("NAME=value")
  /// counts where our own environment does not say otherwise.
  Peer(const std::vector<std::string>& command, const std::vector<std::string>& environment);
  /// Ends the process if it still runs.
  ~Peer();
  Peer(const Peer&) = delete;
  Peer& operator=(const Peer&) = delete;

  /// What it said of itself: version, parameters, threads, ...
  const nlohmann::json& ready() const { return ready_; }
  /// One step; {"seconds": s, "halves": {name: {part: s}}}.
  nlohmann::json step();
  /// Lets it end; its record, as it would have written without us.
  nlohmann::json finish();

 private:
  nlohmann::json read();
  [[noreturn]] void fail_ended();
  /// Status of the ended process; it is waited for once.
  int wait();

  std::string command_;
  int pid_ = -1, socket_ = -1;
  std::string buffer_;
  nlohmann::json ready_;
};

}  // namespace mixop::bench
