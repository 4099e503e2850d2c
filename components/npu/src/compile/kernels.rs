//! Which kernels of the vector DSPs do what an operator asks for.

use workloads::tensor::OperatorKind;

use crate::tiled::ShaveTables;
use crate::tiled::cost::shave::kernels;

/// What the cost model takes a kernel for that it has no measurement of.
const UNLISTED: &str = "default";

/// Passes over the elements of an operator, each by a kernel that the machine has a cost for.
pub fn passes(kind: &OperatorKind, tables: ShaveTables) -> Vec<&'static str> {
    let function = match kind {
        OperatorKind::Eltwise(eltwise) => eltwise.function.as_str(),
        OperatorKind::Reduction(reduction) => reduction.function.as_str(),
        _ => UNLISTED,
    };
    let known = kernels(tables);
    passes_of(function).iter().map(|kernel| if known.contains(kernel) { kernel } else { UNLISTED }).collect()
}

/// A normalisation is a pass for each of its sums and one that applies them; a power is taken by logarithm and exponent.
/// A pass that sums is taken for one that multiplies: the measured kernels `add` and `power` of NPU 4 work on scalars.
fn passes_of(function: &str) -> &'static [&'static str] {
    match function {
        "clip" => &["clamp"],
        "leakyrelu" | "prelu" | "thresholdedrelu" => &["prelu"],
        "hardsigmoid" => &["hardsigmoid"],
        "hardswish" => &["hswish"],
        "celu" | "elu" => &["elu"],
        "neg" => &["negative"],
        "ceil" => &["ceiling"],
        "not" => &["logicalnot"],
        "and" => &["logicaland"],
        "or" => &["logicalor"],
        "xor" => &["logicalxor"],
        "lessorequal" => &["lesseq"],
        "greaterorequal" => &["greatereq"],
        "where" => &["select"],
        "mod" => &["floormod"],
        "pow" => &["log", "mul", "exp"],
        "quantize" | "dequantize" | "dynamicquantize" => &["fakequantize"],
        "batchnorm" => &["mul", "mul"],
        // A product with cosines, one with sines, and their sum.
        "rotary" => &["mul", "mul", "mul"],
        "softmax" => &["softmax"],
        "layernorm" | "instancenorm" | "groupnorm" | "meanvariancenorm" => &["mul", "mul", "mul"],
        "rmsnorm" | "lpnorm" => &["mul", "mul"],
        "lrn" => &["mul", "mul", "log", "mul", "exp"],
        "reducemean" | "reducesum" | "reducel1" | "mean" | "reducel2" | "reducesumsquare" | "reduceprod" => &["mul"],
        "reducemax" | "reducemin" | "argmax" | "argmin" => &["max"],
        "relu" => &["relu"],
        "sigmoid" => &["sigmoid"],
        "swish" => &["swish"],
        "mish" => &["mish"],
        "gelu" => &["gelu"],
        "tanh" => &["tanh"],
        "erf" => &["erf"],
        "exp" => &["exp"],
        "log" => &["log"],
        "sqrt" => &["sqrt"],
        "sin" => &["sin"],
        "cos" => &["cos"],
        "selu" => &["selu"],
        "softplus" => &["softplus"],
        "abs" => &["abs"],
        "sign" => &["sign"],
        "floor" => &["floor"],
        "round" => &["round"],
        "add" => &["add"],
        "sub" => &["sub"],
        "mul" => &["mul"],
        "div" => &["div"],
        "min" => &["min"],
        "max" => &["max"],
        "equal" => &["equal"],
        "less" => &["less"],
        "greater" => &["greater"],
        "cumsum" => &["cumsum"],
        _ => &[UNLISTED],
    }
}
