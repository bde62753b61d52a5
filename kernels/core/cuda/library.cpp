#include "kernels/core/cuda/library.h"

#include <dlfcn.h>
#include <link.h>

#include <algorithm>
#include <cstdlib>
#include <string_view>

namespace mixop::kernels::cuda {
namespace {

namespace fs = std::filesystem;

std::string variable(const char* name) {
  const char* value = std::getenv(name);
  return value ? value : "";
}

/// The parts of a list of folders as in PATH.
std::vector<fs::path> folders_of(const char* name) {
  std::vector<fs::path> folders;
  const std::string value = variable(name);
  for (size_t begin = 0; begin < value.size();) {
    const size_t end = std::min(value.find(':', begin), value.size());
    if (end > begin) folders.emplace_back(value.substr(begin, end - begin));
    begin = end + 1;
  }
  return folders;
}

/// The folders in `folder` whose name begins so, last name first: newer versions before older ones.
std::vector<fs::path> children(const fs::path& folder, std::string_view prefix) {
  std::vector<fs::path> found;
  std::error_code error;
  for (fs::directory_iterator i(folder, error), end; !error && i != end; i.increment(error))
    if (std::error_code no; i->path().filename().string().starts_with(prefix) && i->is_directory(no))
      found.push_back(i->path());
  std::sort(found.rbegin(), found.rend());
  return found;
}

/// The folder above a bin/python3, of the link itself (a virtual environment) and of what it leads to; of pyenv's
/// starting scripts all versions.
std::vector<fs::path> python_prefixes() {
  std::vector<fs::path> prefixes;
  for (const char* name : {"VIRTUAL_ENV", "CONDA_PREFIX"})
    if (const std::string value = variable(name); !value.empty()) prefixes.emplace_back(value);
  std::error_code error;
  for (const fs::path& folder : folders_of("PATH")) {
    const fs::path python = folder / "python3";
    if (!fs::exists(python, error)) continue;
    prefixes.push_back(folder.parent_path());
    if (folder.filename() == "shims") {
      for (const fs::path& version : children(folder.parent_path() / "versions", "")) prefixes.push_back(version);
    }
    const fs::path real = fs::canonical(python, error);
    if (!error) prefixes.push_back(real.parent_path().parent_path());
  }
  if (const std::string home = variable("HOME"); !home.empty()) prefixes.push_back(fs::path(home) / ".local");
  prefixes.insert(prefixes.end(), {"/usr/local", "/usr"});
  return prefixes;
}

/// Where wheels put their libraries: nvidia/<package>/lib beside the other packages.
void add_wheel_folders(const fs::path& prefix, std::vector<fs::path>& folders) {
  for (const char* lib : {"lib", "lib64"})
    for (const fs::path& python : children(prefix / lib, "python3"))
      for (const char* site : {"site-packages", "dist-packages"})
        for (const fs::path& package : children(python / site / "nvidia", "")) folders.push_back(package / "lib");
}

}  // namespace

std::vector<fs::path> library_folders() {
  std::vector<fs::path> folders;
  for (const char* name : {"CUDA_HOME", "CUDA_PATH"})
    if (const std::string value = variable(name); !value.empty()) folders.push_back(fs::path(value) / "lib64");
  folders.emplace_back("/usr/local/cuda/lib64");
  for (const fs::path& prefix : python_prefixes()) add_wheel_folders(prefix, folders);
  std::vector<fs::path> existing;
  for (const fs::path& folder : folders) {
    std::error_code error;
    if (fs::is_directory(folder, error) && std::find(existing.begin(), existing.end(), folder) == existing.end())
      existing.push_back(folder);
  }
  return existing;
}

Library::Library(std::initializer_list<const char*> names) {
  const auto open_in = [&](const std::vector<fs::path>& folders) {
    for (const char* name : names)
      for (const fs::path& folder : folders) {
        std::error_code error;
        if (fs::exists(folder / name, error) && open((folder / name).string())) return true;
      }
    return false;
  };
  if (open_in(folders_of("MIXOP_LIBRARY_PATH"))) return;
  for (const char* name : names)
    if (open(name)) return;
  if (open_in(library_folders())) return;
  if (problem_.empty()) problem_ = "not found";
}

/// By a path, or by a name for the linker's own search. Keeps what the linker says unless it is that there is no
/// such file.
bool Library::open(const std::string& file) {
  handle_ = dlopen(file.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (!handle_) {
    const char* said = dlerror();
    const std::string message = said ? said : "";
    const bool absent = message.starts_with(file + ": cannot open shared object file: No such file");
    if (problem_.empty() && !absent) problem_ = "cannot be opened: " + message;
    return false;
  }
  problem_.clear();
  path_ = file;
  link_map* map = nullptr;
  if (dlinfo(handle_, RTLD_DI_LINKMAP, &map) == 0 && map && map->l_name && *map->l_name) {
    std::error_code error;
    const fs::path real = fs::canonical(map->l_name, error);
    path_ = error ? map->l_name : real.string();
  }
  return true;
}

void* Library::symbol(const char* name) {
  void* const found = handle_ ? dlsym(handle_, name) : nullptr;
  if (!found && problem_.empty()) problem_ = std::string("has no function ") + name;
  return found;
}

}  // namespace mixop::kernels::cuda
