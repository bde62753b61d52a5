#include "nas/cli/npy.h"

#include <bit>
#include <cstring>
#include <fstream>
#include <iterator>
#include <string>

#include "kernels/core/check.h"

namespace mixop::cli {

static_assert(std::endian::native == std::endian::little, "npy: values are read as little-endian");

namespace {

class Reader {
 public:
  explicit Reader(const std::filesystem::path& file) : file_(file) {
    std::ifstream in(file, std::ios::binary);
    MIXOP_CHECK(in, file.string(), ": cannot be opened");
    bytes_.assign(std::istreambuf_iterator<char>(in), {});
    MIXOP_CHECK(!in.bad(), file.string(), ": cannot be read");
  }

  NpyArray read() {
    const size_t data = read_header();
    NpyArray a;
    const std::string type = text_of("descr");
    check(type == "<f8" || type == "<i8", "holds values of type '", type, "', expected '<f8' or '<i8'");
    a.integers = type == "<i8";
    check(word_of("fortran_order") == "False", "is in Fortran order; save it with numpy.ascontiguousarray");
    a.shape = shape();
    int64_t count = 1;
    for (const int64_t d : a.shape)
      check(!__builtin_mul_overflow(count, d, &count) && count < (int64_t{1} << 48), "has an impossible shape");
    check(bytes_.size() - data == static_cast<size_t>(count) * 8, "has ", bytes_.size() - data,
          " bytes of data, its shape needs ", count * 8);
    a.values.resize(static_cast<size_t>(count));
    if (a.integers) read_integers(data, a.values);
    else if (count) std::memcpy(a.values.data(), bytes_.data() + data, a.values.size() * 8);
    return a;
  }

 private:
  template <class... Parts>
  void check(bool condition, const Parts&... parts) const {
    MIXOP_CHECK(condition, file_.string(), ": ", parts...);
  }

  /// Leaves the text of the header in header_; returns where the data begin.
  size_t read_header() {
    constexpr size_t kPrefix = 8;  // magic and version
    check(bytes_.size() >= kPrefix + 2 && bytes_.compare(0, 6, "\x93NUMPY") == 0, "is not an .npy file");
    const int version = bytes_[6];
    check(version >= 1 && version <= 3, "has format version ", version, ", expected 1 to 3");
    const size_t width = version == 1 ? 2 : 4;
    check(bytes_.size() >= kPrefix + width, "ends inside its header");
    size_t length = 0;
    for (size_t i = 0; i < width; ++i)
      length |= static_cast<size_t>(static_cast<unsigned char>(bytes_[kPrefix + i])) << (8 * i);
    check(bytes_.size() - kPrefix - width >= length, "ends inside its header");
    header_ = bytes_.substr(kPrefix + width, length);
    return kPrefix + width + length;
  }

  /// What follows 'key': in the header's dictionary, from its first character that is not a space.
  std::string after(const std::string& key) const {
    const size_t at = header_.find("'" + key + "':");
    check(at != std::string::npos, "has a header without '", key, "'");
    const size_t begin = header_.find_first_not_of(' ', at + key.size() + 3);
    check(begin != std::string::npos, "has a header without a value of '", key, "'");
    return header_.substr(begin);
  }

  std::string text_of(const std::string& key) const {
    const std::string s = after(key);
    const size_t end = s.find('\'', 1);
    check(s[0] == '\'' && end != std::string::npos, "has a header whose '", key, "' is not a text");
    return s.substr(1, end - 1);
  }

  std::string word_of(const std::string& key) const {
    const std::string s = after(key);
    return s.substr(0, s.find_first_of(",} "));
  }

  std::vector<int64_t> shape() const {
    const std::string s = after("shape");
    const size_t end = s.find(')');
    check(s[0] == '(' && end != std::string::npos, "has a header whose 'shape' is not a tuple");
    std::vector<int64_t> dims;
    for (size_t i = 1; i < end;) {
      size_t stop = std::min(s.find(',', i), end);
      const std::string number = s.substr(i, stop - i);
      i = stop + 1;
      const size_t digits = number.find_first_not_of(' ');
      if (digits == std::string::npos) continue;  // behind the comma of a one-element tuple
      check(number.find_first_not_of("0123456789", digits) == std::string::npos && number.size() < 18,
            "has a header whose 'shape' holds '", number, "'");
      dims.push_back(std::stoll(number.substr(digits)));
    }
    return dims;
  }

  void read_integers(size_t data, std::vector<double>& values) const {
    for (size_t i = 0; i < values.size(); ++i) {
      int64_t v;
      std::memcpy(&v, bytes_.data() + data + 8 * i, 8);
      check(v >= -(int64_t{1} << 53) && v <= int64_t{1} << 53, "holds the integer ", v, " at ", i,
            ", more than a double can");
      values[i] = static_cast<double>(v);
    }
  }

  std::filesystem::path file_;
  std::string bytes_, header_;
};

}  // namespace

NpyArray read_npy(const std::filesystem::path& file) { return Reader(file).read(); }

}  // namespace mixop::cli
