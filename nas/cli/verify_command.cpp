// mixop verify: golden cases.
#include <memory>

#include "nas/cli/commands.h"
#include "nas/cli/golden.h"

namespace mixop::cli {

void add_verify(CLI::App& app, Action& action) {
  auto options = std::make_shared<GoldenOptions>();
  CLI::App* command = app.add_subcommand("verify", "Check this build against recorded results");
  command->add_option("dir", options->folder, "Folder of golden cases, or one case")->required();
  command->add_option("--device", options->devices, "Where to compute (default: wherever this machine can)")
      ->allow_extra_args(false)
      ->check(CLI::IsMember(golden_devices()));
  command->add_option("--case", options->filter,
                      "Run the cases whose name contains a match of this regular expression");
  command->add_flag("--allow-uncovered", options->allow_uncovered, "Cases with unknown operations are no failure");
  command->callback([options, &action] { action = [options] { return verify_golden(*options) ? kOk : kFailed; }; });
}

}  // namespace mixop::cli
