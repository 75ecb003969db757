"""A function and its arguments as bytes, so that a Python started clean can call it.

A fork of the test's process would be simpler, but no connection, lock or thread of it may cross into a writer. So
functions that can be found by their name go by name; nested functions, lambdas and what decorators hide go as code
with the values that they close over, and the module that their globals are in is imported anew.
"""

import importlib
import importlib.util
import io
import json
import marshal
import pickle
import sys
import types
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from crashlab.errors import UsageError

__all__ = ["pack", "unpack"]

MAIN = "__main__"
_EMPTY = "crashlab: a cell without a value"
_REWRITTEN = "@pytest_ar"
"""The name by which code that pytest has rewritten calls pytest."""


def pack(function: Callable[..., Any], arguments: Mapping[str, Any]) -> bytes:
    """Return a call as bytes.

    Raises:
        UsageError: something in it cannot be sent to another process.
    """
    buffer = io.BytesIO()
    pickler = _Pickler(buffer)
    try:
        pickler.dump((function, dict(arguments)))
    except (pickle.PicklingError, TypeError, AttributeError, ValueError) as error:
        name = getattr(function, "__qualname__", repr(function))
        raise UsageError(
            f"writer {name}: it runs in a process of its own and cannot be sent there ({error}); open connections, "
            "files and locks inside it, and pass it plain values"
        ) from None
    main = getattr(sys.modules[MAIN], "__file__", None) if MAIN in pickler.modules else None
    if MAIN in pickler.modules and main is None:
        raise UsageError("the writer stands in no file; write it to one, so that another process can import it")
    head = {
        "path": [str(Path(entry).absolute()) for entry in sys.path],
        "modules": {name: file for name, file in pickler.modules.items() if name != MAIN},
        "main": None if main is None else str(Path(main).absolute()),
    }
    return json.dumps(head).encode() + b"\n" + buffer.getvalue()


def unpack(path: str) -> tuple[Callable[..., Any], dict[str, Any]]:
    """Read a call back, after importing the modules that it needs."""
    with open(path, "rb") as file:
        head = json.loads(file.readline())
        sys.path[:] = head["path"]
        if head["main"]:
            sys.modules[MAIN] = _load("__crashlab_main__", head["main"])
        for name, origin in head["modules"].items():
            if name not in sys.modules and not _is_found(name, origin):
                _load(name, origin)
        function, arguments = pickle.load(file)
    return function, arguments


class _Pickler(pickle.Pickler):
    def __init__(self, file: io.BytesIO) -> None:
        super().__init__(file, protocol=pickle.HIGHEST_PROTOCOL)
        self.modules: dict[str, str] = {}

    def reducer_override(self, value: Any) -> Any:
        if isinstance(value, types.ModuleType):
            return importlib.import_module, (value.__name__,)
        if isinstance(value, type | types.FunctionType):
            self._note(value.__module__)
        if isinstance(value, types.FunctionType) and not _has_its_name(value):
            return self._code(value)
        return NotImplemented

    def _note(self, name: str) -> None:
        file = getattr(sys.modules.get(name), "__file__", None)
        if file and name != "builtins":
            self.modules.setdefault(name, str(Path(file).absolute()))

    def _code(self, function: types.FunctionType) -> Any:
        cells = function.__closure__ or ()
        made = (
            marshal.dumps(function.__code__),
            function.__module__,
            function.__name__,
            function.__qualname__,
            len(cells),
        )
        values = []
        for name, cell in zip(function.__code__.co_freevars, cells, strict=True):
            values.append(_content(cell))
            self._try(name, function, values[-1])
        state = (values, function.__defaults__, function.__kwdefaults__)
        return _make, made, state, None, None, _fill

    def _try(self, name: str, function: types.FunctionType, value: Any) -> None:
        """Name the variable that cannot be sent, where plain pickle already knows."""
        if isinstance(value, types.FunctionType | types.ModuleType | type | types.MethodType):
            return
        try:
            pickle.dumps(value)
        except (TypeError, pickle.PicklingError) as error:
            if "pickle" in str(error) and "function" not in str(error) and "local" not in str(error):
                raise pickle.PicklingError(f"variable {name!r}: {error}") from None
        except Exception:
            return


def _content(cell: types.CellType) -> Any:
    try:
        return cell.cell_contents
    except ValueError:
        return _EMPTY


def _has_its_name(function: types.FunctionType) -> bool:
    """Whether the module has this very function under its name."""
    found: Any = sys.modules.get(function.__module__)
    for part in function.__qualname__.split("."):
        found = getattr(found, part, None)
    return found is function


def _make(code: bytes, module: str, name: str, qualname: str, cells: int) -> types.FunctionType:
    read = marshal.loads(code)
    space = vars(sys.modules[module] if module in sys.modules else importlib.import_module(module))
    if _is_rewritten(read):
        import builtins

        space.setdefault("@py_builtins", builtins)
        space.setdefault(_REWRITTEN, importlib.import_module("_pytest.assertion.rewrite"))
    function = types.FunctionType(read, space, name, None, tuple(types.CellType() for _ in range(cells)))
    function.__qualname__ = qualname
    return function


def _fill(function: types.FunctionType, state: tuple[list[Any], Any, Any]) -> None:
    values, function.__defaults__, function.__kwdefaults__ = state
    for cell, value in zip(function.__closure__ or (), values, strict=True):
        if value is not _EMPTY and not (isinstance(value, str) and value == _EMPTY):
            cell.cell_contents = value


def _is_rewritten(code: types.CodeType) -> bool:
    inner = (each for each in code.co_consts if isinstance(each, types.CodeType))
    return _REWRITTEN in code.co_names or any(_is_rewritten(each) for each in inner)


def _is_found(name: str, origin: str) -> bool:
    """Whether an import by name leads to the very file."""
    try:
        spec = importlib.util.find_spec(name)
    except (ImportError, ValueError):
        return False
    return spec is not None and spec.origin is not None and Path(spec.origin) == Path(origin)


def _load(name: str, origin: str) -> types.ModuleType:
    """Import a module from its file, under the name that it had."""
    spec = importlib.util.spec_from_file_location(name, origin)
    if spec is None or spec.loader is None:
        raise ImportError(f"{origin} is no Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module
