"""The attacks of test_injection.py against the real demo model in vLLM."""

import json

import pytest

from tests.serve.generation.test_engine import result_of, run

SESSION = """
import asyncio, json
from dataclasses import replace
from serve.generation.engine import GenerationEngine
from serve.generation.generator import Generator
from serve.generation.grounding import check
from serve.generation.prompt import build_prompt, facts_of
from serve.generation.settings import EngineConfig
from serve.generation.untrusted import has_label
from tests.serve.generation.injections import SECRET
from tests.serve.generation.test_injection import FIELDS, LAMP, _quoted, tasks

async def session():
    engine = GenerationEngine(EngineConfig())
    await engine.start()
    generator = Generator(engine)
    seen = {}
    calm = replace(FIELDS["interest"]("jazz"), item=LAMP)
    victim = replace(calm, interests=((SECRET, 1.0),))
    [undisturbed, secret] = await generator.write([calm, victim], deadline_s=60)
    seen["secret"] = SECRET in secret.text
    for field in FIELDS:
        every = list(tasks(field))
        texts = await generator.write(every, deadline_s=600)
        wrong = []
        for task, text in zip(every, texts):
            rest = text.text.replace(_quoted(task), "")
            lines = build_prompt(task).splitlines()
            leaks = has_label(rest) or SECRET in rest or any(line in rest for line in lines)
            if leaks or not check(text.text, task).ok:
                wrong.append(text.text)
        seen[field] = {"texts": len(texts), "wrong": wrong, "model": sum(text.source == "model" for text in texts)}
    readers = [replace(calm, interests=((f"hobby {chr(97 + n)}x", 1.0),)) for n in range(26)]
    mixed = await generator.write(readers * 4, deadline_s=60)
    named = [[f"hobby {chr(97 + other)}x" in text.text for other in range(26)] for text in mixed]
    seen["own"] = sum(row[n % 26] for n, row in enumerate(named))
    seen["others"] = sum(map(sum, named)) - seen["own"]
    [again] = await generator.write([calm], deadline_s=60)
    seen["as before"] = again.text == undisturbed.text
    seen["counts"] = dict(generator.counts)
    engine.shutdown()
    print("RESULT " + json.dumps(seen), flush=True)

asyncio.run(session())
"""


@pytest.mark.slow
@pytest.mark.cluster
@pytest.mark.timeout(900)
def test_no_attack_makes_the_demo_model_show_anything_but_a_true_text() -> None:
    with run(SESSION) as owner:
        seen = json.loads(result_of(owner))
    print(seen)
    for field in ("title", "domain", "category", "tags", "interest", "interests"):
        assert seen[field]["texts"] > 400
        assert seen[field]["wrong"] == []
    assert seen["secret"], "the control: its own user is told"
    assert seen["as before"]
    assert (seen["own"], seen["others"]) == (104, 0), "readers written for at once see nothing of each other"
    assert seen["domain"]["model"] > 100
    assert seen["counts"]["template:control"] > 0
