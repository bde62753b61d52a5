#include "autograd/params.h"

#include <cstring>

#include "kernels/core/check.h"
#include "kernels/core/rng.h"

namespace mixop::autograd {
namespace {
uint64_t hash_of(const std::string& s) {  // FNV-1a: stable over builds, unlike std::hash
  uint64_t h = 1469598103934665603ull;
  for (const unsigned char c : s) h = (h ^ c) * 1099511628211ull;
  return h;
}
void put(kernels::View v, int64_t i, double x) {
  if (v.dtype == kernels::DType::kF64) v.as<double>()[i] = x;
  else if (v.dtype == kernels::DType::kF32) v.as<float>()[i] = static_cast<float>(x);
  else v.as<int32_t>()[i] = static_cast<int32_t>(x);
}
}  // namespace

int TensorStore::find(const std::string& name) const {
  const auto it = index_.find(name);
  return it == index_.end() ? -1 : it->second;
}

int TensorStore::find_or_create(const std::string& name, const kernels::Shape& shape, const Init& init) {
  if (const int i = find(name); i >= 0) {
    MIXOP_CHECK(entries_[i].shape == shape, name_, ": '", name, "' has shape ", entries_[i].shape, ", asked for ",
                shape);
    return i;
  }
  MIXOP_CHECK(!bound_, name_, ": '", name, "' does not exist and the store is already in use");
  entries_.push_back({name, shape, elements_});
  inits_.push_back(init);
  elements_ += shape.elements();
  return index_[name] = static_cast<int>(entries_.size()) - 1;
}

void TensorStore::bind() {
  if (bound_) return;
  const bool on_device = device_ != kernels::Device::kCpu;
  buffer_ = kernels::Buffer(bytes(), on_device ? kernels::Memory::kPinned : kernels::Memory::kHost);
  if (on_device) {
    if (bytes()) std::memset(buffer_.data(), 0, bytes());
    twin_ = kernels::Buffer(bytes(), kernels::Memory::kDevice);
  }
  bound_ = true;
  for (size_t i = 0; i < entries_.size(); ++i) initialise(i);
}

void TensorStore::initialise(size_t i) {
  const kernels::View v = view(static_cast<int>(i));
  const uint64_t stream = hash_of(entries_[i].name);
  const Init& init = inits_[i];
  if (init.kind == Init::Kind::kZeros) return;  // new memory is zero
  for (int64_t k = 0, n = v.shape.elements(); k < n; ++k) {
    switch (init.kind) {
      case Init::Kind::kZeros:
        break;
      case Init::Kind::kConstant:
        put(v, k, init.value);
        break;
      case Init::Kind::kUniform:
        put(v, k, init.value * (2 * kernels::uniform(seed_, stream, k) - 1));
        break;
      case Init::Kind::kNormal:
        put(v, k, init.value * kernels::normal(seed_, stream, k));
        break;
    }
  }
}

void TensorStore::place(kernels::Device device) {
  MIXOP_CHECK(device == device_ || !bound_, "store '", name_, "' is in use on another device");
  device_ = device;
}

std::byte* TensorStore::data() {
  bind();
  if (!host_newer_) kernels::cuda::download(buffer_.data(), twin_.data(), bytes());
  host_newer_ = true;
  return buffer_.data();
}

std::byte* TensorStore::plan_data() {
  bind();
  return device_ == kernels::Device::kCpu ? buffer_.data() : twin_.data();
}

void TensorStore::hand_to_plan() {
  if (device_ == kernels::Device::kCpu || !host_newer_) return;
  kernels::cuda::upload(twin_.data(), buffer_.data(), bytes());
  host_newer_ = false;
}

kernels::View TensorStore::view(int i) {
  const Entry& e = entries_[i];
  return {data() + static_cast<size_t>(e.offset) * size_of(dtype_), dtype_, e.shape, e.shape.last()};
}

kernels::View TensorStore::flat() { return {data(), dtype_, {elements_}, elements_}; }

double TensorStore::get(const std::string& name) {
  const int i = find(name);
  MIXOP_CHECK(i >= 0, name_, ": no tensor '", name, "'");
  double element = 0;  // large enough for any type
  kernels::View v = {&element, dtype_, entries_[i].shape, entries_[i].shape.last()};
  if (host_newer_) v = view(i);
  else
    kernels::cuda::download(v.data, twin_.data() + static_cast<size_t>(entries_[i].offset) * size_of(dtype_),
                            size_of(dtype_));
  if (v.dtype == kernels::DType::kF64) return *v.as<double>();
  return v.dtype == kernels::DType::kF32 ? double{*v.as<float>()} : double(*v.as<int32_t>());
}

void TensorStore::set(const std::string& name, double value) {
  const int i = find(name);
  MIXOP_CHECK(i >= 0, name_, ": no tensor '", name, "'");
  put(view(i), 0, value);
}

}  // namespace mixop::autograd
