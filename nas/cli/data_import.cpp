#include "nas/cli/data_import.h"

#include <cstdio>
#include <memory>

#include "nas/table/import.h"

namespace mixop::cli {
namespace {

struct Import {
  std::vector<std::string> files;
  std::string output;

  int run(const nas::TableImport& import) const {
    const nas::TableContent content = import.read({files.begin(), files.end()});
    nas::write_table(output, content);
    std::printf("%s: %zu architectures of %s, %zu columns\n", output.c_str(), content.archs.size(),
                content.space.c_str(), content.columns.size());
    return kOk;
  }
};

}  // namespace

void add_data_import(CLI::App& data, Action& action) {
  CLI::App* command = data.add_subcommand("import", "A published benchmark from comma-separated files to a table");
  command->require_subcommand(1);
  for (const nas::TableImport& import : nas::table_imports()) {
    auto options = std::make_shared<Import>();
    CLI::App* one = command->add_subcommand(import.name, import.help);
    one->add_option("files", options->files, "Files, in any order")->required();
    one->add_option("-o,--output", options->output, "The table to write")->required();
    one->callback([options, &import, &action] { action = [options, &import] { return options->run(import); }; });
  }
}

}  // namespace mixop::cli
