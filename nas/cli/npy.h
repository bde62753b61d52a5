// NumPy array files, as far as the golden cases use them.
#pragma once

#include <cstdint>
#include <filesystem>
#include <vector>

namespace mixop::cli {

struct NpyArray {
  std::vector<int64_t> shape;
  bool integers = false;       ///< int64 in the file, else float64
  std::vector<double> values;  ///< in C order
};

/// Reads a .npy file of format version 1.0 to 3.0, C order, little-endian float64 ('<f8') or int64 ('<i8').
/// Throws mixop::Error naming the file and what is wrong with it: not an .npy file, another type or order, a header
/// that does not parse, more or fewer bytes than the shape needs, an integer beyond 2^53.
NpyArray read_npy(const std::filesystem::path& file);

}  // namespace mixop::cli
