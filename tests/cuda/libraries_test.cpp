// The paths through cuBLAS and cuDNN where there is no GPU: fake libraries that work on host memory take their
// place (fake_cublas.cpp, fake_cudnn.cpp), so what is tested is which calls are made with which operands. All
// numbers are small integers: results must be exact.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "kernels/core/cuda/cublas.h"
#include "kernels/core/cuda/cudnn.h"
#include "kernels/core/cuda/library.h"
#include "kernels/ops/conv2d_impls_cuda.h"
#include "kernels/ops/conv2d_ref.h"
#include "kernels/ops/matmul_impls.h"
#include "kernels/ops/matmul_ref.h"

namespace mixop::kernels {
namespace {

const bool kFakes = [] { return setenv("MIXOP_LIBRARY_PATH", "/nowhere:" MIXOP_FAKE_LIBRARIES, 1) == 0; }();

/// A tensor of small integers, its rows `extra` elements further apart than they are long.
struct Tensor {
  std::vector<float> data;
  View view;

  Tensor(const Shape& shape, int64_t extra, int seed) : view{nullptr, DType::kF32, shape, shape.last() + extra} {
    data.resize(static_cast<size_t>(view.rows() * view.ld));
    for (size_t i = 0; i < data.size(); ++i)
      data[i] = static_cast<float>((i * 2654435761u + static_cast<unsigned>(seed) * 40503u) / 64 % 5) - 2;
    view.data = data.data();
  }
  Tensor(const Tensor& o) : data(o.data), view(o.view) { view.data = data.data(); }
};

/// Runs the implementation and the reference on equal data; everything of the output's memory must agree, the gaps
/// between its rows too.
void compare(const Impl& impl, void (*reference)(const Call&), const Tensor& a, const Tensor& b, const Tensor& y,
             Write write, const void* attrs) {
  const View in[] = {a.view, b.view};
  Tensor expected = y, actual = y;
  const Out wanted[] = {{expected.view, write}}, got[] = {{actual.view, write}};
  Exec exec;
  reference({&exec, in, wanted, attrs});
  Call call{&exec, in, got, attrs};
  ASSERT_TRUE(impl.accepts(call));
  const size_t bytes = impl.workspace(call);
  std::vector<std::byte> workspace(bytes + 64);
  exec.workspace = workspace.data() + (64 - reinterpret_cast<uintptr_t>(workspace.data()) % 64) % 64;
  impl.run(call);
  impl.run(call);  // the second time with everything made
  if (write == Write::kAdd) reference({&exec, in, wanted, attrs});
  EXPECT_EQ(expected.data, actual.data);
}

TEST(Libraries, AreFound) {
  EXPECT_TRUE(cuda::cublas_available());
  EXPECT_NE(cuda::cublas_report().find("cuBLAS 13.1.0 ("), std::string::npos) << cuda::cublas_report();
  EXPECT_NE(cuda::cublas_report().find(MIXOP_FAKE_LIBRARIES), std::string::npos) << cuda::cublas_report();
  EXPECT_TRUE(cuda::cudnn_available());
  EXPECT_NE(cuda::cudnn_report().find("cuDNN 9.19.0 ("), std::string::npos) << cuda::cudnn_report();
}

TEST(Libraries, SayWhyTheyAreNotUsed) {
  EXPECT_EQ(cuda::Library{"libmixop_nowhere.so.1"}.problem(), "not found");

  cuda::Library other{"libcublas.so.13"};
  ASSERT_TRUE(other.loaded());
  void (*function)() = nullptr;
  other.resolve(function, "no_such_function");
  EXPECT_EQ(function, nullptr);
  EXPECT_EQ(other.problem(), "has no function no_such_function");
}

TEST(Libraries, AreFoundInWheels) {
  namespace fs = std::filesystem;
  const fs::path root = fs::path(testing::TempDir()) / "mixop_wheels";
  const fs::path lib = root / "lib/python3.99/site-packages/nvidia/cu13/lib";
  fs::create_directories(root / "bin");
  fs::create_directories(lib);
  std::ofstream(root / "bin/python3") << "not started";
  std::ofstream(lib / "libmixop_broken.so.1") << "not a library";
  const std::string before = std::getenv("PATH");
  setenv("PATH", (before + "::" + (root / "bin").string()).c_str(), 1);
  const std::vector<fs::path> folders = cuda::library_folders();
  const cuda::Library broken{"libmixop_broken.so.1"};
  setenv("PATH", before.c_str(), 1);
  fs::remove_all(root);

  EXPECT_NE(std::find(folders.begin(), folders.end(), lib), folders.end());
  EXPECT_FALSE(broken.loaded());
  EXPECT_EQ(broken.problem().find("cannot be opened: " + (lib / "libmixop_broken.so.1").string()), 0u)
      << broken.problem();
}

TEST(Libraries, Matmul) {
  for (const bool ta : {false, true})
    for (const bool tb : {false, true})
      for (const Write write : {Write::kSet, Write::kAdd})
        for (const int64_t extra : {0, 3}) {
          const MatmulAttrs attrs{ta, tb};
          const Tensor a(ta ? Shape{7, 5} : Shape{5, 7}, extra, 1), b(tb ? Shape{4, 7} : Shape{7, 4}, extra, 2);
          compare(kMatmulCublas, matmul_ref<float>, a, b, Tensor({5, 4}, extra, 3), write, &attrs);
        }
}

TEST(Libraries, MatmulRoundsOnlyWhenAsked) {
  const float fine = 1 + 1.0f / 4096;  // TF32 keeps 10 bits
  for (const bool tf32 : {false, true}) {
    Tensor a({1, 1}, 0, 1), b = a, y = a;
    a.data[0] = b.data[0] = fine;
    std::vector<std::byte> workspace(cuda::kCublasWorkspace);
    const Exec exec{.workspace = workspace.data(), .tf32 = tf32};
    cuda::cublas_gemm(exec, 1, 1, 1, {a.data.data(), 1}, {b.data.data(), 1}, {y.data.data(), 1});
    EXPECT_EQ(y.data[0], tf32 ? 1 : fine * fine);
  }
}

struct Ops {
  const Impl &forward, &dgrad, &wgrad;
};

void compare_convolutions(const Ops& ops, const Conv2dAttrs& attrs, const Shape& x, int64_t k, int64_t extra) {
  Conv2dAttrs a = attrs;
  a.x = x;
  const Shape y{x[0], conv2d_extent(x[1], a, 0), conv2d_extent(x[2], a, 1), k};
  const Shape w{a.kernel[0], a.kernel[1], x[3], k};
  const Tensor tx(x, extra, 1), tw(w, 0, 2), ty(y, extra, 3);
  compare(ops.forward, conv2d_ref<float>, tx, tw, ty, Write::kSet, &a);
  for (const Write write : {Write::kSet, Write::kAdd}) {
    compare(ops.dgrad, conv2d_dgrad_ref<float>, ty, tw, tx, write, &a);
    compare(ops.wgrad, conv2d_wgrad_ref<float>, ty, tx, tw, write, &a);
  }
}

TEST(Libraries, PointwiseConvolutionsByCublas) {
  for (const int64_t extra : {0, 4})
    compare_convolutions({kConv2dCublas, kConv2dDgradCublas, kConv2dWgradCublas}, {}, {2, 3, 5, 6}, 7, extra);
}

TEST(Libraries, DenseConvolutionsByCudnn) {
  const Ops ops{kConv2dCudnn, kConv2dDgradCudnn, kConv2dWgradCudnn};
  const Conv2dAttrs same{.kernel = {3, 3}, .pad_begin = {1, 1}, .pad_end = {1, 1}};
  const Conv2dAttrs strided{.kernel = {3, 5}, .stride = {2, 3}, .pad_begin = {1, 2}, .pad_end = {0, 1}};
  const Conv2dAttrs dilated{.kernel = {3, 2}, .pad_begin = {2, 0}, .pad_end = {2, 3}, .dilation = {2, 3}};
  for (const Conv2dAttrs& attrs : {same, strided, dilated, Conv2dAttrs{.stride = {2, 2}}})
    for (const int64_t extra : {0, 4}) compare_convolutions(ops, attrs, {2, 8, 9, 3}, 4, extra);
}

/// A call with nothing bound, as a plan makes it.
struct Unbound {
  Exec exec;
  Conv2dAttrs attrs;
  std::vector<View> in;
  std::vector<Out> out;
  Unbound(const Conv2dAttrs& a, int64_t c, int64_t k) : attrs(a), out(1) {
    const Shape x{2, 8, 8, c};
    const Shape y{2, conv2d_extent(8, a, 0), conv2d_extent(8, a, 1), k};
    in = {{nullptr, DType::kF32, x, c}, {nullptr, DType::kF32, {a.kernel[0], a.kernel[1], c / a.groups, k}, k}};
    out[0] = {{nullptr, DType::kF32, y, k}, Write::kSet};
  }
  Call call() const { return {&exec, in, out, &attrs}; }
};

TEST(Libraries, RefuseWhatTheyCannotDo) {
  const Conv2dAttrs same{.kernel = {3, 3}, .pad_begin = {1, 1}, .pad_end = {1, 1}};
  EXPECT_TRUE(kConv2dCudnn.accepts(Unbound(same, 16, 16).call()));
  EXPECT_FALSE(kConv2dCublas.accepts(Unbound(same, 16, 16).call()));
  EXPECT_TRUE(kConv2dCublas.accepts(Unbound({}, 16, 16).call()));
  EXPECT_FALSE(kConv2dCublas.accepts(Unbound({.stride = {2, 2}}, 16, 16).call()));

  Conv2dAttrs grouped = same, relu = same, shifted{.stride = {2, 2}, .pad_begin = {-1, -1}};
  grouped.groups = 2;
  relu.load.relu = true;
  for (const Conv2dAttrs& a : {grouped, relu, shifted})
    EXPECT_FALSE(kConv2dCudnn.accepts(Unbound(a, 16, 16).call()));
  Unbound wide(same, 16, 16);
  wide.in[0].dtype = DType::kF64;
  EXPECT_FALSE(kConv2dCudnn.accepts(wide.call()));

  // Whole tensors that begin anywhere, as images of a concatenation along them; slices of channels may.
  Unbound whole(same, 16, 16), slice(same, 16, 16), result(same, 16, 16);
  whole.in[0].phase = slice.in[0].phase = 8;
  slice.in[0].ld = 20;
  result.out[0].phase = 52;
  EXPECT_FALSE(kConv2dCudnn.accepts(whole.call()));
  EXPECT_FALSE(kConv2dCudnn.accepts(result.call()));
  EXPECT_TRUE(kConv2dCudnn.accepts(slice.call()));
}

TEST(Libraries, ArePreferredForLargeWorkOnly) {
  const Conv2dAttrs same{.kernel = {3, 3}, .pad_begin = {1, 1}, .pad_end = {1, 1}};
  Unbound few(same, 16, 16);
  EXPECT_FALSE(kConv2dCudnn.prefers(few.call()));
  few.exec.tf32 = true;
  EXPECT_TRUE(kConv2dCudnn.prefers(few.call()));
  EXPECT_TRUE(kConv2dCudnn.prefers(Unbound(same, 64, 64).call()));
  EXPECT_FALSE(kConv2dCudnn.prefers(Unbound(same, 3, 2048).call()));
  EXPECT_FALSE(kConv2dCudnn.prefers(Unbound({}, 256, 256).call()));
  EXPECT_TRUE(kConv2dCublas.prefers(Unbound({}, 128, 128).call()));
  EXPECT_FALSE(kConv2dCublas.prefers(Unbound({}, 64, 256).call()));
}

}  // namespace
}  // namespace mixop::kernels
