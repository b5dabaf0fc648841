"""Writes a trained model as an ONNX graph of plain operators, which tract and onnxruntime answer alike.

Invariant: input `features` FP32 [-1, K]; outputs `probability` FP32 [-1, 1] and `label` INT64 [-1], where the
label is 1 exactly when the probability exceeds the threshold that is part of the graph.
"""

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

OPSET = 13
IR_VERSION = 8


def chain(mean, scale, layers, threshold):
    """Returns the graph of `layers`, pairs of weight [in, out] and bias [out], with Relu between them."""
    constants, nodes = [], []

    def constant(name, values, kind=np.float32):
        constants.append(numpy_helper.from_array(np.ascontiguousarray(values, dtype=kind), name))
        return name

    nodes.append(helper.make_node("Sub", ["features", constant("mean", mean)], ["centred"], "centre"))
    nodes.append(helper.make_node("Div", ["centred", constant("scale", scale)], ["scaled"], "scale_to_one"))
    flow = "scaled"
    for number, (weight, bias) in enumerate(layers, start=1):
        last = number == len(layers)
        inputs = [flow, constant(f"weight_{number}", weight), constant(f"bias_{number}", bias)]
        flow = "logit" if last else f"sum_{number}"
        nodes.append(helper.make_node("Gemm", inputs, [flow], f"layer_{number}"))
        if not last:
            nodes.append(helper.make_node("Relu", [flow], [f"hidden_{number}"], f"relu_{number}"))
            flow = f"hidden_{number}"
    nodes.append(helper.make_node("Sigmoid", [flow], ["probability"], "sigmoid"))
    nodes.append(
        helper.make_node("Greater", ["probability", constant("threshold", [threshold])], ["above"], "decide")
    )
    # Where and not Cast: tract answers a Cast to INT64 with its type for shapes (TDim).
    one, zero = constant("one", [1], np.int64), constant("zero", [0], np.int64)
    nodes.append(helper.make_node("Where", ["above", one, zero], ["above_number"], "to_number"))
    nodes.append(
        helper.make_node("Squeeze", ["above_number", constant("column", [1], np.int64)], ["label"], "to_row")
    )
    graph = helper.make_graph(
        nodes,
        "flights_late",
        [helper.make_tensor_value_info("features", TensorProto.FLOAT, ["batch", len(mean)])],
        [
            helper.make_tensor_value_info("probability", TensorProto.FLOAT, ["batch", 1]),
            helper.make_tensor_value_info("label", TensorProto.INT64, ["batch"]),
        ],
        constants,
    )
    opset = [helper.make_opsetid("", OPSET)]
    model = helper.make_model(
        graph, producer_name="examples/flights", opset_imports=opset, ir_version=IR_VERSION
    )
    onnx.checker.check_model(model, full_check=True)
    return model.SerializeToString(deterministic=True)


def by_numpy(model_bytes, features):
    """Answers as the graph says, in float64, without a runtime: what the runtimes are held against."""
    model = onnx.load_from_string(model_bytes)
    constants = {c.name: numpy_helper.to_array(c).astype(np.float64) for c in model.graph.initializer}
    flow = (features.astype(np.float64) - constants["mean"]) / constants["scale"]
    layers = sum(name.startswith("weight_") for name in constants)
    for number in range(1, layers + 1):
        flow = flow @ constants[f"weight_{number}"] + constants[f"bias_{number}"]
        if number < layers:
            flow = np.maximum(flow, 0.0)
    return 1.0 / (1.0 + np.exp(-flow))
