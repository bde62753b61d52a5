// 1x1 convolutions as matrix products [pixels, in] x [in, out], in the shapes of the DARTS supernet at batch 64:
// our micro-kernel (kernels/core/gemm.h) beside OpenBLAS and libxsmm where they are installed. Rows are split over
// threads by us in every case, in pieces that stay in the second-level cache; the libraries run on one thread a
// piece.
//   pointwise_bench [--seconds 0.3] [--blas libopenblas.so.0]
// OpenBLAS is opened at run time; OPENBLAS_CORETYPE in the environment chooses its kernels. GFLOP/s, best of many
// runs.
#include <dlfcn.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <functional>
#include <string>
#include <vector>

#ifdef MIXOP_HAVE_LIBXSMM
#include <libxsmm.h>
#endif

#include "bench/ceilings.h"
#include "kernels/core/buffer.h"
#include "kernels/core/gemm.h"
#include "kernels/core/parallel.h"
#include "kernels/core/rng.h"

namespace {

using namespace mixop;

struct Product {
  const char* name;
  int64_t rows, in, out;
};
constexpr Product kProducts[] = {{"edge 32x32", 65536, 16, 16},        {"edge 16x16", 16384, 32, 32},
                                 {"edge 8x8", 4096, 64, 64},           {"preprocess 32x32", 65536, 64, 16},
                                 {"preprocess 16x16", 16384, 128, 32}, {"preprocess 8x8", 4096, 256, 64}};

/// c = a b for some rows, all row-major and dense.
using Multiply = std::function<void(int64_t rows, const float* a, float* c)>;

struct Library {
  std::string name, problem;  ///< why it cannot be used; empty: it can
  std::function<Multiply(const Product&, const float* b)> prepare{};
};

constexpr int64_t kPieceBytes = 256 << 10;  // of a and c together: they and b stay in the second-level cache
int64_t rows_of_a_piece(const Product& p) {
  return std::max<int64_t>(64, kPieceBytes / static_cast<int64_t>(sizeof(float)) / (p.in + p.out));
}

Library ours() {
  return {"mixop", "", [](const Product& p, const float* b) -> Multiply {
            auto packed = std::make_shared<std::vector<float>>(kernels::gemm_packed_floats(p.in, p.out));
            kernels::gemm_pack(b, p.out, 1, 0, p.in, p.in, p.out, packed->data());
            return [p, packed](int64_t rows, const float* a, float* c) {
              kernels::gemm(rows, p.out, p.in, {a, p.in, 1}, kernels::gemm_packed(packed->data(), p.in), c, p.out,
                            kernels::Write::kSet);
            };
          }};
}

Library openblas(const std::string& file) {
  void* handle = dlopen(file.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (!handle) return {"OpenBLAS", "not installed"};
  using Sgemm = void(int, int, int, int, int, int, float, const float*, int, const float*, int, float, float*, int);
  const auto sgemm = reinterpret_cast<Sgemm*>(dlsym(handle, "cblas_sgemm"));
  if (!sgemm) return {"OpenBLAS", "no cblas_sgemm in " + file};
  if (const auto set = reinterpret_cast<void (*)(int)>(dlsym(handle, "openblas_set_num_threads"))) set(1);
  const auto core = reinterpret_cast<const char* (*)()>(dlsym(handle, "openblas_get_corename"));
  return {std::string("OpenBLAS") + (core ? std::string(" ") + core() : ""), "",
          [sgemm](const Product& p, const float* b) -> Multiply {
            return [sgemm, p, b](int64_t rows, const float* a, float* c) {
              constexpr int kRowMajor = 101, kNoTranspose = 111;
              const int m = static_cast<int>(rows), n = static_cast<int>(p.out), k = static_cast<int>(p.in);
              sgemm(kRowMajor, kNoTranspose, kNoTranspose, m, n, k, 1, a, k, b, n, 0, c, n);
            };
          }};
}

Library libxsmm() {
#ifdef MIXOP_HAVE_LIBXSMM
  // Column-major: c^T = b^T a^T, generated for a fixed number of rows of a.
  return {"libxsmm", "", [](const Product& p, const float* b) -> Multiply {
            constexpr int64_t kRows = 64;
            const libxsmm_blasint n = static_cast<libxsmm_blasint>(p.out), k = static_cast<libxsmm_blasint>(p.in);
            const float alpha = 1, beta = 0;
            const auto generate = [&](int64_t rows) {
              return libxsmm_smmdispatch(n, static_cast<libxsmm_blasint>(rows), k, nullptr, nullptr, nullptr,
                                         &alpha, &beta, nullptr, nullptr);
            };
            const auto kernel = generate(kRows);
            MIXOP_CHECK(kernel, "libxsmm generates no code for ", n, "x", kRows, "x", k);
            return [=](int64_t rows, const float* a, float* c) {
              int64_t r = 0;
              for (; r + kRows <= rows; r += kRows) kernel(b, a + r * k, c + r * n);
              if (r < rows)
                libxsmm_smmdispatch(n, static_cast<libxsmm_blasint>(rows - r), k, nullptr, nullptr, nullptr, &alpha,
                                    &beta, nullptr, nullptr)(b, a + r * k, c + r * n);
            };
          }};
#else
  return {"libxsmm", "not installed"};
#endif
}

class Operands {
 public:
  explicit Operands(const Product& p)
      : p_(p), a_(bytes(p.rows * p.in)), b_(bytes(p.in * p.out)), c_(bytes(p.rows * p.out)) {
    for (int64_t i = 0; i < p.rows * p.in; ++i) a()[i] = static_cast<float>(kernels::uniform(1, 0, i)) - 0.5f;
    for (int64_t i = 0; i < p.in * p.out; ++i) b()[i] = static_cast<float>(kernels::uniform(1, 1, i)) - 0.5f;
    std::fill_n(c(), p.rows * p.out, 0.0f);
  }
  float* a() { return reinterpret_cast<float*>(a_.data()); }
  float* b() { return reinterpret_cast<float*>(b_.data()); }
  float* c() { return reinterpret_cast<float*>(c_.data()); }

  /// The last and some other rows agree with plain loops.
  void check(const std::string& who) {
    for (int64_t r = p_.rows - 1; r >= 0; r -= p_.rows / 7)
      for (int64_t j = 0; j < p_.out; ++j) {
        double want = 0;
        for (int64_t k = 0; k < p_.in; ++k) want += double{a()[r * p_.in + k]} * double{b()[k * p_.out + j]};
        MIXOP_CHECK(std::abs(want - double{c()[r * p_.out + j]}) < 1e-4, who, " is wrong at row ", r, ", column ",
                    j);
      }
  }

 private:
  static size_t bytes(int64_t floats) { return static_cast<size_t>(floats) * sizeof(float); }
  Product p_;
  kernels::Buffer a_, b_, c_;
};

/// GFLOP/s of the best of the runs that fit into `seconds`.
double measure(const Product& p, Operands& data, const Multiply& multiply, int threads, double seconds) {
  using Clock = std::chrono::steady_clock;
  const kernels::Exec exec{.threads = threads};
  const int64_t piece = rows_of_a_piece(p), pieces = (p.rows + piece - 1) / piece;
  double best = 1e9;
  for (const auto start = Clock::now(); Clock::now() - start < std::chrono::duration<double>(seconds);) {
    const auto begin = Clock::now();
    kernels::parallel_for(exec, pieces, [&](int64_t i, int) {
      const int64_t first = i * piece;
      multiply(std::min(piece, p.rows - first), data.a() + first * p.in, data.c() + first * p.out);
    });
    best = std::min(best, std::chrono::duration<double>(Clock::now() - begin).count());
  }
  return 2e-9 * static_cast<double>(p.rows * p.in * p.out) / best;
}

int run(double seconds, const std::string& blas) {
  const std::vector<Library> libraries = {ours(), openblas(blas), libxsmm()};
  const int most = kernels::default_threads();
  std::vector<int> threads = {1};
  if (most > 1) threads.push_back(most);
  std::printf("| %-36s |", "rows x in x out");
  for (const Library& library : libraries)
    for (const int t : threads) std::printf(" %s, %d thread%s |", library.name.c_str(), t, t > 1 ? "s" : "");
  std::printf("\n| --- |");
  for (size_t i = 0; i < libraries.size() * threads.size(); ++i) std::printf(" ---: |");
  std::printf("\n");
  for (const Product& p : kProducts) {
    Operands data(p);
    std::printf("| %-36s |", kernels::text(p.name, ": ", p.rows, " x ", p.in, " x ", p.out).c_str());
    for (const Library& library : libraries) {
      const Multiply multiply = library.problem.empty() ? library.prepare(p, data.b()) : nullptr;
      for (const int t : threads) {
        if (!multiply) {
          std::printf(" %s |", library.problem.c_str());
          continue;
        }
        std::fill_n(data.c(), p.rows * p.out, 0.0f);
        const double gflops = measure(p, data, multiply, t, seconds);
        data.check(library.name);
        std::printf(" %.0f |", gflops);
        std::fflush(stdout);
      }
    }
    std::printf("\n");
  }
  std::printf("GFLOP/s; ceilings of %d threads: %.0f GFLOP/s, %.1f GB/s\n", most, bench::measured_ceilings().gflops,
              bench::measured_ceilings().gbytes);
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app("1x1 convolutions as matrix products: our micro-kernel beside libraries");
  double seconds = 0.3;
  std::string blas = "libopenblas.so.0";
  app.add_option("--seconds", seconds, "of each measurement")->capture_default_str();
  app.add_option("--blas", blas, "file of OpenBLAS")->capture_default_str();
  CLI11_PARSE(app, argc, argv);
  try {
    return run(seconds, blas);
  } catch (const std::exception& e) {
    std::fprintf(stderr, "pointwise_bench: %s\n", e.what());
    return 1;
  }
}
