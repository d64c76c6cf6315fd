"""Text of a filter expression -> nodes, or an error that names the fault and its place."""

import re
from dataclasses import dataclass
from datetime import UTC, datetime

from interest.errors import InvalidRequest
from ranking.filter_nodes import ATTRIBUTE, LISTS, NUMBERS, TEXTS, Join, Node, Not, Numbers, Texts

Literal = str | float

MAX_CHARACTERS = 2_000
MAX_DEPTH = 32

FLIPPED = {"<": ">", "<=": ">=", ">": "<", ">=": "<=", "==": "==", "!=": "!="}
TOKEN = re.compile(
    r"""\s*(?:
        (?P<number>-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?(?![\w.]))
      | (?P<text>"[^"\\]*(?:\\["\\'][^"\\]*)*"|'[^'\\]*(?:\\["\\'][^'\\]*)*')
      | (?P<name>[^\W\d]\w*(?:\.\w+)?)
      | (?P<sign>==|!=|<=|>=|<|>|\(|\)|\[|\]|,)
    )""",
    re.VERBOSE,
)
WORDS = frozenset({"and", "or", "not", "in"})


def parse(expression: str) -> Node:
    """The node that stands for the whole expression. Raises `InvalidRequest`."""
    if len(expression) > MAX_CHARACTERS:
        raise InvalidRequest(f"filter of {len(expression)} characters: must be at most {MAX_CHARACTERS}", "filter")
    return _Parser(expression).parse()


@dataclass(frozen=True, slots=True)
class _Token:
    kind: str  # number, text, name, sign, word or end
    value: str
    position: int


@dataclass(frozen=True, slots=True)
class _Operand:
    """A field, or one literal, or a list of literals; exactly one of the two is set."""

    position: int
    field: str = ""
    values: tuple[Literal, ...] = ()
    is_list: bool = False


class _Parser:
    """Recursive descent: one method per rule, each starts at `self._next` and leaves it behind what it read."""

    def __init__(self, expression: str) -> None:
        self._tokens = _tokens(expression)
        self._next = 0
        self._depth = 0

    def parse(self) -> Node:
        node = self._either()
        self._expect("end", "", "the end, and, or")
        return node

    def _either(self) -> Node:
        parts = [self._all()]
        while self._took("word", "or"):
            parts.append(self._all())
        return parts[0] if len(parts) == 1 else Join(False, tuple(parts))

    def _all(self) -> Node:
        parts = [self._term()]
        while self._took("word", "and"):
            parts.append(self._term())
        return parts[0] if len(parts) == 1 else Join(True, tuple(parts))

    def _term(self) -> Node:
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise _fault(f"nested deeper than {MAX_DEPTH}", self._tokens[self._next].position)
        if self._took("word", "not"):
            node: Node = Not(self._term())
        elif self._took("sign", "("):
            node = self._either()
            self._expect("sign", ")", ")")
        else:
            node = self._comparison()
        self._depth -= 1
        return node

    def _comparison(self) -> Node:
        left = self._operand()
        token = self._tokens[self._next]
        negated = self._took("word", "not")
        if self._took("word", "in"):
            return _membership(left, self._operand(), negated)
        if negated or token.value not in FLIPPED:
            raise _fault(f"expected a comparison, found {_shown(token)}", token.position)
        self._next += 1
        right = self._operand()
        if bool(left.field) == bool(right.field) or left.is_list or right.is_list:
            raise _fault("a comparison needs one field and one value", token.position)
        if left.field:
            return _compared(left, token.value, right)
        return _compared(right, FLIPPED[token.value], left)

    def _operand(self) -> _Operand:
        token = self._tokens[self._next]
        self._next += 1
        if token.kind == "name":
            return _Operand(token.position, field=_known_field(token))
        if token.kind in ("number", "text"):
            return _Operand(token.position, values=(_literal(token),))
        if (token.kind, token.value) != ("sign", "["):
            raise _fault(f"expected a field or a value, found {_shown(token)}", token.position)
        values: list[Literal] = []
        while not self._took("sign", "]"):
            if values:
                self._expect("sign", ",", "a comma or ]")
            literal = self._tokens[self._next]
            if literal.kind not in ("number", "text"):
                raise _fault(f"expected a value, found {_shown(literal)}", literal.position)
            values.append(_literal(literal))
            self._next += 1
        return _Operand(token.position, values=tuple(values), is_list=True)

    def _took(self, kind: str, value: str) -> bool:
        token = self._tokens[self._next]
        if (token.kind, token.value) != (kind, value):
            return False
        self._next += 1
        return True

    def _expect(self, kind: str, value: str, wanted: str) -> None:
        token = self._tokens[self._next]
        if not self._took(kind, value):
            raise _fault(f"expected {wanted}, found {_shown(token)}", token.position)


