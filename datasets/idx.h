// The IDX format of the MNIST family (http://yann.lecun.com/exdb/mnist/): big-endian header, then unsigned bytes.
#pragma once

#include <filesystem>
#include <string>

#include "datasets/dataset.h"

namespace mixop::datasets {

// Grey images (idx3-ubyte) with their labels (idx1-ubyte); each file plain or gzipped, told apart by its content.
// `classes` bounds the labels; 0 takes the largest label + 1. Throws Error, naming file and reason, for a wrong
// magic number, absurd dimensions, missing or extra bytes, differing counts, and a label outside [0, classes).
Dataset read_idx(const std::filesystem::path& images, const std::filesystem::path& labels, int classes,
                 const std::string& name);

// The same for a directory holding train-images-idx3-ubyte, train-labels-idx1-ubyte, t10k-images-idx3-ubyte and
// t10k-labels-idx1-ubyte, each with or without .gz. A leading "NAME-" and the spelling "images.idx3" are accepted.
// Throws Error, naming the missing file, when the asked part is not there.
Dataset read_idx_directory(const std::filesystem::path& directory, Part part, int classes, const std::string& name);

}  // namespace mixop::datasets
