// Shared libraries that are opened at run time, so that a program starts where they are not installed.
#pragma once

#include <filesystem>
#include <initializer_list>
#include <string>
#include <vector>

namespace mixop::kernels::cuda {

/// What every report of a library that cannot be used ends with.
inline constexpr const char* kOwnKernelsServe = "our own kernels serve every shape";

/// A shared library of this process. It is never closed: kernels may still run when static objects are destroyed.
class Library {
 public:
  Library() = default;
  /// Opens the first of `names` ("libcublas.so.13") that can be, each looked for in this order: the folders of
  /// $MIXOP_LIBRARY_PATH (separated by colons), the default search of the dynamic linker, library_folders(). Throws
  /// nothing: see loaded() and problem().
  explicit Library(std::initializer_list<const char*> names);

  bool loaded() const { return handle_ != nullptr; }
  /// The file behind it, links resolved.
  const std::string& path() const { return path_; }
  /// Why it cannot be used, in one line: "not found", or what the dynamic linker or resolve() said.
  const std::string& problem() const { return problem_; }

  /// Sets `function` to the symbol of this name; when there is none, null, and problem() names the symbol.
  template <class F>
  void resolve(F*& function, const char* name) {
    function = reinterpret_cast<F*>(symbol(name));
  }

 private:
  bool open(const std::string& file);
  void* symbol(const char* name);

  void* handle_ = nullptr;
  std::string path_, problem_;
};

/// Folders in which CUDA's libraries are installed outside the linker's search: of $CUDA_HOME and $CUDA_PATH, of
/// /usr/local/cuda, and of the nvidia-* wheels of Python installations (a virtual environment, those in PATH, the
/// user's, the system's); only those that exist. Python is not started.
std::vector<std::filesystem::path> library_folders();

/// `pointer` rounded up to what the libraries want of their workspace; ask for kWorkspaceAlignment bytes more.
inline constexpr size_t kWorkspaceAlignment = 256;
inline std::byte* align_workspace(std::byte* pointer) {
  const auto address = reinterpret_cast<uintptr_t>(pointer);
  return pointer + (kWorkspaceAlignment - address % kWorkspaceAlignment) % kWorkspaceAlignment;
}

}  // namespace mixop::kernels::cuda
