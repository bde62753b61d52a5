// NumPy's .npz: a zip archive, stored without compression, of .npy files.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace mixop::cli {

struct NpzArray {
  std::string name;            ///< the key in numpy.load(...)
  std::vector<int64_t> shape;  ///< row-major
  std::vector<float> values;
};

/// The bytes of the archive; equal arrays give equal bytes (all dates are 1980-01-01).
std::string to_npz(const std::vector<NpzArray>& arrays);
/// What to_npz() wrote. Throws mixop::Error, beginning with `where`, for other bytes.
std::vector<NpzArray> from_npz(const std::string& bytes, const std::string& where);

}  // namespace mixop::cli
