// Per-channel work on short rows: neighbouring contiguous rows of C channels are seen as one wide row, a multiple
// of the vector length, over channel constants that are repeated likewise. So C = 4 runs as fast as C = 64.
#pragma once

#include <algorithm>
#include <cstdint>
#include <numeric>

#include "kernels/core/parallel.h"

namespace mixop::kernels {

/// Lanes of the widest float32 vector that is used.
constexpr int64_t kMaxLanes = 16;

/// Partials of a reduction: a fixed number, so that sums do not depend on the number of threads.
constexpr int64_t kMaxPartials = 32;

/// How many rows of `channels` make one wide row for vectors of `lanes` elements: the row is a multiple of the
/// vector and at least 4 vectors long. Rows that lie apart or are long enough stay as they are (1).
inline int64_t rows_per_wide_row(int64_t channels, int64_t lanes, bool contiguous) {
  if (!contiguous || channels >= 4 * lanes) return 1;
  int64_t width = std::lcm(channels, lanes);
  while (width < 4 * lanes) width *= 2;
  return width / channels;
}

/// The longest wide row for any vector length; for sizes of workspaces.
inline int64_t widest_row(int64_t channels) { return channels * rows_per_wide_row(channels, kMaxLanes, true); }

/// Calls f(first row, number of rows, width) for the wide part of a range of rows and for the rows left over.
template <class F>
void for_wide_rows(Range rows, int64_t channels, int64_t per_wide, F&& f) {
  const int64_t wide = (rows.end - rows.begin) / per_wide, rest = rows.begin + wide * per_wide;
  if (wide) f(rows.begin, wide, channels * per_wide);
  if (rest < rows.end) f(rest, rows.end - rest, channels);
}

/// Rows of one task of about `elements` elements: whole wide rows, so that only the last task has rows left over.
inline int64_t rows_per_task(int64_t channels, int64_t per_wide, int64_t elements) {
  return std::max<int64_t>(1, elements / (channels * per_wide)) * per_wide;
}

}  // namespace mixop::kernels
