#include <algorithm>
#include <bit>
#include <cstddef>

#include "autograd/files.h"
#include "kernels/core/check.h"
#include "nas/space/spaces.h"
#include "nas/table/table_file.h"

namespace mixop::nas {
namespace {

static_assert(std::endian::native == std::endian::little);

template <class T>
void append(std::string& to, const T* data, size_t count) {
  to.append(reinterpret_cast<const char*>(data), count * sizeof(T));
  to.resize(padded_to_eight(to.size()));
}

Json to_json(const TableColumn& c) {
  Json json = {{"name", c.name}, {"unit", c.unit}, {"description", c.description}};
  if (!c.dataset.empty()) json["dataset"] = c.dataset;
  if (!c.measure.empty()) json["measure"] = c.measure;
  if (c.epochs > 0) json["epochs"] = c.epochs;
  if (c.trial >= 0) json["trial"] = c.trial;
  return json;
}

struct Identity {
  ArchKey key;
  uint64_t row;
};

std::vector<Identity> sorted_identities(const TableContent& content) {
  const auto space = find_space(content.space);
  std::vector<Identity> all;
  for (size_t row = 0; row < content.archs.size(); ++row) {
    const Arch& arch = content.archs[row];
    all.push_back({content.by_class ? space->key(arch) : hash_numbers(arch), row});
  }
  std::sort(all.begin(), all.end(),
            [](const Identity& a, const Identity& b) { return std::tie(a.key, a.row) < std::tie(b.key, b.row); });
  for (size_t i = 1; i < all.size(); ++i)
    MIXOP_CHECK(all[i - 1].key != all[i].key, "rows ", all[i - 1].row, " and ", all[i].row,
                " (from 0) are the same architecture");
  return all;
}

}  // namespace

void write_table(const std::filesystem::path& path, const TableContent& content) {
  const size_t rows = content.archs.size();
  Json header = {{"space", content.space}, {"source", content.source}, {"rows", rows}};
  header["identity"] = content.by_class ? "class" : "numbers";
  for (const TableColumn& c : content.columns) header["columns"].push_back(to_json(c));

  const std::string text = header.dump();
  std::string body;
  append(body, text.data(), text.size());
  for (const std::vector<double>& values : content.values) append(body, values.data(), rows);
  const std::vector<Identity> identities = sorted_identities(content);
  append(body, identities.data(), rows);
  std::vector<uint32_t> offsets = {0};
  std::vector<int32_t> numbers;
  for (const Arch& arch : content.archs) {
    numbers.insert(numbers.end(), arch.begin(), arch.end());
    offsets.push_back(static_cast<uint32_t>(numbers.size()));
  }
  append(body, offsets.data(), offsets.size());
  append(body, numbers.data(), numbers.size());

  TablePrelude prelude{.magic = kTableMagic,
                       .sha256 = {},
                       .version = kTableVersion,
                       .header_bytes = static_cast<uint32_t>(text.size()),
                       .file_bytes = sizeof(TablePrelude) + body.size()};
  body.insert(0, reinterpret_cast<const char*>(&prelude), sizeof prelude);
  const std::string sum = autograd::sha256(std::string_view(body).substr(kTableChecked));
  std::copy(sum.begin(), sum.end(), body.begin() + offsetof(TablePrelude, sha256));
  autograd::write_file(path, body);
}

}  // namespace mixop::nas
