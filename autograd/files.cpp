#include "autograd/files.h"

#include <fcntl.h>
#include <openssl/evp.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <sstream>

#include "kernels/core/check.h"

namespace mixop::autograd {
namespace fs = std::filesystem;

namespace {
[[noreturn]] void give_up(const fs::path& path, const char* action) {
  const int error = errno;
  const char* remedy = error == ENOSPC                     ? "; free some space"
                       : error == EROFS || error == EACCES ? "; choose another --out or mend its permissions"
                                                           : "";
  kernels::fail("cannot ", action, " ", path.string(), ": ", std::strerror(error), remedy);
}
}  // namespace

void sync_directory(const fs::path& path) {
  const int fd = open(path.empty() ? "." : path.c_str(), O_RDONLY | O_DIRECTORY);
  if (fd < 0) give_up(path, "open directory");
  fsync(fd);
  close(fd);
}

void write_file(const fs::path& path, std::string_view data) {
  const fs::path temporary = path.string() + ".tmp";
  const int fd = open(temporary.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0644);
  if (fd < 0) give_up(path, "write");
  const auto abandon = [&](const char* action) {
    const int error = errno;
    close(fd);
    unlink(temporary.c_str());
    errno = error;
    give_up(path, action);
  };
  while (!data.empty()) {
    const ssize_t n = write(fd, data.data(), data.size());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) abandon("write");
    data.remove_prefix(static_cast<size_t>(n));
  }
  if (fsync(fd) != 0) abandon("sync");
  if (close(fd) != 0) give_up(path, "close");
  if (rename(temporary.c_str(), path.c_str()) != 0) give_up(path, "rename to");
  sync_directory(path.parent_path());
}

std::string read_file(const fs::path& path) {
  errno = 0;
  std::ifstream in(path, std::ios::binary);
  if (!in || fs::is_directory(path)) {
    if (!errno) errno = EISDIR;
    give_up(path, "read");
  }
  std::ostringstream out;
  out << in.rdbuf();
  return out.str();
}

std::string sha256(std::string_view data) {
  std::array<unsigned char, EVP_MAX_MD_SIZE> digest;
  unsigned length = 0;
  EVP_Digest(data.data(), data.size(), digest.data(), &length, EVP_sha256(), nullptr);
  std::string hex;
  for (unsigned i = 0; i < length; ++i) {
    constexpr char kDigits[] = "0123456789abcdef";
    hex += kDigits[digest[i] >> 4];
    hex += kDigits[digest[i] & 15];
  }
  return hex;
}

}  // namespace mixop::autograd
