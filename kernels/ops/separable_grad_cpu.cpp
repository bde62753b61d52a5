// The way back through a separable convolution, image by image; what is between dz and dx stays in the caches:
//   dz = A f dy + B z + D per channel (on load), f the factor of the image, dY = dz w_pw^T, dx = [t(x) > 0]
//   depthwise^T(dY), y = depthwise(t(x)) once more, dw_pw = y^T dz, dw_dw[r,s] = sum dY t(x) shifted.
// Without a depthwise half dY belongs to pixels of x, and y is those pixels of t(x).
// Composite: bn_grad, two conv2d_dgrad, two conv2d_wgrad, conv2d for y, bn_reduce.
// Traffic of a unit alone: reads dy, z, x; writes dx: 4T. Of n units that share x: reads x and once dy where that
// is shared, n times z; writes dx: (n + 3)T. The composite: 10T a unit, and 6T more for the weights.
#include <new>

#include "kernels/ops/separable_grad_image.h"
#include "kernels/ops/separable_impls.h"

namespace mixop::kernels {
namespace {

constexpr int64_t kTasks = 16;  // a fixed number, so that sums do not depend on threads

/// Tables A, B, D of dz.
void fold_norm(const GradUnit& u, float* table) {
  const SeparableGradOperands& o = u.o;
  double scale = 1;
  if (o.table) {
    const int64_t i = o.unit->scale_index, last = o.table->last();
    scale = o.table->as<float>()[i / last * o.table->ld + i % last];
  }
  const auto rows = static_cast<double>(o.z->rows());
  std::fill(table, table + 3 * u.k_pitch, 0.0f);
  for (int64_t k = 0; k < u.k; ++k) {
    const double rstd = o.rstd->as<float>()[k], mean = o.mean->as<float>()[k];
    const double gain = rstd * (o.gamma ? o.gamma->as<float>()[k] : 1.0f);
    const double by_z = -gain * rstd * o.s2->as<float>()[k] / rows;
    table[k] = static_cast<float>(gain * scale);
    table[u.k_pitch + k] = static_cast<float>(by_z);
    table[2 * u.k_pitch + k] = static_cast<float>(-gain * o.s1->as<float>()[k] / rows - by_z * mean);
  }
}

/// w_dw as [block][tap of h, tap of w][lane]; the end of what was written.
float* pack_filter(const GradUnit& u, const Axis& h, const Axis& w, float* to) {
  const PixelLayout& layout = u.layout;
  for (int64_t b = 0; b < layout.blocks; ++b) {
    for (int r = 0; r < h.taps; ++r) {
      for (int s = 0; s < w.taps; ++s, to += layout.lanes) {
        const int64_t tap = h.filter[r] * u.window.kernel + w.filter[s];
        const float* from = u.o.w_dw->as<float>() + tap * u.channels;
        for (int64_t l = 0; l < layout.lanes; ++l) {
          const int64_t c = b * layout.lanes + l;
          to[l] = layout.flat ? from[c % u.channels] : c < u.channels ? from[c] : 0.0f;
        }
      }
    }
  }
  return to;
}

/// A call: the tables and packed weights of all units first, then tasks of some images each, then the merge.
class SeparableGrad {
 public:
  explicit SeparableGrad(const Call& call)
      : call_(call),
        a_(call.attr<SeparableGradAttrs>()),
        images_(call.in[0].shape[0]),
        parts_(std::min(images_, kTasks)) {
    for (int64_t i = 0; i < unit_count(); ++i) scratch_.fit(GradUnit(call_, i, fixed_, partial_, sums_), a_);
  }

  size_t workspace() const {
    const int64_t doubles = parts_ * sums_.floats;
    return sizeof(float) * (header_floats() + fixed_.floats + parts_ * partial_.floats + 2 * doubles +
                            call_.exec->threads * scratch_.floats());
  }

  void run() const {
    auto* const units = call_.exec->scratch<GradUnit>();
    float* const fixed = call_.exec->scratch<float>() + header_floats();
    float* const partials = fixed + fixed_.floats;
    auto* const sums = reinterpret_cast<double*>(partials + parts_ * partial_.floats);
    float* const scratch = reinterpret_cast<float*>(sums + parts_ * sums_.floats);
    prepare(units, fixed);
    parallel_for(*call_.exec, parts_, [&](int64_t part, int thread) {
      ImagePass pass(a_, scratch_, fixed, scratch + thread * scratch_.floats());
      float* const partial = partials + part * partial_.floats;
      double* const own_sums = sums + part * sums_.floats;
      std::fill_n(partial, partial_.floats, 0.0f);
      std::fill_n(own_sums, sums_.floats, 0.0);
      const auto [begin, end] = part_of(images_, parts_, part);
      for (int64_t image = begin; image < end; ++image)
        for (int64_t i = 0, after; i < unit_count(); i = after) {
          after = i + units[i].together;
          const bool turn = after == unit_count();  // to the next image
          const GradUnit* next = turn && image + 1 == end ? nullptr : &units[turn ? 0 : after];
          pass.run(units + i, image, next, image + turn, partial, own_sums);
        }
    });
    if (a_.dw)
      merge_partials(*call_.exec, partials + partial_.floats, parts_ - 1, partial_.floats, partials, Write::kAdd);
    for (int64_t i = 0; i < unit_count(); ++i) finish(units[i], partials, sums);
  }

