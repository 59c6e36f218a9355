# SPDX-License-Identifier: Apache-2.0
"""Writes small.safetensors with the format's own library (safetensors
0.8.0): every type that nnr reads, a scalar, a tensor without values, names
and a text that JSON has to escape.  test_safetensors.c makes the same bytes
from the same values and reads these.

    python golden_safetensors.py        # in a venv with safetensors
"""
import ctypes
import struct
from pathlib import Path

from safetensors import TensorSpec, serialize

# IEEE half and bfloat16 of 1, -2, 0.5, 65504 (the largest half), and the
# smallest subnormal half; bfloat16 has 65504 as 65536.
HALF = [0x3C00, 0xC000, 0x3800, 0x7BFF, 0x0001]
BRAIN = [0x3F80, 0xC000, 0x3F00, 0x4780, 0x3380]

TENSORS = {
    "b": ("float32", [2, 3], struct.pack("<6f", 0.5, -1, 2, -3.25, 1e-30, 7)),
    "a": ("float32", [], struct.pack("<f", 42)),
    "half": ("float16", [5], struct.pack("<5H", *HALF)),
    "brain": ("bfloat16", [5, 1], struct.pack("<5H", *BRAIN)),
    "long": ("int64", [2], struct.pack("<2q", -1, 1 << 40)),
    "int": ("int32", [1, 2], struct.pack("<2i", -7, 7)),
    "byte": ("uint8", [3], bytes([0, 127, 255])),
    "none": ("float32", [0, 4], b""),
    "na\"me\\\n\u00e9": ("float32", [1], struct.pack("<f", -1)),
}
TEXT = {"te\"xt": "a \"quoted\" line\n\\\ttab \u0001 \u00e9 \U0001F600"}

if __name__ == "__main__":
    kept = {name: ctypes.create_string_buffer(data, max(len(data), 1))
            for name, (_, _, data) in TENSORS.items()}
    specs = {name: TensorSpec(dtype=dtype, shape=shape,
                              data_ptr=ctypes.addressof(kept[name]),
                              data_len=len(data))
             for name, (dtype, shape, data) in TENSORS.items()}
    path = Path(__file__).with_name("small.safetensors")
    path.write_bytes(serialize(specs, TEXT))
