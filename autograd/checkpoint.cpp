#include "autograd/checkpoint.h"

#include <cstring>
#include <nlohmann/json.hpp>

namespace mixop::autograd {
namespace {

using json = nlohmann::ordered_json;

const char* safetensors_type(kernels::DType t) {
  return t == kernels::DType::kF64 ? "F64" : t == kernels::DType::kF32 ? "F32" : "I32";
}

size_t bytes_of(const TensorStore& store, const TensorStore::Entry& e) {
  return static_cast<size_t>(e.shape.elements()) * size_of(store.dtype());
}

}  // namespace

std::string to_safetensors(const std::vector<TensorStore*>& stores) {
  json header = json::object();
  size_t at = 0;
  for (TensorStore* store : stores)
    for (const auto& e : store->entries()) {
      const size_t bytes = bytes_of(*store, e);
      header[store->name() + "/" + e.name] = {{"dtype", safetensors_type(store->dtype())},
                                              {"shape", std::vector<int64_t>(e.shape.begin(), e.shape.end())},
                                              {"data_offsets", {at, at + bytes}}};
      at += bytes;
    }
  std::string text = header.dump();
  text.resize((text.size() + 7) / 8 * 8, ' ');
  const uint64_t length = text.size();
  std::string out(reinterpret_cast<const char*>(&length), sizeof length);
  out += text;
  for (TensorStore* store : stores)
    out.append(reinterpret_cast<const char*>(store->data()),
               static_cast<size_t>(store->elements()) * size_of(store->dtype()));
  return out;
}

void from_safetensors(const std::string& bytes, const std::string& place, const std::vector<TensorStore*>& stores) {
  uint64_t length = 0;
  MIXOP_CHECK(bytes.size() >= sizeof length, place, ": truncated: ", bytes.size(), " bytes, no header");
  std::memcpy(&length, bytes.data(), sizeof length);
  MIXOP_CHECK(length <= bytes.size() - sizeof length, place, ": truncated: the header should have ", length,
              " bytes");
  const json header = json::parse(bytes.begin() + sizeof length,
                                  bytes.begin() + sizeof length + static_cast<long>(length), nullptr, false);
  MIXOP_CHECK(header.is_object(), place, ": not a safetensors file: its header is no JSON object");
  const size_t start = sizeof length + length;
  // First check everything, then copy: a mismatch leaves the stores as they were.
  size_t expected = 0;
  std::vector<std::pair<std::byte*, std::pair<size_t, size_t>>> copies;
  for (TensorStore* store : stores)
    for (size_t i = 0; i < store->entries().size(); ++i) {
      const auto& e = store->entry(static_cast<int>(i));
      const std::string name = store->name() + "/" + e.name;
      const auto it = header.find(name);
      MIXOP_CHECK(it != header.end(), place, ": has no tensor '", name, "': a checkpoint of another configuration");
      const std::vector<int64_t> want(e.shape.begin(), e.shape.end());
      const bool same = it->value("dtype", "") == safetensors_type(store->dtype()) &&
                        it->value("shape", std::vector<int64_t>{-1}) == want;
      MIXOP_CHECK(same, place, ": tensor '", name, "' is ", it->value("dtype", "?"), " ", (*it)["shape"].dump(),
                  ", expected ", safetensors_type(store->dtype()), " ", e.shape,
                  ": a checkpoint of another configuration");
      const auto range = it->value("data_offsets", std::vector<size_t>{});
      const size_t n = bytes_of(*store, e);
      MIXOP_CHECK(range.size() == 2 && range[1] == range[0] + n && start + range[1] <= bytes.size(), place,
                  ": truncated at tensor '", name, "'");
      copies.push_back({static_cast<std::byte*>(store->view(static_cast<int>(i)).data), {start + range[0], n}});
      ++expected;
    }
  MIXOP_CHECK(header.size() == expected, place, ": holds ", header.size(), " tensors, expected ", expected,
              ": a checkpoint of another configuration");
  for (const auto& [to, from] : copies) std::memcpy(to, bytes.data() + from.first, from.second);
}

}  // namespace mixop::autograd
