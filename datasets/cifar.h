// CIFAR-10 and CIFAR-100, binary version (Krizhevsky, https://www.cs.toronto.edu/~kriz/cifar.html): records of one
// (CIFAR-10) or two (CIFAR-100: coarse, fine) label bytes and 3072 pixel bytes, planes R, G, B of 32x32, row-major.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "datasets/dataset.h"

namespace mixop::datasets {

enum class Cifar { k10, k100 };

// All records of `files`, in order; any number of records >= 1 a file (subsets of the official 10,000 are common).
// CIFAR-100 takes the fine labels. Class names are those of CIFAR-10, or numbers for CIFAR-100. Throws Error naming
// the file for a size that is no multiple of the record, an empty file, and a label out of range.
Dataset read_cifar(Cifar kind, const std::vector<std::filesystem::path>& files, const std::string& name);

// The same for the official directory (or the one above it, as the archive unpacks). The training part of CIFAR-10
// is data_batch_1.bin to data_batch_5.bin, all five, or data_batch_1.bin alone for a subset kept in one file.
// CIFAR-100 takes its class names from fine_label_names.txt where that is present. Throws Error, naming the missing
// file.
Dataset read_cifar_directory(Cifar kind, const std::filesystem::path& directory, Part part);

}  // namespace mixop::datasets
