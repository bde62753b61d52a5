#include "bench/planned_bytes.h"

#include <set>

namespace mixop::bench {

namespace {

/// Bytes are whole data sets that lie on a device (nas/batch.h), of which a call reads a batch: nothing beside it.
double bytes_of(const kernels::View& v) {
  if (v.dtype == kernels::DType::kU8) return 0;
  return static_cast<double>(v.shape.elements()) * static_cast<double>(size_of(v.dtype));
}

}  // namespace

double planned_bytes(const kernels::Call& call) {
  std::set<const void*> seen;
  double sum = 0;
  for (const kernels::View& v : call.in)
    if (seen.insert(v.data).second) sum += bytes_of(v);
  for (const kernels::Out& v : call.out) sum += bytes_of(v) * (v.write == kernels::Write::kAdd ? 2 : 1);
  return sum;
}

}  // namespace mixop::bench
