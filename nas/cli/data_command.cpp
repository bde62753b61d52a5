// mixop data: what the data sets hold; benchmark tables.
#include <cstdio>
#include <memory>

#include "datasets/open.h"
#include "nas/cli/commands.h"
#include "nas/cli/data_import.h"

namespace mixop::cli {

void add_data(CLI::App& app, Action& action) {
  CLI::App* data = app.add_subcommand("data", "Data sets and benchmark tables");
  data->require_subcommand(1);
  data->add_subcommand("list", "Names that --data takes")->callback([&action] {
    action = [] {
      for (const std::string& name : datasets::names()) std::printf("%s\n", name.c_str());
      return kOk;
    };
  });

  auto name = std::make_shared<std::string>(), root = std::make_shared<std::string>();
  CLI::App* info = data->add_subcommand("info", "Sizes, statistics and checksum of both parts of a data set");
  info->add_option("name", *name, "Name, as --data takes it")->required();
  info->add_option("--data-root", *root, "Directory of its files");
  info->callback([name, root, &action] {
    action = [name, root] {
      const datasets::Split split = datasets::open(*name, *root);
      std::printf("%s\n%s", datasets::describe(split.train).c_str(), datasets::describe(split.test).c_str());
      return kOk;
    };
  });
  add_data_import(*data, action);
}

}  // namespace mixop::cli
