// Memory traffic of a kernel call as planned, and what the machine's ceilings allow for it.
#pragma once

#include "bench/ceilings.h"
#include "kernels/core/impl.h"

namespace mixop::bench {

/// Bytes that a call reads and writes: each operand once, also one that several units of a fused node name; results
/// that are added to count twice. The plan of the call must have run.
double planned_bytes(const kernels::Call& call);

/// Seconds that the roofline allows: the larger of FLOPs over peak and bytes over copying speed.
inline double allowed_seconds(double flops, double bytes, const Ceilings& top) {
  return (flops / top.gflops > bytes / top.gbytes ? flops / top.gflops : bytes / top.gbytes) / 1e9;
}

}  // namespace mixop::bench
