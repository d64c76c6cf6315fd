"""The same requests to real Triton and to Attune: same status, same form of an error, same payload, or a reason.

make test-peers
"""

from collections import Counter
from collections.abc import Sequence

import pytest
import pytest_asyncio

from benchmarks.peers.environments import ROOT, TRITON, installed
from tests.peers.answers import Answer, asked, called
from tests.peers.cases import Case, valid_cases
from tests.peers.differences import ALL, DIFFERENCES, Difference
from tests.peers.grpc_cases import GrpcCase, grpc_cases
from tests.peers.models import attune_api
from tests.peers.servers import LivingTriton, attune_channel, attune_client
from tests.peers.wrong_cases import wrong_cases

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(600),
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.skipif(not installed(TRITON), reason=f"no real Triton in {ROOT}: `make test-peers` installs it"),
]
HTTP_CASES = (*valid_cases(), *wrong_cases())
CASES: Sequence[Case | GrpcCase] = (*HTTP_CASES, *grpc_cases())
Answers = dict[tuple[str, str], tuple[Answer, Answer]]  # by kind and name: Triton's and Attune's


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def answers() -> Answers:
    found: Answers = {}
    api = attune_api()
    async with attune_client(api) as client, attune_channel(api) as channel:
        with LivingTriton((ROOT / TRITON.name).resolve()) as triton:
            for case in CASES:
                if isinstance(case, GrpcCase):
                    both = await triton.called(case), await called(channel, case)
                else:
                    both = await triton.asked(case), await asked(client, case)
                found[case.kind, case.name] = both
    return found


async def test_there_are_hundreds_of_cases_each_with_a_name_of_its_own() -> None:
    assert max(Counter((case.kind, case.name) for case in CASES).values()) == 1
    assert len(HTTP_CASES) >= 500
    assert len(grpc_cases()) >= 100


async def test_answers_differ_only_where_a_difference_is_listed(answers: Answers) -> None:
    listed = {key for difference in DIFFERENCES for key in _keys(difference)}
    unlisted = {key: both for key, both in answers.items() if key not in listed and not both[0].same_as(both[1])}
    assert not unlisted, "\n".join(
        f"{key}\n  Triton: {one}\n  Attune: {other}" for key, (one, other) in unlisted.items()
    )


@pytest.mark.parametrize("difference", DIFFERENCES, ids=lambda difference: difference.reason[:60])
async def test_a_listed_difference_is_still_there(answers: Answers, difference: Difference) -> None:
    for key in _keys(difference):
        triton, attune = answers[key]
        assert (triton.status, attune.status) == (difference.triton, difference.attune), f"{key}: {triton}, {attune}"
        assert not triton.same_as(attune), f"{key}: no difference any more"


async def test_a_difference_that_nobody_listed_is_noticed(answers: Answers) -> None:
    """The comparison itself: a value, a shape, a status, an error of another form."""
    good, _ = answers["two inputs", "JSON"]
    changed = {**good.content, "outputs": [{**good.content["outputs"][0], "values": ["0"] * 8}]}
    assert good.same_as(Answer(good.status, good.content))
    assert not good.same_as(Answer(good.status, changed))
    refused, _ = answers["an unknown model", "unknown"]
    assert not refused.same_as(Answer(400, error=True))
    assert not refused.same_as(Answer(404, error=False))


def _keys(difference: Difference) -> list[tuple[str, str]]:
    """Raises `KeyError` for a kind or a case that the test does not have."""
    of_kind: dict[str, list[str]] = {}
    for case in CASES:
        of_kind.setdefault(case.kind, []).append(case.name)
    found = []
    for kind, names in difference.cases.items():
        missing = set(names) - set(of_kind[kind])
        if missing:
            raise KeyError(f"{kind}: no case is named {sorted(missing)}")
        found += [(kind, name) for name in (of_kind[kind] if names == ALL else names)]
    return found
