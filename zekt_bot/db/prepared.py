"""Statements that never change, made ready once.

SQLAlchemy compiles a statement once too, but then looks it up by what it is made of, and puts a
context, a cursor result and events around each call: about as much again as all else of it. One
event at rest is some fifty statements. So the ones that each event runs are `Prepared`: SQLAlchemy
writes their text, binds and reads their types, and the driver itself runs them (`db/driver.py`).
"""

from __future__ import annotations

import re
from collections import namedtuple
from dataclasses import dataclass
from functools import lru_cache, partial
from operator import itemgetter
from typing import TYPE_CHECKING, Any, TypeAlias

from sqlalchemy.sql.dml import Insert

from zekt_bot.db import driver

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from sqlalchemy import Connection, Delete, Dialect, Update
    from sqlalchemy.sql.selectable import SelectBase
    from sqlalchemy.sql.type_api import TypeEngine

    _Processor = Callable[[Any], Any]
    _Processors = Sequence[tuple[int, _Processor]]  # of the values that need one, by place

_NOTHING: Mapping[str, Any] = {}


@dataclass(slots=True)
class _Form:
    """A statement as one database takes it. `reads` is known when it has run once."""

    text: str
    pick: Callable[[Mapping[str, Any]], Sequence[Any]]
    binds: _Processors
    columns: Sequence[TypeEngine[Any]]
    keys: tuple[str, ...]
    row: Callable[[Sequence[Any]], Any]
    reads: _Processors | None = None

    def values(self, given: Mapping[str, Any]) -> Sequence[Any]:
        """What is given, as the driver takes it, in the order of the parameters."""
        return _through(self.binds, self.pick(given))


class Found:
    """What a statement found: all of it is here."""

    __slots__ = ("_form", "_rows", "rowcount")

    def __init__(self, form: _Form, rows: Sequence[Sequence[Any]], rowcount: int) -> None:
        """`rowcount`: how many rows it changed; -1 where the driver does not say."""
        self._form = form
        self._rows = rows
        self.rowcount = rowcount

    def __iter__(self) -> Iterator[Any]:
        """Each row as a named tuple."""
        return iter(self.all())

    def all(self) -> list[Any]:
        """Every row as a named tuple."""
        return [self._form.row(row) for row in self._rows]

    def tuples(self) -> Sequence[Any]:
        """Every row by the order of its columns alone."""
        return self._rows

    def first(self) -> Any:
        """The first row as a named tuple, or None."""
        return self._form.row(self._rows[0]) if self._rows else None

    def one(self) -> Any:
        """The only row as a named tuple; raises ValueError if there is not exactly one."""
        (row,) = self.all()
        return row

    def mappings(self) -> list[dict[str, Any]]:
        """Every row by the names of its columns."""
        keys = self._form.keys
        return [dict(zip(keys, row, strict=True)) for row in self._rows]

    def scalars(self) -> list[Any]:
        """The first column of every row."""
        return [row[0] for row in self._rows]

    def scalar(self) -> Any:
        """The first column of the first row, or None."""
        return self._rows[0][0] if self._rows else None

    def scalar_one(self) -> Any:
        """The first column of the only row; raises ValueError if there is not exactly one."""
        ((value, *_),) = self._rows
        return value


class Prepared:
    """A statement whose text depends on nothing that is known only when it runs."""

    def __init__(
        self, statement: SelectBase | Insert | Update | Delete, *, sets: bool = False
    ) -> None:
        """Parameters are its `bindparam`s; of an insert without values, columns.

        `sets`: of an update too, those that are named like columns set these.
        """
        self._statement = statement
        self.table = getattr(statement, "table", None)  # that it changes
        self._of_keys = sets or isinstance(statement, Insert)
        self._forms: dict[tuple[str, tuple[str, ...]], _Form] = {}

    def run(self, connection: Connection, given: Mapping[str, Any] = _NOTHING) -> Found:
        """Run it once.

        Raises:
            DBAPIError: as SQLAlchemy's own, without the parameters.
            KeyError: a parameter is missing.
            TypeError: its text is not the same each time.
        """
        form = self.form(connection.dialect, given)
        return _found(connection, form, form.text, form.values(given))

    def run_all(self, connection: Connection, rows: Sequence[Mapping[str, Any]]) -> int:
        """Run it once a row, sent together. All have the first one's keys. Raises as `run`.

        It returns no rows: sqlite3 takes none of such statements with many (Python 3.13).
        """
        if len(rows) == 1:  # asyncpg takes twice as long over a list of one
            return self.run(connection, rows[0]).rowcount
        form = self.form(connection.dialect, rows[0])
        pick, binds = form.pick, form.binds
        values = [_through(binds, pick(row)) for row in rows]
        _begun(connection)
        return driver.send_all(connection, form.text, values)

    def form(self, dialect: Dialect, given: Mapping[str, Any]) -> _Form:
        """The statement as this database takes it, with these parameters."""
        place = dialect.name, tuple(given) if self._of_keys else ()
        found = self._forms.get(place)
        if found is None:
            found = self._forms[place] = self._compiled(dialect, place[1])
        return found

    def _compiled(self, dialect: Dialect, given: tuple[str, ...]) -> _Form:
        compiled = self._statement.compile(dialect=dialect, column_keys=list(given) or None)
        if "POSTCOMPILE" in str(compiled):
            raise TypeError(
                f"An IN is written anew each time: use one_of, or a list of OR ({compiled})."
            )
        named = {name: bind for bind, name in compiled.bind_names.items()}
        fixed = {name: bind.value for name, bind in named.items() if not bind.required}
        for column in compiled.insert_prefetch:
            value: Any = column.default
            fixed[column.key] = value.arg
        names = compiled.positiontup or []
        if unknown := sorted(set(given) - set(names)):
            raise TypeError(f"It has no column or parameter {', '.join(unknown)} ({compiled}).")
        binds = _placed(_kind(named[name].type, dialect).bind_processor(dialect) for name in names)
        columns = list(self._statement.exported_columns)
        keys = tuple(str(each.key) for each in columns)
        kinds = [each.type for each in columns]
        return _Form(str(compiled), _picking(names, fixed), binds, kinds, keys, _named(keys))


