"""The generator, with an engine that does as it is told."""

import asyncio
from collections.abc import AsyncGenerator, Callable

import pytest

from interest.errors import EngineDead, InvalidRequest
from serve.generation.completion import Adapter, Completion, FinishReason, Piece, Prompt, Sampling
from serve.generation.constraint import title_pattern
from serve.generation.generator import GeneratedText, Generator
from serve.generation.grounding import Reason, check
from serve.generation.prompt import GenerationTask, ItemFacts, build_prompt
from serve.generation.templates import template_text


class ScriptedEngine:
    """Answers by a function of the prompt; holds a request whose answer is None until it is cancelled."""

    def __init__(self, answer: Callable[[str], Completion | Exception | None], own_layout: bool = True) -> None:
        self.own_layout = own_layout
        self.answer = answer
        self.running: set[str] = set()
        self.seen: list[str] = []
        self.patterns: list[str] = []
        self.most_at_once = 0
        self.two_running = asyncio.Event()

    def prompt(self, task: GenerationTask) -> str:
        return build_prompt(task)

    async def stream(
        self, prompt: Prompt, request_id: str, sampling: Sampling, cache_salt: str = "", adapter: Adapter | None = None
    ) -> AsyncGenerator[Piece, None]:
        """The answer of `generate`, six characters at a time."""
        answer = await self.generate(prompt, request_id, sampling.max_tokens or 0, regex=sampling.regex)
        self.running.add(request_id)
        try:
            for start in range(0, len(answer.text), 6):
                yield Piece(answer.text[start : start + 6], 40, 1, None)
                await asyncio.sleep(0)
            reason: FinishReason = "stop" if answer.finished else "length"
            yield Piece("", answer.prompt_tokens, answer.completion_tokens, reason)
        finally:
            self.running.discard(request_id)

    async def generate(
        self,
        prompt: Prompt,
        request_id: str,
        max_tokens: int,
        cache_salt: str = "",
        adapter: Adapter | None = None,
        regex: str = "",
    ) -> Completion:
        self.running.add(request_id)
        self.seen.append(request_id)
        self.patterns.append(regex)
        self.most_at_once = max(self.most_at_once, len(self.running))
        if len(self.running) == 2:
            self.two_running.set()
        try:
            await asyncio.sleep(0)
            answer = self.answer(str(prompt))
            if isinstance(answer, Exception):
                raise answer
            if answer is None:
                await asyncio.Event().wait()
                raise AssertionError
            return answer
        finally:
            self.running.discard(request_id)


def task(title: str) -> GenerationTask:
    return GenerationTask(item=ItemFacts(title=title, domain="news"))


def says(text: str, finished: bool = True) -> Completion:
    return Completion(text, 40, 9, finished)


def good(prompt: str) -> Completion:
    title = prompt.split('"')[1]
    return says(f'We think "{title}" is worth a closer look.')


async def test_a_true_text_of_the_model_is_taken() -> None:
    generator = Generator(ScriptedEngine(good))
    (text,) = await generator.write([task("Harbour News")])
    expected = 'We think "Harbour News" is worth a closer look.'
    assert text == GeneratedText(expected, "model", None, 40, 9)
    assert generator.counts == {"model": 1}


async def test_spaces_around_and_doubled_inside_a_text_are_put_right() -> None:
    engine = ScriptedEngine(lambda prompt: says(' We  think "Harbour News" is worth a  closer look. '))
    (text,) = await Generator(engine).write([task("Harbour News")])
    assert text is not None
    assert text.text == 'We think "Harbour News" is worth a closer look.'
    assert text.source == "model"


async def test_all_requests_run_at_once_under_ids_of_their_own() -> None:
    engine = ScriptedEngine(good)
    texts = await Generator(engine).write([task(f"Item {letter}") for letter in "abcdefgh"])
    assert engine.most_at_once == 8
    assert len(set(engine.seen)) == 8
    assert [text.text for text in texts if text] == [good(f'"Item {letter}"').text for letter in "abcdefgh"]


async def test_a_false_text_is_replaced_by_the_template_and_counted_by_reason() -> None:
    seen: list[tuple[GenerationTask, GeneratedText]] = []
    engine = ScriptedEngine(lambda prompt: says("Buy 7 of them."))
    generator = Generator(engine, observe=lambda task, text: seen.append((task, text)))
    wanted = task("Harbour News")
    (text,) = await generator.write([wanted])
    assert text is not None
    assert (text.source, text.reason) == ("template", Reason.TITLE)
    assert text.text == template_text(wanted)
    assert check(text.text, wanted).ok
    assert generator.counts == {"template": 1, "template:title": 1}
    assert seen == [(wanted, text)]


async def test_a_text_cut_at_max_tokens_is_unfinished_even_if_it_looks_whole() -> None:
    engine = ScriptedEngine(lambda prompt: says(good(prompt).text, finished=False))
    (text,) = await Generator(engine).write([task("Harbour News")])
    assert text is not None
    assert text.reason is Reason.UNFINISHED


async def test_a_prompt_that_does_not_fit_gets_the_template() -> None:
    engine = ScriptedEngine(lambda prompt: InvalidRequest("too long") if "Long" in prompt else good(prompt))
    long, short = await Generator(engine).write([task("Long News"), task("News")])
    assert long is not None
    assert long.reason is Reason.TOO_LONG
    assert short is not None
    assert short.source == "model"


