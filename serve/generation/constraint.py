"""What an answer must match while it is written, so that its title cannot go wrong."""

import re

from serve.generation.prompt import QUOTES, GenerationTask, facts_of

_MEANING = re.compile(r"[\\.^$*+?{}\[\]()|]")  # `re.escape` escapes spaces too, which xgrammar does not know


def title_pattern(task: GenerationTask) -> str:
    """A regular expression for anything on one line, the quoted title once, anything.

    Without bounded repeats, which take a grammar compiler longer than the text takes to be written.
    """
    opening, closing = QUOTES[task.language]
    other = f"[^{opening}{closing}\\n]*"
    return f"{other}{opening}{_MEANING.sub(_escaped, facts_of(task).title)}{closing}{other}"


def _escaped(mark: re.Match[str]) -> str:
    return f"\\{mark.group()}"
