// The emulated runtime API: memory with a limit, checked copies, and streams that are captured into graphs.
#include <gtest/gtest.h>

#include "tests/support/broken_kernels.cuh"

namespace mixop::kernels {
namespace {

constexpr size_t kBytes = kThreads * sizeof(float);

/// A buffer and a stream.
struct EmulatedRuntime : testing::Test {
  EmulatedRuntime() {
    MIXOP_CUDA_CHECK(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking));
    MIXOP_CUDA_CHECK(cudaMalloc(&x, kBytes));
    exec.stream = stream;
  }
  ~EmulatedRuntime() override {
    (void)cudaFree(x);
    (void)cudaStreamDestroy(stream);
    (void)cudaGetLastError();
  }
  void double_x() const { cuda::launch(exec, "double_it", double_it, 1, kThreads, 0, x); }

  cudaStream_t stream = nullptr;
  float* x = nullptr;
  Exec exec;
};

TEST_F(EmulatedRuntime, CountsMemory) {
  emulation::set_memory(1 << 20);
  size_t free = 0, total = 0;
  MIXOP_CUDA_CHECK(cudaMemGetInfo(&free, &total));
  EXPECT_EQ(total, size_t{1} << 20);
  EXPECT_EQ(free, total - kBytes);
  float *all = nullptr, *more = nullptr, *pinned = nullptr;
  const size_t allocations = emulation::allocations().size();
  MIXOP_CUDA_CHECK(cudaMalloc(&all, free));
  EXPECT_EQ(cudaMalloc(&more, 1), cudaErrorMemoryAllocation);
  EXPECT_EQ(more, nullptr);
  MIXOP_CUDA_CHECK(cudaMallocHost(&pinned, kBytes));
  EXPECT_EQ(emulation::allocations().size(), allocations + 2);
  EXPECT_EQ(cudaFree(pinned), cudaErrorInvalidValue);
  EXPECT_EQ(cudaFree(all + 1), cudaErrorInvalidValue);
  EXPECT_EQ(cudaFree(nullptr), cudaSuccess);
  MIXOP_CUDA_CHECK(cudaFree(all));
  MIXOP_CUDA_CHECK(cudaFreeHost(pinned));
  EXPECT_EQ(emulation::allocations().size(), allocations);
  emulation::set_memory(size_t{8} << 30);
}

TEST_F(EmulatedRuntime, AlignsAndPoisonsMemory) {
  for (const size_t bytes : {1, 16, 100, 4096, 12345, 1 << 20}) {
    std::byte* p = nullptr;
    MIXOP_CUDA_CHECK(cudaMalloc(&p, bytes));
    EXPECT_EQ(reinterpret_cast<uintptr_t>(p) % (bytes % 256 == 0 ? 256 : 16), 0u) << bytes;
    EXPECT_EQ(p[0], std::byte{0xFF});
    EXPECT_EQ(p[bytes - 1], std::byte{0xFF});
    MIXOP_CUDA_CHECK(cudaFree(p));
  }
}

TEST_F(EmulatedRuntime, ChecksCopies) {
  std::vector<float> host(kThreads, 2.0f), back(kThreads);
  MIXOP_CUDA_CHECK(cudaMemcpyAsync(x, host.data(), kBytes, cudaMemcpyHostToDevice, stream));
  MIXOP_CUDA_CHECK(cudaMemsetAsync(x + 1, 0, 4, stream));
  MIXOP_CUDA_CHECK(cudaMemcpy(back.data(), x, kBytes, cudaMemcpyDeviceToHost));
  EXPECT_EQ(back[0], 2);
  EXPECT_EQ(back[1], 0);
  MIXOP_CUDA_CHECK(cudaMemcpy2DAsync(back.data(), 8, x, 16, 4, 3, cudaMemcpyDeviceToHost, stream));
  EXPECT_EQ(back[2], 2);
  EXPECT_EQ(cudaMemcpy(x, host.data(), kBytes + 1, cudaMemcpyHostToDevice), cudaErrorInvalidValue);
  EXPECT_EQ(cudaMemcpy(x, host.data(), kBytes, cudaMemcpyDeviceToDevice), cudaErrorInvalidValue);
  EXPECT_EQ(cudaMemcpy(back.data(), host.data(), kBytes, cudaMemcpyHostToDevice), cudaErrorInvalidValue);
  EXPECT_EQ(cudaMemsetAsync(host.data(), 0, 4, stream), cudaErrorInvalidValue);
}

TEST_F(EmulatedRuntime, ReplaysACapturedGraph) {
  std::vector<float> host(kThreads, 1.0f), back(kThreads);
  MIXOP_CUDA_CHECK(cudaMemset(x, 0, kBytes));
  MIXOP_CUDA_CHECK(cudaStreamBeginCapture(stream, cudaStreamCaptureModeGlobal));
  MIXOP_CUDA_CHECK(cudaMemcpyAsync(x, host.data(), kBytes, cudaMemcpyHostToDevice, stream));
  double_x();
  exec.dependent = true;
  cuda::launch_dependent(exec, "double_after_wait", double_after_wait, 1, kThreads, 0, x);
  MIXOP_CUDA_CHECK(cudaMemcpyAsync(back.data(), x, kBytes, cudaMemcpyDeviceToHost, stream));
  cudaStreamCaptureStatus status{};
  MIXOP_CUDA_CHECK(cudaStreamIsCapturing(stream, &status));
  EXPECT_EQ(status, cudaStreamCaptureStatusActive);
  EXPECT_EQ(x[0], 0) << "captured work must not run yet";

  cudaGraph_t graph = nullptr;
  cudaGraphExec_t replay = nullptr;
  size_t nodes = 0;
  MIXOP_CUDA_CHECK(cudaStreamEndCapture(stream, &graph));
  MIXOP_CUDA_CHECK(cudaGraphGetNodes(graph, nullptr, &nodes));
  EXPECT_EQ(nodes, 4u);
  MIXOP_CUDA_CHECK(cudaGraphInstantiate(&replay, graph, 0));
  MIXOP_CUDA_CHECK(cudaGraphDestroy(graph));
  for (const float start : {1.0f, 5.0f}) {
    host.assign(kThreads, start);
    MIXOP_CUDA_CHECK(cudaGraphLaunch(replay, stream));
    MIXOP_CUDA_CHECK(cudaStreamSynchronize(stream));
    EXPECT_EQ(back[0], 4 * start);
    EXPECT_EQ(back[kThreads - 1], 4 * start);
  }
  MIXOP_CUDA_CHECK(cudaGraphExecDestroy(replay));
}

TEST_F(EmulatedRuntime, RefusesToSynchroniseWhileCapturing) {
  float host = 0, *p = nullptr;
  const auto spoils = [&](auto&& call) {
    MIXOP_CUDA_CHECK(cudaStreamBeginCapture(stream, cudaStreamCaptureModeGlobal));
    double_x();
    EXPECT_EQ(call(), cudaErrorStreamCaptureUnsupported);
    cudaStreamCaptureStatus status{};
    MIXOP_CUDA_CHECK(cudaStreamIsCapturing(stream, &status));
    EXPECT_EQ(status, cudaStreamCaptureStatusInvalidated);
    EXPECT_THROW(double_x(), Error);
    cudaGraph_t graph = nullptr;
    EXPECT_EQ(cudaStreamEndCapture(stream, &graph), cudaErrorStreamCaptureInvalidated);
    EXPECT_EQ(graph, nullptr);
  };
  spoils([&] { return cudaMalloc(&p, 4); });
  spoils([&] { return cudaMemcpy(&host, x, 4, cudaMemcpyDeviceToHost); });
  spoils([&] { return cudaStreamSynchronize(stream); });
  spoils([&] { return cudaDeviceSynchronize(); });
  double_x();  // and the stream is as good as before
}

TEST_F(EmulatedRuntime, CapturesStreamsThatJoin) {
  cudaStream_t side = nullptr;
  cudaEvent_t fork = nullptr, join = nullptr;
  MIXOP_CUDA_CHECK(cudaStreamCreateWithFlags(&side, cudaStreamNonBlocking));
  MIXOP_CUDA_CHECK(cudaEventCreateWithFlags(&fork, cudaEventDisableTiming));
  MIXOP_CUDA_CHECK(cudaEventCreateWithFlags(&join, cudaEventDisableTiming));
  for (const bool rejoin : {true, false}) {
    MIXOP_CUDA_CHECK(cudaStreamBeginCapture(stream, cudaStreamCaptureModeGlobal));
    MIXOP_CUDA_CHECK(cudaEventRecord(fork, stream));
    MIXOP_CUDA_CHECK(cudaStreamWaitEvent(side, fork));
    MIXOP_CUDA_CHECK(cudaMemsetAsync(x, 0, kBytes, side));
    MIXOP_CUDA_CHECK(cudaEventRecord(join, side));
    if (rejoin) MIXOP_CUDA_CHECK(cudaStreamWaitEvent(stream, join));
    cudaGraph_t graph = nullptr;
    EXPECT_EQ(cudaStreamEndCapture(stream, &graph), rejoin ? cudaSuccess : cudaErrorStreamCaptureUnjoined);
    if (graph) MIXOP_CUDA_CHECK(cudaGraphDestroy(graph));
  }
  MIXOP_CUDA_CHECK(cudaEventDestroy(fork));
  MIXOP_CUDA_CHECK(cudaEventDestroy(join));
  MIXOP_CUDA_CHECK(cudaStreamDestroy(side));
}

TEST_F(EmulatedRuntime, DescribesItsDevice) {
  cudaDeviceProp p;
  MIXOP_CUDA_CHECK(cudaGetDeviceProperties(&p, 0));
  EXPECT_STREQ(p.name, "emulated");
  EXPECT_EQ(p.major, 9);
  int value = 0;
  MIXOP_CUDA_CHECK(cudaDeviceGetAttribute(&value, cudaDevAttrMultiProcessorCount, 0));
  EXPECT_EQ(value, p.multiProcessorCount);
  EXPECT_EQ(cudaSetDevice(1), cudaErrorInvalidDevice);
  emulation::set_devices(0);
  EXPECT_EQ(cudaGetDeviceCount(&value), cudaErrorNoDevice);
  EXPECT_EQ(value, 0);
  emulation::set_devices(1);
  EXPECT_STREQ(cudaGetErrorName(cudaErrorNoDevice), "cudaErrorNoDevice");
  EXPECT_STREQ(cudaGetErrorString(cudaErrorNoDevice), "no CUDA-capable device is detected");

  cudaEvent_t start = nullptr, end = nullptr;
  float milliseconds = -1;
  MIXOP_CUDA_CHECK(cudaEventCreate(&start));
  MIXOP_CUDA_CHECK(cudaEventCreate(&end));
  MIXOP_CUDA_CHECK(cudaEventRecord(start, stream));
  MIXOP_CUDA_CHECK(cudaEventRecord(end, stream));
  MIXOP_CUDA_CHECK(cudaEventSynchronize(end));
  MIXOP_CUDA_CHECK(cudaEventElapsedTime(&milliseconds, start, end));
  EXPECT_GE(milliseconds, 0);
  MIXOP_CUDA_CHECK(cudaEventDestroy(start));
  MIXOP_CUDA_CHECK(cudaEventDestroy(end));
}

}  // namespace
}  // namespace mixop::kernels
