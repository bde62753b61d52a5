// Stands in for libcudnn where there is no GPU: the graph interface as far as mixop uses it. Convolutions are plain
// loops over the strides of the descriptors. Its heuristics propose engines that must be passed over.
#include <cudnn_graph.h>

#include <array>
#include <cstring>
#include <map>
#include <vector>

struct cudnnContext {};

namespace {

/// What the heuristics propose, by engine number, in this order; the fallback heuristics propose the last alone.
enum Engine : int64_t { kNondeterministic, kTensorCore, kCompiled, kGreedy, kBroken, kGood, kEngines };
constexpr int64_t kScratch = 1000;  // bytes that the good engine writes to

struct Descriptor {
  cudnnBackendDescriptorType_t type;
  bool finalized = false;
  int64_t engine = -1;
  std::map<int, std::vector<std::byte>> values;

  template <class T>
  std::vector<T> all(int name) const {
    const auto at = values.find(name);
    if (at == values.end()) return {};
    std::vector<T> v(at->second.size() / sizeof(T));
    std::memcpy(v.data(), at->second.data(), at->second.size());
    return v;
  }
  template <class T>
  T one(int name) const {
    const std::vector<T> v = all<T>(name);
    return v.empty() ? T{} : v[0];
  }
  const Descriptor& descriptor(int name) const { return *static_cast<Descriptor*>(one<void*>(name)); }
};

Descriptor& of(cudnnBackendDescriptor_t d) { return *static_cast<Descriptor*>(d); }

size_t size_of(cudnnBackendAttributeType_t type) {
  switch (type) {
    case CUDNN_TYPE_INT64:
    case CUDNN_TYPE_HANDLE:
    case CUDNN_TYPE_VOID_PTR:
    case CUDNN_TYPE_BACKEND_DESCRIPTOR:
      return 8;
    default:
      return 4;
  }
}

/// A tensor with extents [N,C,H,W] and strides in elements.
struct Tensor {
  std::vector<int64_t> d, s;
  float* data;
  float& operator()(int64_t n, int64_t c, int64_t h, int64_t w) const {
    return data[n * s[0] + c * s[1] + h * s[2] + w * s[3]];
  }
};

struct Operation {
  int x, w, y, convolution, alpha, beta;
};
Operation names(cudnnBackendDescriptorType_t type) {
  const int first = type == CUDNN_BACKEND_OPERATION_CONVOLUTION_FORWARD_DESCRIPTOR         ? 700
                    : type == CUDNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_DATA_DESCRIPTOR ? 706
                                                                                           : 712;
  if (first == 700) return {704, 703, 705, 702, 700, 701};
  if (first == 706) return {710, 709, 711, 708, 706, 707};
  return {716, 715, 717, 714, 712, 713};
}

/// Calls f(n, c, k, ih, iw, r, s, oh, ow) for every product of the convolution.
template <class F>
void products(const Descriptor& convolution, const Tensor& x, const Tensor& w, const Tensor& y, F&& f) {
  const auto pad = convolution.all<int64_t>(CUDNN_ATTR_CONVOLUTION_PRE_PADDINGS);
  const auto step = convolution.all<int64_t>(CUDNN_ATTR_CONVOLUTION_FILTER_STRIDES);
  const auto gap = convolution.all<int64_t>(CUDNN_ATTR_CONVOLUTION_DILATIONS);
  for (int64_t n = 0; n < y.d[0]; ++n)
    for (int64_t oh = 0; oh < y.d[2]; ++oh)
      for (int64_t ow = 0; ow < y.d[3]; ++ow)
        for (int64_t r = 0; r < w.d[2]; ++r)
          for (int64_t s = 0; s < w.d[3]; ++s) {
            const int64_t ih = oh * step[0] - pad[0] + r * gap[0], iw = ow * step[1] - pad[1] + s * gap[1];
            if (ih < 0 || iw < 0 || ih >= x.d[2] || iw >= x.d[3]) continue;
            for (int64_t k = 0; k < y.d[1]; ++k)
              for (int64_t c = 0; c < x.d[1]; ++c) f(n, c, k, ih, iw, r, s, oh, ow);
          }
}

void scale(const Tensor& t, float beta) {
  for (int64_t n = 0; n < t.d[0]; ++n)
    for (int64_t c = 0; c < t.d[1]; ++c)
      for (int64_t h = 0; h < t.d[2]; ++h)
        for (int64_t w = 0; w < t.d[3]; ++w) t(n, c, h, w) = beta == 0 ? 0 : beta * t(n, c, h, w);
}

bool consistent(const Descriptor& convolution, const Tensor& x, const Tensor& w, const Tensor& y) {
  const auto begin = convolution.all<int64_t>(CUDNN_ATTR_CONVOLUTION_PRE_PADDINGS);
  const auto end = convolution.all<int64_t>(CUDNN_ATTR_CONVOLUTION_POST_PADDINGS);
  const auto step = convolution.all<int64_t>(CUDNN_ATTR_CONVOLUTION_FILTER_STRIDES);
  const auto gap = convolution.all<int64_t>(CUDNN_ATTR_CONVOLUTION_DILATIONS);
  for (int axis = 0; axis < 2; ++axis) {
    const int64_t span = x.d[2 + axis] + begin[axis] + end[axis] - gap[axis] * (w.d[2 + axis] - 1) - 1;
    if (span < 0 || span / step[axis] + 1 != y.d[2 + axis]) return false;
  }
  return x.d[0] == y.d[0] && x.d[1] == w.d[1] && y.d[1] == w.d[0] && w.s[1] == 1;
}

Tensor tensor(const Descriptor& operation, int name, const Descriptor* pack) {
  const Descriptor& d = operation.descriptor(name);
  Tensor t{d.all<int64_t>(CUDNN_ATTR_TENSOR_DIMENSIONS), d.all<int64_t>(CUDNN_ATTR_TENSOR_STRIDES), nullptr};
  if (!pack) return t;
  const auto ids = pack->all<int64_t>(CUDNN_ATTR_VARIANT_PACK_UNIQUE_IDS);
  const auto pointers = pack->all<float*>(CUDNN_ATTR_VARIANT_PACK_DATA_POINTERS);
  for (size_t i = 0; i < ids.size(); ++i)
    if (ids[i] == d.one<int64_t>(CUDNN_ATTR_TENSOR_UNIQUE_ID)) t.data = pointers[i];
  return t;
}

void give(const std::vector<int>& notes, int64_t most, int64_t* count, void* to) {
  *count = static_cast<int64_t>(notes.size());
  for (int64_t i = 0; i < *count && i < most; ++i) static_cast<int*>(to)[i] = notes[i];
}

std::vector<int64_t> proposed(const Descriptor& heuristics) {
  if (heuristics.one<int>(CUDNN_ATTR_ENGINEHEUR_MODE) == CUDNN_HEUR_MODE_FALLBACK) return {kGood};
  return {kNondeterministic, kTensorCore, kCompiled, kGreedy, kBroken};
}

}  // namespace

