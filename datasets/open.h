// Data sets by name, and what is asked of any of them.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "datasets/dataset.h"

namespace mixop::datasets {

struct Split {
  Dataset train, test;
};

// Opens a data set by its specification:
//   fashion-mnist          IDX files; default root /usr/share/datasets/fashion-mnist (dataset-fashion-mnist)
//   mnist                  IDX files
//   idx[:CLASSES]          any other IDX files; without CLASSES the largest training label + 1
//   cifar10, cifar100      the binary versions
//   cifar10-jpeg75         CIFAR-10 as JPEG files of quality 75 in folders; the classes take turns
//   svhn                   train_32x32.mat, test_32x32.mat
//   folder[:HxW]           image folder, resampled to HxW when given
//   synthetic[:HxWxC[:CLASSES[:IMAGES]]]   made up, no files; IMAGES to train and a fifth of it to test
//                          (default 32x32x3:10:2000)
// `root` is the directory of the files. Both parts agree in image size and classes. Throws Error, naming the path
// and the remedy, for an unknown name, a malformed specification, and whatever the reader of the files refuses.
Split open(const std::string& spec, const std::filesystem::path& root = {});

// One part alone; the files of the other need not be there.
Dataset open_train(const std::string& spec, const std::filesystem::path& root = {});
Dataset open_test(const std::string& spec, const std::filesystem::path& root = {});

// The names that open() knows.
std::vector<std::string> names();

// CRC-32 (zlib) of the pixels followed by the labels as little-endian 32-bit integers.
uint32_t checksum(const Dataset& data);

// Several lines for a reader: sizes, mean and std of pixel / 255 per channel, images per class, checksum.
// Throws Error as check_sizes does, and for a label outside [0, classes).
std::string describe(const Dataset& data);

// The two halves of the training data in a DARTS search: [0, floor(portion * n)) trains the weights, the rest the
// architecture (Liu, Simonyan and Yang 2019, train_search.py). Throws Error unless portion is in (0, 1) and both
// halves get an image.
struct IndexSplit {
  std::vector<int64_t> weights, alphas;
};
IndexSplit darts_split(int64_t n, double train_portion);

// 0, 1, ..., n - 1: the indices of a whole data set.
std::vector<int64_t> all_indices(int64_t n);

}  // namespace mixop::datasets
