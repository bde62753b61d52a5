#include "nas/cli/append_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "kernels/core/check.h"

namespace mixop::cli {
namespace {

[[noreturn]] void give_up(const std::filesystem::path& path, const char* action) {
  kernels::fail("cannot ", action, " ", path.string(), ": ", std::strerror(errno));
}

}  // namespace

AppendFile::AppendFile(const std::filesystem::path& path) : path_(path) {
  fd_ = open(path.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
  if (fd_ < 0) give_up(path_, "open");
  struct stat info;
  if (fstat(fd_, &info) == 0) size_ = info.st_size;
}

AppendFile::~AppendFile() { close(fd_); }

void AppendFile::line(std::string_view text) {
  const std::string whole = std::string(text) + '\n';
  std::string_view rest = whole;
  while (!rest.empty()) {
    const ssize_t n = write(fd_, rest.data(), rest.size());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) give_up(path_, "write");
    rest.remove_prefix(static_cast<size_t>(n));
    size_ += n;
  }
}

void AppendFile::cut(int64_t size) {
  MIXOP_CHECK(size <= size_, path_.string(), ": has ", size_, " bytes, but the checkpoint was made after ", size,
              ": the file was changed; start over with --force");
  if (ftruncate(fd_, size) != 0) give_up(path_, "truncate");
  size_ = size;
}

void AppendFile::sync() {
  if (fsync(fd_) != 0) give_up(path_, "sync");
}

}  // namespace mixop::cli
