#include "nas/cli/golden_values.h"

#include <numeric>

namespace mixop::cli {

using kernels::DType;
using kernels::Shape;
using kernels::View;

namespace {

/// Graph axis i is file axis axes[i].
std::vector<size_t> axes_of(const Extents& file, Layout layout) {
  std::vector<size_t> axes(file.size());
  std::iota(axes.begin(), axes.end(), size_t{0});
  if (layout == Layout::kImage && axes.size() > 2) {
    axes.erase(axes.begin() + 1);
    axes.push_back(1);
  } else if (layout == Layout::kKernel) {
    MIXOP_CHECK(axes.size() == 4, "a convolution weight must have 4 axes, not ", axes.size());
    axes = {2, 3, 1, 0};
  }
  return axes;
}

/// Calls f(place in the graph's order, place in the file's order) for every element.
template <class F>
void for_each_element(const Extents& file, Layout layout, F&& f) {
  const std::vector<size_t> axes = axes_of(file, layout);
  Extents stride(file.size(), 1), at(file.size(), 0);  // of the file's axes
  for (size_t i = file.size(); i-- > 1;) stride[i - 1] = stride[i] * file[i];
  const int64_t count = std::accumulate(file.begin(), file.end(), int64_t{1}, std::multiplies<>());
  int64_t place = 0;
  for (int64_t e = 0; e < count; ++e) {
    f(static_cast<size_t>(e), static_cast<size_t>(place));
    for (size_t k = axes.size(); k-- > 0;) {  // the next element in the graph's order
      const size_t axis = axes[k];
      place += stride[axis];
      if (++at[axis] < file[axis]) break;
      place -= at[axis] * stride[axis];
      at[axis] = 0;
    }
  }
}

}  // namespace

Shape graph_shape(const Extents& file, Layout layout) {
  MIXOP_CHECK(file.size() <= static_cast<size_t>(kernels::kMaxRank), "a tensor of ", file.size(), " axes: at most ",
              kernels::kMaxRank, " are possible");
  Shape s;
  for (const size_t axis : axes_of(file, layout)) s.push_back(file[axis]);
  return s;
}

Values to_graph(const Values& values, const Extents& file, Layout layout) {
  Values result(values.size());
  for_each_element(file, layout, [&](size_t graph, size_t place) { result[graph] = values[place]; });
  return result;
}

Values to_file(const Values& values, const Extents& file, Layout layout) {
  Values result(values.size());
  for_each_element(file, layout, [&](size_t graph, size_t place) { result[place] = values[graph]; });
  return result;
}

void to_view(const Values& values, const View& view) {
  MIXOP_CHECK(static_cast<int64_t>(values.size()) == view.shape.elements(), values.size(),
              " values for a tensor of shape ", view.shape);
  const int64_t last = view.last();
  for (size_t i = 0; i < values.size(); ++i) {
    const int64_t e = static_cast<int64_t>(i), at = e / last * view.ld + e % last;
    if (view.dtype == DType::kF64) view.as<double>()[at] = values[i];
    else if (view.dtype == DType::kF32) view.as<float>()[at] = static_cast<float>(values[i]);
    else view.as<int32_t>()[at] = static_cast<int32_t>(values[i]);
  }
}

Values from_view(const View& view) {
  Values values;
  values.reserve(static_cast<size_t>(view.shape.elements()));
  for (int64_t r = 0; r < view.rows(); ++r)
    for (int64_t c = 0; c < view.last(); ++c) {
      const int64_t at = r * view.ld + c;
      values.push_back(view.dtype == DType::kF64 ? view.as<double>()[at] : double{view.as<float>()[at]});
    }
  return values;
}

}  // namespace mixop::cli
