// A folder of PNG or JPEG images, one sub-folder a class: DIR/train/CLASS/* and DIR/test/CLASS/*, or DIR/CLASS/*.
#pragma once

#include <filesystem>
#include <string>

#include "datasets/dataset.h"

namespace mixop::datasets {

struct FolderOptions {
  int height = 0, width = 0;  // resample every image to this size; 0, 0 demands that all have one size already
};

// Classes are the sub-folders in sorted order, images the .png, .jpg and .jpeg files in sorted order within a
// class; names that begin with a dot and other files are passed over. The result is grey when all images are, else
// RGB. Without train/ and test/ the folder itself is the training part, and asking for the test part is an error.
// Throws Error naming the folder or file: nothing there, an empty class, an unreadable image, differing sizes.
Dataset read_image_folder(const std::filesystem::path& directory, Part part, const FolderOptions& options = {},
                          const std::string& name = "folder");

}  // namespace mixop::datasets
