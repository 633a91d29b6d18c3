"""What a pickle may import: the constructors that tensors, arrays and plain containers are written with.

Everything else is reported, however harmless its name: a list of what is bad is never complete. The names are those
that torch's own restricted reader takes (torch/_weights_only_unpickler.py) and what numpy writes for its arrays.
"""

from __future__ import annotations

_TORCH = {
    "Size", "device", "FloatStorage", "DoubleStorage", "HalfStorage", "BFloat16Storage", "LongStorage", "IntStorage",
    "ShortStorage", "CharStorage", "ByteStorage", "BoolStorage", "ComplexFloatStorage", "ComplexDoubleStorage",
    "QInt8Storage", "QInt32Storage", "QUInt8Storage", "Tensor", "float32", "float64", "float16", "bfloat16", "int64",
    "int32", "int16", "int8", "uint8", "uint16", "uint32", "uint64", "bool", "complex64", "complex128", "float8_e4m3fn",
    "float8_e5m2", "float8_e4m3fnuz", "float8_e5m2fnuz", "per_tensor_affine", "per_channel_affine", "qint8", "quint8",
    "qint32", "contiguous_format", "preserve_format", "strided", "sparse_coo", "sparse_csr",
}  # fmt: skip
_TORCH_UTILS = {
    "_rebuild_tensor", "_rebuild_tensor_v2", "_rebuild_tensor_v3", "_rebuild_parameter",
    "_rebuild_parameter_with_state", "_rebuild_sparse_tensor", "_rebuild_qtensor", "_rebuild_meta_tensor_no_storage",
    "_rebuild_device_tensor_from_numpy", "_rebuild_nested_tensor",
}  # fmt: skip
_PLAIN = {"set", "frozenset", "bytearray", "complex", "slice", "range", "int", "float", "bool", "str", "bytes", "list",
          "tuple", "dict"}  # fmt: skip
_ARRAYS = {"_reconstruct", "scalar"}

ALLOWED: frozenset[tuple[str, str]] = frozenset({
    ("collections", "OrderedDict"),
    ("collections", "defaultdict"),
    ("_codecs", "encode"),
    ("copyreg", "_reconstructor"),
    ("copy_reg", "_reconstructor"),
    ("builtins", "object"),
    ("__builtin__", "object"),
    ("torch.storage", "UntypedStorage"),
    ("torch.storage", "TypedStorage"),
    ("torch.nn.parameter", "Parameter"),
    ("torch._tensor", "_rebuild_from_type_v2"),
    ("torch.serialization", "_get_layout"),
    ("numpy", "ndarray"),
    ("numpy", "dtype"),
    ("numpy.core.numeric", "_frombuffer"),
    ("numpy._core.numeric", "_frombuffer"),
    *(("torch", name) for name in _TORCH),
    *(("torch._utils", name) for name in _TORCH_UTILS),
    *((module, name) for module in ("builtins", "__builtin__") for name in _PLAIN),
    *((module, name) for module in ("numpy.core.multiarray", "numpy._core.multiarray") for name in _ARRAYS),
})  # fmt: skip

RUNS_COMMANDS = frozenset({
    "os", "posix", "nt", "subprocess", "pty", "shutil", "sys", "runpy", "importlib", "code", "pdb", "timeit",
    "webbrowser", "socket", "ctypes", "pickle", "_pickle", "marshal", "types", "operator", "functools", "bdb", "pip",
    "asyncio", "multiprocessing", "threading", "signal", "http", "urllib", "requests", "cProfile", "profile", "trace",
    "doctest", "idlelib", "lib2to3", "ensurepip", "pydoc", "venv", "commands", "popen2", "builtins", "__builtin__",
})  # fmt: skip
"""First parts of module names that need no guessing; only for the wording of a finding."""