extern "C" {

size_t cudnnGetVersion() { return 91900; }
const char* cudnnGetErrorString(cudnnStatus_t) { return "a rule was broken"; }
cudnnStatus_t cudnnCreate(cudnnHandle_t* handle) {
  *handle = new cudnnContext;
  return CUDNN_STATUS_SUCCESS;
}
cudnnStatus_t cudnnSetStream(cudnnHandle_t, cudaStream_t) { return CUDNN_STATUS_SUCCESS; }

cudnnStatus_t cudnnBackendCreateDescriptor(cudnnBackendDescriptorType_t type, cudnnBackendDescriptor_t* d) {
  *d = new Descriptor{.type = type, .values = {}};
  return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t cudnnBackendDestroyDescriptor(cudnnBackendDescriptor_t d) {
  delete &of(d);
  return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t cudnnBackendSetAttribute(cudnnBackendDescriptor_t d, cudnnBackendAttributeName_t name,
                                       cudnnBackendAttributeType_t type, int64_t count, const void* values) {
  if (of(d).finalized) return CUDNN_STATUS_BAD_PARAM;
  if (type == CUDNN_TYPE_BACKEND_DESCRIPTOR && !of(*static_cast<void* const*>(values)).finalized &&
      of(*static_cast<void* const*>(values)).type != CUDNN_BACKEND_ENGINECFG_DESCRIPTOR)
    return CUDNN_STATUS_BAD_PARAM_NOT_FINALIZED;
  const auto* bytes = static_cast<const std::byte*>(values);
  of(d).values[name].assign(bytes, bytes + static_cast<size_t>(count) * size_of(type));
  return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t cudnnBackendFinalize(cudnnBackendDescriptor_t d) {
  Descriptor& self = of(d);
  if (self.type == CUDNN_BACKEND_OPERATIONGRAPH_DESCRIPTOR) {
    const Descriptor& operation = self.descriptor(CUDNN_ATTR_OPERATIONGRAPH_OPS);
    const Operation o = names(operation.type);
    if (!consistent(operation.descriptor(o.convolution), tensor(operation, o.x, nullptr),
                    tensor(operation, o.w, nullptr), tensor(operation, o.y, nullptr)))
      return CUDNN_STATUS_BAD_PARAM_SHAPE_MISMATCH;
  }
  if (self.type == CUDNN_BACKEND_EXECUTION_PLAN_DESCRIPTOR) {
    self.engine = self.descriptor(CUDNN_ATTR_EXECUTION_PLAN_ENGINE_CONFIG).engine;
    if (self.engine == kBroken) return CUDNN_STATUS_NOT_SUPPORTED;
  }
  self.finalized = true;
  return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t cudnnBackendGetAttribute(const cudnnBackendDescriptor_t d, cudnnBackendAttributeName_t name,
                                       cudnnBackendAttributeType_t, int64_t most, int64_t* count, void* to) {
  const Descriptor& self = of(d);
  *count = 1;
  if (name == CUDNN_ATTR_ENGINEHEUR_RESULTS) {
    const std::vector<int64_t> engines = proposed(self);
    *count = static_cast<int64_t>(engines.size());
    for (int64_t i = 0; i < *count && i < most; ++i) {
      Descriptor& config = of(static_cast<void**>(to)[i]);
      config.engine = engines[i];
      config.values = self.values;  // the graph among them
    }
  } else if (name == CUDNN_ATTR_ENGINECFG_ENGINE) {
    of(*static_cast<void**>(to)).engine = self.engine;
  } else if (name == CUDNN_ATTR_ENGINE_NUMERICAL_NOTE) {
    give(self.engine == kNondeterministic ? std::vector<int>{CUDNN_NUMERICAL_NOTE_NONDETERMINISTIC}
         : self.engine == kTensorCore     ? std::vector<int>{CUDNN_NUMERICAL_NOTE_TENSOR_CORE}
                                          : std::vector<int>{CUDNN_NUMERICAL_NOTE_WINOGRAD_TILE_4x4},
         most, count, to);
  } else if (name == CUDNN_ATTR_ENGINE_BEHAVIOR_NOTE) {
    give(self.engine == kCompiled ? std::vector<int>{CUDNN_BEHAVIOR_NOTE_RUNTIME_COMPILATION} : std::vector<int>{},
         most, count, to);
  } else if (name == CUDNN_ATTR_EXECUTION_PLAN_WORKSPACE_SIZE) {
    *static_cast<int64_t*>(to) = self.engine == kGreedy ? int64_t{1} << 30 : kScratch;
  } else {
    return CUDNN_STATUS_NOT_SUPPORTED;
  }
  return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t cudnnBackendExecute(cudnnHandle_t, cudnnBackendDescriptor_t plan, cudnnBackendDescriptor_t variant) {
  const Descriptor &config = of(plan).descriptor(CUDNN_ATTR_EXECUTION_PLAN_ENGINE_CONFIG), &pack = of(variant);
  if (config.engine != kGood && config.engine != kTensorCore) return CUDNN_STATUS_EXECUTION_FAILED;
  const Descriptor& operation =
      config.descriptor(CUDNN_ATTR_ENGINEHEUR_OPERATION_GRAPH).descriptor(CUDNN_ATTR_OPERATIONGRAPH_OPS);
  const Operation o = names(operation.type);
  const Descriptor& convolution = operation.descriptor(o.convolution);
  const Tensor x = tensor(operation, o.x, &pack), w = tensor(operation, o.w, &pack),
               y = tensor(operation, o.y, &pack);
  std::memset(pack.one<void*>(CUDNN_ATTR_VARIANT_PACK_WORKSPACE), 0xFF, kScratch);
  const float alpha = operation.one<float>(o.alpha), beta = operation.one<float>(o.beta);
  const auto type = operation.type;
  if (type == CUDNN_BACKEND_OPERATION_CONVOLUTION_FORWARD_DESCRIPTOR) {
    scale(y, beta);
    products(convolution, x, w, y, [&](auto n, auto c, auto k, auto ih, auto iw, auto r, auto s, auto oh, auto ow) {
      y(n, k, oh, ow) += alpha * x(n, c, ih, iw) * w(k, c, r, s);
    });
  } else if (type == CUDNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_DATA_DESCRIPTOR) {
    scale(x, beta);
    products(convolution, x, w, y, [&](auto n, auto c, auto k, auto ih, auto iw, auto r, auto s, auto oh, auto ow) {
      x(n, c, ih, iw) += alpha * y(n, k, oh, ow) * w(k, c, r, s);
    });
  } else {
    scale(w, beta);
    products(convolution, x, w, y, [&](auto n, auto c, auto k, auto ih, auto iw, auto r, auto s, auto oh, auto ow) {
      w(k, c, r, s) += alpha * x(n, c, ih, iw) * y(n, k, oh, ow);
    });
  }
  return CUDNN_STATUS_SUCCESS;
}

}  // extern "C"
