// What a run says on stderr while it works.
#pragma once

#include <cstdint>
#include <string>

#include "nas/ledger.h"

namespace mixop::cli {

struct ProgressState {
  int epoch = 0, epochs = 0;      ///< epoch counts from 0
  int64_t step = 0, steps = 0;    ///< done and to do in this epoch or evaluation
  double loss = 0, accuracy = 0;  ///< means so far; accuracy in [0, 1]
  double images_per_second = 0;
  double seconds_left = 0;  ///< of the whole run
  bool evaluating = false;
};

class Progress {
 public:
  /// auto: one line rewritten on a terminal, else plain; plain: a line every few seconds; json: the same as JSON;
  /// none: only what say() and warn() print.
  explicit Progress(const std::string& mode);
  ~Progress();

  /// Shows the state, if it is time.
  void show(const ProgressState& state);
  /// The same for anything else: `line` in the modes for readers, `json` in the other.
  void show(const std::string& line, const std::string& json);
  /// One line (or several) that stays.
  void say(const std::string& text);
  void warn(const std::string& text) { say("mixop: warning: " + text); }

 private:
  enum class Mode : uint8_t { kLine, kPlain, kJson, kNone } mode_;
  bool open_line_ = false;
  bool shown_ = false;
  nas::Stopwatch since_;
};

/// "1:02:03" or "2:03".
std::string format_duration(double seconds);

}  // namespace mixop::cli