def _membership(left: _Operand, right: _Operand, negated: bool) -> Node:
    """`field in [values]`, or `"value" in field`."""
    if left.field and right.is_list:
        if not right.values:
            raise _fault("the list is empty", right.position)
        node = _equal_to_any(left, right.values, right.position)
    elif right.field and len(left.values) == 1 and not left.is_list:
        if right.field in NUMBERS or not isinstance(left.values[0], str):
            raise _fault(f"{right.field} holds no text to look into", right.position)
        value = left.values[0]
        folded = value if right.field == "item_id" else value.casefold()
        node = Texts(right.field, False, frozenset({folded}), inside=right.field not in LISTS)
    else:
        raise _fault("`in` needs a field and a list, or a text and a field", right.position)
    return Not(node) if negated else node


def _compared(field: _Operand, sign: str, value: _Operand) -> Node:
    literal = value.values[0]
    if field.field in NUMBERS or (isinstance(literal, float) and field.field.startswith(ATTRIBUTE)):
        return Numbers(field.field, sign, (_as_number(field.field, literal, value.position),))
    if sign not in ("==", "!="):
        raise _fault(f"{field.field} is text: {sign} needs a number", field.position)
    node = _equal_to_any(field, (literal,), value.position)
    return Texts(node.field, True, node.values) if sign == "!=" and isinstance(node, Texts) else node


def _equal_to_any(field: _Operand, values: tuple[Literal, ...], position: int) -> Numbers | Texts:
    numeric = all(isinstance(value, float) for value in values)
    if field.field in NUMBERS or (numeric and field.field.startswith(ATTRIBUTE)):
        return Numbers(field.field, "==", tuple(_as_number(field.field, value, position) for value in values))
    texts = [value for value in values if isinstance(value, str)]
    if len(texts) < len(values):
        raise _fault(f"{field.field} is text: values need quotes", position)
    folded = texts if field.field == "item_id" else [text.casefold() for text in texts]
    return Texts(field.field, False, frozenset(folded))


def _as_number(field: str, literal: Literal, position: int) -> float:
    if isinstance(literal, float):
        return literal
    if field != "created_at":
        raise _fault(f"{field} is a number, not {literal!r}", position)
    try:
        instant = datetime.fromisoformat(literal)
    except ValueError as error:
        raise _fault(f"{literal!r} is not an ISO date", position) from error
    return (instant if instant.tzinfo else instant.replace(tzinfo=UTC)).timestamp()


def _tokens(expression: str) -> list[_Token]:
    tokens: list[_Token] = []
    place = 0
    while place < len(expression.rstrip()):
        match = TOKEN.match(expression, place)
        if match is None or match.lastgroup is None:
            start = place + len(expression[place:]) - len(expression[place:].lstrip())
            raise _fault(f"cannot read {expression[start : start + 12]!r}", start)
        value = match[match.lastgroup]
        kind = "word" if match.lastgroup == "name" and value in WORDS else match.lastgroup
        tokens.append(_Token(kind, value, match.start(match.lastgroup)))
        place = match.end()
    return [*tokens, _Token("end", "", len(expression))]


def _literal(token: _Token) -> Literal:
    return float(token.value) if token.kind == "number" else re.sub(r"\\(.)", r"\1", token.value[1:-1])


def _known_field(token: _Token) -> str:
    field = token.value
    if field in NUMBERS or field in TEXTS or field in LISTS or (field.startswith(ATTRIBUTE) and field != ATTRIBUTE):
        return field
    known = ", ".join((*TEXTS, *LISTS, *NUMBERS))
    raise _fault(f"unknown field {field!r}: must be one of {known}, attributes.<name>", token.position)


def _shown(token: _Token) -> str:
    return "the end" if token.kind == "end" else repr(token.value)


def _fault(message: str, position: int) -> InvalidRequest:
    return InvalidRequest(f"filter, character {position + 1}: {message}", "filter")
