// Reads the published benchmarks from comma-separated files and finds what contradicts itself in them.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "nas/table/table.h"

namespace mixop::nas {

struct TableImport {
  std::string name, help;
  TableContent (*read)(const std::vector<std::filesystem::path>& files);
};

/// nb201, hwnasbench, nb201-proxies, nb101 and nbmacro. read() throws mixop::Error naming file and line of what is
/// missing, unknown, out of range or contradicts something else.
const std::vector<TableImport>& table_imports();
/// Throws mixop::Error listing the known names.
const TableImport& find_table_import(const std::string& name);

}  // namespace mixop::nas
