#include "datasets/files.h"

#include <zlib.h>

#include <algorithm>
#include <fstream>

#include "datasets/dataset.h"

namespace mixop::datasets {

std::vector<uint8_t> read_file(const std::filesystem::path& path) {
  std::error_code error;
  const auto status = std::filesystem::status(path, error);
  if (!std::filesystem::exists(status)) fail(path.string(), ": no such file");
  if (!std::filesystem::is_regular_file(status)) fail(path.string(), ": not a regular file");
  std::ifstream in(path, std::ios::binary | std::ios::ate);
  if (!in) fail(path.string(), ": cannot be opened; check its permissions");
  std::vector<uint8_t> bytes(static_cast<size_t>(in.tellg()));
  in.seekg(0);
  in.read(reinterpret_cast<char*>(bytes.data()), static_cast<std::streamsize>(bytes.size()));
  if (in.gcount() != static_cast<std::streamsize>(bytes.size()))
    fail(path.string(), ": reading stopped at byte ", in.gcount(), " of ", bytes.size());
  return bytes;
}

namespace {

struct Stream : z_stream {
  explicit Stream(Wrapper wrapper) : z_stream{} {
    if (inflateInit2(this, wrapper == Wrapper::kGzip ? 15 + 16 : 15) != Z_OK) fail("zlib: cannot start");
  }
  ~Stream() { inflateEnd(this); }
  Stream(const Stream&) = delete;
  Stream& operator=(const Stream&) = delete;
};

uInt chunk(size_t bytes) { return static_cast<uInt>(std::min<size_t>(bytes, 1u << 30)); }  // zlib counts in 32 bits

}  // namespace

Inflated inflate_at_most(std::span<const uint8_t> packed, Wrapper wrapper, size_t limit, const std::string& where) {
  Stream stream(wrapper);
  Inflated out{{}, false};
  size_t used = 0, made = 0;
  while (made < limit) {
    if (made == out.bytes.size()) out.bytes.resize(std::min(limit, std::max<size_t>(2 * made, 1u << 16)));
    const uInt in_now = chunk(packed.size() - used), out_now = chunk(out.bytes.size() - made);
    stream.next_in = const_cast<Bytef*>(packed.data() + used);
    stream.avail_in = in_now;
    stream.next_out = out.bytes.data() + made;
    stream.avail_out = out_now;
    const int code = inflate(&stream, Z_NO_FLUSH);
    used += in_now - stream.avail_in;
    made += out_now - stream.avail_out;
    if (code == Z_STREAM_END) {
      out.complete = used == packed.size();
      if (out.complete) break;
      // gzip allows several members one after the other.
      const bool another = packed.size() - used > 1 && packed[used] == 0x1f && packed[used + 1] == 0x8b;
      if (wrapper == Wrapper::kZlib || !another)
        fail(where, ": ", packed.size() - used, " stray bytes after the compressed data, from byte ", used);
      inflateReset(&stream);
    } else if (code == Z_BUF_ERROR) {
      break;  // the input is used up
    } else if (code != Z_OK) {
      fail(where, ": corrupt compressed data near byte ", used, " (", stream.msg ? stream.msg : "zlib error", ")");
    }
  }
  out.bytes.resize(made);
  return out;
}

}  // namespace mixop::datasets