Call: TypeAlias = "tuple[Prepared, Sequence[Mapping[str, Any]]]"


def run_together(connection: Connection, calls: Sequence[Call]) -> Found | None:
    """Run statements, each once a row; what the last found, if it had one row.

    On PostgreSQL neighbours of one row each that change different tables are one statement, for the
    sake of round trips. So none of them sees what another changes, and which comes first is not
    said. Source: https://www.postgresql.org/docs/current/queries-with.html#QUERIES-WITH-MODIFYING

    Raises as `Prepared.run`.
    """
    found = None
    for some in _grouped(calls):
        (statement, rows), *_ = some
        if len(rows) == 1:
            found = _as_one(connection, [(each, row) for each, (row,) in some])
        else:
            found = None
            statement.run_all(connection, rows)
    return found


def _grouped(calls: Sequence[Call]) -> Iterator[list[Call]]:
    """Those that may be one statement; of two changes of a row in one, the second would be lost."""
    group: list[Call] = []
    tables: set[Any] = set()
    for statement, rows in calls:
        if group and (len(rows) != 1 or statement.table in tables):
            yield group
            group, tables = [], set()
        if len(rows) == 1:
            group.append((statement, rows))
            tables.add(statement.table)
        else:
            yield [(statement, rows)]
    if group:
        yield group


def _as_one(connection: Connection, calls: Sequence[tuple[Prepared, Mapping[str, Any]]]) -> Found:
    if connection.dialect.name != "postgresql":
        return [statement.run(connection, given) for statement, given in calls][-1]
    forms = [statement.form(connection.dialect, given) for statement, given in calls]
    values = [form.values(given) for form, (_, given) in zip(forms, calls, strict=True)]
    text = _joined(*((form.text, len(own)) for form, own in zip(forms, values, strict=True)))
    return _found(connection, forms[-1], text, [value for own in values for value in own])


@lru_cache(256)
def _joined(*parts: tuple[str, int]) -> str:
    """The last statement, with those before it; each is given with how many parameters it has."""
    texts, before = [], 0
    for text, count in parts:
        texts.append(_PARAMETER.sub(partial(_moved, by=before), text))
        before += count
    *others, last = texts
    named = ", ".join(f"also_{number} AS ({text})" for number, text in enumerate(others))
    return f"WITH {named} {last}" if named else last


_PARAMETER = re.compile(r"\$(\d+)")


def _moved(parameter: re.Match[str], by: int) -> str:
    return f"${int(parameter[1]) + by}"


def _found(connection: Connection, form: _Form, text: str, values: Sequence[Any]) -> Found:
    """What `text` finds, whose answer is that of the form."""
    _begun(connection)
    told = driver.send(connection, text, values, answers=bool(form.keys))
    if form.reads is None:
        form.reads = _reads(form, connection)
    rows = [_through(form.reads, row) for row in told.rows] if form.reads else told.rows
    return Found(form, rows, told.changed)


def _begun(connection: Connection) -> None:
    if not connection.in_transaction():
        connection.begin()


def _named(keys: tuple[str, ...]) -> Callable[[Sequence[Any]], Any]:
    made: Any = namedtuple  # its fields are known only here
    return partial(tuple.__new__, made("Row", keys, rename=True))  # as _make, which is Python


def _picking(
    names: Sequence[str], fixed: Mapping[str, Any]
) -> Callable[[Mapping[str, Any]], Sequence[Any]]:
    """What takes the values of these names from what is given, or fixed."""
    # Of one name itemgetter gives no sequence.
    pick = itemgetter(*names) if len(names) > 1 else lambda given: [given[each] for each in names]
    return (lambda given: pick({**fixed, **given})) if fixed else pick


def _placed(processors: Iterable[_Processor | None]) -> _Processors:
    return [(place, process) for place, process in enumerate(processors) if process]


def _through(processors: _Processors, values: Sequence[Any]) -> Sequence[Any]:
    """The same values, those that need it changed; NULL is None of every type."""
    if not processors:
        return values
    changed = list(values)
    for place, process in processors:
        value = changed[place]
        if value is not None:
            changed[place] = process(value)
    return changed


def _reads(form: _Form, connection: Connection) -> _Processors:
    """How columns' values become ours; the driver says as what it gives them."""
    if not form.keys:
        return []
    given = driver.kinds(connection, form.text, len(form.keys))
    return _placed(
        _kind(kind, connection.dialect).result_processor(connection.dialect, code)
        for kind, code in zip(form.columns, given, strict=True)
    )


def _kind(of: TypeEngine[Any], dialect: Dialect) -> TypeEngine[Any]:
    return of.dialect_impl(dialect)
