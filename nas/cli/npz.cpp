#include "nas/cli/npz.h"

#include <zlib.h>

#include "kernels/core/check.h"

namespace mixop::cli {
namespace {

// Little-endian integers, as zip and npy want them.
void put(std::string& out, uint64_t value, int bytes) {
  for (int i = 0; i < bytes; ++i) out += static_cast<char>(value >> (8 * i));
}

// Format 1.0: magic, header length, a Python dict padded with blanks to a multiple of 64, raw data.
std::string to_npy(const NpyArray& array) {
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

std::string to_npz(const std::vector<NpyArray>& arrays) {
  std::string out, directory;
  for (const NpyArray& array : arrays) {
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

}  // namespace mixop::cli