async def test_at_the_deadline_the_finished_texts_are_given_and_the_others_dropped() -> None:
    engine = ScriptedEngine(lambda prompt: None if "Slow" in prompt else good(prompt))
    generator = Generator(engine)
    slow, quick = await generator.write([task("Slow News"), task("News")], deadline_s=0.05)
    assert slow is None
    assert quick is not None
    assert engine.running == set()
    assert generator.counts == {"model": 1, "unfinished": 1}


async def test_a_dead_engine_is_an_error_and_leaves_no_request_behind() -> None:
    engine = ScriptedEngine(lambda prompt: EngineDead("gone") if "Bad" in prompt else None)
    with pytest.raises(EngineDead):
        await Generator(engine).write([task("News"), task("Bad News")])
    assert engine.running == set()


async def test_a_caller_who_leaves_takes_every_request_along() -> None:
    engine = ScriptedEngine(lambda prompt: None)
    call = asyncio.ensure_future(Generator(engine).write([task("a"), task("b")]))
    await engine.two_running.wait()
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    assert engine.running == set()


async def test_a_free_model_is_held_to_the_facts_but_not_to_our_grammar() -> None:
    engine = ScriptedEngine(lambda prompt: says('Nobody who loves harbours can resist "News".'), own_layout=False)
    (text,) = await Generator(engine).write([task("News")])
    assert text is not None
    assert text.source == "model"
    (text,) = await Generator(engine, known_facets=frozenset({"harbours"})).write([task("News")])
    assert text is not None
    assert text.reason is Reason.FACET


async def test_no_tasks_make_no_texts() -> None:
    assert await Generator(ScriptedEngine(good)).write([]) == []


async def streamed(
    generator: Generator, tasks: list[GenerationTask], deadline_s: float = 10.0
) -> list[tuple[str, GeneratedText | None]]:
    """For each task the words that came before its text, and the text."""
    said: list[tuple[str, GeneratedText | None]] = [("", None)] * len(tasks)
    async for parts in generator.stream(tasks, deadline_s=deadline_s):
        assert not any(part.delta and part.text for _, part in parts), "an event tells the one or the other"
        for place, part in parts:
            assert said[place][1] is None, "nothing comes after the text"
            said[place] = (said[place][0] + part.delta, part.text)
    return said


async def test_a_streamed_text_is_the_unstreamed_one_and_its_deltas_are_the_models_words() -> None:
    spaced = ScriptedEngine(lambda prompt: says(f"  {good(prompt).text.replace(' is ', '  is  ')} "))
    for engine in (ScriptedEngine(good), spaced):
        generator = Generator(engine)
        tasks = [task("Harbour News"), task("Other News")]
        whole = await generator.write(tasks)
        said = await streamed(generator, tasks)
        assert [text for _, text in said] == whole
        assert [words for words, _ in said] == [text.text for text in whole if text]
        assert generator.counts == {"model": 4}


async def test_what_fails_the_check_was_said_in_deltas_and_ends_as_a_template() -> None:
    engine = ScriptedEngine(lambda prompt: says("Buy 7 of them.") if "Bad" in prompt else good(prompt))
    generator = Generator(engine)
    (words, text), (_, other) = await streamed(generator, [task("Bad News"), task("News")])
    assert words == "Buy 7 of them."
    assert text is not None
    assert (text.source, text.reason, text.text) == ("template", Reason.TITLE, template_text(task("Bad News")))
    assert other is not None
    assert other.source == "model"
    assert generator.counts == {"template": 1, "template:title": 1, "model": 1}


async def test_streamed_prompts_that_do_not_fit_and_cut_texts_end_as_templates() -> None:
    engine = ScriptedEngine(lambda prompt: InvalidRequest("too long") if "Long" in prompt else says("Cut", False))
    said = await streamed(Generator(engine), [task("Long News"), task("News")])
    reasons = [(words, text.reason) for words, text in said if text]
    assert reasons == [("", Reason.TOO_LONG), ("Cut", Reason.UNFINISHED)]


async def test_a_stream_gives_at_the_deadline_what_is_finished_and_drops_the_rest() -> None:
    engine = ScriptedEngine(lambda prompt: None if "Slow" in prompt else good(prompt))
    generator = Generator(engine)
    slow, quick = await streamed(generator, [task("Slow News"), task("News")], deadline_s=0.05)
    assert slow == ("", None)
    assert quick[1] is not None
    assert quick[1].source == "model"
    assert engine.running == set()
    assert generator.counts == {"model": 1, "unfinished": 1}


async def test_who_stops_listening_takes_every_request_along() -> None:
    engine = ScriptedEngine(lambda prompt: None if "Slow" in prompt else good(prompt))
    parts = Generator(engine).stream([task("Slow News"), task("News")])
    await anext(parts)
    assert engine.running
    await parts.aclose()
    assert engine.running == set()


async def test_only_where_it_is_asked_for_the_engine_is_held_to_the_title() -> None:
    for constrain in (False, True):
        engine = ScriptedEngine(good)
        generator = Generator(engine, constrain_title=constrain)
        await generator.write([task("Harbour News")])
        await streamed(generator, [task("Harbour News")])
        assert engine.patterns == [title_pattern(task("Harbour News")) if constrain else ""] * 2
