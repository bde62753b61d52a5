#include "nas/table/table.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>

#include "autograd/files.h"
#include "kernels/core/check.h"
#include "nas/space/spaces.h"
#include "nas/table/nb201_index.h"
#include "nas/table/table_file.h"

namespace mixop::nas {
namespace {

std::shared_ptr<const void> map_file(const std::filesystem::path& path, size_t& bytes) {
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  MIXOP_CHECK(fd >= 0, "cannot open table ", path.string(), ": ", std::strerror(errno));
  struct stat status {};
  fstat(fd, &status);
  bytes = S_ISREG(status.st_mode) ? static_cast<size_t>(status.st_size) : 0;
  void* const data = bytes ? mmap(nullptr, bytes, PROT_READ, MAP_PRIVATE, fd, 0) : MAP_FAILED;
  close(fd);
  MIXOP_CHECK(data != MAP_FAILED, path.string(),
              " is no table (not a file, or empty); `mixop data import` makes one");
  return {data, [bytes](const void* p) { munmap(const_cast<void*>(p), bytes); }};
}

TableColumn column_from_json(const Json& json) {
  return {json.at("name"),           json.at("unit"),         json.at("description"), json.value("dataset", ""),
          json.value("measure", ""), json.value("epochs", 0), json.value("trial", -1)};
}

std::string joined_names(const std::vector<TableColumn>& columns) {
  std::string all;
  for (const TableColumn& c : columns) all += (all.empty() ? "" : ", ") + c.name;
  return all;
}

}  // namespace

Table Table::open(const std::filesystem::path& path) {
  size_t bytes = 0;
  const auto mapping = map_file(path, bytes);
  const char* const data = static_cast<const char*>(mapping.get());
  TablePrelude prelude{};
  std::memcpy(&prelude, data, std::min(bytes, sizeof prelude));
  MIXOP_CHECK(prelude.magic == kTableMagic, path.string(), " is no table; `mixop data import` makes one");
  MIXOP_CHECK(bytes >= sizeof prelude && bytes == prelude.file_bytes, path.string(), " is damaged: it has ", bytes,
              " bytes instead of ", prelude.file_bytes, "; import it again");
  MIXOP_CHECK(prelude.version == kTableVersion, path.string(), " is a table of version ", prelude.version,
              ", this program reads version ", kTableVersion, "; import it again");
  const std::string_view checked(data + kTableChecked, bytes - kTableChecked);
  MIXOP_CHECK(autograd::sha256(checked) == std::string(prelude.sha256.begin(), prelude.sha256.end()), path.string(),
              " is damaged: its contents do not have its checksum; import it again");

  // What follows is as write_table() made it: the checksum holds.
  const std::string_view body(data + sizeof prelude, bytes - sizeof prelude);
  const Json header = Json::parse(body.substr(0, prelude.header_bytes));
  Table table;
  table.mappings_.push_back(mapping);
  table.name_ = header.at("space");
  table.source_ = header.at("source");
  table.space_ = find_space(table.name_);
  table.by_class_ = header.at("identity") == "class";
  table.rows_ = header.at("rows");
  const char* at = body.data() + padded_to_eight(prelude.header_bytes);
  const auto take = [&]<class T>(const T*, size_t count) {
    const T* const begin = reinterpret_cast<const T*>(at);
    at += padded_to_eight(count * sizeof(T));
    return std::span<const T>(begin, count);
  };
  for (const Json& column : header.at("columns")) {
    table.columns_.push_back(column_from_json(column));
    table.values_.push_back({take(static_cast<const double*>(nullptr), table.rows_).data(), nullptr});
  }
  table.identities_ = take(static_cast<const Identity*>(nullptr), table.rows_);
  table.offsets_ = take(static_cast<const uint32_t*>(nullptr), table.rows_ + 1);
  table.numbers_ = take(static_cast<const int32_t*>(nullptr), table.offsets_.back());
  MIXOP_CHECK(table.rows_ == 0 || table.find(table.arch(0)) == size_t{0}, path.string(),
              " names architectures as another version of this program did; import it again");
  return table;
}

Table Table::open(const std::vector<std::string>& paths) {
  MIXOP_CHECK(!paths.empty(), "no table is given");
  Table table = open(std::filesystem::path(paths[0]));
  for (size_t i = 1; i < paths.size(); ++i) {
    const Table other = open(std::filesystem::path(paths[i]));
    MIXOP_CHECK(other.name_ == table.name_, paths[i], " is a table over ", other.name_, ", ", paths[0], " over ",
                table.name_);
    for (const TableColumn& c : other.columns_)
      MIXOP_CHECK(!table.find_column(c.name), paths[i], " has a column ", c.name, ", as another table before it");
    table.join(other);
  }
  return table;
}

void Table::join(const Table& other) {
  auto rows = std::make_shared<std::vector<int64_t>>();
  for (size_t row = 0; row < rows_; ++row) {
    const auto at = other.find(arch(row));
    rows->push_back(at ? static_cast<int64_t>(*at) : -1);
  }
  for (size_t c = 0; c < other.columns_.size(); ++c) {
    columns_.push_back(other.columns_[c]);
    values_.push_back({other.values_[c].data, rows});
  }
  mappings_.insert(mappings_.end(), other.mappings_.begin(), other.mappings_.end());
}

ArchKey Table::identify(const Arch& arch) const { return by_class_ ? space_->key(arch) : hash_numbers(arch); }

std::optional<size_t> Table::find(const Arch& arch) const {
  const ArchKey key = identify(arch);
  const auto at = std::lower_bound(identities_.begin(), identities_.end(), key,
                                   [](const Identity& i, const ArchKey& k) { return i.key < k; });
  if (at == identities_.end() || at->key != key) return {};
  return at->row;
}

Arch Table::arch(size_t row) const {
  return {numbers_.begin() + offsets_[row], numbers_.begin() + offsets_[row + 1]};
}

std::optional<size_t> Table::find_column(const std::string& name) const {
  const auto at = std::find_if(columns_.begin(), columns_.end(), [&](const auto& c) { return c.name == name; });
  if (at == columns_.end()) return {};
  return static_cast<size_t>(at - columns_.begin());
}

size_t Table::column(const std::string& name) const {
  const auto at = find_column(name);
  MIXOP_CHECK(at, "the table has no column '", name, "'; there are: ", joined_names(columns_));
  return *at;
}

std::optional<size_t> Table::find_column(const std::string& dataset, const std::string& measure, int epochs,
                                         int trial) const {
  for (size_t i = 0; i < columns_.size(); ++i) {
    const TableColumn& c = columns_[i];
    if (c.dataset == dataset && c.measure == measure && c.epochs == epochs && c.trial == trial) return i;
  }
  return {};
}

Arch parse_arch(const Table& table, const std::string& text) {
  if (!text.starts_with('#')) return table.space().parse(text);
  const bool official = table.space().name() == "nb201";
  const size_t end = official ? nb201_archs().size() : table.rows();
  size_t index = end;
  const char* const last = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data() + 1, last, index);
  MIXOP_CHECK(error == std::errc{} && stop == last && index < end, "index '", text, "' is not '#' and 0 to ",
              end - 1);
  return official ? nb201_archs()[index] : table.arch(index);
}

size_t arch_index(const Table& table, size_t row) {
  if (table.space().name() != "nb201") return row;
  const std::vector<Arch>& all = nb201_archs();
  return static_cast<size_t>(std::find(all.begin(), all.end(), table.arch(row)) - all.begin());
}

std::vector<ReportedAccuracy> reported_accuracies(const Table& table) {
  std::vector<ReportedAccuracy> all;
  for (size_t i = 0; i < table.columns().size(); ++i) {
    const TableColumn& c = table.columns()[i];
    if (c.trial >= 0 || (c.measure != "val" && c.measure != "test")) continue;
    auto at = std::find_if(all.begin(), all.end(), [&](const auto& r) { return r.dataset == c.dataset; });
    if (at == all.end()) at = all.insert(at, {c.dataset, {}, {}});
    std::optional<size_t>& longest = c.measure == "val" ? at->valid : at->test;
    if (!longest || table.columns()[*longest].epochs < c.epochs) longest = i;
  }
  return all;
}

}  // namespace mixop::nas
