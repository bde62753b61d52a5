#include "nas/cli/signals.h"

#include <signal.h>
#include <unistd.h>

#include <atomic>

namespace mixop::cli {
namespace {

std::atomic<int> caught{0};
static_assert(std::atomic<int>::is_always_lock_free);  // else not usable in a handler

void on_signal(int signal) {
  int none = 0;
  if (!caught.compare_exchange_strong(none, signal)) _exit(128 + signal);
}

}  // namespace

void install_signals() {
  struct sigaction action = {};
  action.sa_handler = on_signal;
  action.sa_flags = SA_RESTART;  // a write in progress is finished
  for (const int s : {SIGTERM, SIGINT, SIGUSR1}) sigaction(s, &action, nullptr);
  signal(SIGXFSZ, SIG_IGN);
}

bool stop_requested() { return caught != 0; }

const char* stop_signal() {
  switch (caught) {
    case SIGTERM:
      return "SIGTERM";
    case SIGINT:
      return "SIGINT";
    default:
      return "SIGUSR1";
  }
}

}  // namespace mixop::cli
