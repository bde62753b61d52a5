#include <png.h>

#include <cmath>
#include <cstdio>

#include <jpeglib.h>

#include "datasets/files.h"
#include "datasets/image_codec.h"
#include "datasets/image_folder.h"
#include "datasets/open.h"
#include "tests/datasets_support.h"

namespace mixop::datasets::test {
namespace {

Bytes filled(int height, int width, const Bytes& pixel) {
  Bytes pixels;
  for (int i = 0; i < height * width; ++i) pixels.insert(pixels.end(), pixel.begin(), pixel.end());
  return pixels;
}

struct FolderTest : testing::Test {
  TempDir dir;

  std::filesystem::path png(const std::string& name, int height, int width, const Bytes& pixels) {
    const auto path = dir / name;
    const size_t channels = pixels.size() / (height * width);
    png_image image{};
    image.version = PNG_IMAGE_VERSION;
    image.width = width;
    image.height = height;
    image.format = channels == 1 ? PNG_FORMAT_GRAY : channels == 3 ? PNG_FORMAT_RGB : PNG_FORMAT_RGBA;
    EXPECT_TRUE(png_image_write_to_file(&image, path.c_str(), 0, pixels.data(), 0, nullptr)) << image.message;
    return path;
  }

  std::filesystem::path jpeg(const std::string& name, int height, int width, const Bytes& pixels) {
    const auto path = dir / name;
    jpeg_compress_struct info{};
    jpeg_error_mgr errors;
    info.err = jpeg_std_error(&errors);
    jpeg_create_compress(&info);
    std::FILE* file = std::fopen(path.c_str(), "wb");
    jpeg_stdio_dest(&info, file);
    info.image_height = height;
    info.image_width = width;
    info.input_components = static_cast<int>(pixels.size()) / (height * width);
    info.in_color_space = info.input_components == 1 ? JCS_GRAYSCALE : JCS_RGB;
    jpeg_set_defaults(&info);
    jpeg_set_quality(&info, 100, TRUE);
    jpeg_start_compress(&info, TRUE);
    while (info.next_scanline < info.image_height) {
      auto* row = const_cast<JSAMPROW>(pixels.data() + size_t{info.next_scanline} * width * info.input_components);
      jpeg_write_scanlines(&info, &row, 1);
    }
    jpeg_finish_compress(&info);
    jpeg_destroy_compress(&info);
    std::fclose(file);
    return path;
  }
};

TEST_F(FolderTest, DecodesPngExactly) {
  const Bytes colour = counting(5 * 7 * 3), grey = counting(5 * 7);
  const Image a = read_image(png("a.png", 5, 7, colour)), b = read_image(png("b.PNG", 5, 7, grey));
  EXPECT_EQ(a.height, 5);
  EXPECT_EQ(a.width, 7);
  EXPECT_EQ(a.channels, 3);
  EXPECT_EQ(a.pixels, colour);
  EXPECT_EQ(b.channels, 1);
  EXPECT_EQ(b.pixels, grey);
}

TEST_F(FolderTest, CompositesTransparencyOntoBlack) {
  const Image image = read_image(png("a.png", 1, 2, {200, 100, 50, 255, 200, 100, 50, 0}));
  EXPECT_EQ(image.pixels, (Bytes{200, 100, 50, 0, 0, 0}));
}

TEST_F(FolderTest, DecodesJpegClosely) {
  Bytes colour, grey;
  for (int y = 0; y < 16; ++y)
    for (int x = 0; x < 24; ++x) {
      const Bytes pixel{static_cast<uint8_t>(8 * y), static_cast<uint8_t>(8 * x), 90};
      colour.insert(colour.end(), pixel.begin(), pixel.end());
      grey.push_back(pixel[1]);
    }
  const Image a = read_image(jpeg("a.jpg", 16, 24, colour)), b = read_image(jpeg("b.JPEG", 16, 24, grey));
  EXPECT_EQ(a.height, 16);
  EXPECT_EQ(a.width, 24);
  ASSERT_EQ(a.pixels.size(), colour.size());
  for (size_t i = 0; i < colour.size(); ++i) ASSERT_NEAR(a.pixels[i], colour[i], 8) << i;
  ASSERT_EQ(b.channels, 1);
  for (size_t i = 0; i < grey.size(); ++i) ASSERT_NEAR(b.pixels[i], grey[i], 2) << i;
}

TEST_F(FolderTest, ReadsSortedClassesAndFilesOfBothParts) {
  png("train/zebra/b.png", 2, 2, filled(2, 2, {3}));
  png("train/zebra/a.png", 2, 2, filled(2, 2, {2}));
  png("train/ant/x.png", 2, 2, filled(2, 2, {1}));
  dir.write("train/ant/notes.txt", {1});
  dir.write("train/ant/.hidden.png", {1});
  png("test/ant/x.png", 2, 2, filled(2, 2, {4}));
  png("test/zebra/x.png", 2, 2, filled(2, 2, {5}));
  const Split split = open("folder", dir.path());
  EXPECT_EQ(split.train.class_names, (std::vector<std::string>{"ant", "zebra"}));
  EXPECT_EQ(split.train.labels, (std::vector<int32_t>{0, 1, 1}));
  EXPECT_EQ(split.train.channels, 1);
  EXPECT_EQ(split.train.pixels, (Bytes{1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3}));
  EXPECT_EQ(split.test.pixels, (Bytes{4, 4, 4, 4, 5, 5, 5, 5}));
  png("test/yak/x.png", 2, 2, filled(2, 2, {5}));
  expect_error([&] { open("folder", dir.path()); },
               {dir.path().string(), "classes of train and test differ (2 and 3)"});
}

/// What begins the data set holds as many images of each class, as a search that splits it needs.
TEST_F(FolderTest, Cifar10Jpeg75TakesTheClassesInTurn) {
  for (const char* part : {"train", "test"}) {
    for (const int label : {0, 1}) {
      for (int n = 0; n < 3 - label; ++n) {
        const auto value = static_cast<uint8_t>(100 * label + 20 * n);
        std::filesystem::create_directories(dir / (std::string(part) + "/class" + std::to_string(label)));
        png(std::string(part) + "/class" + std::to_string(label) + "/000" + std::to_string(n) + ".png", 32, 32,
            filled(32, 32, {value, value, value}));
      }
    }
  }
  const Dataset data = open("cifar10-jpeg75", dir.path()).train;
  EXPECT_EQ(data.name, "cifar10-jpeg75/train");
  EXPECT_EQ(data.labels, (std::vector<int32_t>{0, 1, 0, 1, 0}));
  for (const auto& [image, value] : {std::pair{0, 0}, {1, 100}, {2, 20}, {3, 120}, {4, 40}})
    EXPECT_EQ(data.image(image)[0], value);
}

TEST_F(FolderTest, ExpandsGreyOnceAColourImageIsMet) {
  png("a/1.png", 1, 2, {10, 20});
  png("a/2.png", 1, 2, {1, 2, 3, 4, 5, 6});
  png("b/3.png", 1, 2, {30, 40});
  const Dataset data = read_image_folder(dir.path(), Part::kTrain);
  EXPECT_EQ(data.channels, 3);
  EXPECT_EQ(data.pixels, (Bytes{10, 10, 10, 20, 20, 20, 1, 2, 3, 4, 5, 6, 30, 30, 30, 40, 40, 40}));
}

TEST_F(FolderTest, ResizesWhenAsked) {
  png("a/1.png", 4, 4, filled(4, 4, {90, 60, 30}));
  png("a/2.png", 3, 9, filled(3, 9, {90, 60, 30}));
  const Dataset data = open_train("folder:2x3", dir.path());
  EXPECT_EQ(data.height, 2);
  EXPECT_EQ(data.width, 3);
  EXPECT_EQ(data.pixels, filled(4, 3, {90, 60, 30}));
}

TEST(Resize, InterpolatesBetweenPixelCentres) {
  const Image two{1, 2, 1, {0, 100}};
  EXPECT_EQ(resize_bilinear(two, 1, 4).pixels, (Bytes{0, 25, 75, 100}));
  const Image ramp{2, 1, 1, {0, 100}};
  EXPECT_EQ(resize_bilinear(ramp, 4, 1).pixels, (Bytes{0, 25, 75, 100}));
  const Image same{2, 3, 1, {1, 2, 3, 4, 5, 6}};
  EXPECT_EQ(resize_bilinear(same, 2, 3).pixels, same.pixels);
  // Shrinking weighs every source pixel: here by 1 - 1.5 / 8 = 0.8125 of weights that sum to 6.
  const Image dot{1, 8, 1, {0, 0, 192, 0, 0, 0, 0, 0}};
  EXPECT_EQ(resize_bilinear(dot, 1, 1).pixels, Bytes{26});
}

TEST_F(FolderTest, RefusesBadFoldersByNameAndReason) {
  const auto refuses = [&](Part part, std::vector<std::string> parts) {
    parts.push_back(dir.path().string());
    expect_error([&] { read_image_folder(dir.path(), part); }, parts);
  };
  refuses(Part::kTrain, {"no class folders"});
  std::filesystem::create_directories(dir.path() / "a");
  refuses(Part::kTrain, {"/a: no .png, .jpg or .jpeg file in this class"});
  png("a/1.png", 2, 2, filled(2, 2, {1}));
  refuses(Part::kTest, {"no test/ folder"});
  png("a/2.png", 2, 3, filled(2, 3, {1}));
  refuses(Part::kTrain, {"a/2.png", "2x3", "2x2", "resize"});
  std::filesystem::create_directories(dir.path() / "train");
  refuses(Part::kTest, {"/test: no such folder"});
  expect_error([&] { read_image_folder(dir.path(), Part::kTrain, {5, 0}); }, {"cannot resize to 5x0"});
  expect_error([&] { open("folder", dir / "absent"); }, {"absent is not a directory", "train/CLASS/"});
}

TEST_F(FolderTest, RefusesBadImagesByNameAndReason) {
  const auto refuses = [](const std::filesystem::path& path, std::vector<std::string> parts) {
    parts.push_back(path.string() + ": ");
    expect_error([&] { read_image(path); }, parts);
  };
  const auto prefix = [&](const std::filesystem::path& whole, const std::string& name, double part) {
    Bytes bytes = read_file(whole);
    bytes.resize(static_cast<size_t>(part * static_cast<double>(bytes.size())));
    return dir.write(name, bytes);
  };
  const auto good_png = png("good.png", 20, 20, counting(400)), good_jpeg = jpeg("good.jpg", 20, 20, counting(400));
  refuses(dir.write("text.jpg", {'h', 'i', ' ', 't'}), {"cannot be read as JPEG", "Not a JPEG"});
  refuses(dir.write("text.png", {'h', 'i', ' ', 't'}), {"cannot be read as PNG"});
  refuses(dir.write("empty.jpg", {}), {"cannot be read as JPEG"});
  refuses(dir.write("empty.png", {}), {"cannot be read as PNG"});
  refuses(dir.write("png.jpg", read_file(good_png)), {"Not a JPEG"});
  refuses(prefix(good_jpeg, "cut.jpg", 0.7), {"cannot be read as JPEG", "Premature end"});
  refuses(prefix(good_png, "cut.png", 0.7), {"cannot be read as PNG"});
  Bytes flipped = read_file(good_png);
  flipped[flipped.size() / 2] ^= 0x55;
  refuses(dir.write("flipped.png", flipped), {"cannot be read as PNG"});
  refuses(dir.write("a.gif", {1}), {"unknown image type"});
}

}  // namespace
}  // namespace mixop::datasets::test
