#include "nas/cli/checkpoint_store.h"

#include <fmt/format.h>

#include <sstream>
#include <vector>

#include "autograd/files.h"
#include "kernels/core/check.h"

namespace mixop::cli {
namespace fs = std::filesystem;

namespace {

constexpr char kSums[] = "SHA256SUMS", kTemporary[] = ".tmp", kReplaced[] = ".old";

bool is_step(const std::string& name) {
  return name.size() >= 6 && name.find_first_not_of("0123456789") == std::string::npos;
}

}  // namespace

const std::string& Checkpoint::file(const std::string& name) const {
  const auto it = files.find(name);
  MIXOP_CHECK(it != files.end(), path.string(), ": has no ", name, ": not a checkpoint of this program");
  return it->second;
}

Checkpoint read_checkpoint(const fs::path& path) {
  MIXOP_CHECK(fs::is_directory(path), path.string(), ": no such checkpoint folder");
  Checkpoint checkpoint{path, {}};
  std::istringstream sums(autograd::read_file(path / kSums));
  for (std::string line; std::getline(sums, line);) {  // "<64 hex digits>  <name>", as sha256sum writes it
    MIXOP_CHECK(line.size() > 66, (path / kSums).string(), ": damaged line '", line, "'");
    const std::string name = line.substr(66);
    std::string data = autograd::read_file(path / name);
    MIXOP_CHECK(autograd::sha256(data) == line.substr(0, 64), (path / name).string(),
                ": damaged: its SHA-256 is not the one in ", kSums);
    checkpoint.files[name] = std::move(data);
  }
  MIXOP_CHECK(!checkpoint.files.empty(), (path / kSums).string(), ": damaged: empty");
  return checkpoint;
}

void CheckpointStore::prepare() {
  fs::create_directories(folder_);
  std::vector<fs::path> leftovers;
  for (const auto& entry : fs::directory_iterator(folder_)) {
    const std::string extension = entry.path().extension().string();
    if (extension == kTemporary || extension == kReplaced) leftovers.push_back(entry.path());
  }
  for (const fs::path& path : leftovers) fs::remove_all(path);
}

std::map<int64_t, fs::path> CheckpointStore::list() const {
  std::map<int64_t, fs::path> found;
  if (!fs::is_directory(folder_)) return found;
  for (const auto& entry : fs::directory_iterator(folder_)) {
    const std::string name = entry.path().filename().string();
    if (entry.is_directory() && is_step(name)) found[std::stoll(name)] = entry.path();
  }
  return found;
}

void CheckpointStore::write(int64_t step, const std::map<std::string, std::string>& files) {
  const fs::path path = folder_ / fmt::format("{:06}", step);
  const fs::path temporary = path.string() + kTemporary, replaced = path.string() + kReplaced;
  try {
    fs::remove_all(temporary);
    fs::create_directory(temporary);
    std::string sums;
    for (const auto& [name, data] : files) {
      autograd::write_file(temporary / name, data);
      sums += autograd::sha256(data) + "  " + name + "\n";
    }
    autograd::write_file(temporary / kSums, sums);
  } catch (...) {  // a full disk: make room again, the older checkpoints stay
    std::error_code ignored;
    fs::remove_all(temporary, ignored);
    throw;
  }
  if (fs::exists(path)) fs::rename(path, replaced);
  fs::rename(temporary, path);
  autograd::sync_directory(folder_);
  fs::remove_all(replaced);

  const fs::path link = folder_ / "latest", next = folder_ / ("latest" + std::string(kTemporary));
  fs::remove(next);
  fs::create_directory_symlink(path.filename(), next);
  fs::rename(next, link);
  autograd::sync_directory(folder_);

  auto all = list();
  while (static_cast<int64_t>(all.size()) > keep_ && all.begin()->first < step) {
    fs::remove_all(all.begin()->second);
    all.erase(all.begin());
  }
}

std::optional<Checkpoint> CheckpointStore::newest(const std::function<void(const std::string&)>& warn) {
  const auto all = list();
  std::string reason;
  for (auto it = all.rbegin(); it != all.rend(); ++it) {
    try {
      return read_checkpoint(it->second);
    } catch (const Error& e) {
      reason = e.what();
      if (std::next(it) == all.rend()) break;
      warn(reason + "; going on from the checkpoint before it");
      fs::rename(it->second, it->second.string() + ".damaged");
    }
  }
  MIXOP_CHECK(all.empty(), reason, "; no other checkpoint is whole: start over with --force");
  return std::nullopt;
}

}  // namespace mixop::cli
