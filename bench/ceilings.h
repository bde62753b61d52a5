// What this machine can do at most, measured on the spot.
#pragma once

namespace mixop::bench {

struct Ceilings {
  double gflops = 0;  ///< float32 fused multiply-adds, all threads
  double gbytes = 0;  ///< large copy, read plus written bytes, all threads
};

/// Best of several short runs, about a second in all; measured once per process.
const Ceilings& measured_ceilings();

}  // namespace mixop::bench
