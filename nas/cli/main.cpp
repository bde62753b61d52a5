// The command `mixop`: parses the arguments, runs one sub-command and turns failures into one line and a status.
#include <algorithm>
#include <cstdio>
#include <new>

#include "nas/cli/commands.h"
#include "nas/cli/usage.h"
#include "nas/cli/version.h"

namespace {

using namespace mixop::cli;

int complain(int status, std::string message) {
  std::replace(message.begin(), message.end(), '\n', ' ');
  std::fprintf(stderr, "mixop: %s\n", message.c_str());
  return status;
}

// The sub-command that the arguments have reached.
const CLI::App& chosen(const CLI::App& app) {
  const auto subs = app.get_subcommands();
  return subs.empty() ? app : chosen(*subs.front());
}

// "search random"; empty for the command itself.
std::string path_of(const CLI::App& app) {
  if (!app.get_parent()) return "";
  const std::string parent = path_of(*app.get_parent());
  return (parent.empty() ? "" : parent + " ") + app.get_name();
}

// What was not understood, and what it may have been meant to be.
std::string unknown_argument(const CLI::App& app) {
  const CLI::App& sub = chosen(app);
  const auto rest = app.remaining(true);
  const std::string word = rest.empty() ? "" : rest.front().substr(0, rest.front().find('='));
  std::vector<std::string> known;
  if (word.starts_with("-")) {
    for (const CLI::Option* option : sub.get_options())
      for (const std::string& name : option->get_lnames()) known.push_back("--" + name);
  } else {
    for (const CLI::App* command : sub.get_subcommands({})) known.push_back(command->get_name());
  }
  const std::string where = sub.get_parent() ? path_of(sub) + ": " : "";
  const std::string guess = nearest(word, known);
  return where + "unknown argument '" + word + "'" + (guess.empty() ? "" : "; the nearest is '" + guess + "'");
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app("Neural-architecture search on its own tensors, gradients and kernels", "mixop");
  app.set_version_flag("--version", kVersion);
  app.require_subcommand(1);
  Action action;
  try {
    add_search(app, action);
    add_train(app, action);
    add_eval(app, action);
    add_derive(app, action);
    add_arch(app, action);
    add_plan(app, action);
    add_tune(app, action);
    add_verify(app, action);
    add_data(app, action);
    add_query(app, action);
    add_table(app, action);
    add_compare_strategies(app, action);
    add_doctor(app, action);
    add_evaluate_candidate(app, action);
    app.parse(argc, argv);
    return action();
  } catch (const CLI::Success& e) {  // --help, --version
    return app.exit(e);
  } catch (const CLI::ExtrasError&) {
    return complain(kUsage, unknown_argument(app));
  } catch (const CLI::ParseError& e) {
    if (!app.remaining(true).empty()) return complain(kUsage, unknown_argument(app));
    return complain(kUsage, std::string(e.what()) + "; see mixop " +
                                (chosen(app).get_parent() ? path_of(chosen(app)) + " " : "") + "--help");
  } catch (const UsageError& e) {
    return complain(kUsage, e.what());
  } catch (const std::bad_alloc&) {
    return complain(kFailed,
                    "out of memory; take a smaller batch or fewer channels (--dry-run prints what is needed)");
  } catch (const std::exception& e) {
    return complain(kFailed, e.what());
  }
}