 private:
  int64_t unit_count() const { return static_cast<int64_t>(a_.units.size()); }
  int64_t header_floats() const { return round_up(unit_count() * static_cast<int64_t>(sizeof(GradUnit)), 64) / 4; }

  void prepare(GradUnit* units, float* fixed) const {
    Pieces pieces, partial, sums;
    for (int64_t i = 0; i < unit_count(); ++i) {
      GradUnit& u = *new (units + i) GradUnit(call_, i, pieces, partial, sums);
      u.t = make_row_transform(call_, u.o.unit->load, u.o.load_at, u.channels, fixed + u.transform_at);
      fold_norm(u, fixed + u.norm_at);
      gemm_pack(u.o.w_pw->as<float>(), 1, u.k, 0, u.k, u.k, u.channels, fixed + u.pointwise_at);
      if (!u.depthwise) continue;
      if (a_.dw) pack_filter(u, u.forward(0), u.forward(1), fixed + u.filter_at);
      if (!a_.dx) continue;
      float* to = fixed + u.reversed_at;
      for (int ph = 0; ph < u.window.stride; ++ph)
        for (int pw = 0; pw < u.window.stride; ++pw)
          to = pack_filter(u, u.transposed(0, ph), u.transposed(1, pw), to);
    }
  }

  /// From lanes to channels. `merged` is the sum of the partials, `sums` are those of each task.
  void finish(const GradUnit& u, const float* merged, const double* sums) const {
    const PixelLayout& layout = u.layout;
    // A channel has several lanes where C divides the vector; in the padded layout it has one.
    const int64_t repeats = layout.flat ? layout.lanes / u.channels : 1;
    const int64_t taps = int64_t{u.window.kernel} * u.window.kernel;
    for (int64_t t = 0; a_.dw && u.depthwise && t < taps; ++t) {
      for (int64_t c = 0; c < u.channels; ++c) {
        const float* from = merged + u.dw_dw_at + (c / layout.lanes * taps + t) * layout.lanes + c % layout.lanes;
        float sum = *from;
        for (int64_t i = 1; i < repeats; ++i) sum += from[i * u.channels];
        u.o.dw_dw->as<float>()[t * u.channels + c] = sum;
      }
    }
    for (int64_t c = 0; a_.dw && c < u.channels; ++c)
      std::copy_n(merged + u.dw_pw_at + c * u.k_pitch, u.k, u.o.dw_pw->as<float>() + c * u.k);
    if (!a_.dx || !a_.sums || !u.last) return;
    for (int64_t c = 0; c < u.channels; ++c) {
      double s1 = 0, s2 = 0;
      for (int64_t part = 0; part < parts_; ++part) {
        const double* own = sums + part * sums_.floats + u.sums_at;
        for (int64_t i = 0; i < repeats; ++i) {
          s1 += own[c + i * u.channels];
          s2 += own[u.row_lanes() + c + i * u.channels];
        }
      }
      u.o.dx_s1->as<float>()[c] = static_cast<float>(s1);
      u.o.dx_s2->as<float>()[c] = static_cast<float>(s2 * call_.in[u.o.load_at + 1].as<float>()[c]);
    }
  }

  const Call& call_;
  const SeparableGradAttrs& a_;
  int64_t images_, parts_;
  Pieces fixed_, partial_, sums_;
  GradScratch scratch_;
};

bool accepts(const Call& call) {
  const auto& a = call.attr<SeparableGradAttrs>();
  return !a.active && all_float32(call) &&
         std::all_of(a.units.begin(), a.units.end(), [](const SeparableGradUnit& u) {
           const Window& w = u.window;
           return w.stride <= ImagePass::kMaxStride &&
                  (u.depthwise ? w.kernel <= Axis::kMaxTaps : w.kernel == 1 && w.pad <= 0);
         });
}
void run(const Call& call) { SeparableGrad(call).run(); }
size_t workspace(const Call& call) { return SeparableGrad(call).workspace(); }

}  // namespace
constinit const Impl kSeparableGradTiles = {"tiles", accepts, run, workspace};
}  // namespace mixop::kernels
