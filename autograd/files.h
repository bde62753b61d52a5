// Files that are either whole or absent: written to a temporary name, synced and renamed.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>

namespace mixop::autograd {

/// Replaces `path` atomically. Throws mixop::Error naming the path and the system's reason (read-only, disk full);
/// an existing file is then untouched.
void write_file(const std::filesystem::path& path, std::string_view data);
/// Reads a whole file. Throws when it is missing or unreadable.
std::string read_file(const std::filesystem::path& path);
/// fsync of a directory, so that a rename in it survives a power cut.
void sync_directory(const std::filesystem::path& path);
/// SHA-256 in lower-case hex.
std::string sha256(std::string_view data);

}  // namespace mixop::autograd
