#include "datasets/image_codec.h"

#include <png.h>

#include <algorithm>
#include <cctype>
#include <cmath>
#include <csetjmp>
#include <cstdio>  // jpeglib.h uses FILE without including it

#include <jpeglib.h>

#include "datasets/dataset.h"
#include "datasets/files.h"

namespace mixop::datasets {
namespace {

constexpr int64_t kMaxSide = 1 << 14;

void check_size(const std::string& where, int64_t height, int64_t width) {
  if (height < 1 || width < 1 || height > kMaxSide || width > kMaxSide)
    fail(where, ": an image of ", height, "x", width, " pixels; sides must be 1 to ", kMaxSide);
}

Image decode_png(const std::vector<uint8_t>& bytes, const std::string& where) {
  struct Decoder : png_image {
    Decoder() : png_image{} { version = PNG_IMAGE_VERSION; }
    ~Decoder() { png_image_free(this); }
  } png;
  if (!png_image_begin_read_from_memory(&png, bytes.data(), bytes.size()))
    fail(where, ": cannot be read as PNG: ", png.message);
  check_size(where, png.height, png.width);
  const bool colour = (png.format & PNG_FORMAT_FLAG_COLOR) != 0;
  png.format = colour ? PNG_FORMAT_RGB : PNG_FORMAT_GRAY;
  Image image{static_cast<int>(png.height), static_cast<int>(png.width), colour ? 3 : 1, {}};
  image.pixels.resize(PNG_IMAGE_SIZE(png));  // zeros: what transparency is composited onto
  if (!png_image_finish_read(&png, nullptr, image.pixels.data(), 0, nullptr))
    fail(where, ": cannot be read as PNG: ", png.message);
  return image;
}

struct JpegErrors : jpeg_error_mgr {
  std::jmp_buf back;
  char message[JMSG_LENGTH_MAX];
};

// libjpeg is C: an exception must not cross it, so its errors jump back to decode_jpeg.
extern "C" {
static void leave_jpeg(j_common_ptr info) {
  auto* errors = static_cast<JpegErrors*>(info->err);
  errors->format_message(info, errors->message);
  std::longjmp(errors->back, 1);
}
static void note_jpeg(j_common_ptr info, int level) {
  if (level < 0) leave_jpeg(info);  // a warning: the data is damaged and would be patched with grey
}
}

struct JpegDecoder : jpeg_decompress_struct {
  JpegDecoder() : jpeg_decompress_struct{} {}
  ~JpegDecoder() { jpeg_destroy_decompress(this); }
};

// False, with the reason in errors.message, when the data is no whole JPEG. All objects with a destructor live
// outside the part that longjmp leaves.
bool decode_jpeg(const std::vector<uint8_t>& bytes, const std::string& where, JpegDecoder& jpeg, JpegErrors& errors,
                 Image& image) {
  jpeg.err = jpeg_std_error(&errors);
  errors.error_exit = leave_jpeg;
  errors.emit_message = note_jpeg;
  if (setjmp(errors.back)) return false;
  jpeg_create_decompress(&jpeg);
  jpeg_mem_src(&jpeg, bytes.data(), bytes.size());
  jpeg_read_header(&jpeg, TRUE);
  jpeg.out_color_space = jpeg.num_components == 1 ? JCS_GRAYSCALE : JCS_RGB;
  check_size(where, jpeg.image_height, jpeg.image_width);
  jpeg_start_decompress(&jpeg);
  image.height = static_cast<int>(jpeg.output_height);
  image.width = static_cast<int>(jpeg.output_width);
  image.channels = jpeg.output_components;
  const size_t row = size_t{jpeg.output_width} * jpeg.output_components;
  image.pixels.resize(row * jpeg.output_height);
  while (jpeg.output_scanline < jpeg.output_height) {
    JSAMPROW target = image.pixels.data() + row * jpeg.output_scanline;
    jpeg_read_scanlines(&jpeg, &target, 1);
  }
  jpeg_finish_decompress(&jpeg);
  return true;
}

std::string lower_extension(const std::filesystem::path& path) {
  std::string extension = path.extension().string();
  for (char& c : extension) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  return extension;
}

// Weights of the source pixels first, first + 1, ... that make one output pixel.
struct Taps {
  int first;
  std::vector<float> weights;
};

std::vector<Taps> triangle_taps(int in, int out) {
  const double scale = static_cast<double>(in) / out, radius = std::max(1.0, scale);
  std::vector<Taps> taps(out);
  for (int o = 0; o < out; ++o) {
    const double centre = (o + 0.5) * scale;
    const int first = std::max(0, static_cast<int>(std::floor(centre - radius)));
    const int last = std::min(in, static_cast<int>(std::ceil(centre + radius)));
    double sum = 0;
    std::vector<double> weights;
    for (int i = first; i < last; ++i) {
      weights.push_back(std::max(0.0, 1 - std::abs(i + 0.5 - centre) / radius));
      sum += weights.back();
    }
    taps[o].first = first;
    for (double w : weights) taps[o].weights.push_back(static_cast<float>(w / sum));
  }
  return taps;
}

}  // namespace

bool is_image_name(const std::filesystem::path& path) {
  const std::string extension = lower_extension(path);
  return extension == ".png" || extension == ".jpg" || extension == ".jpeg";
}

Image read_image(const std::filesystem::path& path) {
  const std::string where = path.string();
  if (!is_image_name(path)) fail(where, ": unknown image type; .png, .jpg and .jpeg are read");
  const std::vector<uint8_t> bytes = read_file(path);
  if (lower_extension(path) == ".png") return decode_png(bytes, where);
  Image image;
  JpegErrors errors;
  JpegDecoder jpeg;
  if (!decode_jpeg(bytes, where, jpeg, errors, image)) fail(where, ": cannot be read as JPEG: ", errors.message);
  return image;
}

Image resize_bilinear(const Image& image, int height, int width) {
  const int channels = image.channels;
  const std::vector<Taps> across = triangle_taps(image.width, width), down = triangle_taps(image.height, height);

  std::vector<float> wide(size_t{1} * image.height * width * channels);  // [image.height, width, channels]
  for (int y = 0; y < image.height; ++y)
    for (int x = 0; x < width; ++x)
      for (int c = 0; c < channels; ++c) {
        size_t source = (size_t{1} * y * image.width + across[x].first) * channels + c;
        float sum = 0;
        for (float weight : across[x].weights) {
          sum += weight * image.pixels[source];
          source += channels;
        }
        wide[(size_t{1} * y * width + x) * channels + c] = sum;
      }

  Image out{height, width, channels, std::vector<uint8_t>(size_t{1} * height * width * channels)};
  const size_t row = size_t{1} * width * channels;
  for (int y = 0; y < height; ++y)
    for (size_t i = 0; i < row; ++i) {
      float sum = 0;
      for (size_t t = 0; t < down[y].weights.size(); ++t)
        sum += down[y].weights[t] * wide[(down[y].first + t) * row + i];
      out.pixels[y * row + i] = static_cast<uint8_t>(std::clamp(std::lround(sum), 0L, 255L));
    }
  return out;
}

}  // namespace mixop::datasets
