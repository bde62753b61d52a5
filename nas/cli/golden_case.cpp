#include "nas/cli/golden_case.h"

#include <algorithm>
#include <fstream>

#include "kernels/core/check.h"
#include "nas/cli/npy.h"

namespace mixop::cli {

namespace fs = std::filesystem;
using nlohmann::json;

namespace {

constexpr char kManifest[] = "manifest.json";

std::string shape_text(const std::vector<int64_t>& shape) { return json(shape).dump(); }

GoldenTensor load_tensor(const fs::path& folder, const std::string& name, const json& entry) {
  const std::string file = entry.at("file");
  MIXOP_CHECK(!file.empty() && file == fs::path(file).filename(), "tensor '", name, "': '", file,
              "' is not the name of a file in the case's folder");
  NpyArray a = read_npy(folder / file);
  GoldenTensor t;
  t.role = entry.value("role", "");
  t.shape = entry.at("shape").get<std::vector<int64_t>>();
  const std::string type = entry.at("dtype");
  MIXOP_CHECK(type == "float64" || type == "int64", "tensor '", name, "': dtype '", type,
              "' is neither float64 nor int64");
  t.integers = type == "int64";
  MIXOP_CHECK(a.integers == t.integers, (folder / file).string(), ": holds ", a.integers ? "int64" : "float64",
              ", the manifest says ", type);
  MIXOP_CHECK(a.shape == t.shape, (folder / file).string(), ": has shape ", shape_text(a.shape),
              ", the manifest says ", shape_text(t.shape));
  MIXOP_CHECK(!a.values.empty(), (folder / file).string(), ": holds no values");
  if (t.shape.empty()) t.shape = {1};
  t.values = std::move(a.values);
  return t;
}

bool has_arrays(const fs::path& folder) {
  const fs::directory_iterator files(folder);
  return std::any_of(begin(files), end(files), [](const auto& f) { return f.path().extension() == ".npy"; });
}

}  // namespace

const GoldenTensor& GoldenCase::at(const std::string& tensor) const {
  const auto it = tensors.find(tensor);
  MIXOP_CHECK(it != tensors.end(), "the manifest has no tensor '", tensor, "'");
  return it->second;
}

GoldenCase load_case(const fs::path& folder) {
  const fs::path file = folder / kManifest;
  std::ifstream in(file);
  MIXOP_CHECK(in, file.string(), ": cannot be opened; every case needs its manifest");
  try {
    GoldenCase c;
    c.folder = folder;
    c.manifest = json::parse(in);
    c.name = c.manifest.at("case");
    c.op = c.manifest.at("op");
    c.params = c.manifest.value("params", json::object());
    MIXOP_CHECK(c.params.is_object(), "'params' is not an object");
    for (const json& entry : c.manifest.at("tensors")) {
      const std::string name = entry.at("name");
      MIXOP_CHECK(c.tensors.emplace(name, load_tensor(folder, name, entry)).second, "tensor '", name,
                  "' is listed twice");
      c.order.push_back(name);
    }
    return c;
  } catch (const json::exception& e) {
    kernels::fail(file.string(), ": ", e.what());
  }
}

std::vector<fs::path> find_cases(const fs::path& folder) {
  MIXOP_CHECK(fs::is_directory(folder), folder.string(), ": is not a directory");
  if (fs::exists(folder / kManifest)) return {folder};
  std::vector<fs::path> found;
  bool any = false;
  for (const auto& entry : fs::directory_iterator(folder)) {
    if (!entry.is_directory()) continue;
    const bool manifest = fs::exists(entry.path() / kManifest);
    any |= manifest;
    if (manifest || has_arrays(entry.path())) found.push_back(entry.path());
  }
  MIXOP_CHECK(any, folder.string(), ": has no sub-folder with a ", kManifest, "; give a folder of golden cases");
  std::sort(found.begin(), found.end());
  return found;
}

}  // namespace mixop::cli
