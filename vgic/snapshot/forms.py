"""How one value looks as JSON, both ways; a layout is a table of named forms.

Room:    below schema, whose tables are made of these.
Never:   looks at two values together: that is check's.
Holds:   decode(encode(x)) == x; decode accepts nothing that encode could not have written, but for layout, order of
         members, and defaults spelled out.  Where a value stands is worked out only when it is refused.
"""

from collections.abc import Callable
from operator import attrgetter
from typing import TypeAlias, final

Json: TypeAlias = "bool | int | float | str | list[Json] | dict[str, Json] | None"

_SHOWN = 60


class ProblemError(Exception):
    """A value that is refused; the place is completed on the way up."""

    def __init__(self, why: str) -> None:
        """Say why; nothing of the place is known yet."""
        super().__init__(why)
        self.why = why
        self.steps: list[str] = []

    @property
    def where(self) -> str:
        """Return the path, as `vcpus[1].interrupts[27].priority`."""
        return "".join(reversed(self.steps)).removeprefix(".")


def show(value: Json) -> str:
    """Return a value for a message, cut to a bearable length."""
    text = "null" if value is None else str(value).lower() if isinstance(value, bool) else repr(value)
    return text if len(text) <= _SHOWN else text[:_SHOWN] + "..."


class Form:
    """One kind of value; each subclass writes and reads its own."""

    __slots__ = ()

    def encode(self, value: object) -> Json:
        """Return the JSON form."""
        raise NotImplementedError

    def decode(self, value: Json) -> object:
        """Return the value.  Raises ProblemError."""
        raise NotImplementedError


@final
class Flag(Form):
    """true or false."""

    __slots__ = ()

    def encode(self, value: object) -> Json:
        """Return it."""
        return bool(value)

    def decode(self, value: Json) -> object:
        """Return it."""
        if value is True or value is False:
            return value
        raise ProblemError(f"{show(value)} is not true or false")


@final
class Number(Form):
    """A decimal number in a range."""

    __slots__ = ("high", "low")

    def __init__(self, low: int, high: int) -> None:
        """Name the range, both ends included."""
        self.low = low
        self.high = high

    def encode(self, value: object) -> Json:
        """Return it."""
        assert isinstance(value, int)
        return int(value)

    def decode(self, value: Json) -> object:
        """Return it."""
        if type(value) is not int:
            raise ProblemError(f"{show(value)} is not a whole number")
        if not self.low <= value <= self.high:
            raise ProblemError(f"{show(value)} is not in {self.low}..{self.high}")
        return value


@final
class Hex(Form):
    """An address or a register, as a string: "0x8000000"."""

    __slots__ = ("bits",)

    def __init__(self, bits: int) -> None:
        """Name the width."""
        self.bits = bits

    def encode(self, value: object) -> Json:
        """Return the string."""
        assert isinstance(value, int)
        return f"{value:#x}"

    def decode(self, value: Json) -> object:
        """Return the number; leading zeros and capitals were not written by us."""
        if isinstance(value, str) and len(value) <= 2 + self.bits // 4:
            try:
                number = int(value, 16)
            except ValueError:
                number = -1
            if number >= 0 and f"{number:#x}" == value:
                return number
        raise ProblemError(f"{show(value)} is not a hexadecimal number of up to {self.bits} bits, as '0x1f'")


@final
class Text(Form):
    """A string."""

    __slots__ = ()

    def encode(self, value: object) -> Json:
        """Return it."""
        assert isinstance(value, str)
        return value

    def decode(self, value: Json) -> object:
        """Return it."""
        if isinstance(value, str):
            return value
        raise ProblemError(f"{show(value)} is not a string")


@final
class Choice(Form):
    """One of a few words."""

    __slots__ = ("words",)

    def __init__(self, words: tuple[str, ...]) -> None:
        """Name the words."""
        self.words = words

    def encode(self, value: object) -> Json:
        """Return it."""
        assert isinstance(value, str)
        return value

    def decode(self, value: Json) -> object:
        """Return it."""
        if isinstance(value, str) and value in self.words:
            return value
        raise ProblemError(f"{show(value)} is none of {', '.join(map(repr, self.words))}")


@final
class Maybe(Form):
    """A value or null."""

    __slots__ = ("form",)

    def __init__(self, form: Form) -> None:
        """Name the form of what is there."""
        self.form = form

    def encode(self, value: object) -> Json:
        """Return the value's form, or null."""
        return None if value is None else self.form.encode(value)

    def decode(self, value: Json) -> object:
        """Return the value, or None."""
        return None if value is None else self.form.decode(value)


@final
class Many(Form):
    """A list."""

    __slots__ = ("form", "most")

    def __init__(self, form: Form, most: int) -> None:
        """Name the form of each, and how many there can be."""
        self.form = form
        self.most = most

    def encode(self, value: object) -> Json:
        """Return the list."""
        assert isinstance(value, tuple)
        encode = self.form.encode
        return [encode(each) for each in value]

    def decode(self, value: Json) -> object:
        """Return a tuple."""
        if not isinstance(value, list):
            raise ProblemError(f"{show(value)} is not a list")
        if len(value) > self.most:
            raise ProblemError(f"{len(value)} entries: up to {self.most} are possible")
        decode = self.form.decode
        found: list[object] = []
        try:
            for each in value:
                found.append(decode(each))
        except ProblemError as problem:
            problem.steps.append(f"[{len(found)}]")
            raise
        return tuple(found)


@final
class Layout(Form):
    """A record: an object with exactly these members.

    rows   (name, form), each in every record
    extra  (name, form, default), written only when it is not the default
    """

    __slots__ = ("_extra", "_get_extra", "_get_rows", "_make", "_names", "_rows")

    def __init__(
        self,
        make: Callable[..., object],
        rows: tuple[tuple[str, Form], ...],
        extra: tuple[tuple[str, Form, object], ...] = (),
    ) -> None:
        """Build a table; the members' names are the record's fields."""
        self._make = make
        self._rows = rows
        self._extra = extra
        self._names = frozenset(row[0] for row in (*rows, *extra))
        self._get_rows = tuple((name, attrgetter(name), form) for name, form in rows)
        self._get_extra = tuple((name, attrgetter(name), form, default) for name, form, default in extra)

    def encode(self, value: object) -> Json:
        """Return the object."""
        members: dict[str, Json] = {name: form.encode(get(value)) for name, get, form in self._get_rows}
        for name, get, form, default in self._get_extra:
            member = get(value)
            if member != default:
                members[name] = form.encode(member)
        return members

    def decode(self, value: Json) -> object:
        """Return the record."""
        if not isinstance(value, dict):
            raise ProblemError(f"{show(value)} is not an object")
        found: dict[str, object] = {}
        name = ""
        try:
            for name, form in self._rows:
                if name not in value:
                    raise ProblemError("it is missing")
                found[name] = form.decode(value[name])
            if len(found) != len(value):
                for name, form, default in self._extra:
                    found[name] = form.decode(value[name]) if name in value else default
                for name in value:
                    if name not in self._names:
                        raise ProblemError("there is no such member")
            else:
                for name, _, default in self._extra:
                    found[name] = default
        except ProblemError as problem:
            problem.steps.append(f".{name}" if name.isidentifier() else f"[{show(name)}]")
            raise
        return self._make(**found)
