"""jaxtyping's decorator at a third of its time, which was an eighth of what the tests took.

What a function gets and gives is checked once, by beartype, in a context of its own for the names of axes. jaxtyping
checks what it gets twice, and decorates functions within functions anew at each call; mypy alone looks at those.
"""

from __future__ import annotations

import functools
import types
import typing

import beartype
import jaxtyping

_jaxtyped = jaxtyping.jaxtyped
_own_axes = _jaxtyped("context")


def jaxtyped(of=None, *, typechecker=None):
    """In the place of `jaxtyping.jaxtyped`, for the hook of tests/conftest.py."""
    if of is None:
        return functools.partial(jaxtyped, typechecker=typechecker)
    if not isinstance(of, types.FunctionType) or any("{" in str(each) for each in of.__annotations__.values()):
        return _jaxtyped(of, typechecker=typechecker)  # a class, or an axis that is as long as an argument says
    return of if "<locals>" in of.__qualname__ else _checked(of)


def _checked(function):
    function.__annotations__ = {name: _type(each, function) for name, each in function.__annotations__.items()}
    checks = beartype.beartype(function)

    @functools.wraps(function)
    def checked(*args, **kwargs):
        __tracebackhide__ = True
        with _own_axes:
            return checks(*args, **kwargs)

    return checked


def _type(annotation, function):
    """Anything, where it can't be told: a name that is imported for type checkers alone."""
    try:
        holder = types.SimpleNamespace(__annotations__={"it": annotation})
        return typing.get_type_hints(holder, function.__globals__, include_extras=True)["it"]
    except NameError:
        return typing.Any
