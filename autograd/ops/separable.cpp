#include "autograd/ops/separable.h"

namespace mixop::autograd {
namespace {
using kernels::OnLoad;
using kernels::SeparableAttrs;
using kernels::SeparableGradAttrs;
using kernels::SeparableGradUnit;
using kernels::SeparableUnit;
using kernels::Window;

void check_vector(const Graph& g, const Node& n, size_t i, int64_t elements) {
  MIXOP_CHECK(g.shape(n.inputs[i]) == Shape{elements}, n.op->name, ": input ", i, " ", g.shape(n.inputs[i]),
              " must have ", elements, " elements, one a channel");
}

/// Output shape of x, its t and the weights that start at input `at`; throws when they do not fit.
Shape check_unit(const Graph& g, const Node& n, size_t at, const Window& w, const OnLoad& load, bool depthwise) {
  const char* op = n.op->name;
  const size_t w_at = at + 1 + static_cast<size_t>(load.inputs());
  const Shape &x = g.shape(n.inputs[at]), &pw = g.shape(n.inputs[w_at + (depthwise ? 1 : 0)]);
  MIXOP_CHECK(x.rank() == 4, op, ": x ", x, " must be [N,H,W,C]");
  for (size_t i = at + 1; i < w_at; ++i) check_vector(g, n, i, x[3]);
  if (depthwise) {
    const Shape& dw = g.shape(n.inputs[w_at]);
    MIXOP_CHECK((dw == Shape{w.kernel, w.kernel, 1, x[3]}), op, ": the depthwise weights ", dw, " must be [",
                w.kernel, ",", w.kernel, ",1,", x[3], "]");
  }
  MIXOP_CHECK(depthwise ? w.pad >= 0 : w.kernel == 1 && w.dilation == 1 && w.pad <= 0, op, ": a window of kernel ",
              w.kernel, ", dilation ", w.dilation, " and padding ", w.pad,
              depthwise ? "" : " without a depthwise half");
  MIXOP_CHECK(pw.rank() == 4 && pw[0] == 1 && pw[1] == 1 && pw[2] == x[3], op, ": the 1x1 weights ", pw,
              " must be [1,1,", x[3], ",K]");
  const Shape z{x[0], w.extent(x[1]), w.extent(x[2]), pw[3]};
  MIXOP_CHECK(z[1] >= 1 && z[2] >= 1, op, ": a window of ", w.span(), " does not fit x ", x);
  return z;
}

/// The number of inputs, and the table of active units where there is one.
template <class Attrs>
void check_inputs(const Graph& g, const Node& n, const Attrs& a) {
  size_t inputs = a.active ? 1 : 0;
  for (const auto& u : a.units) inputs += u.inputs();
  MIXOP_CHECK(!a.units.empty() && n.inputs.size() == inputs, n.op->name, ": its units need ", inputs,
              " inputs, got ", n.inputs.size());
  if (!a.active) return;
  const TensorSpec& table = g.spec(n.inputs.back());
  MIXOP_CHECK(table.dtype == DType::kI32 && table.shape == Shape{static_cast<int64_t>(a.units.size())}, n.op->name,
              ": the table of active units ", table.shape, " must be ", a.units.size(),
              " numbers of int32, one a unit");
}

std::vector<TensorSpec> forward_shape(const Graph& g, const Node& n) {
  const auto& a = n.attr<SeparableAttrs>();
  check_inputs(g, n, a);
  std::vector<TensorSpec> out;
  size_t at = 0;
  for (size_t i = 0; i < a.units.size(); ++i) {
    const SeparableUnit& u = a.units[i];
    MIXOP_CHECK(!u.same_input || (i > 0 && n.inputs[at] == n.inputs[at - a.units[i - 1].inputs()]), n.op->name,
                ": unit ", i, " says that it reads the input of the unit before, and does not");
    const Shape z = check_unit(g, n, at, u.window, u.load, u.depthwise);
    const DType type = g.spec(n.inputs[at]).dtype;
    at += u.inputs();
    if (u.running) {
      check_vector(g, n, at - 2, z[3]);
      check_vector(g, n, at - 1, z[3]);
    }
    out.push_back({z, type});
    if (a.stats) out.insert(out.end(), 3, {Shape{z[3]}, type});
  }
  return out;
}

std::vector<TensorSpec> grad_shape(const Graph& g, const Node& n) {
  const auto& a = n.attr<SeparableGradAttrs>();
  check_inputs(g, n, a);
  std::vector<TensorSpec> out, weights;
  size_t at = 0;
  for (const SeparableGradUnit& u : a.units) {
    const size_t x_at = at + u.x_at();
    const Shape z = check_unit(g, n, x_at, u.window, u.load, u.depthwise);
    for (size_t i = at; i < at + 2; ++i)
      MIXOP_CHECK(g.shape(n.inputs[i]) == z, n.op->name, ": input ", i, " ", g.shape(n.inputs[i]), ", expected ",
                  z);
    for (size_t i = at + 2; i < at + 6 + u.affine; ++i) check_vector(g, n, i, z[3]);
    MIXOP_CHECK(!u.sampled || g.shape(n.inputs[x_at - 1]) == Shape{z[0]}, n.op->name, ": the factors ",
                g.shape(n.inputs[x_at - 1]), " must be one a sample of ", z);
    MIXOP_CHECK(!a.sums || u.load.norm, n.op->name, ": sums are those of a norm, and t has none");
    const TensorSpec& x = g.spec(n.inputs[x_at]);
    if (a.dx && !u.same_input) {
      out.push_back(x);
      if (a.sums) out.insert(out.end(), 2, {Shape{x.shape[3]}, x.dtype});
    }
    at += u.inputs();
    for (size_t i = at - u.weights(); a.dw && i < at; ++i) weights.push_back(g.spec(n.inputs[i]));
  }
  out.insert(out.end(), weights.begin(), weights.end());
  return out;
}

/// Multiply-adds of one pass over the filters of a unit: depthwise and 1x1.
struct Passes {
  double depthwise, pointwise;
};
Passes passes(const Shape& z, const Shape& pw, const Window& w, bool depthwise) {
  const auto pixels = static_cast<double>(z.rows());
  return {depthwise ? pixels * static_cast<double>(pw[2]) * w.kernel * w.kernel : 0,
          pixels * static_cast<double>(pw[2] * pw[3])};
}

double forward_macs(const Graph& g, const Node& n) {
  const auto& a = n.attr<SeparableAttrs>();
  double macs = 0;
  size_t at = 0, out = 0;
  for (const SeparableUnit& u : a.units) {
    const Shape& pw = g.shape(n.inputs[at + static_cast<size_t>(u.load.inputs()) + u.weights()]);
    const Passes p = passes(n.outputs[out].shape, pw, u.window, u.depthwise);
    macs += p.depthwise + p.pointwise;
    at += u.inputs();
    out += a.stats ? 4 : 1;
  }
  return macs;
}
double forward_flops(const Graph& g, const Node& n) {
  const auto& a = n.attr<SeparableAttrs>();
  double flops = 2 * forward_macs(g, n);
  for (size_t out = 0; a.stats && out < n.outputs.size(); out += 4)
    flops += 4 * static_cast<double>(n.outputs[out].shape.elements());
  return flops;
}
double grad_flops(const Graph& g, const Node& n) {
  const auto& a = n.attr<SeparableGradAttrs>();
  double flops = 0;
  size_t at = 0;
  for (const SeparableGradUnit& u : a.units) {
    const Shape &z = g.shape(n.inputs[at]), &pw = g.shape(n.inputs[at + u.inputs() - 1]);
    const Passes p = passes(z, pw, u.window, u.depthwise);
    // dz; dY; dx; y again, dw_dw, dw_pw.
    flops += 5 * static_cast<double>(z.elements()) + 2 * p.pointwise + (a.dx ? 2 * p.depthwise : 0) +
             (a.dw ? 4 * p.depthwise + 2 * p.pointwise : 0);
    at += u.inputs();
  }
  return flops;
}

void describe(std::string& s, const Window& w, const OnLoad& load, bool same_input, bool depthwise) {
  s += kernels::text(same_input ? " +" : " ", depthwise ? "k" : "pointwise k", w.kernel, "s", w.stride, "p", w.pad,
                     "d", w.dilation, load.norm ? "n" : "", load.affine ? "a" : "", load.relu ? "r" : "");
}
std::string forward_detail(const Node& n) {
  const auto& a = n.attr<SeparableAttrs>();
  std::string s = kernels::text(a.stats ? "stats" : "", a.active ? " active" : "");
  for (const SeparableUnit& u : a.units) describe(s, u.window, u.load, u.same_input, u.depthwise);
  return s;
}
std::string grad_detail(const Node& n) {
  const auto& a = n.attr<SeparableGradAttrs>();
  std::string s =
      kernels::text(a.dx ? "dx" : "", a.sums ? " sums" : "", a.dw ? " dw" : "", a.active ? " active" : "");
  for (const SeparableGradUnit& u : a.units) {
    describe(s, u.window, u.load, u.same_input, u.depthwise);
    if (u.sampled) s += "m";
  }
  return s;
}
/// The gradients of the groups' inputs, which come first; their sums do not.
bool accumulates(const Node& n, int output) {
  const auto& a = n.attr<SeparableGradAttrs>();
  const auto per_group = static_cast<int>(a.outputs_of_group());
  int groups = 0;
  for (const SeparableGradUnit& u : a.units) groups += u.same_input ? 0 : 1;
  return per_group > 0 && output < groups * per_group && output % per_group == 0;
}
/// x and z of every unit; dy, z and x of every unit and dx of every group.
bool forward_bf16(const Graph&, const Node& n, bool output, int index) {
  const auto& a = n.attr<SeparableAttrs>();
  if (output) return !a.stats || index % 4 == 0;
  int at = 0;
  for (const SeparableUnit& u : a.units) {
    if (index == at) return true;
    at += static_cast<int>(u.inputs());
  }
  return false;
}
bool grad_bf16(const Graph&, const Node& n, bool output, int index) {
  if (output) return accumulates(n, index);
  int at = 0;
  for (const SeparableGradUnit& u : n.attr<SeparableGradAttrs>().units) {
    if (index == at || index == at + 1 || index == at + static_cast<int>(u.x_at())) return true;
    at += static_cast<int>(u.inputs());
  }
  return false;
}
}  // namespace

const OpDef kSeparable{.name = "separable",
                       .shape = forward_shape,
                       .grad = nullptr,
                       .cpu = kernels::separable_cpu,
                       .cuda = kernels::separable_cuda,
                       .detail = forward_detail,
                       .flops = forward_flops,
                       .macs = forward_macs,
                       .bf16 = forward_bf16};
const OpDef kSeparableGrad{.name = "separable_grad",
                           .shape = grad_shape,
                           .grad = nullptr,
                           .cpu = kernels::separable_grad_cpu,
                           .cuda = kernels::separable_grad_cuda,
                           .detail = grad_detail,
                           .flops = grad_flops,
                           .accumulates = accumulates,
                           .bf16 = grad_bf16};

}  // namespace mixop::autograd
