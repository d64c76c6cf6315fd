"""Where the cluster keeps what is wanted of each user's model, for those who deploy it and for its replicas."""

from serve.oip.deployed import Deployed
from serve.ray_texts import ClusterText, ClusterTexts

PUBLISHED, KEPT = "models", "kept"  # folders of the cluster's texts


def place_of(application: str, model: str) -> str:
    """The name of the text in `KEPT`."""
    return f"{application}/{model}"


def kept_for(application: str, model: str) -> ClusterText:
    """What is wanted of a model, for a replica of it that starts.

    A model that was loaded after the start, and is one of the server's own since it was deployed anew, takes it along:
    what was loaded then still runs.
    """
    texts, place = ClusterTexts(KEPT), place_of(application, model)
    if loaded := ClusterTexts(PUBLISHED).read(model):
        text = texts.read(place_of(Deployed.model_validate_json(loaded).address, model))
        if text:
            texts.add(place, text)  # unless there is one: it was asked for later
    return texts.text(place)
