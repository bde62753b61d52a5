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

namespace {

// The header of a file and where its data starts.
struct Contents {
  json header;
  size_t start;
};

Contents read_header(const std::string& bytes, const std::string& place) {
  uint64_t length = 0;
  MIXOP_CHECK(bytes.size() >= sizeof length, place, ": truncated: ", bytes.size(), " bytes, no header");
  std::memcpy(&length, bytes.data(), sizeof length);
  MIXOP_CHECK(length <= bytes.size() - sizeof length, place, ": truncated: the header should have ", length,
              " bytes");
  Contents c{json::parse(bytes.begin() + sizeof length, bytes.begin() + sizeof length + static_cast<long>(length),
                         nullptr, false),
             sizeof length + length};
  MIXOP_CHECK(c.header.is_object(), place, ": not a safetensors file: its header is no JSON object");
  return c;
}

bool agrees(const json& tensor, const TensorStore& store, const TensorStore::Entry& e) {
  return tensor.value("dtype", "") == safetensors_type(store.dtype()) &&
         tensor.value("shape", std::vector<int64_t>{-1}) == std::vector<int64_t>(e.shape.begin(), e.shape.end());
}

struct Copy {
  std::byte* to;
  size_t from, size;
};

Copy copy_of(const Contents& c, const std::string& bytes, const std::string& place, TensorStore& store, int entry) {
  const std::string name = store.name() + "/" + store.entry(entry).name;
  const auto range = c.header.at(name).value("data_offsets", std::vector<size_t>{});
  const size_t n = bytes_of(store, store.entry(entry));
  MIXOP_CHECK(range.size() == 2 && range[1] == range[0] + n && c.start + range[1] <= bytes.size(), place,
              ": truncated at tensor '", name, "'");
  return {static_cast<std::byte*>(store.view(entry).data), c.start + range[0], n};
}

void carry_out(const std::vector<Copy>& copies, const std::string& bytes) {
  for (const Copy& c : copies) std::memcpy(c.to, bytes.data() + c.from, c.size);
}

}  // namespace

void from_safetensors(const std::string& bytes, const std::string& place, const std::vector<TensorStore*>& stores) {
  const Contents c = read_header(bytes, place);
  // First check everything, then copy: a mismatch leaves the stores as they were.
  std::vector<Copy> copies;
  for (TensorStore* store : stores)
    for (size_t i = 0; i < store->entries().size(); ++i) {
      const auto& e = store->entry(static_cast<int>(i));
      const std::string name = store->name() + "/" + e.name;
      const auto it = c.header.find(name);
      MIXOP_CHECK(it != c.header.end(), place, ": has no tensor '", name,
                  "': a checkpoint of another configuration");
      MIXOP_CHECK(agrees(*it, *store, e), place, ": tensor '", name, "' is ", it->value("dtype", "?"), " ",
                  (*it)["shape"].dump(), ", expected ", safetensors_type(store->dtype()), " ", e.shape,
                  ": a checkpoint of another configuration");
      copies.push_back(copy_of(c, bytes, place, *store, static_cast<int>(i)));
    }
  MIXOP_CHECK(c.header.size() == copies.size(), place, ": holds ", c.header.size(), " tensors, expected ",
              copies.size(), ": a checkpoint of another configuration");
  carry_out(copies, bytes);
}

Inherited inherit_safetensors(const std::string& bytes, const std::string& place,
                              const std::vector<TensorStore*>& stores) {
  Contents c = read_header(bytes, place);
  Inherited result;
  std::vector<Copy> copies;
  for (TensorStore* store : stores)
    for (size_t i = 0; i < store->entries().size(); ++i) {
      const auto& e = store->entry(static_cast<int>(i));
      const std::string name = store->name() + "/" + e.name;
      const auto it = c.header.find(name);
      const bool takes = it != c.header.end() && agrees(*it, *store, e);
      if (takes) copies.push_back(copy_of(c, bytes, place, *store, static_cast<int>(i)));
      (takes ? result.taken : result.left).push_back(name);
      if (it != c.header.end()) c.header.erase(it);
    }
  for (const auto& [name, tensor] : c.header.items()) result.unused.push_back(name);
  carry_out(copies, bytes);
  return result;
}

}  // namespace mixop::autograd
