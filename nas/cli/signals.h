// SIGTERM, SIGINT and SIGUSR1 ask a run to stop at the end of its step; a second one ends the process at once.
#pragma once

namespace mixop::cli {

/// Catches the three from now on; also ignores SIGXFSZ, so that a file size limit is an ordinary write error.
void install_signals();
bool stop_requested();
/// "SIGTERM", ...; of the first one caught.
const char* stop_signal();

}  // namespace mixop::cli
