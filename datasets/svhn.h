// Street View House Numbers, format 2 (Netzer et al. 2011, http://ufldl.stanford.edu/housenumbers/): MATLAB 5 files
// with X uint8 [32, 32, 3, N] (column-major) and y [N, 1], where label 10 stands for the digit 0.
#pragma once

#include <filesystem>
#include <string>

#include "datasets/dataset.h"

namespace mixop::datasets {

// One .mat file, version 5 or 7 (plain or zlib-compressed variables, little-endian). Throws Error, naming the file
// and byte, for another format (version 7.3 is HDF5, version 4, big-endian), a cut or malformed file, a missing or
// misshapen X or y, and a label outside 1..10.
Dataset read_svhn(const std::filesystem::path& file, const std::string& name);

// train_32x32.mat or test_32x32.mat of a directory. Throws Error naming the file when it is missing.
Dataset read_svhn_directory(const std::filesystem::path& directory, Part part);

}  // namespace mixop::datasets
