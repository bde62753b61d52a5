// Results of a test by class: as text, as files of a run, and as numbers for other commands.
#pragma once

#include <string>
#include <vector>

#include "nas/cli/config.h"
#include "nas/cli/task.h"
#include "nas/confusion.h"

namespace mixop::cli {

using Names = std::vector<std::string>;  ///< of the classes

/// "top5 .. %" where there are more than five classes, and the macro averages, without a new line.
std::string describe_averages(const nas::Confusion& confusion);
/// A table of precision, recall and F1 by class, with the confusion matrix beside it when there are few classes;
/// nothing when there are many (the files hold them).
std::string describe_classes(const nas::Confusion& confusion, const Names& names);

/// A row for each class of the data, a column for each class that it was taken for.
std::string confusion_csv(const nas::Confusion& confusion, const Names& names);
/// class,images,predicted,precision,recall,f1 and a last row of macro averages.
std::string classes_csv(const nas::Confusion& confusion, const Names& names);

/// One evaluation of a run: epoch (counted from 1), images, loss, accuracies in per cent and macro averages.
Json evaluation_json(int epoch, const nas::Score& score, const nas::Confusion& confusion);

}  // namespace mixop::cli
