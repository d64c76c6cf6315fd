"""A source that is taken out has no share left, and the others keep theirs."""

from ranking.ablations import without
from ranking.retriever_settings import RetrieverSettings


def test_a_source_that_is_taken_out_has_no_share_and_the_others_keep_theirs() -> None:
    settings = RetrieverSettings()
    name = next(iter(settings.quotas))
    found = without(settings, name)
    assert found.quotas == {**settings.quotas, name: 0}
    assert settings.quotas[name] > 0, "the settings given stay as they are"
    assert found.candidates == settings.candidates
