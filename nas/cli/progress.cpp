#include "nas/cli/progress.h"

#include <fmt/format.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <cmath>
#include <cstdio>
#include <nlohmann/json.hpp>

namespace mixop::cli {
namespace {

std::string to_line(const ProgressState& s) {
  return fmt::format("epoch {}/{} {} {}/{} loss {:.4f} acc {:.2f} % {:.0f} images/s {} left", s.epoch + 1, s.epochs,
                     s.evaluating ? "evaluation" : "step", s.step, s.steps, s.loss, 100 * s.accuracy,
                     s.images_per_second, format_duration(s.seconds_left));
}

std::string to_json(const ProgressState& s) {
  return nlohmann::ordered_json{{"epoch", s.epoch},
                                {"epochs", s.epochs},
                                {"evaluating", s.evaluating},
                                {"step", s.step},
                                {"steps", s.steps},
                                {"loss", s.loss},
                                {"top1", 100 * s.accuracy},
                                {"images_per_s", s.images_per_second},
                                {"seconds_left", s.seconds_left}}
      .dump();
}

size_t terminal_width() {
  winsize size = {};
  return ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 1 ? size.ws_col - 1u : 79u;
}

}  // namespace

std::string format_duration(double seconds) {
  const auto s = static_cast<int64_t>(std::llround(std::max(0.0, seconds)));
  return s >= 3600 ? fmt::format("{}:{:02}:{:02}", s / 3600, s / 60 % 60, s % 60)
                   : fmt::format("{}:{:02}", s / 60, s % 60);
}

Progress::Progress(const std::string& mode)
    : mode_(mode == "json"          ? Mode::kJson
            : mode == "none"        ? Mode::kNone
            : mode == "plain"       ? Mode::kPlain
            : isatty(STDERR_FILENO) ? Mode::kLine
                                    : Mode::kPlain) {}

Progress::~Progress() {
  if (open_line_) std::fputs("\n", stderr);
}

void Progress::show(const ProgressState& state) { show(to_line(state), to_json(state)); }

void Progress::show(const std::string& line, const std::string& json) {
  if (mode_ == Mode::kNone) return;
  const double interval = mode_ == Mode::kLine ? 0.1 : mode_ == Mode::kJson ? 1 : 5;
  if (shown_ && since_.elapsed() < interval) return;
  shown_ = true;
  since_.lap();
  if (mode_ == Mode::kLine) {  // never longer than the terminal: a wrapped line cannot be rewritten
    std::fprintf(stderr, "\r\033[K%s", line.substr(0, terminal_width()).c_str());
    std::fflush(stderr);
    open_line_ = true;
  } else {
    std::fprintf(stderr, "%s\n", (mode_ == Mode::kJson ? json : line).c_str());
  }
}

void Progress::say(const std::string& text) {
  if (open_line_) std::fputs("\r\033[K", stderr);
  open_line_ = false;
  std::fprintf(stderr, "%s%s", text.c_str(), text.ends_with('\n') ? "" : "\n");
}

}  // namespace mixop::cli
