#include "nas/cli/npz.h"

#include <zlib.h>

#include <cstring>

#include "kernels/core/check.h"

namespace mixop::cli {
namespace {

// Little-endian integers, as zip and npy want them.
void put(std::string& out, uint64_t value, int bytes) {
  for (int i = 0; i < bytes; ++i) out += static_cast<char>(value >> (8 * i));
}

// Format 1.0: magic, header length, a Python dict padded with blanks to a multiple of 64, raw data.
std::string to_npy(const NpzArray& array) {
  std::string shape;
  int64_t count = 1;
  for (const int64_t n : array.shape) {
    shape += std::to_string(n) + ", ";
    count *= n;
  }
  MIXOP_CHECK(count == static_cast<int64_t>(array.values.size()), "npz: '", array.name, "' has ",
              array.values.size(), " values for a shape of ", count);
  std::string header = "{'descr': '<f4', 'fortran_order': False, 'shape': (" + shape + "), }";
  const size_t before = 10;
  header.resize((before + header.size() + 1 + 63) / 64 * 64 - before - 1, ' ');
  header += '\n';
  std::string out("\x93NUMPY\x01\x00", 8);
  put(out, header.size(), 2);
  out += header;
  out.append(reinterpret_cast<const char*>(array.values.data()), array.values.size() * sizeof(float));
  return out;
}

// What local header and directory entry share: versions to flags aside, method 0 (stored), date, crc, sizes.
void put_common(std::string& out, uint64_t crc, size_t bytes, size_t name) {
  put(out, 20, 2);    // version needed to extract
  put(out, 0, 2);     // flags
  put(out, 0, 2);     // stored
  put(out, 0, 2);     // 00:00
  put(out, 0x21, 2);  // 1980-01-01
  put(out, crc, 4);
  put(out, bytes, 4);
  put(out, bytes, 4);
  put(out, name, 2);
  put(out, 0, 2);  // extra field
}

}  // namespace

std::string to_npz(const std::vector<NpzArray>& arrays) {
  std::string out, directory;
  for (const NpzArray& array : arrays) {
    const std::string data = to_npy(array), name = array.name + ".npy";
    MIXOP_CHECK(out.size() + data.size() < 0x7fffffff, "npz: '", array.name, "' passes 2 GiB");
    const uint64_t crc = crc32(0, reinterpret_cast<const Bytef*>(data.data()), static_cast<uInt>(data.size()));
    directory.append("PK\x01\x02", 4);
    put(directory, 20, 2);  // version made by
    put_common(directory, crc, data.size(), name.size());
    put(directory, 0, 2);  // comment
    put(directory, 0, 2);  // disk
    put(directory, 0, 2);  // internal attributes
    put(directory, 0, 4);  // external attributes
    put(directory, out.size(), 4);
    directory += name;
    out.append("PK\x03\x04", 4);
    put_common(out, crc, data.size(), name.size());
    out += name;
    out += data;
  }
  const size_t start = out.size();
  out += directory;
  out.append("PK\x05\x06", 4);
  put(out, 0, 4);  // disks
  put(out, arrays.size(), 2);
  put(out, arrays.size(), 2);
  put(out, directory.size(), 4);
  put(out, start, 4);
  put(out, 0, 2);
  return out;
}

namespace {

/// Walks over bytes; throws instead of passing their end.
class Reader {
 public:
  Reader(const std::string& bytes, const std::string& where) : bytes_(bytes), where_(where) {}

  std::string take(size_t n) {
    check(n <= bytes_.size() - at_);
    at_ += n;
    return bytes_.substr(at_ - n, n);
  }
  uint64_t number(int bytes) {
    uint64_t value = 0;
    const std::string text = take(static_cast<size_t>(bytes));
    for (int i = 0; i < bytes; ++i)
      value |= uint64_t{static_cast<unsigned char>(text[static_cast<size_t>(i)])} << (8 * i);
    return value;
  }
  void check(bool condition) const {
    MIXOP_CHECK(condition, where_, ": damaged: not an archive of arrays as mixop writes them");
  }
  bool at(const char* text) const { return bytes_.compare(at_, std::strlen(text), text) == 0; }

 private:
  const std::string& bytes_;
  const std::string& where_;
  size_t at_ = 0;
};

/// The numbers of "(3, 14, 8, )".
std::vector<int64_t> shape_of(const std::string& header, const Reader& reader) {
  const size_t begin = header.find("'shape': (");
  reader.check(begin != std::string::npos && header.find("'<f4'") != std::string::npos);
  std::vector<int64_t> shape;
  for (const char* p = header.c_str() + begin + 10; *p >= '0' && *p <= '9';) {
    char* end = nullptr;
    shape.push_back(std::strtoll(p, &end, 10));
    p = end + (*end == ',');
    p += *p == ' ';
  }
  return shape;
}

}  // namespace

std::vector<NpzArray> from_npz(const std::string& bytes, const std::string& where) {
  Reader reader(bytes, where);
  std::vector<NpzArray> arrays;
  while (reader.at("PK\x03\x04")) {
    reader.take(14);
    const uint64_t crc = reader.number(4), size = reader.number(4);
    reader.check(reader.number(4) == size);
    const uint64_t name = reader.number(2);
    reader.take(reader.number(2) == 0 ? 0 : bytes.size());
    NpzArray array{reader.take(name), {}, {}};
    reader.check(array.name.size() > 4 && array.name.ends_with(".npy"));
    array.name.resize(array.name.size() - 4);
    const std::string data = reader.take(size);
    reader.check(crc32(0, reinterpret_cast<const Bytef*>(data.data()), static_cast<uInt>(size)) == crc);
    Reader npy(data, where);
    npy.check(npy.take(8) == std::string("\x93NUMPY\x01\x00", 8));
    const uint64_t header = npy.number(2);
    array.shape = shape_of(npy.take(header), npy);
    array.values.resize((size - 10 - header) / sizeof(float));
    int64_t count = 1;
    for (const int64_t n : array.shape) npy.check(n >= 0 && !__builtin_mul_overflow(count, n, &count));
    npy.check(static_cast<size_t>(count) == array.values.size());
    if (count) std::memcpy(array.values.data(), data.data() + 10 + header, array.values.size() * sizeof(float));
    arrays.push_back(std::move(array));
  }
  reader.check(reader.at("PK\x01\x02") || reader.at("PK\x05\x06"));
  return arrays;
}

}  // namespace mixop::cli
