#include "nas/cli/run_directory.h"

#include <fcntl.h>
#include <fmt/chrono.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "autograd/files.h"
#include "kernels/core/check.h"

namespace mixop::cli {
namespace fs = std::filesystem;

namespace {

constexpr char kProbe[] = ".probe", kRun[] = "run.json", kLog[] = "log.txt";

// What a process killed before its run.json may leave behind.
bool is_leftover(const fs::path& p) {
  const std::string name = p.filename().string();
  return name == kProbe || name == std::string(kProbe) + ".tmp" || name == std::string(kRun) + ".tmp";
}

bool holds_something(const fs::path& path) {
  for (const auto& entry : fs::directory_iterator(path))
    if (!is_leftover(entry.path())) return true;
  return false;
}

}  // namespace

RunDirectory::RunDirectory(fs::path path, Start start, std::vector<std::string> growing)
    : path_(std::move(path)), start_(start) {
  for (const std::string& name : growing) files_[name];
  files_[kLog];
  if (!fs::exists(fs::symlink_status(path_))) return;
  MIXOP_CHECK(fs::is_directory(path_), path_.string(), ": exists and is not a directory; choose another --out");
  if (!holds_something(path_)) return;
  const bool is_run = fs::is_regular_file(path_ / kRun);
  MIXOP_CHECK(
      start_ != Start::kFresh, path_.string(), ": exists",
      is_run ? "; --resume goes on with that run, --force replaces it" : " and is not empty; choose another --out");
  MIXOP_CHECK(is_run, path_.string(), ": has no run.json, so it is not a run directory; choose another --out");
  if (start_ != Start::kResume) return;
  stored_ = Json::parse(autograd::read_file(path_ / kRun), nullptr, false);
  MIXOP_CHECK(stored_->is_object() && stored_->contains("config"), (path_ / kRun).string(),
              ": damaged: not the JSON of a run");
}

RunDirectory::~RunDirectory() {
  if (lock_ >= 0) close(lock_);
  std::error_code ignored;
  if (made_ && !begun_) fs::remove(path_, ignored);  // fails when not empty, as it should
}

void RunDirectory::lock() {
  lock_ = open(path_.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  MIXOP_CHECK(lock_ >= 0, "cannot open ", path_.string(), ": ", std::strerror(errno));
  MIXOP_CHECK(flock(lock_, LOCK_EX | LOCK_NB) == 0 || errno != EWOULDBLOCK, path_.string(),
              ": another process is running in it");
}

void RunDirectory::prepare() {
  std::error_code error;
  made_ = fs::create_directories(path_, error);
  MIXOP_CHECK(!error, "cannot make ", path_.string(), ": ", error.message(), "; choose another --out");
  lock();
  probe(1 << 16);
}

void RunDirectory::probe(int64_t bytes) const {
  const fs::path file = path_ / kProbe;
  autograd::write_file(file, "probe");
  const int fd = open(file.c_str(), O_WRONLY | O_CLOEXEC);
  const int error = fd < 0 ? errno : posix_fallocate(fd, 0, bytes);
  if (fd >= 0) close(fd);
  fs::remove(file);
  MIXOP_CHECK(error == 0 || error == EOPNOTSUPP || error == EINVAL, "cannot write ", path_.string(), ": ",
              std::strerror(error), "; checkpoints need ", bytes / 1000000 + 1, " MB");
}

void RunDirectory::begin(const Json& run, int64_t bytes) {
  probe(bytes);
  if (start_ == Start::kForce) {
    // run.json goes last: a run half deleted is still one that --force may replace.
    std::vector<fs::path> old;
    for (const auto& entry : fs::directory_iterator(path_))
      if (entry.path().filename() != kRun) old.push_back(entry.path());
    for (const fs::path& path : old) fs::remove_all(path);
    fs::remove(path_ / kRun);
  }
  if (!stored_) autograd::write_file(path_ / kRun, run.dump(2) + "\n");
  begun_ = true;
  for (auto& [name, file] : files_) file = std::make_unique<AppendFile>(path_ / name);
}

void RunDirectory::log(const std::string& text) {
  file(kLog).line(fmt::format("{:%m/%d %I:%M:%S %p} {}", fmt::localtime(std::time(nullptr)), text));
}

Json RunDirectory::offsets() const {
  Json lengths = Json::object();
  for (const auto& [name, file] : files_) lengths[name] = file->size();
  return lengths;
}

void RunDirectory::cut(const Json& offsets) {
  for (const auto& [name, file] : files_) file->cut(offsets.value(name, int64_t{0}));
}

void RunDirectory::sync() {
  for (const auto& [name, file] : files_) file->sync();
}

void RunDirectory::write(const std::string& name, std::string_view data) const {
  autograd::write_file(path_ / name, data);
}

}  // namespace mixop::cli
